//! The starter lists that every gateway carries: categories, services, ways round the filter, helplines, safe search.
//!
//! They are TOML files under `data/`, built into the binary, so that a gateway without a network still knows what an
//! adult site or a helpline is. Reading them is strict: an unknown key, a name that is not in its canonical form, a
//! date that is no date or an id used twice is an error with file and line. A wrong entry must be found by the tests
//! of this crate, never by a family. Nothing is fetched and nothing is guessed here.

use std::collections::HashSet;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use crate::name::Name;

/// The version that every data file states in its first key; raised when a key changes its meaning.
pub const VERSION: u32 = 1;

/// One data file as it stands in the binary.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path inside the crate, for messages.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// What to block by kind of content.
pub const CATEGORIES: File = File {
    path: "data/categories.toml",
    text: include_str!("../data/categories.toml"),
};
/// What to block by app or site.
pub const SERVICES: File = File {
    path: "data/services.toml",
    text: include_str!("../data/services.toml"),
};
/// Ways round a DNS filter.
pub const BYPASS: File = File {
    path: "data/bypass.toml",
    text: include_str!("../data/bypass.toml"),
};
/// What is never filtered and never logged.
pub const HELPLINES: File = File {
    path: "data/helplines.toml",
    text: include_str!("../data/helplines.toml"),
};
/// Search engines' enforced hosts.
pub const SAFE_SEARCH: File = File {
    path: "data/safesearch.toml",
    text: include_str!("../data/safesearch.toml"),
};

/// A data file cannot be used. The files are part of the program: whoever sees this edits the file named here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct DataError {
    /// The file's path inside the crate.
    pub file: &'static str,
    /// Line number, from 1.
    pub line: u32,
    /// What is wrong, with the offending text.
    pub what: String,
}

/// A text for people, in both languages of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Albanian.
    pub sq: String,
    /// English.
    pub en: String,
}

/// A kind of content that a profile may block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Stable identifier, used in policies and in `category` of a list.
    #[serde(deserialize_with = "kebab")]
    pub id: String,
    /// Short name.
    pub name: Text,
    /// What belongs to it, in a plain sentence.
    pub about: Text,
    /// Whether a household's profile blocks it out of the box.
    pub default: bool,
    /// Well-known names of it; each blocks the name and all below it.
    #[serde(deserialize_with = "names")]
    pub names: Vec<Name>,
    /// Where the facts come from.
    #[serde(deserialize_with = "https_url")]
    pub source: String,
    /// When they were collected, ISO 8601 (`2026-11-23`).
    #[serde(deserialize_with = "iso_date")]
    pub date: String,
    /// Line of the entry in its file, from 1.
    #[serde(skip)]
    pub line: u32,
}

/// An app or a site that a profile may block as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Stable identifier, used in policies.
    #[serde(deserialize_with = "kebab")]
    pub id: String,
    /// The name that its users know.
    pub name: String,
    /// Id of the category it is shown under.
    #[serde(deserialize_with = "kebab")]
    pub category: String,
    /// What must not resolve for it to stop; each stands for the name and all below it.
    #[serde(deserialize_with = "names")]
    pub domains: Vec<Name>,
    /// Whether another service may name one of its domains too (one app inside another).
    #[serde(default)]
    pub shared: bool,
    /// Where the facts come from.
    #[serde(deserialize_with = "https_url")]
    pub source: String,
    /// When they were collected, ISO 8601.
    #[serde(deserialize_with = "iso_date")]
    pub date: String,
    /// Line of the entry in its file, from 1.
    #[serde(skip)]
    pub line: u32,
}

/// How a name helps to get round a DNS filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BypassKind {
    /// Another resolver over HTTPS, TLS or QUIC (RFC 8484, 7858, 9250).
    Doh,
    /// A virtual private network.
    Vpn,
    /// A web proxy or anonymiser.
    Proxy,
    /// Tor, I2P and their kin.
    Tor,
    /// A relay built into an operating system or a browser.
    Relay,
    /// A name that software asks for to learn whether the network filters.
    Canary,
}

/// The answer that a vendor documents for a canary name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BypassAnswer {
    /// Name Error.
    NxDomain,
    /// NOERROR without data.
    NoData,
}

/// Names that bypass protection blocks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// Stable identifier.
    #[serde(deserialize_with = "kebab")]
    pub id: String,
    /// How it gets round the filter.
    pub kind: BypassKind,
    /// The names; each stands for itself and all below it.
    #[serde(deserialize_with = "names")]
    pub domains: Vec<Name>,
    /// The answer its vendor documents; `None` = whatever the gateway is configured to answer.
    #[serde(default)]
    pub answer: Option<BypassAnswer>,
    /// Where the facts come from.
    #[serde(deserialize_with = "https_url")]
    pub source: String,
    /// When they were collected, ISO 8601.
    #[serde(deserialize_with = "iso_date")]
    pub date: String,
    /// Line of the entry in its file, from 1.
    #[serde(skip)]
    pub line: u32,
}

/// Someone to turn to. Never filtered, never logged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helpline {
    /// Stable identifier.
    #[serde(deserialize_with = "kebab")]
    pub id: String,
    /// ISO 3166-1 alpha-2; `XK` is Kosovo, `EU` the European Union, `WW` worldwide.
    pub country: String,
    /// Its name.
    pub name: Text,
    /// The number to call, as people write it.
    #[serde(default)]
    pub phone: Option<String>,
    /// Where to start on the web.
    #[serde(default, deserialize_with = "some_https_url")]
    pub web: Option<String>,
    /// Its domains; each stands for itself and all below it.
    #[serde(deserialize_with = "names")]
    pub domains: Vec<Name>,
    /// What it helps with.
    pub topics: Vec<String>,
    /// Where the facts come from.
    #[serde(deserialize_with = "https_url")]
    pub source: String,
    /// When they were collected, ISO 8601.
    #[serde(deserialize_with = "iso_date")]
    pub date: String,
    /// Line of the entry in its file, from 1.
    #[serde(skip)]
    pub line: u32,
}

/// A search engine's hosts and the host that enforces its safe search.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeSearch {
    /// Stable identifier of the provider.
    #[serde(deserialize_with = "kebab")]
    pub provider: String,
    /// `strict` or `moderate`, where the provider has both.
    #[serde(default)]
    pub mode: Option<String>,
    /// The hosts to rewrite: these names alone, nothing below them.
    #[serde(deserialize_with = "names")]
    pub hosts: Vec<Name>,
    /// The CNAME's target.
    #[serde(deserialize_with = "one_name")]
    pub target: Name,
    /// The provider's own page.
    #[serde(deserialize_with = "https_url")]
    pub source: String,
    /// When the facts were collected, ISO 8601.
    #[serde(deserialize_with = "iso_date")]
    pub date: String,
    /// Line of the entry in its file, from 1.
    #[serde(skip)]
    pub line: u32,
}

/// All starter lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Kinds of content.
    pub categories: Vec<Category>,
    /// Apps and sites.
    pub services: Vec<Service>,
    /// Ways round the filter.
    pub bypass: Vec<Bypass>,
    /// Never filtered.
    pub helplines: Vec<Helpline>,
    /// Rewritten search hosts.
    pub safe_search: Vec<SafeSearch>,
}

/// Reads the lists that are built into the binary.
pub fn built_in() -> Result<Data, DataError> {
    Ok(Data {
        categories: entries(CATEGORIES)?,
        services: entries(SERVICES)?,
        bypass: entries(BYPASS)?,
        helplines: entries(HELPLINES)?,
        safe_search: entries(SAFE_SEARCH)?,
    })
}

/// The shape of every file: its version, then `[[entry]]` tables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    version: Spanned<u32>,
    entry: Vec<Spanned<T>>,
}

/// What the five kinds of entry have in common.
trait Entry: DeserializeOwned {
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

fn entries<T: Entry>(file: File) -> Result<Vec<T>, DataError> {
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

fn one_name<'de, D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
    Canonical::deserialize(from).map(|name| name.0)
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Name>, D::Error> {
    let list = Vec::<Canonical>::deserialize(from)?;
    let mut seen = HashSet::with_capacity(list.len());
    for Canonical(name) in &list {
        if !seen.insert(name) {
            return Err(D::Error::custom(format!("{name} stands in this list twice")));
        }
    }
    Ok(list.into_iter().map(|name| name.0).collect())
}

fn kebab<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
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

fn https_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
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

fn some_https_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    https_url(from).map(Some)
}

fn iso_date<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
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
