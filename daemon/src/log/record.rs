//! One answered query as it is kept, and the octets for it.
//!
//! Octets come in runs: a marker (0, then milliseconds since 1970, 8 octets little-endian), then records of that time. A record:
//! kind (1 octet, from 1), client address (length and octets; 0 where nobody is to know), names of the device and of the
//! profile, reason (each length and octets), query name in wire format (length and octets), query type (2 octets, as on the
//! wire). Version 1 had no device.

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
    /// The query name.
    pub name: String,
    /// The query type.
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
    read_some(octets, version, usize::MAX)
}

/// Reads up to `most` records.
pub(super) fn read_some(mut octets: &[u8], version: u32, most: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at_ms = 0;
    while records.len() < most
        && let Some((&first, rest)) = octets.split_first()
    {
        if first == MARKER {
            let Some((time, rest)) = rest.split_first_chunk::<8>() else {
                break;
            };
            at_ms = u64::from_le_bytes(*time);
            octets = rest;
            continue;
        }
        let Some((record, rest)) = one(first, rest, at_ms, version) else {
            break;
        };
        records.push(record);
        octets = rest;
    }
    records
}

fn one(kind: u8, octets: &[u8], at_ms: u64, version: u32) -> Option<(Record, &[u8])> {
    let kind = *Kind::ALL.get(usize::from(kind) - 1)?;
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
    let qtype = u16::from_be_bytes(*qtype);
    let client = match client.len() {
        4 => Some(IpAddr::from(*client.first_chunk::<4>()?)),
        16 => Some(IpAddr::from(*client.first_chunk::<16>()?)),
        _ => None,
    };
    let record = Record {
        at_ms,
        client,
        device: String::from_utf8_lossy(device).into_owned(),
        profile: String::from_utf8_lossy(profile).into_owned(),
        name: Name::from_wire(name).ok()?.to_string(),
        qtype: rdata::rtype_name(qtype),
        verdict: verdict(kind),
        reason: String::from_utf8_lossy(reason).into_owned(),
    };
    Some((record, octets))
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
        write!(out, " {} {} {}", self.verdict, self.name, self.qtype)?;
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
