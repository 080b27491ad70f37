//! Readers: from the bytes of a list, whatever its format, to rules and a report on every line.
//!
//! A bad line never rejects its list; only a file that is no list at all (a web page, a binary) is refused as a
//! whole, so that the caller keeps the last good one.

pub mod adblock;
mod dnsmasq;
mod domains;
pub mod hashed;
mod hosts;
mod lines;
pub mod rdata;
pub mod report;
mod rpz;
mod v2fly;

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rule::{Located, Rule};
use hashed::HashKey;
use report::{Report, Sink, Visitor};

/// Counts changes in what readers make of the same text: an index from before one is built anew.
pub const REVISION: u32 = 2;

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
    /// Keyed hashes of names instead of names: see [`hashed`].
    Hashed,
}

/// Name and format, for [`Format`]'s text form.
const FORMATS: [(&str, Format); 8] = [
    ("auto", Format::Auto),
    ("hosts", Format::Hosts),
    ("domains", Format::Domains),
    ("adblock", Format::Adblock),
    ("rpz", Format::Rpz),
    ("dnsmasq", Format::Dnsmasq),
    ("v2fly", Format::V2fly),
    ("hashed", Format::Hashed),
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

/// What reading a list found out beside its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its format, never [`Format::Auto`].
    pub format: Format,
    /// The key that a hashed list was made with.
    pub hash_key: Option<HashKey>,
    /// What became of each line.
    pub report: Report,
}

/// A list that was read into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its format, never [`Format::Auto`].
    pub format: Format,
    /// The key that a hashed list was made with.
    pub hash_key: Option<HashKey>,
    /// Its rules, without duplicates and void ones.
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
    /// The source itself cannot be read.
    #[error("cannot be read: {0}")]
    Io(String),
}

impl From<io::Error> for ListError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// A reader of one format, fed line by line.
trait LineReader {
    /// One line, numbered from 1, without its terminator; valid UTF-8 without control characters.
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>);

    /// No more lines come: what was collected over several of them is handed out now.
    fn end(&mut self, _sink: &mut Sink<'_>) {}

    /// The key of a hashed list.
    fn hash_key(&self) -> Option<HashKey> {
        None
    }
}

/// Octets at the start of a list by which its format is found out.
const HEAD: u64 = 256 << 10;

/// Reads a list as a stream and hands its rules to `visitor` one by one. Memory does not grow with the list, but for
/// data that stands on several lines (records of one name).
///
/// `subdomains`: whether a bare name means all names below it too (default: hosts no, domains yes; the other formats
/// say it themselves).
pub fn stream(
    mut input: impl Read,
    format: Format,
    subdomains: Option<bool>,
    visitor: &mut dyn Visitor,
) -> Result<Summary, ListError> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut head)?;
    refuse_other_files(&head)?;
    let format = if format == Format::Auto {
        detect(&head)
    } else {
        format
    };
    let mut reader: Box<dyn LineReader> = match format {
        Format::Hosts => Box::new(hosts::Hosts::new(subdomains.unwrap_or(false))),
        Format::Domains | Format::Auto => Box::new(domains::Domains {
            subdomains: subdomains.unwrap_or(true),
        }),
        Format::Adblock => Box::new(adblock::Adblock),
        Format::Rpz => Box::new(rpz::Rpz::default()),
        Format::Dnsmasq => Box::new(dnsmasq::Dnsmasq),
        Format::V2fly => Box::new(v2fly::V2fly),
        Format::Hashed => Box::new(hashed::Hashed::default()),
    };
    visitor.start(format);
    let mut sink = Sink::new(visitor);
    lines::each(head.as_slice().chain(input), reader.as_mut(), &mut sink)?;
    reader.end(&mut sink);
    let mut report = sink.report;
    report.rejected.sort_by_key(|rejected| rejected.line);
    Ok(Summary {
        format,
        hash_key: reader.hash_key(),
        report,
    })
}

/// Reads a list into memory, without duplicates: for small lists and for tests. Parameters as in [`stream`].
pub fn read(bytes: &[u8], format: Format, subdomains: Option<bool>) -> Result<List, ListError> {
    let mut kept = Kept::default();
    let Summary {
        format,
        hash_key,
        mut report,
    } = stream(bytes, format, subdomains, &mut kept)?;
    let Kept { mut rules, void } = kept;
    let mut seen: HashSet<Rule> = HashSet::with_capacity(rules.len());
    rules.retain(|located| {
        if void.contains(&located.rule) {
            return false;
        }
        let new = seen.insert(located.rule.clone());
        report.duplicates += u64::from(!new);
        new
    });
    Ok(List {
        format,
        hash_key,
        rules,
        report,
    })
}

#[derive(Default)]
struct Kept {
    rules: Vec<Located>,
    void: HashSet<Rule>,
}

impl Visitor for Kept {
    fn rule(&mut self, line: u32, rule: Rule) {
        self.rules.push(Located { rule, line });
    }

    fn void(&mut self, rule: Rule) {
        self.void.insert(rule);
    }
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

/// Finds the format out by what most of the first lines look like.
pub fn detect(bytes: &[u8]) -> Format {
    let head = bytes
        .get(..bytes.len().min(usize::try_from(HEAD).unwrap_or(usize::MAX)))
        .unwrap_or_default();
    if hashed::is_hashed(head) {
        return Format::Hashed;
    }
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
