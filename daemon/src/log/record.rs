//! One answered query as it is kept, and the octets for it.
//!
//! Octets come in runs: a marker (0, then milliseconds since 1970, 8 octets little-endian), then records of that time. A record:
//! kind (1 octet, from 1), client address (length and octets; 0 where nobody is to know), names of the device and of the
//! profile, reason (each length and octets), query name in wire format (length and octets), query type (2 octets, as on the
//! wire). A name that is not to be known is the root with type 0. Version 1 had no device.

use std::fmt;
use std::net::IpAddr;

use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::rdata;
use isigurt_core::step::Kind;
use serde::Serialize;

/// First octet of a marker.
const MARKER: u8 = 0;

/// An answered query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Who asked; `None` where nobody is to know.
    pub client: Option<IpAddr>,
    /// The client's device; empty where it is none, or nobody is to know.
    pub device: String,
    /// The client's profile.
    pub profile: String,
    /// The query name; empty where it is not to be known.
    pub name: String,
    /// The query type; empty where the name is.
    pub qtype: String,
    /// What became of it.
    pub verdict: &'static str,
    /// Category, service or what else it was blocked for; empty where it was not.
    pub reason: String,
}

/// What a kind is called.
fn verdict(kind: Kind) -> &'static str {
    match kind {
        Kind::Fault => "malformed",
        Kind::Refused => "refused",
        Kind::Local => "local",
        Kind::Blocked => "blocked",
        Kind::Cached => "cached",
        Kind::Forwarded => "forwarded",
        Kind::Stale => "stale",
        Kind::Failed => "failed",
    }
}

/// The marker of a time.
pub(super) fn marker(at_ms: u64) -> [u8; 9] {
    let mut octets = [MARKER; 9];
    if let Some(time) = octets.last_chunk_mut::<8>() {
        *time = at_ms.to_le_bytes();
    }
    octets
}

/// What a record is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'p> {
    pub(super) kind: Kind,
    pub(super) client: Option<IpAddr>,
    pub(super) device: &'p str,
    pub(super) profile: &'p str,
    pub(super) reason: &'p str,
    /// Of the query: name in any letter case, type, class.
    pub(super) question: &'p [u8],
}

/// The question of a record whose name is not to be known.
pub(super) const HIDDEN: &[u8] = &[0; 5];

/// Appends a record.
pub(super) fn write(out: &mut Vec<u8>, parts: &Parts<'_>) {
    let Parts {
        kind,
        client,
        device,
        profile,
        reason,
        question,
    } = *parts;
    let Some((name, _)) = question.split_last_chunk::<4>() else {
        return;
    };
    let qtype = question.get(name.len()..name.len() + 2).unwrap_or(&[0, 0]);
    out.push(kind as u8 + 1);
    match client {
        Some(IpAddr::V4(address)) => part(out, &address.octets()),
        Some(IpAddr::V6(address)) => part(out, &address.octets()),
        None => out.push(0),
    }
    part(out, device.as_bytes());
    part(out, profile.as_bytes());
    part(out, reason.as_bytes());
    part(out, name);
    out.extend_from_slice(qtype);
}

fn part(out: &mut Vec<u8>, octets: &[u8]) {
    let octets = octets.get(..255).unwrap_or(octets);
    out.push(u8::try_from(octets.len()).unwrap_or(255));
    out.extend_from_slice(octets);
}

/// Reads records of a version from octets that start with a marker; ends at the first that is none.
pub(super) fn read(octets: &[u8], version: u32) -> Vec<Record> {
    raws(octets, version).map_while(|raw| raw.record()).collect()
}

/// A record whose parts still stand in the octets that it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'r> {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What became of it.
    pub kind: Kind,
    /// The client's address, 4 or 16 octets; none where nobody is to know.
    pub client: &'r [u8],
    /// The client's device; empty where it is none, or nobody is to know.
    pub device: &'r [u8],
    /// The client's profile.
    pub profile: &'r [u8],
    /// What it was blocked for.
    pub reason: &'r [u8],
    /// The query name in wire format, in any letter case.
    pub name: &'r [u8],
    /// The query type; 0 where the name is not to be known.
    pub qtype: u16,
    /// All of it, without its marker.
    pub(super) octets: &'r [u8],
}

impl Raw<'_> {
    /// The record for itself; `None` where its name is none.
    pub fn record(&self) -> Option<Record> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let hidden = self.is_hidden();
        Some(Record {
            at_ms: self.at_ms,
            client: self.address(),
            device: text(self.device),
            profile: text(self.profile),
            name: if hidden {
                String::new()
            } else {
                Name::from_wire(self.name).ok()?.to_string()
            },
            qtype: if hidden {
                String::new()
            } else {
                rdata::rtype_name(self.qtype)
            },
            verdict: verdict(self.kind),
            reason: text(self.reason),
        })
    }

    /// Whether the name is not to be known.
    pub fn is_hidden(&self) -> bool {
        self.qtype == 0 && self.name == [0]
    }

    /// What it is called that became of it.
    pub fn verdict(&self) -> &'static str {
        verdict(self.kind)
    }

    /// The client's address; `None` where nobody is to know.
    pub fn address(&self) -> Option<IpAddr> {
        match self.client.len() {
            4 => Some(IpAddr::from(*self.client.first_chunk::<4>()?)),
            16 => Some(IpAddr::from(*self.client.first_chunk::<16>()?)),
            _ => None,
        }
    }
}

/// Records of a version in octets that start with a marker, up to the first that is none.
pub(super) fn raws(mut octets: &[u8], version: u32) -> impl Iterator<Item = Raw<'_>> {
    let mut at_ms = 0;
    std::iter::from_fn(move || {
        while let Some((&MARKER, rest)) = octets.split_first() {
            let (time, rest) = rest.split_first_chunk::<8>()?;
            at_ms = u64::from_le_bytes(*time);
            octets = rest;
        }
        let (raw, rest) = one(octets, at_ms, version)?;
        octets = rest;
        Some(raw)
    })
}

fn one(record: &[u8], at_ms: u64, version: u32) -> Option<(Raw<'_>, &[u8])> {
    let (&kind, octets) = record.split_first()?;
    let kind = *Kind::ALL.get(usize::from(kind).checked_sub(1)?)?;
    let (client, octets) = next(octets)?;
    let (device, octets) = if version > 1 {
        next(octets)?
    } else {
        (&[][..], octets)
    };
    let (profile, octets) = next(octets)?;
    let (reason, octets) = next(octets)?;
    let (name, octets) = next(octets)?;
    let (qtype, octets) = octets.split_first_chunk::<2>()?;
    let raw = Raw {
        at_ms,
        kind,
        client,
        device,
        profile,
        reason,
        name,
        qtype: u16::from_be_bytes(*qtype),
        octets: record.get(..record.len() - octets.len())?,
    };
    Some((raw, octets))
}

fn next(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(length))
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = i64::try_from(self.at_ms)
            .ok()
            .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
            .map(|at| at.to_zoned_datetime(jiff::tz::TimeZone::system()));
        if let Some(at) = at {
            write!(out, "{} ", at.strftime("%Y-%m-%d %H:%M:%S"))?;
        }
        match self.client {
            Some(client) => write!(out, "{client}")?,
            None => write!(out, "-")?,
        }
        write!(out, " {}", self.verdict)?;
        if !self.name.is_empty() {
            write!(out, " {} {}", self.name, self.qtype)?;
        }
        if !self.reason.is_empty() {
            write!(out, " ({})", self.reason)?;
        }
        if self.device.is_empty() {
            write!(out, " [{}]", self.profile)
        } else {
            write!(out, " [{}, {}]", self.device, self.profile)
        }
    }
}
