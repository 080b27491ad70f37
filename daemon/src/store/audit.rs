//! Who changed what, when and from where, with how it was before and after.
//!
//! An entry is part of the change that it tells of: both are on the disk, or neither. The trail is bounded in entries and
//! in octets, oldest out first. It must never hold a secret: values of fields that are named like one are left out,
//! whoever wrote them, and long values are cut to their beginning and a digest.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Record;
use super::record::Table;

/// The trail's table; keys are numbers that only grow.
pub(super) const TABLE: Table<Entry> = Table::new("audit", &[]);

/// Entries that are kept.
pub const KEPT: usize = 10_000;
/// Octets of all entries together: the exports carry them too.
const KEPT_OCTETS: u64 = 4 << 20;
/// Octets of one value as JSON.
const LONGEST: usize = 8 << 10;

/// Words in the name of a field whose value nobody may read later.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "totp",
    "hash",
    "private",
    "cookie",
    "session",
    "credential",
];

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The account, or what acted by itself: `shell`, `sync`.
    pub who: String,
    /// Where it came from: an address, or `control socket`.
    pub from: String,
    /// What was done: `policy.apply`, `account.add`.
    pub action: String,
    /// What it was done to.
    pub object: String,
    /// How it was, where there was something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// How it is, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The account or token; `console` for the commands.
    pub who: String,
    /// The address that it came from; empty for the commands.
    pub from: String,
}

impl Author {
    /// Somebody at the console.
    pub fn console() -> Self {
        Self {
            who: "console".to_owned(),
            from: String::new(),
        }
    }

    /// An entry of the audit trail.
    pub fn entry(&self, action: &str, object: &str, before: Option<Value>, after: Option<Value>) -> Entry {
        Entry {
            at_ms: jiff::Timestamp::now().as_millisecond(),
            who: self.who.clone(),
            from: self.from.clone(),
            action: action.to_owned(),
            object: object.to_owned(),
            before,
            after,
        }
    }
}

impl Entry {
    /// The entry as it may be kept.
    pub(super) fn fit_to_keep(mut self) -> Self {
        for value in [&mut self.before, &mut self.after].into_iter().flatten() {
            hide(value);
            shorten(value);
        }
        self
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.to_ascii_lowercase();
                if SECRET.iter().any(|word| name.contains(word)) {
                    *value = Value::from("(not kept)");
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        _ => {}
    }
}

fn shorten(value: &mut Value) {
    let text = value.to_string();
    if text.len() <= LONGEST {
        return;
    }
    let begins: String = value
        .as_str()
        .unwrap_or(&text)
        .chars()
        .take(LONGEST / 8)
        .collect();
    let digest = blake3::hash(text.as_bytes()).to_hex();
    *value = serde_json::json!({ "octets": text.len(), "blake3": digest.as_str(), "begins": begins });
}

/// Which entries there are.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Number and octets of each, oldest first.
    entries: VecDeque<(u64, u32)>,
    octets: u64,
    next: u64,
}

impl Trail {
    /// The trail among all records.
    pub(super) fn of(records: &[Record]) -> Self {
        let mut trail = Self::default();
        let prefix = TABLE.key("");
        for (key, value) in records.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            if let Ok(number) = TABLE.own_key(key).parse() {
                trail.note(number, value.len());
            }
        }
        trail
    }

    fn note(&mut self, number: u64, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.entries.push_back((number, octets));
        self.octets += u64::from(octets);
        self.next = number.saturating_add(1);
    }

    /// Takes an entry in: its key, and the keys of those that must go for it.
    pub(super) fn append(&mut self, octets: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        let number = self.next;
        self.note(number, octets);
        let mut gone = Vec::new();
        while self.entries.len() > KEPT || (self.octets > KEPT_OCTETS && self.entries.len() > 1) {
            let Some((number, octets)) = self.entries.pop_front() else {
                break;
            };
            self.octets = self.octets.saturating_sub(u64::from(octets));
            gone.push(TABLE.key(&name(number)));
        }
        (TABLE.key(&name(number)), gone)
    }

    /// Numbers of the newest entries before this one, newest first.
    pub(super) fn newest(&self, before: Option<u64>, limit: usize) -> Vec<u64> {
        let end = before.map_or(self.entries.len(), |before| {
            self.entries.partition_point(|&(number, _)| number < before)
        });
        let numbers = self.entries.range(..end).rev();
        numbers.take(limit).map(|&(number, _)| number).collect()
    }
}

/// A number as a key: as text, in the order of numbers.
pub(super) fn name(number: u64) -> String {
    format!("{number:020}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_named_like_secrets_are_never_kept_however_deep() {
        let value = json!({ "name": "ana", "role": "staff", "Password": "hunter2", "password_hash": "$argon2id$…",
            "keys": [{ "apiToken": { "value": "abc" }, "label": "phone" }] });
        let entry = Entry {
            at_ms: 1,
            who: "owner".into(),
            from: "192.168.1.2".into(),
            action: "account.add".into(),
            object: "ana".into(),
            before: Some(value.clone()),
            after: Some(value),
        };
        let kept = entry.fit_to_keep();
        for value in [kept.before, kept.after] {
            let text = value.unwrap().to_string();
            for secret in ["hunter2", "argon2", "abc"] {
                assert!(!text.contains(secret), "{text}");
            }
            for open in ["ana", "staff", "phone"] {
                assert!(text.contains(open), "{text}");
            }
        }
    }

    #[test]
    fn a_long_value_is_cut_to_its_beginning_and_a_digest() {
        let mut value = Value::from("ë".repeat(100_000));
        shorten(&mut value);
        assert_eq!(value["octets"], 200_002);
        assert!(value["begins"].as_str().unwrap().starts_with("ëë"));
        assert!(value.to_string().len() < LONGEST);
    }

    #[test]
    fn the_trail_is_bounded_in_entries_and_in_octets() {
        let mut trail = Trail::default();
        for _ in 0..KEPT {
            assert!(trail.append(100).1.is_empty());
        }
        let (key, gone) = trail.append(100);
        assert_eq!(key, TABLE.key(&name(KEPT as u64)));
        assert_eq!(gone, [TABLE.key(&name(0))]);
        let (_, gone) = trail.append(usize::try_from(KEPT_OCTETS).unwrap() - 1000);
        assert!(gone.len() > KEPT - 20, "{}", gone.len());
        assert_eq!(trail.newest(None, 3), [10_001, 10_000, 9_999]);
        assert_eq!(trail.newest(Some(10_001), 1), [10_000]);
        assert_eq!(trail.newest(Some(0), 5), [0; 0]);
    }
}
