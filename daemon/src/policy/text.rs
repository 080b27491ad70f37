//! The policy as a TOML text: read, written, and where in it something is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use isigurt_blocklists::data;
use isigurt_blocklists::index::Index;
use isigurt_core::policy::model::{Otherwise, Policy, ProfileText, Visibility, Youtube};
use isigurt_core::policy::{PolicyError, Present};
use jiff::Timestamp;

use super::{PROFILE, Parts, hosts, make};
use crate::config::Config;

/// The copy's place in a state folder.
pub fn copy(state_dir: &Path) -> PathBuf {
    state_dir.join("policy.toml")
}

/// Writes the copy.
pub(super) fn write_copy(state_dir: &Path, policy: &Policy) -> Result<(), String> {
    let text = written(policy)?;
    crate::store::write_whole(&copy(state_dir), text.as_bytes()).map_err(|error| error.to_string())
}

/// The policy that holds where none was applied.
pub fn initial(config: &Config) -> Policy {
    // The built-in data are checked when the lists are built; without them there is no index to enforce.
    let mut categories: Vec<String> = data::built_in()
        .map(|data| data.categories)
        .unwrap_or_default()
        .into_iter()
        .filter(|category| category.default)
        .map(|category| category.id)
        .collect();
    // A list that was added in the web UI is no word on what to block: there one sees who blocks its category.
    let configured = config.lists.iter().filter(|list| !list.added);
    for category in configured.filter_map(|list| list.category.as_ref()) {
        if !categories.contains(category) {
            categories.push(category.clone());
        }
    }
    Policy {
        profile: vec![ProfileText {
            name: PROFILE.to_owned(),
            face: None,
            age: None,
            categories,
            services: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            bypass_protection: true,
            default: Otherwise::Allow,
            safe_search: false,
            youtube: Youtube::Off,
            language: None,
            visibility: Visibility::Full,
            schedule: Vec::new(),
            budget: Vec::new(),
        }],
        ..Policy::default()
    }
}

/// Reads a policy; the error tells line and column.
pub fn read(text: &str) -> Result<Policy, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

pub(super) fn written(policy: &Policy) -> Result<String, String> {
    toml::to_string(policy).map_err(|error| error.to_string())
}

/// An error with the line of the text that it is about, where that can be told: the first one on which what is wrong stands
/// in quotes, behind the header of whom the error names.
pub(super) fn placed(text: &str, error: &PolicyError) -> String {
    let Some(wrong) = error.written() else {
        return error.to_string();
    };
    let quoted = [format!("{wrong:?}"), format!("'{wrong}'")];
    let holds = |line: &str| quoted.iter().any(|quoted| line.contains(quoted.as_str()));
    let named = error.owner().map(|owner| format!("name = {owner:?}"));
    let start = named
        .and_then(|named| text.lines().position(|line| line.trim() == named))
        .unwrap_or(0);
    let lines = || text.lines().enumerate();
    let found = lines()
        .skip(start)
        .find(|(_, line)| holds(line))
        .or_else(|| lines().find(|(_, line)| holds(line)));
    found.map_or_else(
        || error.to_string(),
        |(at, _)| format!("line {}: {error}", at + 1),
    )
}

/// The policy without the daemon, from the copy in the state folder, as it holds at a time. Pauses, grants and what the
/// network tells about devices are not known here.
pub fn offline(config: &Config, index: &Index, at: Timestamp) -> Result<Parts, String> {
    let file = copy(&config.state_dir);
    let wrong = |error: String| format!("{}: {error}", file.display());
    let policy = match std::fs::read_to_string(&file) {
        Ok(text) => read(&text).map_err(wrong)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => initial(config),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let zone = super::zone(&policy).map_err(|error| wrong(error.to_string()))?;
    let ready = make(&policy, index, &hosts(), None).map_err(|error| wrong(error.to_string()))?;
    Ok(Parts {
        clients: Arc::new(ready.clients(std::iter::empty())),
        present: Arc::new(Present::new(&ready, index, (&[], &[]), at, &zone)),
        policy: Arc::new(ready),
    })
}
