//! Lists by URL: fetched beside the last good copy, which stays in force until the new version was read without fault.
//!
//! ```text
//! lists/.ID.part ── whole ──▶ lists/.ID.fetched ── read, not half of what it was ──▶ lists/ID
//! ```
//!
//! Here a version is only brought in; whether it is a list, and one that has not lost half of its rules, is found out where
//! it is read (`build.rs`).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::http::{Client, Download, Fetched, HttpError, Url, Validators, download};
use crate::store::{Store, StoreError, Table};

/// Most octets of a list.
const LARGEST: u64 = 512 << 20;

/// What is known about lists by URL, by their ids.
pub(super) const FETCHES: Table<FetchState> = Table::new("fetches", &[]);

/// What is known about a list by URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FetchState {
    /// Where it was fetched from.
    url: String,
    validators: Validators,
    /// BLAKE3 of the newest version that was fetched, in force or not, hexadecimal.
    pub(super) hash: String,
    /// The version that the owner accepts although it lost half of its rules.
    pub(super) accepted: Option<String>,
    /// When the server last answered, seconds since 1970.
    pub(super) checked_at: i64,
}

impl FetchState {
    /// Of a list that has just been fetched.
    pub(super) fn just_now((url, validators): &(Url, Validators), hash: &str, now: i64) -> Self {
        Self {
            url: url.as_str().to_owned(),
            validators: validators.clone(),
            hash: hash.to_owned(),
            accepted: None,
            checked_at: now,
        }
    }
}

/// Why a list was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The way to it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The state cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What came cannot be written.
    #[error("{0}: {1}; make room on the disk, and the state folder writable")]
    Io(PathBuf, io::Error),
}

/// The new version of a list, until it is in force.
pub(super) fn fetched(copies: &Path, id: &str) -> PathBuf {
    copies.join(format!(".{id}.fetched")) // no list's id starts with a dot
}

/// Asks for a newer version; whether there is one.
pub(super) async fn refresh(
    client: &Client,
    store: &Store,
    copies: &Path,
    (id, url): (&str, &Url),
    now: i64,
) -> Result<bool, RemoteError> {
    let held = store.get(&FETCHES, id)?;
    let mut state = held.filter(|held| held.url == url.as_str()).unwrap_or_default();
    url.as_str().clone_into(&mut state.url);
    let (place, part) = (fetched(copies, id), copies.join(format!(".{id}.part")));
    let there = place.exists() || copies.join(id).exists();
    let asked = Download {
        url,
        file: &part,
        known: there
            .then_some(&state.validators)
            .filter(|known| !known.is_empty()),
        immutable: false,
        limits: client.large(LARGEST),
    };
    let outcome = download(client, asked).await?;
    let noted = now >= state.checked_at + 3600; // flash memory wears out
    state.checked_at = now;
    let Fetched::New(validators) = outcome else {
        if noted {
            store.put(&FETCHES, id, &state)?;
        }
        return Ok(false);
    };
    let file = part.clone();
    let hash = tokio::task::spawn_blocking(move || hash(&file))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| RemoteError::Io(part.clone(), error))?;
    state.validators = validators;
    let new = hash != state.hash || !there;
    if new {
        let placed = std::fs::rename(&part, &place).and_then(|()| File::open(copies)?.sync_all());
        placed.map_err(|error| RemoteError::Io(place, error))?;
        state.hash = hash;
        state.accepted = None;
    } else {
        let _ = std::fs::remove_file(&part);
    }
    store.put(&FETCHES, id, &state)?;
    Ok(new)
}

/// BLAKE3 of a file, hexadecimal.
pub(super) fn hash(file: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Accepts the newest version of a list, however much it lost; whether there is anything to accept.
pub(super) fn accept(store: &Store, copies: &Path, id: &str) -> Result<bool, StoreError> {
    let Some(mut state) = store.get(&FETCHES, id)? else {
        return Ok(false);
    };
    if !fetched(copies, id).exists() {
        return Ok(false);
    }
    state.accepted = Some(state.hash.clone());
    store.put(&FETCHES, id, &state)?;
    Ok(true)
}
