//! The canonical form of a list: the same rules give the same octets.
//!
//! ```text
//! # isigurt-list 1            or the header of a hashed list; every header line starts with "#"
//! @@||a.b.example^
//! ||b.example^                rules in Adblock-style syntax, or hashes; sorted by octets, none twice, LF behind each
//! ```
//!
//! It is a list like any other: the readers read it.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use super::DeltaError;
use crate::read::MAX_LINE;
use crate::read::hashed::HashKey;
use crate::rule::{Effect, Pattern, Rule, Types};

/// First line of a list that is not hashed.
pub const FIRST_LINE: &str = "# isigurt-list 1";
/// Most octets of a header.
pub(super) const MAX_HEADER: usize = 4096;

/// The line of a rule; `None` where there is no canonical one (rewrites, RPZ wildcards).
pub fn line(rule: &Rule, hash_key: Option<&HashKey>) -> Option<String> {
    let body = match (&rule.pattern, hash_key) {
        (Pattern::Hashed { digest, exact }, Some(key)) => return Some(key.text(digest, *exact)),
        (Pattern::Exact(name), _) => format!("|{name}^"),
        (Pattern::Suffix(name), _) => format!("||{name}^"),
        (Pattern::Regex(regex), _) => format!("/{regex}/"),
        (Pattern::Below(_) | Pattern::Hashed { .. }, _) => return None,
    };
    let front = match &rule.effect {
        Effect::Block(crate::rule::Answer::Configured) => "",
        Effect::Allow => "@@",
        _ => return None,
    };
    let mut modifiers = Vec::new();
    if rule.important {
        modifiers.push("important".to_owned());
    }
    if let Some(types) = &rule.types {
        let (front, types) = match types {
            Types::Only(types) => ("", types),
            Types::Except(types) => ("~", types),
        };
        let types: Vec<String> = types.iter().map(|rtype| format!("{front}TYPE{rtype}")).collect();
        modifiers.push(format!("dnstype={}", types.join("|")));
    }
    if !rule.except.is_empty() {
        let except: Vec<String> = rule.except.iter().map(ToString::to_string).collect();
        modifiers.push(format!("denyallow={}", except.join("|")));
    }
    let modifiers = if modifiers.is_empty() {
        String::new()
    } else {
        format!("${}", modifiers.join(","))
    };
    let line = format!("{front}{body}{modifiers}");
    (line.len() <= MAX_LINE && !line.contains(['\n', '\r'])).then_some(line)
}

/// Writes a list in canonical form.
pub fn write(lines: BTreeSet<String>, hash_key: Option<&HashKey>, mut out: impl Write) -> io::Result<()> {
    match hash_key {
        Some(key) => out.write_all(key.header().as_bytes())?,
        None => writeln!(out, "{FIRST_LINE}")?,
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// Reads a canonical list line by line, checks it, and hashes it.
pub(super) struct Lines<R> {
    input: R,
    hasher: blake3::Hasher,
    /// The header, with its line feeds.
    pub(super) header: Vec<u8>,
    /// The line that is next; empty at the end.
    pub(super) line: Vec<u8>,
    before: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads the header and the first line.
    pub(super) fn open(input: R) -> Result<Self, DeltaError> {
        let mut lines = Self {
            input,
            hasher: blake3::Hasher::new(),
            header: Vec::new(),
            line: Vec::new(),
            before: Vec::new(),
            number: 0,
        };
        lines.read()?;
        while lines.line.starts_with(b"#") {
            lines.header.extend_from_slice(&lines.line);
            lines.header.push(b'\n');
            if lines.header.len() > MAX_HEADER {
                return Err(DeltaError::Canonical(lines.number, "the header is too long"));
            }
            lines.read()?;
        }
        if lines.header.is_empty() {
            return Err(DeltaError::Canonical(1, "a list starts with its header"));
        }
        Ok(lines)
    }

    /// Reads the next line of the body.
    pub(super) fn next(&mut self) -> Result<(), DeltaError> {
        self.before.clone_from(&self.line);
        self.read()?;
        if !self.line.is_empty() && self.line <= self.before {
            return Err(DeltaError::Canonical(self.number, "lines are sorted, none twice"));
        }
        Ok(())
    }

    pub(super) fn ended(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    fn read(&mut self) -> Result<(), DeltaError> {
        self.line.clear();
        self.number += 1;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return if self.line.is_empty() {
                    Ok(())
                } else {
                    Err(DeltaError::Canonical(self.number, "a line feed ends each line"))
                };
            }
            let end = buffer.iter().position(|&octet| octet == b'\n');
            let (part, taken) = match end {
                Some(end) => (buffer.get(..end).unwrap_or_default(), end + 1),
                None => (buffer, buffer.len()),
            };
            if self.line.len() + part.len() > MAX_LINE {
                return Err(DeltaError::Canonical(self.number, "the line is too long"));
            }
            self.line.extend_from_slice(part);
            self.hasher.update(buffer.get(..taken).unwrap_or_default());
            self.input.consume(taken);
            if end.is_some() {
                return if self.line.is_empty() {
                    Err(DeltaError::Canonical(self.number, "no line is empty"))
                } else {
                    Ok(())
                };
            }
        }
    }
}

/// Checks a whole list; gives its hash.
pub fn check(input: impl BufRead) -> Result<blake3::Hash, DeltaError> {
    let mut lines = Lines::open(input)?;
    while !lines.ended() {
        lines.next()?;
    }
    Ok(lines.hash())
}
