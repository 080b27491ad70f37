//! Lists that were added in the web UI. They stand in the state, beside those of the configuration file, and everything that is done
//! with those is done with them.
//!
//! ```text
//! staging.rs, looked at and taken ─▶ state: what it is (and a given text) ─▶ joined to the configuration's lists at a start and a reload
//!                                └─▶ lists/.ID.fetched, as if it had just been fetched; lists/.ID.given for a given text
//! ```
//!
//! What stands in the file is the owner's word: nothing here changes it, and where both name a list the file's holds. Beside the state
//! lies a copy to read, for commands that work while the daemon does.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;
use isigurt_blocklists::read::Format;
use serde::{Deserialize, Serialize};

use super::remote::{self, FETCHES, FetchState};
use super::staging::Staged;
use super::{LISTS, ListState};
use crate::config::{Config, List, ListId, Source, Span};
use crate::http::Url;
use crate::store::audit::Author;
use crate::store::{Changes, Store, StoreError, Table, write_whole};

/// Lists by their ids.
const ADDED: Table<Added> = Table::new("added-lists", &[]);
/// Texts of lists that were given as they are: zstd in base64, so that a backup has them.
const TEXTS: Table<String> = Table::new("added-texts", &[]);
/// Most octets of a text.
pub const LONGEST_TEXT: usize = 1 << 20;
/// How hard texts are packed.
const LEVEL: i32 = 9;
/// Most lists that are added.
const MOST: usize = 64;

/// A list that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Where it comes from; `None`: its text was given.
    pub url: Option<String>,
    /// Its format.
    pub format: Format,
    /// Its category; `None`: the household's own list.
    pub category: Option<String>,
    /// How often its server is asked, seconds.
    pub every_s: Option<u64>,
    /// Whether a bare name means all names below it too.
    pub subdomains: Option<bool>,
    /// When it was added, seconds since 1970.
    pub added_at: i64,
}

/// Why a list is not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The id or the address is another list's.
    #[error("{0}")]
    Taken(String),
    /// Too many.
    #[error("there are {MOST} added lists already; remove one, or name lists in the configuration file")]
    Full,
    /// It stands in the configuration file.
    #[error("this list stands in the configuration file; take it out there")]
    Configured,
    /// There is no such list.
    #[error("there is no such list")]
    Missing,
    /// The state cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be written.
    #[error("{0}: {1}; make room on the disk, and the state folder writable")]
    Io(PathBuf, io::Error),
}

/// The file of a text that was given.
fn given(copies: &Path, id: &str) -> PathBuf {
    copies.join(format!(".{id}.given")) // no list's id starts with a dot
}

fn copies(config: &Config) -> PathBuf {
    config.state_dir.join("lists")
}

/// The copy to read.
fn copy(state_dir: &Path) -> PathBuf {
    state_dir.join("added-lists.json")
}

/// Joins the lists of the state to those of the configuration file. Those that were joined before go first.
pub fn join(config: &mut Config, store: &Store) -> Result<(), StoreError> {
    let all = store.all(&ADDED)?;
    for (id, added) in &all {
        let file = given(&copies(config), id);
        if added.url.is_none()
            && !file.exists()
            && let Some(packed) = store.get(&TEXTS, id)?
            && let Err(error) = unpack(&packed).and_then(|text| write(&file, &text))
        {
            tracing::error!(list = id, %error, "the text of the list cannot be written");
        }
    }
    write_copy(&config.state_dir, &all);
    put(config, all);
    Ok(())
}

/// The same from the copy, for commands. The error is for a person.
pub fn join_copy(config: &mut Config) -> Result<(), String> {
    let file = copy(&config.state_dir);
    let octets = match std::fs::read(&file) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let all = serde_json::from_slice(&octets).map_err(|error| format!("{}: {error}", file.display()))?;
    put(config, all);
    Ok(())
}

fn put(config: &mut Config, all: Vec<(String, Added)>) {
    config.lists.retain(|list| !list.added);
    let copies = copies(config);
    for (id, added) in all {
        if config.lists.iter().any(|list| list.id.as_str() == id) {
            tracing::warn!(
                list = id,
                "the configuration file has a list of this name: the one that was added in the web UI rests"
            );
            continue;
        }
        let Some(list) = list(&copies, &id, &added) else {
            tracing::error!(
                list = id,
                "this list was added in the web UI and cannot be used; remove it"
            );
            continue;
        };
        config.lists.push(list);
    }
}

/// A list as the configuration has it.
fn list(copies: &Path, id: &str, added: &Added) -> Option<List> {
    Some(List {
        id: ListId::try_from(id.to_owned()).ok()?,
        url: match &added.url {
            Some(url) => Source::Url(Url::parse(url).ok()?),
            None => Source::File(given(copies, id)),
        },
        format: added.format,
        category: added.category.clone(),
        every: added.every_s.map(|seconds| Span(Duration::from_secs(seconds))),
        subdomains: added.subdomains,
        added: true,
    })
}

/// Whose the id or the address is already, if it is somebody's.
pub(super) fn taken(config: &Config, store: &Store, id: &str, url: Option<&Url>) -> Result<(), AddError> {
    let all = store.all(&ADDED)?;
    if all.len() >= MOST {
        return Err(AddError::Full);
    }
    let mut ids = config.lists.iter().map(|list| list.id.as_str());
    // Files of lists are named by their ids: on some disks letter case tells no files apart.
    let same = |other: &str| other.eq_ignore_ascii_case(id);
    if ids.any(same) || all.iter().any(|(other, _)| same(other)) {
        return Err(AddError::Taken(format!("there is a list called {id:?} already")));
    }
    let Some(url) = url else { return Ok(()) };
    let configured = config
        .lists
        .iter()
        .find(|list| matches!(&list.url, Source::Url(other) if other == url));
    let configured = configured.map(|list| list.id.as_str());
    let added = || {
        all.iter()
            .find(|(_, other)| other.url.as_deref() == Some(url.as_str()))
    };
    match configured.or_else(|| added().map(|(id, _)| id.as_str())) {
        Some(other) => Err(AddError::Taken(format!(
            "the list {other:?} comes from this address already"
        ))),
        None => Ok(()),
    }
}

/// Takes a list that was looked at: on return it is part of the state, and its files are where a reload looks for them.
pub(super) fn add(
    config: &Config,
    store: &Store,
    (id, added): (&str, &Added),
    staged: &Staged,
    author: &Author,
) -> Result<(), AddError> {
    let url = added.url.as_deref().and_then(|url| Url::parse(url).ok());
    taken(config, store, id, url.as_ref())?;
    let mut changes = Changes::default();
    let copies = copies(config);
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |error| AddError::Io(file, error)
    };
    std::fs::create_dir_all(&copies).map_err(failed(&copies))?;
    if let Some(fetched) = staged.fetched() {
        let place = remote::fetched(&copies, id);
        std::fs::rename(staged.file(), &place).map_err(failed(&place))?;
        let state = FetchState::just_now(fetched, staged.hash(), added.added_at);
        changes.put(&FETCHES, id, &state);
    } else {
        let place = given(&copies, id);
        let text = std::fs::read(staged.file()).map_err(failed(&place))?;
        changes.put(&TEXTS, id, &pack(&text).map_err(failed(&place))?);
        write(&place, &text).map_err(failed(&place))?;
    }
    changes.put(&ADDED, id, added);
    let told = serde_json::to_value(added).ok();
    changes.audit(author.entry("list.add", &format!("list {id}"), None, told));
    store.commit(changes)?;
    write_copy(&config.state_dir, &store.all(&ADDED)?);
    Ok(())
}

/// Removes a list that was added.
pub(super) fn remove(config: &Config, store: &Store, id: &str, author: &Author) -> Result<(), AddError> {
    let Some(added) = store.get(&ADDED, id)? else {
        let configured = config.lists.iter().any(|list| list.id.as_str() == id);
        return Err(if configured {
            AddError::Configured
        } else {
            AddError::Missing
        });
    };
    // One that rests because the file has its name leaves that one's files alone.
    let rests = config
        .lists
        .iter()
        .any(|list| list.id.as_str() == id && !list.added);
    let mut changes = Changes::default();
    changes.remove(&ADDED, id).remove(&TEXTS, id);
    if !rests {
        changes
            .remove::<FetchState>(&FETCHES, id)
            .remove::<ListState>(&LISTS, id);
    }
    let told = serde_json::to_value(&added).ok();
    changes.audit(author.entry("list.remove", &format!("list {id}"), told, None));
    store.commit(changes)?;
    write_copy(&config.state_dir, &store.all(&ADDED)?);
    if !rests {
        let copies = copies(config);
        for file in [copies.join(id), given(&copies, id), remote::fetched(&copies, id)] {
            let _ = std::fs::remove_file(file); // it may not have all of them
        }
    }
    Ok(())
}

/// Writes the copy where it is not the same already: flash memory wears out.
fn write_copy(state_dir: &Path, all: &[(String, Added)]) {
    let file = copy(state_dir);
    let Ok(octets) = serde_json::to_vec_pretty(all) else {
        return;
    };
    if all.is_empty() && !file.exists() || std::fs::read(&file).is_ok_and(|found| found == octets) {
        return;
    }
    if let Err(error) = write_whole(&file, &octets) {
        tracing::warn!(file = %file.display(), %error, "the copy of added lists is not written");
    }
}

fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write_whole(file, text)
}

fn pack(text: &[u8]) -> io::Result<String> {
    Ok(BASE64.encode(&zstd::bulk::compress(text, LEVEL)?))
}

fn unpack(packed: &str) -> io::Result<Vec<u8>> {
    let octets = BASE64.decode(packed.as_bytes()).map_err(io::Error::other)?;
    zstd::bulk::decompress(&octets, LONGEST_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: fn() -> Author = Author::console;

    fn added(url: Option<&str>) -> Added {
        Added {
            url: url.map(str::to_owned),
            format: Format::Domains,
            category: Some("gambling".to_owned()),
            every_s: Some(3600),
            subdomains: None,
            added_at: 7,
        }
    }

    fn house() -> (tempfile::TempDir, Config, Store) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::try_out();
        folder.path().clone_into(&mut config.state_dir);
        let store = Store::in_memory(folder.path());
        (folder, config, store)
    }

    #[test]
    fn a_given_text_is_joined_comes_back_from_the_state_alone_and_goes_again() {
        let (folder, mut config, store) = house();
        let staged = Staged::given(b"one.example\n", folder.path().join("staged")).unwrap();
        add(&config, &store, ("own", &added(None)), &staged, &AUTHOR()).unwrap();
        join(&mut config, &store).unwrap();
        join(&mut config, &store).unwrap();
        assert_eq!(config.lists.len(), 1, "joined once");
        let Source::File(file) = config.lists[0].url.clone() else {
            panic!("a file")
        };
        // As after a backup was taken back: the state has it, the disk has not.
        std::fs::remove_file(&file).unwrap();
        join(&mut config, &store).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"one.example\n");
        let mut read = Config {
            lists: Vec::new(),
            ..config.clone()
        };
        join_copy(&mut read).unwrap();
        assert_eq!(read.lists, config.lists);

        remove(&config, &store, "own", &AUTHOR()).unwrap();
        join(&mut config, &store).unwrap();
        assert!(config.lists.is_empty() && !file.exists());
        assert!(matches!(
            remove(&config, &store, "own", &AUTHOR()),
            Err(AddError::Missing)
        ));
        let trail = store.audit(None, 9).unwrap();
        let actions: Vec<&str> = trail.iter().map(|(_, entry)| entry.action.as_str()).collect();
        assert_eq!(actions, ["list.remove", "list.add"]);
    }

    #[test]
    fn an_id_or_an_address_that_a_list_has_is_taken_and_the_files_lists_stay() {
        let (folder, mut config, store) = house();
        let text = "[[lists]]\nid = \"Bets\"\nurl = \"https://lists.example/bets.txt\"\n";
        let (file, _) = Config::parse(text, Path::new("g.toml")).unwrap();
        config.lists = file.lists;
        let staged = || Staged::given(b"one.example\n", folder.path().join("staged")).unwrap();
        let refused = add(&config, &store, ("bets", &added(None)), &staged(), &AUTHOR());
        assert!(matches!(refused, Err(AddError::Taken(_))), "{refused:?}");
        let same = Url::parse("https://lists.example/bets.txt").unwrap();
        let refused = taken(&config, &store, "other", Some(&same));
        assert!(matches!(refused, Err(AddError::Taken(_))), "{refused:?}");
        let configured = remove(&config, &store, "Bets", &AUTHOR());
        assert!(matches!(configured, Err(AddError::Configured)));
        // The file is given a list of a name that was added before.
        add(&config, &store, ("later", &added(None)), &staged(), &AUTHOR()).unwrap();
        let text = "[[lists]]\nid = \"later\"\nurl = \"https://lists.example/later.txt\"\n";
        config.lists = Config::parse(text, Path::new("g.toml")).unwrap().0.lists;
        join(&mut config, &store).unwrap();
        assert_eq!(config.lists.len(), 1);
        assert!(!config.lists[0].added, "the file's list holds");
    }
}
