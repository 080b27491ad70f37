//! The starter lists that every gateway carries: categories, services, ways round the filter, helplines, safe search.
//!
//! They are TOML files under `data/`, built into the binary, so that a gateway without a network still knows what an
//! adult site or a helpline is. Reading them is strict: an unknown key, a name that is not in its canonical form, a
//! date that is no date or an id used twice is an error with file and line. A wrong entry must be found by the tests
//! of this crate, never by a family. Nothing is fetched and nothing is guessed here.

mod read;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use read::{country, https_url, iso_date, kebab, kebabs, mode, name, names, phrase, some_https_url};

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
    #[serde(deserialize_with = "phrase")]
    pub sq: String,
    /// English.
    #[serde(deserialize_with = "phrase")]
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
    #[serde(deserialize_with = "phrase")]
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
    #[serde(deserialize_with = "country")]
    pub country: String,
    /// Its name.
    pub name: Text,
    /// The number to call, as people write it.
    #[serde(default)]
    pub phone: Option<String>,
    /// Where to start on the web.
    #[serde(default, deserialize_with = "some_https_url")]
    pub web: Option<String>,
    /// Its domains; each stands for itself and all below it. Empty where there is only a number to call.
    #[serde(deserialize_with = "names")]
    pub domains: Vec<Name>,
    /// What it helps with, in words like those of an id.
    #[serde(deserialize_with = "kebabs")]
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
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<String>,
    /// The hosts to rewrite: these names alone, nothing below them.
    #[serde(deserialize_with = "names")]
    pub hosts: Vec<Name>,
    /// The CNAME's target.
    #[serde(deserialize_with = "name")]
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
        categories: read::entries(CATEGORIES)?,
        services: read::entries(SERVICES)?,
        bypass: read::entries(BYPASS)?,
        helplines: read::entries(HELPLINES)?,
        safe_search: read::entries(SAFE_SEARCH)?,
    })
}
