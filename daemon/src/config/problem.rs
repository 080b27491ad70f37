//! What is wrong with a configuration file, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error in a configuration file: one line that names the place, what is wrong, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: PathBuf,
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    what: String,
}

/// Something that is read but not acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Line, from 1.
    pub line: usize,
    /// What is to be said.
    pub what: String,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.what)
    }
}

impl Problem {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let what =
            format!("cannot be read: {error}; name an existing file with --config, or none for the defaults");
        Self {
            file: file.to_owned(),
            place: None,
            what,
        }
    }

    /// What the TOML reader found.
    pub(super) fn toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| line_and_column(text, span.start));
        let message = error.message().replace('\n', " ");
        let what = match unknown_key(&message) {
            Some((key, known)) => match nearest(&key, &known) {
                Some(near) => format!("unknown key \"{key}\"; did you mean \"{near}\"?"),
                None => format!("unknown key \"{key}\"; known here: {}", known.join(", ")),
            },
            None => message,
        };
        Self {
            file: file.to_owned(),
            place,
            what,
        }
    }

    /// A problem at the first line that sets `key`.
    pub(super) fn at_key(file: &Path, text: &str, key: &str, what: &str) -> Self {
        let place = line_of(text, key).map(|line| (line, 1));
        Self {
            file: file.to_owned(),
            place,
            what: format!("{key}: {what}"),
        }
    }
}

/// Key and known keys from the message for a field that no structure has.
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((key.to_owned(), known))
}

/// The known key that a mistyped one most likely means.
pub(crate) fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate.as_str())
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(sets).map(|line| line + 1)
}

/// Keys and sections that this version reads but does not act on.
const INACTIVE: &[(&str, &str)] = &[
    ("[firewall]", "the firewall"),
    ("dot", "DNS over TLS"),
    ("doh", "DNS over HTTPS"),
    ("doq", "DNS over QUIC"),
    (
        "bootstrap",
        "bootstrap servers, which only encrypted upstreams need",
    ),
    ("dnssec", "DNSSEC validation; answers are passed on as they are"),
    ("default_profile", "profiles"),
];

pub(super) fn warnings(text: &str) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for &(key, what) in INACTIVE {
        let line = if key.starts_with('[') {
            text.lines()
                .position(|line| line.trim_start().starts_with(key))
                .map(|line| line + 1)
        } else {
            line_of(text, key)
        };
        let off = |line: usize| {
            text.lines()
                .nth(line - 1)
                .is_some_and(|line| line.contains("\"off\"") || line.contains("= []"))
        };
        if let Some(line) = line.filter(|&line| !off(line)) {
            warnings.push(Warning {
                line,
                what: format!("{key} is read, but this version does not act on it: {what}"),
            });
        }
    }
    warnings.sort_by_key(|warning| warning.line);
    warnings
}
