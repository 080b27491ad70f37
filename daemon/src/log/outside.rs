//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use super::record::{self, Record};
use super::segment;

/// The records in the octets of one block.
pub fn records(octets: &[u8], version: u32) -> Vec<Record> {
    record::read(octets, version)
}

/// The records in the octets of a file.
pub fn file(octets: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let read = segment::blocks(octets, |block, version| {
        records.extend(record::read(block, version));
    });
    read.map(|()| records).unwrap_or_default()
}

/// A file of one block, whole, with these octets for records.
pub fn whole(records: &[u8]) -> Vec<u8> {
    [segment::start().as_slice(), &segment::block(records)].concat()
}
