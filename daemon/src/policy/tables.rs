//! The policy, and what is said for a while beside it, as records of the state.
//!
//! Each profile and each device is a record of its own, so that a change of one writes one, also where a school has 20,000.

use std::collections::HashMap;

use isigurt_core::policy::model::{CalendarText, DeviceText, Policy, ProfileText, Settings};
use isigurt_core::policy::{Grant, Pause};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Author;
use crate::store::{Changes, Store, StoreError, Table};

/// Settings and calendars; there is one record where a policy was applied, none where not.
const HEAD: Table<Head> = Table::new("policy-head", &[]);
const PROFILES: Table<ProfileText> = Table::new("profile", &[]);
const DEVICES: Table<DeviceText> = Table::new("device", &[]);
/// By whom they are for.
pub(super) const PAUSES: Table<Pause> = Table::new("pause", &[]);
/// By whom they are for and what they open.
pub(super) const GRANTS: Table<Grant> = Table::new("grant", &[]);
/// By their numbers.
pub(super) const REQUESTS: Table<super::requests::Request> = Table::new("request", &[]);
/// Minutes used, by day, whom and budget.
pub(super) const METERS: Table<Used> = Table::new("meter", &[]);
/// The policy as a TOML text, where an earlier version wrote it.
const TEXT: Table<String> = Table::new("policy", &[]);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Head {
    settings: Settings,
    calendars: Vec<CalendarText>,
    /// Names of the profiles, in their order.
    profiles: Vec<String>,
}

/// What was used of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) who: String,
    pub(super) budget: String,
    pub(super) day: u16,
    /// The minute that was counted last, since 1970.
    pub(super) last: u32,
    pub(super) minutes: u16,
    pub(super) bonus: u16,
}

fn head(policy: &Policy) -> Head {
    Head {
        settings: policy.settings.clone(),
        calendars: policy.calendar.clone(),
        profiles: policy
            .profile
            .iter()
            .map(|profile| profile.name.clone())
            .collect(),
    }
}

/// The policy that was applied last, if one was.
pub(super) fn read(store: &Store) -> Result<Option<Policy>, StoreError> {
    if let Some(text) = store.get(&TEXT, "policy")? {
        let policy: Policy =
            toml::from_str(&text).map_err(|_| StoreError::Record("policy/policy".to_owned()))?;
        let mut changes = write(None, &policy, &Author::console());
        changes.remove(&TEXT, "policy");
        store.commit(changes)?;
    }
    let Some(head) = store.get(&HEAD, "")? else {
        return Ok(None);
    };
    let mut profiles: HashMap<String, ProfileText> = store.all(&PROFILES)?.into_iter().collect();
    let profile = head.profiles.iter().filter_map(|name| profiles.remove(name));
    Ok(Some(Policy {
        profile: profile.collect(),
        settings: head.settings,
        calendar: head.calendars,
        device: store
            .all(&DEVICES)?
            .into_iter()
            .map(|(_, device)| device)
            .collect(),
    }))
}

/// What is to be written where `new` follows `old`, with who wanted it.
pub(super) fn write(old: Option<&Policy>, new: &Policy, author: &Author) -> Changes {
    let mut changes = Changes::default();
    let mut trail = Trail::default();
    let (was, is) = (old.map(head), head(new));
    if was.as_ref() != Some(&is) {
        trail.note("settings".to_owned(), was.as_ref(), Some(&is));
        changes.put(&HEAD, "", &is);
    }
    differ(
        old.map_or(&[][..], |old| &old.profile),
        &new.profile,
        |profile| &profile.name,
        |name, before, after| {
            trail.note(format!("profile {name}"), before, after);
            match after {
                Some(profile) => changes.put(&PROFILES, name, profile),
                None => changes.remove(&PROFILES, name),
            };
        },
    );
    differ(
        old.map_or(&[][..], |old| &old.device),
        &new.device,
        |device| &device.name,
        |name, before, after| {
            trail.note(format!("device {name}"), before, after);
            match after {
                Some(device) => changes.put(&DEVICES, name, device),
                None => changes.remove(&DEVICES, name),
            };
        },
    );
    trail.end(&mut changes, author);
    changes
}

/// What a change of the policy changes, for the audit trail.
#[derive(Default)]
struct Trail {
    entries: Vec<(String, Option<Value>, Option<Value>)>,
    /// All of them, also those that are not told one by one.
    count: usize,
}

impl Trail {
    /// Entries of one change; a school's import of thousands is told as one.
    const MOST: usize = 50;

    fn note<T: Serialize>(&mut self, object: String, before: Option<&T>, after: Option<&T>) {
        self.count += 1;
        if self.entries.len() < Self::MOST {
            let value = |value: Option<&T>| value.and_then(|value| serde_json::to_value(value).ok());
            self.entries.push((object, value(before), value(after)));
        }
    }

    fn end(self, changes: &mut Changes, author: &Author) {
        if self.count > Self::MOST {
            let count = Value::from(self.count);
            changes.audit(author.entry("policy.change", "profiles and devices", None, Some(count)));
            return;
        }
        for (object, before, after) in self.entries {
            changes.audit(author.entry("policy.change", &object, before, after));
        }
    }
}

/// Tells every name whose entry came, changed or went, with how it was and how it is.
fn differ<'t, T: PartialEq>(
    before: &'t [T],
    after: &'t [T],
    name: impl Fn(&T) -> &str,
    mut tell: impl FnMut(&str, Option<&'t T>, Option<&'t T>),
) {
    let mut old: HashMap<&str, &T> = before.iter().map(|entry| (name(entry), entry)).collect();
    for entry in after {
        let was = old.remove(name(entry));
        if was != Some(entry) {
            tell(name(entry), was, Some(entry));
        }
    }
    for (gone, was) in old {
        tell(gone, Some(was), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_policy_comes_back_as_it_was_and_only_what_changed_is_written() {
        let store = Store::in_memory(Path::new("."));
        let author = Author::console();
        assert_eq!(read(&store).unwrap(), None);
        let text = "[settings]\ndefault_profile = \"b\"\n[[calendar]]\nname = \"c\"\ndays = [\"2026-01-01\"]\n\
                    [[profile]]\nname = \"b\"\n[[profile]]\nname = \"a\"\n\
                    [[device]]\nname = \"d\"\nmatch = [\"ip:192.0.2.1\"]\nprofile = \"a\"\n\
                    [[device]]\nname = \"e\"\nmatch = []\nprofile = \"b\"\n";
        let policy: Policy = toml::from_str(text).unwrap();
        store.commit(write(None, &policy, &author)).unwrap();
        assert_eq!(read(&store).unwrap().as_ref(), Some(&policy));
        assert!(write(Some(&policy), &policy, &author).is_empty());
        let mut changed = policy.clone();
        changed.profile.remove(0);
        changed.device.remove(0);
        if let Some(device) = changed.device.first_mut() {
            device.profile = "a".to_owned();
        }
        changed.settings.default_profile = None;
        store.commit(write(Some(&policy), &changed, &author)).unwrap();
        assert_eq!(read(&store).unwrap(), Some(changed));
        // The newest first: what changed, with how it was and is.
        let trail = store.audit(None, 10).unwrap();
        let told: Vec<(&str, bool, bool)> = trail
            .iter()
            .map(|(_, entry)| {
                (
                    entry.object.as_str(),
                    entry.before.is_some(),
                    entry.after.is_some(),
                )
            })
            .collect();
        assert!(
            told.contains(&("device e", true, true)) && told.contains(&("device d", true, false)),
            "{told:?}"
        );
        assert!(
            told.contains(&("profile b", true, false)) && told.contains(&("settings", true, true)),
            "{told:?}"
        );
        assert!(trail.iter().all(|(_, entry)| entry.who == "console"));
    }

    #[test]
    fn the_text_of_an_earlier_version_is_taken_over_once() {
        let store = Store::in_memory(Path::new("."));
        store
            .put(&TEXT, "policy", &"[[profile]]\nname = \"a\"\n".to_owned())
            .unwrap();
        let read_once = read(&store).unwrap().unwrap();
        assert_eq!(read_once.profile.len(), 1);
        assert_eq!(store.get(&TEXT, "policy").unwrap(), None);
        assert_eq!(read(&store).unwrap(), Some(read_once));
    }
}
