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
        let what = match error.kind() {
            io::ErrorKind::InvalidData => "is not text in UTF-8; is it the right file?".to_owned(),
            _ => format!(
                "cannot be read: {error}; name an existing file with --config, or none for the defaults"
            ),
        };
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
        let what = if let Some((key, known)) = unknown_key(&message) {
            match nearest(&key, &known) {
                Some(near) => format!("unknown key \"{key}\"; did you mean \"{near}\"?"),
                None => format!("unknown key \"{key}\"; known here: {}", known.join(", ")),
            }
        } else {
            let key = place.and_then(|(line, _)| key_at(text, line));
            let key = key.filter(|key| !message.contains(&format!("`{key}`")));
            key.map_or_else(String::new, |key| format!("{key}: ")) + &plain(&message)
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

/// The key that is set on this line, or, within a list of several lines, above it.
fn key_at(text: &str, line: usize) -> Option<&str> {
    let above = text.lines().take(line).collect::<Vec<_>>().into_iter().rev();
    let before_section = above.take_while(|line| !line.trim_start().starts_with('['));
    let mut keys = before_section.filter_map(|line| {
        let (key, _) = line.split_once('=')?;
        let key = key.trim();
        let bare =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
        (!key.is_empty() && key.chars().all(bare)).then_some(key)
    });
    keys.next()
}

/// What the reader says of types and values, in words for whoever wrote the file.
fn plain(message: &str) -> String {
    if message == "invalid socket address syntax" {
        return "an address and a port are expected, such as \"0.0.0.0:53\"".to_owned();
    }
    if let Some((value, rest)) = message
        .strip_prefix("unknown variant `")
        .and_then(|rest| rest.split_once('`'))
    {
        let known: Vec<String> = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let near =
            nearest(value, &known).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
        return format!(
            "\"{value}\" is unknown; expected one of {}{near}",
            known.join(", ")
        );
    }
    let said = |message: &str| message.replace('`', "\"").replace("integer \"", "number \"");
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    else {
        return said(message);
    };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number without quotation marks",
        "a boolean" => "true or false",
        "a string" | "string" => "a text in quotation marks",
        "a sequence" => "a list, in [ ]",
        "a map" => "a section",
        other if other.starts_with("struct ") => "a section",
        other => other,
    };
    said(&format!("{expected} is expected, not {found}"))
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
