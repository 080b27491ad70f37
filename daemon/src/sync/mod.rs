//! Brings lists in: fetches them, has them built into an index, and maps it.
//!
//! ```text
//! keeper.rs ─┬▶ national/   the platform's lists, verified ─┐
//!            └▶ remote.rs   lists by URL ───────────────────┴▶ files ─▶ worker.rs ─▶ build.rs ─▶ index, swapped by the daemon
//! ```
//!
//! An index that was built from the same lists is used again, so that a start costs milliseconds. A list that cannot be
//! read is replaced by its last good copy; only a list that was never read stops the start. A failure is logged, kept
//! in the state and shown by `status`, never swallowed. A new index is checked octet by octet before anything is
//! decided with it.

pub mod added;
mod build;
pub mod confirm;
mod keeper;
mod measure;
mod national;
mod newer;
mod remote;
pub mod staging;
mod standing;
pub mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isigurt_blocklists::data;
use isigurt_blocklists::index::{FileError, Index, Lines, Seed, VERSION};
use isigurt_blocklists::read::{Format, REVISION};
use isigurt_wire::release::Publisher;
use serde::{Deserialize, Serialize};

use crate::config::{Config, List, Source};
use crate::store::{Store, Table, write_whole};
use build::{Delivered, Delivery, Group, Kind, ListOrder, Order};
use remote::FETCHES;
use worker::Worker;

pub use keeper::{Keeper, Progress};
pub use measure::Measured;
#[doc(hidden)]
pub use national::outside;
pub use newer::Newer;
pub use remote::RemoteError;
pub use standing::ListStatus;

/// What is known about a list across restarts, by its id.
const LISTS: Table<ListState> = Table::new("lists", &[]);

/// What is known about a list across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ListState {
    /// Rules in the version in force.
    rules: u64,
    /// Lines refused in it.
    rejected: u64,
    /// BLAKE3 of its octets, hexadecimal.
    hash: String,
    /// When that version came in, seconds since 1970.
    loaded_at: i64,
    /// Why the newest try failed, if it did.
    last_error: Option<String>,
    /// Lines with rules in the version in force.
    #[serde(default)]
    lines: u64,
}

/// Why there is nothing to enforce.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The lists cannot be built into an index.
    #[error("{0}")]
    Build(String),
    /// The index that was built is not usable.
    #[error("index {0}: {1}")]
    Index(PathBuf, FileError),
    /// Files of the index cannot be read or written.
    #[error("index {0}: {1}; make the state folder writable, and room on the disk")]
    Io(PathBuf, io::Error),
    /// A list of the platform is not what was verified any more.
    #[error("national list {0:?} is damaged: {1}; it is fetched anew")]
    Damaged(String, String),
    /// The built-in lists are damaged.
    #[error("built-in lists: {0}; this program is damaged, install it again")]
    BuiltIn(#[from] data::DataError),
}

/// What the line enforces, with how each list stands.
#[derive(Debug)]
pub struct Rules {
    /// Every rule.
    pub index: Arc<Index>,
    /// The lists.
    pub lists: Vec<ListStatus>,
    /// Lines of the rules, where the index is no file.
    pub lines: Option<Lines>,
}

/// Files of the index in a state folder.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

/// What is written down about the index in force.
#[derive(Debug, Serialize, Deserialize)]
struct Standing {
    /// Of everything that the index was made from.
    sources: String,
    /// Of the index.
    identity: [u8; 16],
    lists: Vec<ListStatus>,
}

/// The platform's lists as they are to be enforced.
#[derive(Debug, Default)]
struct National {
    url: String,
    folder: PathBuf,
    lists: Vec<national::Kept>,
}

impl National {
    fn leave_out(&mut self, id: &str) {
        self.lists.retain(|kept| kept.id() != id);
    }
}

impl Files {
    /// Those in this state folder.
    pub fn in_state(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join("index"),
        }
    }

    fn index(&self) -> PathBuf {
        self.folder.join("rules.idx")
    }

    fn lines_file(&self) -> PathBuf {
        self.folder.join("rules.lines")
    }

    fn standing(&self) -> PathBuf {
        self.folder.join("rules.json")
    }

    fn seed(&self) -> PathBuf {
        self.folder.join("seed")
    }

    /// The lines of this index, if the file beside it is whole and belongs to it.
    pub fn lines(&self, index: &Index) -> Option<Lines> {
        let octets = isigurt_map::map(&self.lines_file()).ok()?;
        let lines = Lines::open(&octets)
            .inspect_err(|error| tracing::warn!(%error, "line numbers of rules are not known"))
            .ok()?;
        lines.belongs_to(index.identity()).then_some(lines)
    }

    /// The index that was built from these sources, if it is there and whole.
    fn standing_for(&self, sources: &str) -> Option<(Index, Vec<ListStatus>)> {
        let standing = std::fs::read(self.standing()).ok()?;
        let standing: Standing = serde_json::from_slice(&standing).ok()?;
        if standing.sources != sources {
            return None;
        }
        let index = self
            .open()
            .inspect_err(|error| tracing::error!(%error, "the index is built anew"))
            .ok()?;
        (index.identity() == standing.identity).then_some((index, standing.lists))
    }

    fn open(&self) -> Result<Index, SyncError> {
        open(&self.index())
    }

    /// The device's own seed, made when it is asked for first.
    fn own_seed(&self) -> io::Result<Seed> {
        if let Ok(octets) = std::fs::read(self.seed())
            && let Ok(seed) = octets.try_into()
        {
            return Ok(Seed(seed));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        std::fs::create_dir_all(&self.folder)?;
        write_whole(&self.seed(), &seed)?;
        Ok(Seed(seed))
    }
}

/// Opens an index. Every octet is checked in a mapping that is let go again, so that of the one in use only what queries meet
/// becomes resident.
fn open(file: &Path) -> Result<Index, SyncError> {
    let damaged = |error| SyncError::Index(file.to_owned(), error);
    let mapped = || {
        let octets = isigurt_map::map(file).map_err(|error| SyncError::Io(file.to_owned(), error))?;
        Index::open(octets).map_err(damaged)
    };
    let (checked, index) = (mapped()?, mapped()?);
    checked.verify().map_err(damaged)?;
    index.trust(&checked).map_err(damaged)?;
    Ok(index)
}

/// What to load the rules with.
#[derive(Debug)]
pub struct Loading<'a> {
    /// Which lists.
    pub config: &'a Config,
    /// Where last good copies, the index and states are kept; `None`: nothing is written.
    pub store: Option<&'a Store>,
    /// Who builds an index.
    pub worker: &'a Worker,
    /// Threads for that: 1 while queries are served.
    pub threads: usize,
    /// Seconds since 1970.
    pub now: i64,
    /// Nothing is in force yet: a national list that is damaged is left out, rather than everything else.
    pub first: bool,
}

impl Loading<'_> {
    /// The rules in force: the index that stands, or a new one where a list changed.
    pub fn load(&self) -> Result<Rules, SyncError> {
        let files = Files::in_state(&self.config.state_dir);
        let mut national = self.national();
        let (index, lists, lines) = loop {
            let sources = self.sources(&national);
            if let Some((index, lists)) = files.standing_for(&sources) {
                break (index, lists, None);
            }
            let built = match self.store {
                Some(_) => self
                    .build(&files, sources, &national)
                    .map(|(index, lists)| (index, lists, None)),
                None => self
                    .build_in_memory(&national)
                    .map(|(index, lists, lines)| (index, lists, Some(lines))),
            };
            match built {
                Ok(built) => break built,
                Err(SyncError::Damaged(id, reason)) if self.first => {
                    tracing::error!(list = id, %reason, "not enforced until it is fetched anew");
                    national.leave_out(&id);
                }
                Err(error) => return Err(error),
            }
        };
        if self.store.is_some() {
            national::State::open(&national.folder).tidy(&national.folder);
        }
        for list in &lists {
            if let Some(reason) = &list.last_error {
                tracing::error!(list = %list.id, file = %list.origin, %reason, "list not read; its last good version stays in force");
            }
        }
        Ok(Rules {
            index: Arc::new(index),
            lists,
            lines,
        })
    }

    /// A hash of everything that decides what the index holds: program, configured lists and the state of their files,
    /// verified lists.
    fn sources(&self, national: &National) -> String {
        use std::os::unix::fs::MetadataExt as _;
        let files = self.config.lists.iter().map(|list| {
            let state = match &list.url {
                Source::File(path) => std::fs::metadata(path).ok().map(|file| {
                    let changed = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
                    format!("{:?}", (file.dev(), file.ino(), file.len(), changed))
                }),
                Source::Url(_) => self
                    .fetch(list)
                    .map(|fetch| format!("{} {:?}", fetch.hash, fetch.accepted)),
            };
            (
                &list.id,
                &list.url,
                list.format,
                list.subdomains,
                (&list.category, list.added),
                state,
            )
        });
        let national = national.lists.iter().map(|kept| &kept.target);
        let text = format!(
            "{VERSION} {REVISION} {} {:?} {:?}",
            env!("CARGO_PKG_VERSION"),
            files.collect::<Vec<_>>(),
            national.collect::<Vec<_>>()
        );
        let mut hasher = blake3::Hasher::new();
        hasher.update(text.as_bytes());
        for file in [data::CATEGORIES, data::SERVICES, data::BYPASS, data::HELPLINES] {
            hasher.update(file.text.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn fetch(&self, list: &List) -> Option<remote::FetchState> {
        let store = self.store?;
        store.get(&FETCHES, list.id.as_str()).ok().flatten()
    }

    /// The platform's lists that were verified last.
    fn national(&self) -> National {
        let folder = national::folder(&self.config.state_dir);
        match &self.config.platform {
            Some(platform) => National {
                url: platform.url.clone(),
                lists: national::State::open(&folder).lists,
                folder,
            },
            None => National {
                folder,
                ..National::default()
            },
        }
    }

    fn order(&self, seed: Seed, national: &National) -> Order {
        let copies = self.config.state_dir.join("lists");
        let mut lists: Vec<ListOrder> = self
            .config
            .lists
            .iter()
            .map(|list| self.configured(list, &copies))
            .collect();
        lists.extend(national.lists.iter().map(|kept| ListOrder {
            id: kept.id(),
            file: kept.path(&national.folder),
            origin: national.url.clone(),
            reading: (kept.format(), None),
            group: match (kept.target.publisher, &kept.target.category) {
                (Publisher::Categories, Some(category)) => Group::Category(category.clone()),
                // Only the authority publishes lists without one (`trust.rs`).
                (Publisher::Mandatory, _) | (Publisher::Categories, None) => Group::Mandatory,
            },
            kind: Kind::Verified {
                hash: kept.target.blake3.clone(),
                version: kept.target.version,
            },
            known: None,
        }));
        Order {
            seed,
            built_at: self.now,
            threads: self.threads,
            copies,
            keep: self.store.is_some(),
            lists,
            beside: None,
        }
    }

    fn configured(&self, list: &List, copies: &Path) -> ListOrder {
        let id = list.id.as_str();
        let known = self.known(id);
        let (file, kind) = match &list.url {
            Source::File(path) => (path.clone(), Kind::File),
            Source::Url(_) => {
                let kind = Kind::Fetched {
                    before: known.as_ref().map_or(0, |known| known.lines),
                    accepted: self.fetch(list).and_then(|fetch| fetch.accepted),
                };
                (remote::fetched(copies, id), kind)
            }
        };
        ListOrder {
            id: id.to_owned(),
            file,
            origin: origin(list),
            reading: (list.format, list.subdomains),
            group: list.category.clone().map_or(Group::Own, Group::Category),
            kind,
            known: known.map(|known| known.hash).filter(|hash| !hash.is_empty()),
        }
    }

    fn known(&self, id: &str) -> Option<ListState> {
        self.store.and_then(|store| store.get(&LISTS, id).ok().flatten())
    }

    /// Builds a new index and puts it in the place of the old one once it is checked.
    fn build(
        &self,
        files: &Files,
        sources: String,
        national: &National,
    ) -> Result<(Index, Vec<ListStatus>), SyncError> {
        let failed = |error| SyncError::Io(files.folder.clone(), error);
        let order = self.order(files.own_seed().map_err(failed)?, national);
        let (index, lines) = (files.folder.join("next.idx"), files.folder.join("next.lines"));
        let delivery = self
            .worker
            .build(order, &index, &lines)
            .map_err(|error| self.failed(error))?;
        let opened = open(&index)?;
        let lists = self.settle(delivery, national);
        // The index last: what stands beside it is only believed if it bears the index's identity.
        let standing = Standing {
            sources,
            identity: opened.identity(),
            lists,
        };
        let text = serde_json::to_vec(&standing).map_err(|error| failed(error.into()))?;
        std::fs::rename(&lines, files.lines_file()).map_err(failed)?;
        write_whole(&files.standing(), &text).map_err(failed)?;
        std::fs::rename(&index, files.index()).map_err(failed)?;
        std::fs::File::open(&files.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok((opened, standing.lists))
    }

    /// Builds for one command: nothing is kept, and the seed need not be this device's own.
    fn build_in_memory(&self, national: &National) -> Result<(Index, Vec<ListStatus>, Lines), SyncError> {
        let (mut index, mut lines) = (io::Cursor::new(Vec::new()), io::Cursor::new(Vec::new()));
        let delivery = build::build(&self.order(Seed([0; 32]), national), &mut index, &mut lines)
            .map_err(|error| self.failed(error))?;
        let damaged = |error| SyncError::Index(PathBuf::from("in memory"), error);
        let index = Index::open(index.into_inner()).map_err(damaged)?;
        index.verify().map_err(damaged)?;
        let lines = Lines::open(&lines.into_inner().into()).map_err(damaged)?;
        Ok((index, self.settle(delivery, national), lines))
    }

    /// A verified list that is damaged goes, so that it is fetched anew.
    fn failed(&self, error: build::BuildError) -> SyncError {
        match error {
            build::BuildError::Damaged { id, file, reason } => {
                if self.store.is_some() {
                    let _ = std::fs::remove_file(file);
                }
                SyncError::Damaged(id, reason)
            }
            error => SyncError::Build(error.to_string()),
        }
    }

    /// Logs and keeps how each list stands now.
    fn settle(&self, delivery: Delivery, national: &National) -> Vec<ListStatus> {
        for warning in &delivery.warnings {
            tracing::warn!("{warning}");
        }
        let mut lists: Vec<ListStatus> = delivery
            .built_in
            .into_iter()
            .map(|list| ListStatus {
                id: list.id,
                origin: list.origin,
                format: Format::Domains,
                rules: list.rules,
                rejected: 0,
                loaded_at: None,
                last_error: None,
                version: None,
                held: None,
                checked_at: None,
                next_try: None,
                category: None,
                added: false,
            })
            .collect();
        let mut delivered = delivery.lists.into_iter();
        for (configured, list) in self.config.lists.iter().zip(delivered.by_ref()) {
            lists.push(ListStatus {
                category: configured.category.clone(),
                added: configured.added,
                ..self.settle_one(list, origin(configured))
            });
        }
        for (list, kept) in delivered.zip(&national.lists) {
            lists.push(ListStatus {
                loaded_at: Some(kept.since),
                version: Some(kept.target.version),
                category: kept.target.category.clone(),
                ..self.settle_one(list, national.url.clone())
            });
        }
        lists
    }

    fn settle_one(&self, list: Delivered, origin: String) -> ListStatus {
        let Delivered {
            id,
            format,
            rules,
            duplicates,
            redundant,
            rejected,
            rejections,
            hash,
            lines,
            error,
            held,
        } = list;
        for rejected in rejections {
            tracing::warn!(list = id, line = rejected.line, reason = %rejected.reason, text = %rejected.text, "line refused");
        }
        tracing::info!(list = id, %format, rules, refused = rejected, duplicates, redundant, "list read");
        let loaded_at = self
            .known(&id)
            .filter(|known| known.hash == hash)
            .map_or(self.now, |known| known.loaded_at);
        let state = ListState {
            rules,
            rejected,
            hash,
            loaded_at,
            last_error: error.clone(),
            lines,
        };
        if let Some(store) = self.store
            && let Err(error) = store.put(&LISTS, &id, &state)
        {
            tracing::warn!(list = id, %error, "state of the list not kept");
        }
        ListStatus {
            id,
            origin,
            format,
            rules,
            rejected,
            loaded_at: Some(loaded_at),
            last_error: error,
            version: None,
            held,
            checked_at: None,
            next_try: None,
            category: None,
            added: false,
        }
    }
}

/// Where a list comes from, for a person.
fn origin(list: &List) -> String {
    match &list.url {
        Source::File(_) if list.added => "given in the web UI".to_owned(),
        url => url.to_string(),
    }
}
