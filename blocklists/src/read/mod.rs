//! Readers: from the bytes of a list, whatever its format, to rules and a report on every line.
//!
//! A bad line never rejects its list; only a file that is no list at all (a web page, a binary) is refused as a
//! whole, so that the caller keeps the last good one.

pub mod adblock;
mod dnsmasq;
mod domains;
mod hosts;
pub mod rdata;
pub mod report;
mod rpz;
mod v2fly;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rule::{Located, Rule};
use report::{Report, Sink};

/// Longest line that is read, octets.
pub const MAX_LINE: usize = 4096;

/// The format of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Found out by looking at the lines.
    #[default]
    Auto,
    /// `0.0.0.0 name`, hosts(5).
    Hosts,
    /// One name a line.
    Domains,
    /// Adblock-style DNS rules.
    Adblock,
    /// A response policy zone in master file format.
    Rpz,
    /// `address=/name/`, `local=/name/`, `server=/name/`: dnsmasq(8).
    Dnsmasq,
    /// `domain:`, `full:`, `keyword:`, `regexp:`.
    V2fly,
}

/// Name and format, for [`Format`]'s text form.
const FORMATS: [(&str, Format); 7] = [
    ("auto", Format::Auto),
    ("hosts", Format::Hosts),
    ("domains", Format::Domains),
    ("adblock", Format::Adblock),
    ("rpz", Format::Rpz),
    ("dnsmasq", Format::Dnsmasq),
    ("v2fly", Format::V2fly),
];

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FORMATS
            .iter()
            .find(|(_, format)| format == self)
            .map_or("auto", |(name, _)| name);
        out.pad(name)
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        FORMATS
            .iter()
            .find(|(name, _)| *name == text)
            .map(|&(_, format)| format)
            .ok_or_else(|| {
                let known: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
                format!("unknown list format {text:?}; one of {}", known.join(", "))
            })
    }
}

/// A list that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its format, never [`Format::Auto`].
    pub format: Format,
    /// Its rules, without duplicates.
    pub rules: Vec<Located>,
    /// What became of each line.
    pub report: Report,
}

/// Why a file is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A web page, as captive portals and error pages are.
    #[error("this is a web page, not a list; check the address it was fetched from")]
    WebPage,
    /// Not text.
    #[error("this is binary data, not a list (line {0} holds control characters, and most others do too)")]
    Binary(u32),
}

/// Reads a list. `subdomains`: whether a bare name means all names below it too (default: hosts no, domains yes;
/// the other formats say it themselves).
pub fn read(bytes: &[u8], format: Format, subdomains: Option<bool>) -> Result<List, ListError> {
    refuse_other_files(bytes)?;
    let format = if format == Format::Auto {
        detect(bytes)
    } else {
        format
    };
    let mut sink = Sink::default();
    let lines = usable_lines(bytes, &mut sink);
    let lines = lines.iter().map(|(number, line)| (*number, line.as_str()));
    match format {
        Format::Hosts => hosts::read(lines, subdomains.unwrap_or(false), &mut sink),
        Format::Domains | Format::Auto => domains::read(lines, subdomains.unwrap_or(true), &mut sink),
        Format::Adblock => adblock::read(lines, &mut sink),
        Format::Rpz => rpz::read(lines, &mut sink),
        Format::Dnsmasq => dnsmasq::read(lines, &mut sink),
        Format::V2fly => v2fly::read(lines, &mut sink),
    }
    let Sink {
        mut rules,
        mut report,
    } = sink;
    let mut seen: HashSet<Rule> = HashSet::with_capacity(rules.len());
    rules.retain(|located| {
        let new = seen.insert(located.rule.clone());
        report.duplicates += u64::from(!new);
        new
    });
    report.rejected.sort_by_key(|rejected| rejected.line);
    Ok(List {
        format,
        rules,
        report,
    })
}

/// Refuses what is no list at all.
fn refuse_other_files(bytes: &[u8]) -> Result<(), ListError> {
    let start: Vec<u8> = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .iter()
        .copied()
        .skip_while(u8::is_ascii_whitespace)
        .take(16)
        .map(|octet| octet.to_ascii_lowercase())
        .collect();
    if start.starts_with(b"<!doctype") || start.starts_with(b"<html") || start.starts_with(b"<?xml") {
        return Err(ListError::WebPage);
    }
    let head = bytes.get(..bytes.len().min(64 << 10)).unwrap_or_default();
    let mut lines = 0_u32;
    let mut binary = 0_u32;
    let mut first = 0_u32;
    for (place, line) in head.split(|&octet| octet == b'\n').enumerate() {
        lines += 1;
        if line.iter().any(|&octet| octet == 0 || octet == 0x7f || octet < 9) {
            binary += 1;
            if first == 0 {
                first = u32::try_from(place + 1).unwrap_or(u32::MAX);
            }
        }
    }
    if binary * 2 > lines {
        Err(ListError::Binary(first))
    } else {
        Ok(())
    }
}

/// The lines that a reader may see, numbered from 1, without terminators and byte order mark; the others are
/// reported. A lone CR ends a line too.
fn usable_lines(bytes: &[u8], sink: &mut Sink) -> Vec<(u32, String)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut usable = Vec::new();
    let mut number = 0_u32;
    for line in bytes.split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        for line in line.split(|&octet| octet == b'\r') {
            number = number.saturating_add(1);
            sink.report.lines += 1;
            let text = String::from_utf8_lossy(line);
            if line.len() > MAX_LINE {
                sink.reject(number, format!("line longer than {MAX_LINE} octets"), &text);
            } else if matches!(text, std::borrow::Cow::Owned(_)) {
                sink.reject(number, "not UTF-8 text", &text);
            } else if line
                .iter()
                .any(|&octet| octet < 0x20 && octet != b'\t' || octet == 0x7f)
            {
                sink.reject(number, "control characters", &text);
            } else {
                usable.push((number, text.into_owned()));
            }
        }
    }
    if usable.last().is_some_and(|(_, line)| line.is_empty()) {
        // What follows the last line feed is no line.
        usable.pop();
        sink.report.lines -= 1;
    }
    usable
}

/// Finds the format out by what most of the first lines look like.
pub fn detect(bytes: &[u8]) -> Format {
    let head = bytes.get(..bytes.len().min(256 << 10)).unwrap_or_default();
    let text = String::from_utf8_lossy(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head));
    let mut votes = [0_u32; 5];
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(4000)
    {
        let format = if line.starts_with('#') || line.starts_with("//") {
            continue;
        } else if line.starts_with("$TTL") || line.starts_with("$ORIGIN") || rpz_like(line) {
            4
        } else if line.starts_with('!') || line.starts_with('[') {
            continue;
        } else if line.starts_with("||")
            || line.starts_with("@@")
            || line.ends_with('^')
            || line.contains("^$")
        {
            2
        } else if ["address=/", "server=/", "local=/"]
            .iter()
            .any(|key| line.starts_with(key))
        {
            3
        } else if ["full:", "domain:", "regexp:", "keyword:", "include:"]
            .iter()
            .any(|key| line.starts_with(key))
            || line.contains(" @")
        {
            1
        } else if line.split_whitespace().next().is_some_and(hosts::is_address)
            && line.split_whitespace().count() > 1
        {
            0
        } else {
            continue;
        };
        if let Some(count) = votes.get_mut(format) {
            *count += 1;
        }
    }
    let formats = [
        Format::Hosts,
        Format::V2fly,
        Format::Adblock,
        Format::Dnsmasq,
        Format::Rpz,
    ];
    let best = formats
        .into_iter()
        .zip(votes)
        .filter(|&(_, count)| count > 0)
        .max_by_key(|&(_, count)| count);
    best.map_or(Format::Domains, |(format, _)| format)
}

/// Whether a line looks like a record of a policy zone.
fn rpz_like(line: &str) -> bool {
    let mut words = line
        .split_whitespace()
        .skip(1)
        .filter(|word| !word.eq_ignore_ascii_case("IN"));
    let word = words.find(|word| word.parse::<u32>().is_err());
    word.is_some_and(|word| {
        ["CNAME", "SOA"]
            .iter()
            .any(|rtype| word.eq_ignore_ascii_case(rtype))
    })
}

/// What stands before a `#` comment: the text, trimmed.
fn before_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}
