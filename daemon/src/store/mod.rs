//! The state that must not be lost: a sled database, opened once, behind typed tables.
//!
//! Every record carries a schema version and a checksum, so that a damaged one is found when it is read. Acknowledged
//! means flushed. Whoever cannot open the database is told what to do; nothing is ever deleted here.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Schema version of every record.
const VERSION: u8 = 1;
/// Octets of the checksum in front of a record.
const CHECKSUM: usize = 8;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or written.
    #[error("state folder {0}: {1}; make it writable for this user, or name another one with --state")]
    Folder(PathBuf, std::io::Error),
    /// Another process has it open.
    #[error(
        "state folder {0} is in use by another isigurtd; stop that one, or name another folder with --state"
    )]
    InUse(PathBuf),
    /// The database does not open.
    #[error("state database in {0} does not open: {1}; move the folder \"db\" in it aside to start afresh")]
    Open(PathBuf, sled::Error),
    /// Reading or writing failed.
    #[error("state database: {0}; check the disk")]
    Io(#[from] sled::Error),
    /// A record is damaged or from another version.
    #[error("state record {0:?} is damaged or of another version")]
    Record(String),
}

/// What is known about a list across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListState {
    /// Rules in the version in force.
    pub rules: u64,
    /// Lines refused in it.
    pub rejected: u64,
    /// BLAKE3 of its octets, hexadecimal.
    pub hash: String,
    /// When that version came in, seconds since 1970.
    pub loaded_at: i64,
    /// Why the newest try failed, if it did.
    pub last_error: Option<String>,
}

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    lists: sled::Tree,
    policy: sled::Tree,
    folder: PathBuf,
}

impl Store {
    /// Opens the database in `folder`, which is made if it is missing.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let refused = |error| StoreError::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(refused)?;
        // sled reports a folder that cannot be written only as a panic-prone read; try it plainly first.
        let probe = folder.join(".writable");
        std::fs::write(&probe, b"")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(refused)?;
        let opened = sled::Config::new()
            .path(folder.join("db"))
            .mode(sled::Mode::LowSpace)
            .cache_capacity(1 << 20)
            .flush_every_ms(None)
            .open();
        let db = opened.map_err(|error| match error {
            sled::Error::Io(ref io)
                if io.kind() == std::io::ErrorKind::WouldBlock || io.to_string().contains("lock") =>
            {
                StoreError::InUse(folder.to_owned())
            }
            error => StoreError::Open(folder.to_owned(), error),
        })?;
        Ok(Self {
            lists: db.open_tree("lists.v1")?,
            policy: db.open_tree("policy.v1")?,
            folder: folder.to_owned(),
        })
    }

    /// The folder that the database lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known about the list `id`.
    pub fn list(&self, id: &str) -> Result<Option<ListState>, StoreError> {
        let Some(octets) = self.lists.get(id)? else {
            return Ok(None);
        };
        decode(&octets)
            .map(Some)
            .ok_or_else(|| StoreError::Record(format!("lists/{id}")))
    }

    /// Keeps what is known about the list `id`; on return it is on the disk.
    pub fn put_list(&self, id: &str, state: &ListState) -> Result<(), StoreError> {
        let octets = encode(state).ok_or_else(|| StoreError::Record(format!("lists/{id}")))?;
        self.lists.insert(id, octets)?;
        self.lists.flush()?;
        Ok(())
    }

    /// The policy as it was applied last, a TOML text.
    pub fn policy(&self) -> Result<Option<String>, StoreError> {
        let Some(octets) = self.policy.get("policy")? else {
            return Ok(None);
        };
        decode(&octets)
            .map(Some)
            .ok_or_else(|| StoreError::Record("policy".to_owned()))
    }

    /// Keeps the policy; on return it is on the disk.
    pub fn put_policy(&self, text: &str) -> Result<(), StoreError> {
        let octets = encode(&text).ok_or_else(|| StoreError::Record("policy".to_owned()))?;
        self.policy.insert("policy", octets)?;
        self.policy.flush()?;
        Ok(())
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(file: &Path, octets: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut next = file.as_os_str().to_owned();
    next.push(".next");
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    out.write_all(octets)?;
    out.sync_all()?;
    std::fs::rename(&next, file)
}

fn encode<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let body = postcard::to_stdvec(value).ok()?;
    let mut octets = checksum(&body)?.to_vec();
    octets.push(VERSION);
    octets.extend_from_slice(&body);
    Some(octets)
}

fn decode<T: DeserializeOwned>(octets: &[u8]) -> Option<T> {
    let (sum, rest) = octets.split_at_checked(CHECKSUM)?;
    let (&version, body) = rest.split_first()?;
    if version != VERSION || checksum(body)?.as_slice() != sum {
        return None;
    }
    postcard::from_bytes(body).ok()
}

fn checksum(body: &[u8]) -> Option<[u8; CHECKSUM]> {
    blake3::hash(body).as_bytes().first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ListState {
        ListState {
            rules: 7,
            rejected: 1,
            hash: "ab".into(),
            loaded_at: 5,
            last_error: Some("why".into()),
        }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path())
            .unwrap()
            .put_list("a", &state())
            .unwrap();
        assert_eq!(
            Store::open(folder.path()).unwrap().list("a").unwrap(),
            Some(state())
        );
    }

    #[test]
    fn a_second_opener_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let _open = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::InUse(_))));
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_record_is_found() {
        let octets = encode(&state()).unwrap();
        for place in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[place / 8] ^= 1 << (place % 8);
            assert_eq!(decode::<ListState>(&damaged), None, "bit {place}");
        }
    }

    #[test]
    fn a_folder_that_is_a_file_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        let error = Store::open(&file).unwrap_err().to_string();
        assert!(error.contains("--state"), "{error}");
    }
}
