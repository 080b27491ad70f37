//! One record: checksum (8 octets), schema version (1 octet), then JSON, which later versions and people can read.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Octets of the checksum in front of a record.
const CHECKSUM: usize = 8;
/// Between a table's name and a key. No name of a table holds it.
const SEPARATOR: u8 = 0;

/// A step from one schema version of a record to the next.
pub type Migration = fn(serde_json::Value) -> Option<serde_json::Value>;

/// A table: where its records lie, and how they came to look as they do.
#[derive(Debug)]
pub struct Table<T> {
    name: &'static str,
    /// From version 1 to 2, from 2 to 3, and so on; the present version is one more than there are steps.
    migrations: &'static [Migration],
    of: PhantomData<fn() -> T>,
}

impl<T> Table<T> {
    /// The table of this name, with the steps that older records need.
    pub const fn new(name: &'static str, migrations: &'static [Migration]) -> Self {
        Self {
            name,
            migrations,
            of: PhantomData,
        }
    }

    pub(super) fn key(&self, key: &str) -> Vec<u8> {
        [self.name.as_bytes(), &[SEPARATOR], key.as_bytes()].concat()
    }

    /// A key as its owner gave it.
    pub(super) fn own_key(&self, key: &[u8]) -> String {
        let own = key.get(self.name.len() + 1..).unwrap_or_default();
        String::from_utf8_lossy(own).into_owned()
    }

    /// For a person.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }

    fn version(&self) -> u8 {
        u8::try_from(self.migrations.len() + 1).unwrap_or(u8::MAX)
    }
}

impl<T: Serialize> Table<T> {
    pub(super) fn encode(&self, value: &T) -> Option<Vec<u8>> {
        let body = serde_json::to_vec(value).ok()?;
        Some(sealed(self.version(), &body))
    }
}

/// A record with this body.
pub(super) fn sealed(version: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = checksum(version, body).to_vec();
    octets.push(version);
    octets.extend_from_slice(body);
    octets
}

impl<T: DeserializeOwned> Table<T> {
    pub(super) fn decode(&self, octets: &[u8]) -> Option<T> {
        let (version, body) = check(octets)?;
        if version == self.version() {
            return serde_json::from_slice(body).ok();
        }
        let steps = self.migrations.get(usize::from(version).checked_sub(1)?..)?;
        let mut value = serde_json::from_slice(body).ok()?;
        for step in steps {
            value = step(value)?;
        }
        serde_json::from_value(value).ok()
    }
}

/// Version and body of a record that is whole.
pub(super) fn check(octets: &[u8]) -> Option<(u8, &[u8])> {
    let (sum, rest) = octets.split_at_checked(CHECKSUM)?;
    let (&version, body) = rest.split_first()?;
    (checksum(version, body).as_slice() == sum).then_some((version, body))
}

fn checksum(version: u8, body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[version]).update(body);
    let mut sum = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_anywhere_in_a_record_is_found() {
        let table: Table<Vec<String>> = Table::new("t", &[]);
        let octets = table.encode(&vec!["a".to_owned(), "b".to_owned()]).unwrap();
        for place in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[place / 8] ^= 1 << (place % 8);
            assert_eq!(table.decode(&damaged), None, "bit {place}");
        }
        for end in 0..octets.len() {
            assert_eq!(table.decode(&octets[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn an_older_record_goes_through_every_step_since_its_version() {
        fn second(mut value: serde_json::Value) -> Option<serde_json::Value> {
            Some(serde_json::json!({ "name": value.take().as_str()? }))
        }
        fn third(mut value: serde_json::Value) -> Option<serde_json::Value> {
            value.as_object_mut()?.insert("age".into(), 7.into());
            Some(value)
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Now {
            name: String,
            age: u8,
        }
        let first: Table<String> = Table::new("t", &[]);
        let now: Table<Now> = Table::new("t", &[second, third]);
        let octets = first.encode(&"Ana".to_owned()).unwrap();
        let read = now.decode(&octets).unwrap();
        assert_eq!(
            read,
            Now {
                name: "Ana".to_owned(),
                age: 7
            }
        );
        let newer: Table<String> = Table::new("t", &[second, third]);
        let octets = newer.encode(&"x".to_owned()).unwrap();
        assert_eq!(first.decode(&octets), None, "a record of a later version");
    }
}
