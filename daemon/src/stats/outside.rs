//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use super::{Day, disk};

/// The counts in the octets of a day's file, and how many of them are whole.
pub fn day(octets: &[u8]) -> (Day, usize) {
    let mut day = Day::default();
    let whole = disk::parts(octets, |part| day.add(part));
    (day, whole)
}

/// A file of one part, whole, with these octets for counts.
pub fn whole(counts: &[u8]) -> Vec<u8> {
    let part = disk::packed(counts).unwrap_or_default();
    [disk::start(), part].concat()
}
