//! What was verified last: one file, replaced whole, that names everything else in the folder.
//!
//! ```text
//! national/state.json      JSON, then BLAKE3 of it
//! national/lists/…         the lists, each under the name that the file gives it
//! national/work/…          what is being fetched; counts for nothing
//! ```
//!
//! A list counts once the file names it, and by then it is on the disk. The floors of versions lie elsewhere, in the
//! state database: whoever loses this file is not open to older data for that.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use isigurt_blocklists::read::Format;
use isigurt_wire::release::{Service, Target, Tier};
use serde::{Deserialize, Serialize};

use crate::http::Validators;
use crate::store::{Table, write_whole};

/// Version of the file.
const FORMAT: u32 = 1;

/// Versions below which nothing is believed, under [`FLOOR`].
pub(super) const FLOORS: Table<Floor> = Table::new("national", &[]);
/// The one key.
pub(super) const FLOOR: &str = "floor";

/// The newest versions that were verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floor {
    /// Of the root.
    pub(super) root: u64,
    /// Names the keys of timestamp and snapshot: with other keys versions begin anew (TUF specification, 5.3.11).
    pub(super) keys: String,
    /// Of each metadata file but the root, by name.
    pub(super) metadata: BTreeMap<String, u64>,
    /// Of each list.
    pub(super) lists: BTreeMap<String, u64>,
}

/// Everything that was verified last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sync) struct State {
    pub(super) format: u32,
    /// The newest root, as JSON; empty before the first load.
    pub(super) root: String,
    /// The newest timestamp, as it came.
    pub(super) timestamp: String,
    /// What the server said about it.
    pub(super) validators: Validators,
    /// The newest snapshot, as JSON.
    pub(super) snapshot: String,
    /// Whether a list that is signed did not come in yet: then the next poll looks at everything again.
    #[serde(default)]
    pub(super) unfinished: bool,
    /// When the first of all signatures runs out, seconds since 1970.
    pub(super) expires: i64,
    /// When the platform was last heard of and everything was right, seconds since 1970.
    pub(in crate::sync) checked_at: i64,
    /// The lists.
    pub(in crate::sync) lists: Vec<Kept>,
    /// What else the platform offers.
    pub(in crate::sync) service: Option<Service>,
}

/// A list that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sync) struct Kept {
    /// What was signed about it.
    pub(in crate::sync) target: Target,
    /// Its file in the folder of lists.
    pub(super) file: String,
    /// When it came in, seconds since 1970.
    pub(in crate::sync) since: i64,
}

impl Kept {
    /// As it is called in status, logs and explanations.
    pub(in crate::sync) fn id(&self) -> String {
        id(&self.target)
    }

    /// Its format.
    pub(in crate::sync) fn format(&self) -> Format {
        match self.target.tier {
            Tier::Clear => Format::Adblock,
            Tier::Hashed | Tier::Prefix => Format::Hashed,
        }
    }

    /// Its file.
    pub(in crate::sync) fn path(&self, folder: &Path) -> PathBuf {
        lists(folder).join(&self.file)
    }
}

/// What a list is called.
pub(super) fn id(target: &Target) -> String {
    format!("{}/{}", target.publisher.role(), target.list)
}

/// Folder of the lists.
pub(super) fn lists(folder: &Path) -> PathBuf {
    folder.join("lists")
}

impl State {
    /// The one of this folder; an empty one where there is none. A damaged one is said and begun anew.
    pub(in crate::sync) fn open(folder: &Path) -> Self {
        let file = folder.join("state.json");
        let Ok(octets) = std::fs::read(&file) else {
            return Self::default();
        };
        read(&octets).unwrap_or_else(|| {
            tracing::error!(file = %file.display(), "what is known of the national lists is damaged; they are fetched anew");
            Self::default()
        })
    }

    /// Lists whose files are there.
    pub(in crate::sync) fn present(&self, folder: &Path) -> impl Iterator<Item = &Kept> {
        let folder = folder.to_owned();
        self.lists.iter().filter(move |kept| {
            let there = std::fs::metadata(kept.path(&folder));
            there.is_ok_and(|there| there.len() == kept.target.octets)
        })
    }

    /// Replaces the file.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let state = Self {
            format: FORMAT,
            ..self.clone()
        };
        write_whole(&folder.join("state.json"), &sealed(serde_json::to_vec(&state)?))
    }

    /// Removes lists that neither this state nor the one on the disk names. Nothing may be reading lists meanwhile.
    pub(in crate::sync) fn tidy(&self, folder: &Path) {
        let newest = Self::open(folder);
        let Ok(entries) = std::fs::read_dir(lists(folder)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let mut named = self.lists.iter().chain(&newest.lists);
            if !named.any(|kept| *kept.file == *name) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The file with this JSON.
pub(super) fn sealed(mut json: Vec<u8>) -> Vec<u8> {
    let sum = blake3::hash(&json).to_hex();
    json.push(b'\n');
    json.extend_from_slice(sum.as_bytes());
    json
}

pub(super) fn read(octets: &[u8]) -> Option<State> {
    let end = octets.iter().rposition(|&octet| octet == b'\n')?;
    let (state, sum) = (octets.get(..end)?, octets.get(end + 1..)?);
    if blake3::hash(state).to_hex().as_bytes() != sum {
        return None;
    }
    let state: State = serde_json::from_slice(state).ok()?;
    (state.format == FORMAT).then_some(state)
}
