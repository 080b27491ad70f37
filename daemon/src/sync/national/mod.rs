//! The national lists: a TUF repository (crate `tough`) that is asked for news, and the lists that were verified last.
//!
//! ```text
//! poll.rs   one conditional GET of timestamp.json ─▶ 304: nothing new
//!             │ news
//! trust.rs    root ─▶ timestamp ─▶ snapshot ─▶ targets ─▶ delegated roles; floors of versions
//! fetch.rs    deltas, else the full list ─▶ hash ─▶ every line read
//! state.rs    one file that says what is verified, replaced whole ─▶ the index is built anew
//! ```
//!
//! Each of the library's pitfalls is closed here, and tested: it is always given the newest root that was verified, never only
//! the shipped one; its scratch folder is made anew for each load and nothing in it is believed later; versions have a floor
//! of our own, in the state database; a clock that is behind what is known is waited for; roles that must be delegated are asked
//! for by name; a start without network needs no repository at all. Expiry stops what is new. It never stops
//! enforcing what was verified last, and nothing here ever removes that before something newer is verified.

mod fetch;
pub mod outside;
mod poll;
mod state;
#[cfg(test)]
mod tests;
mod trust;

use std::path::{Path, PathBuf};

pub(super) use poll::{Polled, Poller, next};
pub(super) use state::{Kept, State};

/// Folder of everything here, in the state folder.
pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("national")
}

/// Why there is no news. What is in force stays so.
#[derive(Debug, thiserror::Error)]
pub(super) enum NationalError {
    #[error(
        "the clock says {0}, which is before what is known already; nothing new is believed until it is set (NTP)"
    )]
    Clock(String),
    #[error("[platform] root {0}: {1}; install the platform's root.json there")]
    Root(PathBuf, String),
    #[error("[platform] url {0:?} is no address; expected such as \"https://lists.example/\"")]
    Url(String),
    #[error(transparent)]
    Http(#[from] crate::http::HttpError),
    #[error("signatures of the platform ran out on {0}: it, or somebody in between, serves old data")]
    Expired(String),
    #[error(
        "the platform serves version {served} of {what}, older than {known}, which was verified before: refused"
    )]
    Rollback { what: String, served: u64, known: u64 },
    #[error("role {0:?} of the platform's repository is missing: refused")]
    Role(String),
    #[error("the platform's metadata is not verified: {0}")]
    Metadata(String),
    #[error("target {0}: {1}; refused")]
    Target(String, String),
    #[error("list {0}: {1}; refused")]
    List(String, String),
    #[error("{0}: {1}; make room on the disk, and the state folder writable")]
    Io(PathBuf, std::io::Error),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}
