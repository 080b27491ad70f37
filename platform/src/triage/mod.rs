//! `isigurt-platform triage`: analysts open reports, group them by name, and decide.
//!
//! ```text
//!   analyst's key ─▶ ring ─┬▶ sort     reports ─▶ cases              (queue: SKIP LOCKED)
//!     (analyst)    (ring)  ├▶ desk     cases, reports, similar names  ─┬▶ command line (command)
//!                          └▶ verdict  vote, reject, merge             └▶ page on loopback (web)
//!                                 └─▶ trail: every act, signed and chained
//! ```
//!
//! It runs on the analyst's machine, on the platform's database. Keys and whatever they open stay in its process: the
//! database and the log never get a name.

pub(crate) mod analyst;
mod command;
pub(crate) mod desk;
pub(crate) mod ring;
mod show;
mod sort;
mod staff;
pub(crate) mod trail;
mod verdict;
mod web;

use std::path::PathBuf;

pub(crate) use command::{Triage, run, runtime};
pub(crate) use desk::Desk;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TriageError {
    /// The database does not do it.
    #[error("database: {0}; is PostgreSQL running?")]
    Sql(#[from] sqlx::Error),
    /// A file cannot be read or written.
    #[error("{file}: {error}", file = .0.display(), error = .1)]
    File(PathBuf, std::io::Error),
    /// A private file is open to others.
    #[error("{file}: others can read this private key; chmod 600 it", file = .0.display())]
    Open(PathBuf),
    /// A key file holds no key.
    #[error("{file}: not a key: {what}", file = .0.display(), what = .1)]
    Key(PathBuf, String),
    /// Something is not as expected.
    #[error("{0}")]
    Form(String),
    /// The system is out of random octets.
    #[error("the system gives no random octets")]
    Random,
    /// Sealed to a key that is not in the ring, or damaged.
    #[error("a sealed record does not open; was its report key given to this analyst (`triage key add`)?")]
    Sealed,
    /// The analyst has no ring.
    #[error(
        "{0} is no analyst of this platform, or was removed; another analyst adds them with `triage analyst add`"
    )]
    NoRing(String),
    /// There is no such case.
    #[error("there is no such case; look at `triage list`")]
    NoCase,
    /// Another analyst has it.
    #[error("{0} has this case open; take another, or wait half an hour")]
    Held(String),
    /// The trail does not hold.
    #[error(
        "act {0}: {1}; the trail was tampered with: keep the database as it is and tell whoever is responsible"
    )]
    Trail(i64, String),
}

impl From<isigurt_wire::seal::SealError> for TriageError {
    fn from(_: isigurt_wire::seal::SealError) -> Self {
        Self::Sealed
    }
}
