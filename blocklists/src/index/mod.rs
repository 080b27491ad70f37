//! The index: which rules speak of a name, and which of them decide.
//!
//! Lists are grouped by *tag*: a category, a service, the household's own lists, the ways round the filter, the
//! helplines. The rules of one tag decide together, in this order: important exception, important block, exception,
//! block. Exceptions of the household's own lists reach every tag but the helplines; all other exceptions stay
//! within their tag, so that an advertising list cannot open an adult site.
//!
//! An RPZ list decides like the zone it is: only its most specific owner name speaks, with the wildcard semantics of
//! RFC 4592 (a shorter wildcard does not apply below a name that exists).
//!
//! Rewrites (rules with an answer of their own, outside RPZ) stand above blocks and exceptions of their tag; several
//! of them are combined: an alias, else a response code, else all their records.
//!
//! # The structure
//!
//! An index is one file, compiled from lists ([`Compiler`]), mapped read-only and opened in microseconds
//! ([`Index::open`]). A look-up walks the name from its top-level domain down, with one keyed hash that is extended
//! label by label (`key.rs`):
//!
//! ```text
//! last two labels ─▶ gate: does any list speak of a name at or below them? ─▶ no: done, after one memory access
//!        │ yes
//! each further label ─▶ filter: may there be a rule at this name? ─▶ table: which set of rules ─▶ decide
//! ```
//!
//! The gate and the filter are Bloom filters that cost one load a question (`filter.rs`); the table holds 48-bit
//! fingerprints in cache-line buckets (`table.rs`, with the probability of a wrong match); a slot's octet names a set
//! of rules that is stored once (`sets.rs`). Regular expressions stand beside the table and are tried together; hashed
//! lists are looked up in the same table under the keyed hash of each suffix.
//!
#![doc = include_str!("../../benches/structures.md")]

mod compile;
mod decide;
mod file;
mod filter;
mod key;
mod layout;
mod lines;
mod lookup;
mod quick;
mod records;
mod sets;
mod table;

use std::io;

use serde::{Deserialize, Serialize};

use crate::address;
use crate::read::Format;
use crate::read::hashed::HashKey;
use crate::rule::{Answer, Pattern, Rule};

pub use compile::{Compiler, ListStats, Reading, Source, Stats};
pub use file::{FileError, VERSION};
pub use key::{Seed, SuffixKeys};
pub use lines::Lines;
pub use lookup::{Index, Match, Matches};
pub use quick::Plain;

/// Octets that the compiled form of one regular expression may take.
pub const REGEX_LIMIT: usize = 256 << 10;
/// Octets that all of them may take together.
const REGEX_SET_LIMIT: usize = 64 << 20;

/// Why an index cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// More groups than a [`TagSet`] holds.
    #[error("more than 256 categories, services and groups of lists; merge some")]
    TooManyTags,
    /// More lists than 65,536.
    #[error("more than 65,536 lists; merge some")]
    TooManyLists,
    /// More different answers, types and exceptions than 2^20.
    #[error("more than 1,048,576 different answers and limits of rules; drop some lists")]
    TooManyActions,
    /// The index cannot be written.
    #[error("the index cannot be written: {0}; make room, or make the folder writable")]
    Io(#[from] io::Error),
}

/// A category, service or other group of lists: its place in [`Index::tags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TagId(pub u8);

/// What a group of lists is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagKind {
    /// Contents of one kind, such as gambling.
    Category,
    /// One service with all its names.
    Service,
    /// Lists without a category: the household's own.
    Own,
    /// Resolvers, VPNs and proxies that lead round the filter.
    Bypass,
    /// Never filtered, never logged.
    Helpline,
    /// The mandatory national list: no exception and no allow rule opens it.
    Mandatory,
}

/// A group of lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Identifier, such as `gambling`.
    pub id: String,
    /// What it is for.
    pub kind: TagKind,
}

/// A set of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TagSet([u64; 4]);

impl TagSet {
    /// No tag.
    pub const EMPTY: Self = Self([0; 4]);

    /// Adds a tag.
    pub fn insert(&mut self, tag: TagId) {
        if let Some(word) = self.0.get_mut(usize::from(tag.0 >> 6)) {
            *word |= 1 << (tag.0 & 63);
        }
    }

    /// Whether the tag is in the set.
    pub fn contains(&self, tag: TagId) -> bool {
        self.0
            .get(usize::from(tag.0 >> 6))
            .is_some_and(|word| word >> (tag.0 & 63) & 1 == 1)
    }

    /// Adds all tags of another set.
    pub fn extend(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// The tags that are in both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = *self;
        for (word, theirs) in both.0.iter_mut().zip(other.0) {
            *word &= theirs;
        }
        both
    }

    /// Whether there is no tag in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The lowest tag.
    pub fn first(&self) -> Option<TagId> {
        let (place, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros() + u32::try_from(place).ok()? * 64;
        u8::try_from(bit).ok().map(TagId)
    }

    /// Whether the two sets share a tag.
    pub fn intersects(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .any(|(mine, theirs)| mine & theirs != 0)
    }

    /// The tags in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = TagId> + '_ {
        (0..=u8::MAX).map(TagId).filter(|&tag| self.contains(tag))
    }
}

/// One list in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListInfo {
    /// Identifier from the configuration or of the built-in list.
    pub id: String,
    /// The group it belongs to.
    pub tag: TagId,
    /// Where it came from: a file, or `built in`.
    pub origin: String,
    /// Its format.
    pub format: Format,
    /// Which version of it: a hash of its content or a number of its publisher's.
    pub version: String,
}

/// What the compiler found out about a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFacts {
    /// Rules of it in the index.
    pub rules: u64,
    /// How its hashes were made, where it is a hashed list.
    pub hash_key: Option<HashKey>,
}

/// A rule that is a regular expression.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RegexRule {
    line: u32,
    rule: Rule,
    list: u16,
}

/// What the file says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Meta {
    tags: Vec<Tag>,
    lists: Vec<ListInfo>,
    facts: Vec<ListFacts>,
    regexes: Vec<RegexRule>,
    built_at: i64,
    rules: u64,
    names: u64,
}

/// Where the line of a rule is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the file of lines.
    Slot(u32, u32),
    /// Here.
    Line(u32),
}

/// The rule that decided, with its place.
#[derive(Debug, Clone)]
pub struct Hit<'i> {
    /// The list that it stands in.
    pub list: &'i ListInfo,
    /// The group of that list.
    pub tag: TagId,
    /// The names that it speaks of.
    pub pattern: Pattern,
    /// The list's place in [`Index::lists`].
    number: u16,
    place: Place,
    answer: Answer,
    important: bool,
    specificity: u8,
}

impl Hit<'_> {
    /// The answer that the rule asks for.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Whether it carried `$important`.
    pub fn important(&self) -> bool {
        self.important
    }

    /// Labels of the rule's name; 0 for a regular expression.
    pub fn specificity(&self) -> u8 {
        self.specificity
    }

    /// Its line in the list, from 1, where that is known: `lines` is the file beside the index.
    pub fn line(&self, lines: Option<&Lines>) -> Option<u32> {
        match self.place {
            Place::Line(line) => Some(line),
            Place::Slot(slot, entry) => lines?.line(slot, entry),
        }
    }

    /// The rule for a person.
    pub fn pattern_text(&self) -> String {
        match &self.pattern {
            Pattern::Exact(name) => name.to_string(),
            Pattern::Suffix(name) => address::shown(name.as_ref()).map_or_else(
                || format!("{name} and all names below it"),
                |network| format!("{network} in an answer"),
            ),
            Pattern::Below(name) => format!("all names below {name}"),
            Pattern::Regex(regex) => format!("/{regex}/"),
            Pattern::Hashed { exact: true, .. } => "a name that the list holds as a hash".to_owned(),
            Pattern::Hashed { exact: false, .. } => {
                "a name that the list holds as a hash, and all names below it".to_owned()
            }
        }
    }
}

/// What the index says about a name.
#[derive(Debug, Default)]
pub struct Outcome<'i> {
    /// The deciding rule of each tag that blocks the name, most specific first.
    pub blocked: Vec<Hit<'i>>,
    /// Exceptions that won.
    pub lifted: Vec<Hit<'i>>,
    /// Prefixes of hashes that the name shares: candidates, which only a confirmation service can tell from innocent
    /// names. Not blocked here; what the list's header says of them while nobody can be asked is for whoever decides.
    pub candidates: Vec<Hit<'i>>,
    /// An exception of the household's own lists speaks of the name, whether or not anything blocks it.
    pub excepted: bool,
}
