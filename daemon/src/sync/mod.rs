//! Brings lists in: reads them, keeps the last good version of each, and builds the index.
//!
//! A list that cannot be read is replaced by its last good copy; only a list that was never read stops the start. A
//! failure is logged, kept in the state and shown by `status`, never swallowed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use isigurt_blocklists::data::{self, BypassAnswer};
use isigurt_blocklists::index::{Builder, Index, IndexError, ListInfo, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::{Answer, Effect, Located, Pattern, Rule};
use isigurt_core::policy::Profile;
use serde::{Deserialize, Serialize};

use crate::config::{Config, List};
use crate::store::{ListState, Store};

/// Why there is nothing to enforce.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A list has never been read.
    #[error("list {id:?} ({file}): {reason}; correct its url in the configuration, or take the list out", file = file.display())]
    List {
        /// Its identifier.
        id: String,
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The lists do not fit an index.
    #[error("lists: {0}")]
    Index(#[from] IndexError),
    /// The built-in lists are damaged.
    #[error("built-in lists: {0}; this program is damaged, install it again")]
    BuiltIn(#[from] data::DataError),
}

/// How a list stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListStatus {
    /// Identifier.
    pub id: String,
    /// Where it comes from.
    pub origin: String,
    /// Its format.
    pub format: Format,
    /// Rules in force.
    pub rules: u64,
    /// Lines refused.
    pub rejected: u64,
    /// When the version in force came in, seconds since 1970; `None` for built-in lists.
    pub loaded_at: Option<i64>,
    /// Why the newest try failed; the last good version is in force then.
    pub last_error: Option<String>,
}

/// What the line enforces, with how each list stands.
#[derive(Debug)]
pub struct Rules {
    /// Every rule.
    pub index: Arc<Index>,
    /// What is blocked.
    pub profile: Profile,
    /// The lists.
    pub lists: Vec<ListStatus>,
}

/// Name of the one profile that this version has.
pub const PROFILE: &str = "household";

/// Reads all lists and builds the index. With a `store`, last good copies and states are kept; without, they are only
/// read. `now` is in seconds since 1970.
pub fn load(config: &Config, store: Option<&Store>, now: i64) -> Result<Rules, SyncError> {
    let mut builder = Index::builder();
    let mut profile = Profile {
        name: PROFILE.to_owned(),
        blocked: isigurt_blocklists::index::TagSet::EMPTY,
    };
    let mut lists = Vec::new();
    built_in(&mut builder, &mut profile, &mut lists)?;
    for list in &config.lists {
        lists.push(configured(config, list, store, now, &mut builder, &mut profile)?);
    }
    for (id, line) in builder.refused() {
        tracing::warn!(list = %id, line, "regular expression refused: it needs too much memory");
    }
    Ok(Rules {
        index: Arc::new(builder.finish()?),
        profile,
        lists,
    })
}

fn built_in(
    builder: &mut Builder,
    profile: &mut Profile,
    lists: &mut Vec<ListStatus>,
) -> Result<(), SyncError> {
    let data = data::built_in()?;
    let mut add = |builder: &mut Builder, kind, id: &str, rules: Vec<Located>, file: &str| {
        let tag = builder.tag(kind, id)?;
        lists.push(ListStatus {
            id: id.to_owned(),
            origin: format!("built in: {file}"),
            format: Format::Domains,
            rules: rules.len() as u64,
            rejected: 0,
            loaded_at: None,
            last_error: None,
        });
        let origin = format!("built in: {file}");
        builder.add(
            ListInfo {
                id: id.to_owned(),
                tag,
                origin,
                format: Format::Domains,
            },
            rules,
        );
        Ok::<_, IndexError>(tag)
    };
    let suffixes = |names: &[Name], line| -> Vec<Located> {
        names
            .iter()
            .map(|name| Located {
                rule: Rule::block(Pattern::Suffix(name.clone())),
                line,
            })
            .collect()
    };
    let helplines: Vec<Located> = data
        .helplines
        .iter()
        .flat_map(|line| suffixes(&line.domains, line.line))
        .collect();
    add(
        builder,
        TagKind::Helpline,
        "helplines",
        helplines,
        "helplines.toml",
    )?;
    let mut bypass: Vec<Located> = Vec::new();
    for way in &data.bypass {
        let answer = match way.answer {
            Some(BypassAnswer::NxDomain) => Answer::NxDomain,
            Some(BypassAnswer::NoData) => Answer::NoData,
            None => Answer::Configured,
        };
        for mut located in suffixes(&way.domains, way.line) {
            located.rule.effect = Effect::Block(answer.clone());
            bypass.push(located);
        }
    }
    let tag = add(builder, TagKind::Bypass, "bypass", bypass, "bypass.toml")?;
    profile.blocked.insert(tag);
    for category in &data.categories {
        let rules = suffixes(&category.names, category.line);
        let tag = add(builder, TagKind::Category, &category.id, rules, "categories.toml")?;
        if category.default {
            profile.blocked.insert(tag);
        }
    }
    for service in &data.services {
        add(
            builder,
            TagKind::Service,
            &service.id,
            suffixes(&service.domains, service.line),
            "services.toml",
        )?;
    }
    Ok(())
}

/// Adds one list of the configuration. All of them are enforced: who configures a list wants it to block.
fn configured(
    config: &Config,
    list: &List,
    store: Option<&Store>,
    now: i64,
    builder: &mut Builder,
    profile: &mut Profile,
) -> Result<ListStatus, SyncError> {
    let id = list.id.as_str();
    let file = list.url.path();
    let copy = config.state_dir.join("lists").join(id);
    let known = store.and_then(|store| store.list(id).ok().flatten());
    let fresh = read_list(file, list).and_then(|(read, octets)| {
        // An interrupted download leaves an empty file; a list that had content does not lose it that way.
        let emptied =
            octets.trim_ascii().is_empty() && std::fs::metadata(&copy).is_ok_and(|held| held.len() > 0);
        if emptied {
            Err("is empty, and was not before".to_owned())
        } else {
            Ok((read, octets))
        }
    });
    let (read, hash, error) = match fresh {
        Ok((read, octets)) => {
            let hash = blake3::hash(&octets).to_hex().to_string();
            if store.is_some() && !std::fs::read(&copy).is_ok_and(|held| held == octets) {
                keep(&copy, &octets).unwrap_or_else(|error| {
                    tracing::warn!(list = id, %error, "the last good copy of the list cannot be kept");
                });
            }
            (read, hash, None)
        }
        Err(reason) => {
            let whole = |octets: &[u8]| {
                let hash = blake3::hash(octets).to_hex().to_string();
                known.as_ref().is_none_or(|known| known.hash == hash)
            };
            let held = read_list(&copy, list).ok().filter(|(_, octets)| whole(octets));
            let Some((read, octets)) = held else {
                return Err(SyncError::List {
                    id: id.to_owned(),
                    file: file.to_owned(),
                    reason,
                });
            };
            tracing::error!(list = id, file = %file.display(), %reason, "list not read; its last good version stays in force");
            (read, blake3::hash(&octets).to_hex().to_string(), Some(reason))
        }
    };
    for rejected in read.report.rejected.iter().take(20) {
        tracing::warn!(list = id, line = rejected.line, reason = %rejected.reason, text = %rejected.text, "line refused");
    }
    let loaded_at = known
        .as_ref()
        .filter(|known| known.hash == hash)
        .map_or(now, |known| known.loaded_at);
    let state = ListState {
        rules: read.rules.len() as u64,
        rejected: read.report.rejected.len() as u64,
        hash,
        loaded_at,
        last_error: error.clone(),
    };
    if let Some(store) = store
        && let Err(error) = store.put_list(id, &state)
    {
        tracing::warn!(list = id, %error, "state of the list not kept");
    }
    let tag = match &list.category {
        Some(category) => builder.tag(TagKind::Category, category)?,
        None => builder.tag(TagKind::Own, "own")?,
    };
    profile.blocked.insert(tag);
    let origin = file.display().to_string();
    let format = read.format;
    tracing::info!(list = id, %format, rules = state.rules, refused = state.rejected, duplicates = read.report.duplicates, "list read");
    builder.add(
        ListInfo {
            id: id.to_owned(),
            tag,
            origin: origin.clone(),
            format,
        },
        read.rules,
    );
    Ok(ListStatus {
        id: id.to_owned(),
        origin,
        format,
        rules: state.rules,
        rejected: state.rejected,
        loaded_at: Some(loaded_at),
        last_error: error,
    })
}

fn read_list(file: &Path, list: &List) -> Result<(read::List, Vec<u8>), String> {
    let octets = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let read = read::read(&octets, list.format, list.subdomains).map_err(|error| error.to_string())?;
    let lines = read.report.with_rules + read.report.rejected.len() as u64;
    if read.rules.is_empty() && lines > 0 {
        let first = read.report.rejected.first().map_or(String::new(), |first| {
            format!("; line {}: {}", first.line, first.reason)
        });
        return Err(format!(
            "no line of it is a rule of format {}{first}",
            read.format
        ));
    }
    Ok((read, octets))
}

/// Writes a file whole or not at all.
fn keep(file: &Path, octets: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // No list's id starts with a dot, so that this is no other list's copy.
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".next");
    let next = folder.join(name);
    let mut out = std::fs::File::create(&next)?;
    out.write_all(octets)?;
    out.sync_all()?;
    std::fs::rename(&next, file)?;
    std::fs::File::open(folder)?.sync_all()
}
