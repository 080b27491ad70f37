//! Every reader of octets from outside: what must hold whatever it is given, and examples of what it reads.
//!
//! ```text
//! fuzz/            libFuzzer gives octets ─┐
//! tests/smoke.rs   examples, bent ─────────┴─▶ Reader::read, which fails where something does not hold
//! ```
//!
//! The examples are made by code, so that they follow every change of a format. Formats with a checksum are read twice: as the
//! octets come, and with the right checksum round them, or nothing behind it would be reached.
#![forbid(unsafe_code)]
// What does not hold must fail, here as in any test.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

pub mod bent;
mod household;
mod lists;
mod network;
mod platform;
mod state;

/// One reader.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Its name, which is also that of its fuzz target.
    pub name: &'static str,
    /// Gives it octets; fails where something does not hold.
    pub read: fn(&[u8]),
    /// Examples of what it reads.
    pub examples: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Reader> {
    [
        lists::READERS,
        network::READERS,
        household::READERS,
        platform::READERS,
        state::READERS,
    ]
    .into_iter()
    .flatten()
}

/// Gives the reader of this name octets: the whole of a fuzz target.
pub fn read(name: &str, octets: &[u8]) {
    let reader = all().find(|reader| reader.name == name);
    (reader.expect("a reader of this name").read)(octets);
}

/// Puts `change` over a good file at a place that it names itself, so that damage lies behind a good start.
fn damaged(mut good: Vec<u8>, change: &[u8]) -> Vec<u8> {
    let Some((place, rest)) = change.split_first_chunk::<2>() else {
        return change.to_vec();
    };
    let from = usize::from(u16::from_le_bytes(*place)) % good.len().max(1);
    for (octet, with) in good.iter_mut().skip(from).zip(rest) {
        *octet ^= *with;
    }
    good
}

/// Examples that are texts.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
