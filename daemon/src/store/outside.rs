//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.
//!
//! Each reader has its twin that puts the right checksum round any octets, or nothing behind the checksum would ever be reached.

use serde::de::DeserializeOwned;

use super::ledger::Contents;
use super::tally::Tally;
use super::{Record, Table, earlier, export, journal, record, tally};

/// A backup written again from what was read of it, and its records.
pub fn backup(octets: &[u8]) -> Option<(Vec<u8>, Vec<Record>)> {
    let read = export::decode(octets)?;
    Some((
        export::encode(read.written, &read.contents)?,
        read.contents.records,
    ))
}

/// A backup with these records.
pub fn backup_of(records: Vec<Record>) -> Option<Vec<u8>> {
    let tally = Tally::of(1, &records);
    export::encode(0, &Contents { tally, records })
}

/// A backup that is whole, and holds these octets where its records are.
pub fn backup_around(body: &[u8]) -> Option<Vec<u8>> {
    export::sealed(0, body)
}

/// How many changes a journal makes on an empty state, how many entries it has, and how many of its octets are whole.
pub fn journal(octets: &[u8]) -> (usize, usize, usize) {
    let (entries, whole) = journal::decode(octets);
    let mut contents = Contents {
        tally: Tally::default(),
        records: Vec::new(),
    };
    let count = entries.len();
    (journal::replay(&mut contents, entries).len(), count, whole)
}

/// A journal of one change, which puts these records.
pub fn journal_of(records: &[Record]) -> Option<Vec<u8>> {
    let tally = Tally::of(1, records).encode();
    let puts = records.iter().cloned().chain([(tally::KEY.to_vec(), tally)]);
    let batch = puts.map(|(key, value)| (key, Some(value))).collect();
    Some([journal::MAGIC.to_vec(), journal::encode(&batch).ok()?].concat())
}

/// A journal of one entry that is whole, and has these octets for its body.
pub fn journal_around(body: &[u8]) -> Option<Vec<u8>> {
    Some([journal::MAGIC.to_vec(), journal::entry(body).ok()?].concat())
}

/// A record of a table, if it is one.
pub fn record<T: DeserializeOwned>(table: &Table<T>, octets: &[u8]) -> Option<T> {
    table.decode(octets)
}

/// A record that is whole, of this version and with this body.
pub fn record_around(version: u8, body: &[u8]) -> Vec<u8> {
    record::sealed(version, body)
}

/// The policy in a record of the earliest version.
pub fn earlier_policy(octets: &[u8]) -> Option<String> {
    earlier::policy(octets)
}
