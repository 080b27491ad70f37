//! A list that somebody wants to add, aside: fetched or given into a folder of its own, and built twice, alone and with everything that
//! is in force, so that what it would do is known before it does anything.
//!
//! Nothing here is enforced, and nothing of the lists in force is touched: what is built is read from their last good copies.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isigurt_blocklists::index::Index;
use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::report::Rejected;

use super::build::{Beside, BuildError, Delivered, Group, Kind, ListOrder, Order};
use super::measure::Measured;
use super::remote::{self, RemoteError};
use super::{Files, Loading, open};
use crate::config::List;
use crate::http::{Client, Download, Fetched, Limits, Url, Validators, download};

/// Most octets of a list that is looked at: somebody waits, and the router's disk holds it twice. Larger ones go into the file.
const LARGEST: u64 = 64 << 20;
/// How long somebody waits for it.
const LONGEST: Duration = Duration::from_secs(300);
/// The category of a list that is looked at alone.
pub const ALONE: &str = "the list that is looked at";

/// A list in a folder of its own, which goes with this.
#[derive(Debug)]
pub struct Staged {
    folder: PathBuf,
    fetched: Option<(Url, Validators)>,
    hash: String,
    octets: u64,
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The folder of all that is looked at.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("lists/.staging") // no list's id starts with a dot
}

impl Staged {
    /// Fetches a list into a folder.
    pub async fn fetch(client: &Client, url: &Url, folder: PathBuf) -> Result<Self, RemoteError> {
        let failed = |error| RemoteError::Io(folder.clone(), error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut staged = Self {
            folder: folder.clone(),
            fetched: None,
            hash: String::new(),
            octets: 0,
        };
        let file = staged.file();
        let asked = Download {
            url,
            file: &file,
            known: None,
            immutable: false,
            limits: Limits {
                total: LONGEST,
                ..client.large(LARGEST)
            },
        };
        if let Fetched::New(validators) = download(client, asked).await? {
            staged.fetched = Some((url.clone(), validators));
        }
        staged.weigh().map_err(failed)?;
        Ok(staged)
    }

    /// Puts a text into a folder.
    pub fn given(text: &[u8], folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut staged = Self {
            folder,
            fetched: None,
            hash: String::new(),
            octets: 0,
        };
        std::fs::write(staged.file(), text)?;
        staged.weigh()?;
        Ok(staged)
    }

    fn weigh(&mut self) -> io::Result<()> {
        self.octets = std::fs::metadata(self.file())?.len();
        self.hash = remote::hash(&self.file())?;
        Ok(())
    }

    /// The list.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("list")
    }

    /// Where it was fetched from, and what its server said about it.
    pub(super) fn fetched(&self) -> Option<&(Url, Validators)> {
        self.fetched.as_ref()
    }

    /// BLAKE3 of its octets, hexadecimal.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Its length.
    pub fn octets(&self) -> u64 {
        self.octets
    }
}

/// What became of a list that was built aside.
#[derive(Debug)]
pub struct Tried {
    /// Its format, as it was found.
    pub format: Format,
    /// Lines with rules.
    pub lines: u64,
    /// Rules that an index has of it.
    pub kept: u64,
    /// Rules that say what an earlier one said.
    pub duplicates: u64,
    /// Rules that a rule above them makes unnecessary.
    pub redundant: u64,
    /// Lines refused.
    pub rejected: u64,
    /// The first of them.
    pub rejections: Vec<Rejected>,
    /// What it says beside the lists in force.
    pub measured: Measured,
    /// An index of the built-in lists and this one, whose category there is [`ALONE`].
    pub alone: Index,
    /// The index that would be in force with it.
    pub together: Index,
}

impl Loading<'_> {
    /// Builds a list aside. The error says what is wrong with it, for a person.
    pub fn try_out(&self, list: &List, staged: &Staged) -> Result<Tried, String> {
        let files = Files::in_state(&self.config.state_dir);
        let seed = || files.own_seed().map_err(|error| error.to_string());
        let group = list.category.clone().map_or(Group::Own, Group::Category);
        let order = |group| ListOrder {
            id: list.id.as_str().to_owned(),
            file: staged.file(),
            origin: super::origin(list),
            reading: (list.format, list.subdomains),
            group,
            kind: Kind::File,
            known: None,
        };
        let (delivered, measured, alone) = self.built(
            Order {
                seed: seed()?,
                built_at: self.now,
                threads: self.threads,
                copies: staged.folder.clone(),
                keep: false,
                lists: vec![order(Group::Category(ALONE.to_owned()))],
                beside: Some(Beside {
                    index: files.index(),
                    group: group.clone(),
                }),
            },
            (staged, "alone"),
        )?;
        if delivered.lines == 0 {
            return Err("there is no rule in it".to_owned());
        }
        let mut together = self.order(seed()?, &self.national());
        together.keep = false;
        together
            .lists
            .retain_mut(|list| from_copy(list, &together.copies));
        together.lists.push(order(group));
        let (_, _, together) = self.built(together, (staged, "together"))?;
        let Delivered {
            format,
            rules,
            duplicates,
            redundant,
            rejected,
            rejections,
            lines,
            ..
        } = delivered;
        let measured = measured.unwrap_or_default();
        Ok(Tried {
            format,
            lines,
            kept: rules,
            duplicates,
            redundant,
            rejected,
            rejections,
            measured: Measured {
                new: measured.new.min(rules),
                ..measured
            },
            alone,
            together,
        })
    }

    /// Builds an order aside: what became of its last list, and the index, whose file is gone when it is let go.
    fn built(
        &self,
        order: Order,
        (staged, name): (&Staged, &str),
    ) -> Result<(Delivered, Option<Measured>, Index), String> {
        let files = [".idx", ".lines"].map(|end| staged.folder.join(format!("{name}{end}")));
        let [index, lines] = &files;
        let delivery = self
            .worker
            .build(order, index, lines)
            .map_err(|error| match error {
                BuildError::List { reason, .. } => reason,
                other => other.to_string(),
            });
        let opened = delivery.and_then(|mut delivery| {
            let index = open(index).map_err(|error| error.to_string())?;
            let last = delivery.lists.pop().ok_or("nothing was built")?;
            Ok((last, delivery.measured, index))
        });
        for file in &files {
            let _ = std::fs::remove_file(file); // a mapped file stays until it is let go
        }
        opened
    }
}

/// Has a list read from its last good copy, which is what is in force; whether there is anything to read.
fn from_copy(list: &mut ListOrder, copies: &Path) -> bool {
    let copy = copies.join(&list.id);
    match list.kind {
        Kind::File | Kind::Fetched { .. } if copy.exists() => {
            list.kind = Kind::File;
            list.file = copy;
            true
        }
        Kind::File | Kind::Verified { .. } => true,
        Kind::Fetched { .. } => false,
    }
}
