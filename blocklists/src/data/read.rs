//! Reading one data file: TOML with a version, checked value by value, each error with its line.
//!
//! The checks live in the deserialisers, so that the parser knows the place of whatever is wrong and nothing
//! unchecked ever becomes a value; inside a list the place is the line that the list starts on. Nothing is repaired:
//! a name in capitals is an error, not a lower-case name, because a search in the file must find what the gateway
//! shows.

use std::collections::HashSet;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::{Bypass, Category, DataError, File, Helpline, SafeSearch, Service, VERSION};
use crate::name::Name;

/// The shape of every file: its version, then `[[entry]]` tables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    version: Spanned<u32>,
    entry: Vec<Spanned<T>>,
}

/// What the five kinds of entry have in common.
pub(super) trait Entry: DeserializeOwned {
    /// What no other entry of the file may have.
    fn key(&self) -> String;
    fn set_line(&mut self, line: u32);
}

macro_rules! entry_with_id {
    ($($kind:ty),*) => {$(
        impl Entry for $kind {
            fn key(&self) -> String {
                self.id.clone()
            }
            fn set_line(&mut self, line: u32) {
                self.line = line;
            }
        }
    )*};
}
entry_with_id!(Category, Service, Bypass, Helpline);

impl Entry for SafeSearch {
    fn key(&self) -> String {
        match &self.mode {
            Some(mode) => format!("{} {mode}", self.provider),
            None => self.provider.clone(),
        }
    }
    fn set_line(&mut self, line: u32) {
        self.line = line;
    }
}

pub(super) fn entries<T: Entry>(file: File) -> Result<Vec<T>, DataError> {
    let error = |offset: usize, what: String| DataError {
        file: file.path,
        line: line_at(file.text, offset),
        what,
    };
    let document: Document<T> = toml::from_str(file.text).map_err(|cause| {
        let offset = cause.span().map_or(0, |span| span.start);
        error(offset, cause.message().to_owned())
    })?;
    if *document.version.get_ref() != VERSION {
        let what = format!(
            "version {} is not {VERSION}, the one this program reads",
            document.version.get_ref()
        );
        return Err(error(document.version.span().start, what));
    }
    let mut seen = HashSet::new();
    let mut all = Vec::with_capacity(document.entry.len());
    for spanned in document.entry {
        let offset = spanned.span().start;
        let mut entry = spanned.into_inner();
        let key = entry.key();
        if seen.contains(&key) {
            return Err(error(offset, format!("{key:?} stands here a second time")));
        }
        seen.insert(key);
        entry.set_line(line_at(file.text, offset));
        all.push(entry);
    }
    Ok(all)
}

/// Line number, from 1, of a byte offset.
fn line_at(text: &str, offset: usize) -> u32 {
    let newlines = text.bytes().take(offset).filter(|&octet| octet == b'\n').count();
    u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
}

/// A name written exactly as the index holds it, so that a search in the file finds what the gateway shows.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Canonical(Name);

impl TryFrom<String> for Canonical {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let name = Name::parse(&text).map_err(|cause| format!("{text:?}: {cause}"))?;
        if name.to_string() != text {
            return Err(format!(
                "{text:?} is not in canonical form, write {:?}",
                name.to_string()
            ));
        }
        Ok(Self(name))
    }
}

pub(super) fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
    Canonical::deserialize(from).map(|name| name.0)
}

pub(super) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Name>, D::Error> {
    let list = Vec::<Canonical>::deserialize(from)?;
    let mut seen = HashSet::with_capacity(list.len());
    for Canonical(name) in &list {
        if !seen.insert(name) {
            return Err(D::Error::custom(format!("{name} stands in this list twice")));
        }
    }
    Ok(list.into_iter().map(|name| name.0).collect())
}

pub(super) fn kebab<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit())
    };
    if text.split('-').all(word) {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "{text:?} is not an id: lower-case words and digits joined by hyphens"
    )))
}

pub(super) fn https_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let host = text
        .strip_prefix("https://")
        .and_then(|rest| rest.split('/').next())
        .unwrap_or("");
    if host.contains('.') && Name::parse(host).is_ok() {
        return Ok(text);
    }
    Err(D::Error::custom(format!("{text:?} is not an https address")))
}

pub(super) fn some_https_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    https_url(from).map(Some)
}

pub(super) fn iso_date<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize, range: std::ops::RangeInclusive<u16>| {
        part.len() == digits && part.parse().is_ok_and(|number| range.contains(&number))
    };
    match parts.as_slice() {
        [year, month, day]
            if number(year, 4, 2020..=2100) && number(month, 2, 1..=12) && number(day, 2, 1..=31) =>
        {
            Ok(text)
        }
        _ => Err(D::Error::custom(format!(
            "{text:?} is not a date like 2026-11-23"
        ))),
    }
}

/// A text for people: not empty, no blanks at its ends.
pub(super) fn phrase<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() || text.trim() != text {
        return Err(D::Error::custom(format!(
            "{text:?} is empty or has blanks at its ends"
        )));
    }
    Ok(text)
}

pub(super) fn kebabs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Word(#[serde(deserialize_with = "kebab")] String);
    Ok(Vec::<Word>::deserialize(from)?
        .into_iter()
        .map(|word| word.0)
        .collect())
}

pub(super) fn country<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase()) {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "{text:?} is not a country code: two capitals"
    )))
}

pub(super) fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    if matches!(text.as_str(), "strict" | "moderate") {
        return Ok(Some(text));
    }
    Err(D::Error::custom(format!(
        "{text:?} is no mode: strict or moderate"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# purpose\nversion = 1\n\n[[entry]]\nid = \"one\"\nkind = \"doh\"\n\
        domains = [\n    \"a.example\",\n    \"b.example\",\n]\nsource = \"https://docs.example/dns\"\n\
        date = \"2026-11-23\"\n";

    fn read(text: &str) -> Result<Vec<Bypass>, DataError> {
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        entries(File {
            path: "data/try.toml",
            text,
        })
    }

    #[test]
    fn an_entry_knows_its_line() {
        let second = GOOD.replace("version = 1\n", "").replace("\"one\"", "\"two\"");
        let all = read(&format!("{GOOD}{second}")).unwrap();
        let lines: Vec<(String, u32)> = all.into_iter().map(|entry| (entry.id, entry.line)).collect();
        assert_eq!(lines, [("one".to_owned(), 4), ("two".to_owned(), 15)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            ("version = 1", "version = 2", 2, "version 2 is not 1"),
            ("\"one\"", "\"One\"", 5, "not an id"),
            ("\"one\"", "\"one--two\"", 5, "not an id"),
            ("\"doh\"", "\"dot\"", 6, "unknown variant"),
            ("\"b.example\"", "\"B.example\"", 7, "canonical form"),
            ("\"b.example\"", "\"b.example.\"", 7, "canonical form"),
            ("\"b.example\"", "\"b..example\"", 7, "empty label"),
            ("\"b.example\"", "\"a.example\"", 7, "twice"),
            ("https://docs", "http://docs", 11, "not an https address"),
            (
                "https://docs.example/dns",
                "https:///dns",
                11,
                "not an https address",
            ),
            ("2026-11-23", "2026-13-23", 12, "not a date"),
            ("2026-11-23", "23.11.2026", 12, "not a date"),
            ("date =", "dated =", 12, "unknown field"),
        ];
        for (from, to, line, what) in cases {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "the case {from:?} changes nothing");
            let error = read(&text).unwrap_err();
            assert_eq!(error.line, line, "{to:?}: {error}");
            assert!(error.what.contains(what), "{to:?}: {error}");
        }
    }

    #[test]
    fn an_id_stands_once() {
        let twice = format!("{GOOD}{}", GOOD.replace("version = 1\n", ""));
        let error = read(&twice).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data/try.toml:15: \"one\" stands here a second time"
        );
    }

    #[test]
    fn a_missing_key_is_an_error() {
        let error = read(&GOOD.replace("source = \"https://docs.example/dns\"\n", "")).unwrap_err();
        assert!(error.what.contains("missing field `source`"), "{error}");
        assert_eq!(error.line, 4);
    }
}
