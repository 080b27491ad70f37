//! Publishing by itself: again whenever a source, an approval or the configuration changes, and before anything expires.
//!
//! Only lists whose sources changed are read again, so that a decision of triage does not wait for a large list. What goes
//! wrong is said and tried again; what is published stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::config::Config;
use super::{Report, now, publish, refresh};

/// How long after a failure the same is tried again.
const AGAIN: Duration = Duration::from_mins(1);
/// How often lists are read again that did not change: answers for prefixes and keys of hashes have their time.
const ANYWAY: Duration = Duration::from_hours(1);
/// Files up to this many octets are told apart by what is in them, larger ones by length and time.
const SMALL: u64 = 1 << 20;

/// How a file looks.
type Looks = (PathBuf, u64, Option<SystemTime>, Option<blake3::Hash>);

/// What releases are made from, as it looked.
#[derive(Default, PartialEq)]
struct Seen {
    /// Configuration, approvals, popular names.
    common: Vec<Looks>,
    /// Sources of each list.
    lists: BTreeMap<String, Vec<Looks>>,
}

/// Publishes and looks again every `every`, for ever; tells of each run that changed or held something.
pub(crate) fn watch(
    file: &Path,
    floor: u64,
    every: Duration,
    tell: &dyn Fn(anyhow::Result<&Report>) -> anyhow::Result<()>,
) -> anyhow::Result<std::convert::Infallible> {
    let mut seen = Seen::default();
    let mut whole = Instant::now();
    let mut failed: Option<Instant> = None;
    loop {
        let there = look(file);
        let again = failed.is_some_and(|since| since.elapsed() >= AGAIN);
        let all = there.common != seen.common || again || whole.elapsed() >= ANYWAY;
        let changed = there
            .lists
            .iter()
            .filter(|(id, looks)| seen.lists.get(*id) != Some(looks));
        let changed: BTreeSet<String> = changed.map(|(id, _)| id.clone()).collect();
        let run = if all || !changed.is_empty() {
            seen = there;
            if all {
                whole = Instant::now();
            }
            Some(now().and_then(|now| publish(file, floor, now, (!all).then_some(&changed))))
        } else if failed.is_none() {
            Some(now().and_then(|now| refresh(file, now)))
        } else {
            None
        };
        match run {
            Some(Ok(report)) => {
                failed = None;
                if report.changed || !report.lists.is_empty() && !report.is_whole() {
                    tell(Ok(&report))?;
                }
            }
            Some(Err(error)) => {
                failed = Some(Instant::now());
                tell(Err(error))?;
            }
            None => {}
        }
        std::thread::sleep(every);
    }
}

/// What cannot be read shows when it is published.
fn look(file: &Path) -> Seen {
    let mut seen = Seen::default();
    let mut common = vec![file.to_owned()];
    if let Ok(config) = Config::read(file) {
        common.extend(config.checks.popular);
        common.extend(config.checks.approvals);
        for list in config.lists {
            let paths = list.sources.into_iter().map(|source| source.path).collect();
            seen.lists.insert(list.id, looks(paths));
        }
    }
    seen.common = looks(common);
    seen
}

fn looks(mut paths: Vec<PathBuf>) -> Vec<Looks> {
    let mut seen = Vec::new();
    while let Some(path) = paths.pop() {
        if let Ok(entries) = std::fs::read_dir(&path) {
            paths.extend(entries.flatten().map(|entry| entry.path()));
        } else if let Ok(metadata) = std::fs::metadata(&path) {
            if metadata.len() <= SMALL {
                let hash = std::fs::read(&path).ok().map(|octets| blake3::hash(&octets));
                seen.push((path, metadata.len(), None, hash));
            } else {
                seen.push((path, metadata.len(), metadata.modified().ok(), None));
            }
        }
    }
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    seen
}
