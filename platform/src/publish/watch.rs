//! Publishing by itself: again whenever a source, an approval or the configuration changes, and before anything expires.
//!
//! What goes wrong is said and tried again; what is published stays.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::config::Config;
use super::{Report, now, publish, refresh};

/// How long after a failure the same is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// Publishes and looks again every `every`, for ever; tells of each run that changed or held something.
pub(crate) fn watch(file: &Path, floor: u64, every: Duration, tell: &dyn Fn(anyhow::Result<&Report>)) -> ! {
    let mut seen = Vec::new();
    let mut failed: Option<SystemTime> = None;
    loop {
        let there = look(file);
        let again = failed.is_some_and(|since| since.elapsed().is_ok_and(|past| past >= AGAIN));
        let run = if there != seen || again {
            seen = there;
            Some(now().and_then(|now| publish(file, floor, now)))
        } else if failed.is_none() {
            Some(now().and_then(|now| refresh(file, now)))
        } else {
            None
        };
        match run {
            Some(Ok(report)) => {
                failed = None;
                if report.changed || !report.lists.is_empty() && !report.is_whole() {
                    tell(Ok(&report));
                }
            }
            Some(Err(error)) => {
                failed = Some(SystemTime::now());
                tell(Err(error));
            }
            None => {}
        }
        std::thread::sleep(every);
    }
}

/// Length and time of every file that a release is made from; what cannot be read shows when it is published.
fn look(file: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let mut paths = vec![file.to_owned()];
    if let Ok(config) = Config::read(file) {
        paths.extend(config.checks.popular);
        paths.extend(config.checks.approvals);
        paths.extend(
            config
                .lists
                .into_iter()
                .flat_map(|list| list.sources)
                .map(|source| source.path),
        );
    }
    let mut seen = Vec::new();
    while let Some(path) = paths.pop() {
        if let Ok(entries) = std::fs::read_dir(&path) {
            paths.extend(entries.flatten().map(|entry| entry.path()));
        } else if let Ok(metadata) = std::fs::metadata(&path) {
            seen.push((path, metadata.len(), metadata.modified().ok()));
        }
    }
    seen.sort();
    seen
}
