//! State that an earlier version left: a sled tree for each kind of record, in postcard.
//!
//! The policy is taken over; what was known about lists is rebuilt from the lists. A policy that does not read is left
//! where it is, and said.

use super::disk::Disk;
use super::ledger::Contents;
use super::record::Table;
use super::tally::{self, Tally};
use super::{Backend as _, StoreError};

const TREES: [&str; 2] = ["lists.v1", "policy.v1"];
const POLICY: Table<String> = Table::new("policy", &[]);
const KEY: &str = "policy";

/// Takes the policy over, where there is none yet, and lets go of the earlier trees. What there is to tell the owner.
pub(super) fn take_over(disk: &Disk, contents: &mut Contents) -> Result<Option<String>, StoreError> {
    let key = POLICY.key(KEY);
    let old = disk.of_tree("policy.v1", KEY)?;
    let present = contents.records.iter().any(|(other, _)| *other == key);
    if let Some(octets) = old.filter(|_| !present) {
        let Some(record) = policy(&octets).and_then(|text| POLICY.encode(&text)) else {
            return Ok(Some(
                "the policy of the earlier version is damaged and not in force; apply the copy policy.toml"
                    .to_owned(),
            ));
        };
        contents.records.push((key.clone(), record.clone()));
        contents.records.sort();
        contents.tally = Tally::of(contents.tally.changes + 1, &contents.records);
        disk.commit(vec![
            (key, Some(record)),
            (tally::KEY.to_vec(), Some(contents.tally.encode())),
        ])?;
        tracing::info!("the policy of the earlier version is taken over");
    }
    disk.drop_trees(&TREES)?;
    Ok(None)
}

/// Eight octets of BLAKE3 over the body, version 1, then the text in postcard.
pub(super) fn policy(octets: &[u8]) -> Option<String> {
    let (sum, rest) = octets.split_at_checked(8)?;
    let (&version, body) = rest.split_first()?;
    let hash = blake3::hash(body);
    if version != 1 || hash.as_bytes().get(..8)? != sum {
        return None;
    }
    postcard::from_bytes(body).ok()
}
