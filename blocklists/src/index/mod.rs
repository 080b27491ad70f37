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
//! This first index is a hash map from name to a chain of entries; a look-up that finds nothing allocates nothing.

mod build;
mod decide;

use std::borrow::Cow;
use std::collections::HashMap;

use regex::bytes::RegexSet;
use serde::{Deserialize, Serialize};

use crate::name::{Name, NameRef};
use crate::read::Format;
use crate::rule::{Answer, Effect, Pattern, Rule};

pub use build::{Builder, IndexError, REGEX_LIMIT};

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
}

/// The rule that decided, with its place.
#[derive(Debug, Clone)]
pub struct Hit<'i> {
    /// The list that it stands in.
    pub list: &'i ListInfo,
    /// The group of that list.
    pub tag: TagId,
    /// Line in that list, from 1.
    pub line: u32,
    /// The names that it speaks of.
    pub pattern: Pattern,
    answer: Cow<'i, Answer>,
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

    /// The rule for a person.
    pub fn pattern_text(&self) -> String {
        match &self.pattern {
            Pattern::Exact(name) => name.to_string(),
            Pattern::Suffix(name) => format!("{name} and all names below it"),
            Pattern::Below(name) => format!("all names below {name}"),
            Pattern::Regex(regex) => format!("/{regex}/"),
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
}

/// Every rule of every list, ready for look-ups.
#[derive(Debug)]
pub struct Index {
    tags: Vec<Tag>,
    lists: Vec<ListInfo>,
    /// First entry of the chain of each name, by wire format.
    heads: HashMap<Box<[u8]>, u32>,
    entries: Vec<Entry>,
    rules: Vec<Rule>,
    patterns: Vec<RegexEntry>,
    regexes: RegexSet,
    len: usize,
}

/// End of a chain, and "no rule of its own: a plain block".
const NONE: u32 = u32::MAX;

/// A rule under its name.
#[derive(Debug, Clone, Copy)]
struct Entry {
    next: u32,
    line: u32,
    /// Place in `rules`, or [`NONE`] for a plain block.
    rule: u32,
    list: u16,
    scope: Scope,
}

/// Which names around an entry's name are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Exact,
    Suffix,
    Below,
    /// No rule: the name exists in its RPZ zone only because names below it do (RFC 4592, section 2.2.2).
    NonTerminal,
}

#[derive(Debug)]
struct RegexEntry {
    line: u32,
    rule: Rule,
    list: u16,
}

/// A rule that speaks of the name asked for.
#[derive(Clone, Copy)]
struct Candidate<'i> {
    list: u16,
    line: u32,
    rule: Option<&'i Rule>,
    name: Option<(Scope, NameRef<'i>)>,
    specificity: u8,
}

static PLAIN: Effect = Effect::Block(Answer::Configured);

impl<'i> Candidate<'i> {
    fn effect(&self) -> &'i Effect {
        self.rule.map_or(&PLAIN, |rule| &rule.effect)
    }

    fn important(&self) -> bool {
        self.rule.is_some_and(|rule| rule.important)
    }

    fn pattern(&self) -> Pattern {
        match (self.name, self.rule) {
            (_, Some(rule)) => rule.pattern.clone(),
            (Some((Scope::Exact | Scope::NonTerminal, name)), None) => Pattern::Exact(name.to_name()),
            (Some((Scope::Suffix, name)), None) => Pattern::Suffix(name.to_name()),
            (Some((Scope::Below, name)), None) => Pattern::Below(name.to_name()),
            (None, None) => Pattern::Exact(NameRef::root().to_name()),
        }
    }
}

impl Index {
    /// Starts an index.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The groups of lists; a [`TagId`] is a place in here.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The group with this kind and identifier.
    pub fn tag(&self, kind: TagKind, id: &str) -> Option<TagId> {
        let place = self
            .tags
            .iter()
            .position(|tag| tag.kind == kind && tag.id == id)?;
        u8::try_from(place).ok().map(TagId)
    }

    /// The lists.
    pub fn lists(&self) -> &[ListInfo] {
        &self.lists
    }

    /// Rules in the index.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the rules say about a query for `name` and `qtype`.
    pub fn lookup(&self, name: NameRef<'_>, qtype: u16) -> Outcome<'_> {
        let candidates = self.candidates(name, qtype);
        if candidates.is_empty() {
            Outcome::default()
        } else {
            decide::decide(self, &candidates)
        }
    }

    fn candidates(&self, name: NameRef<'_>, qtype: u16) -> Vec<Candidate<'_>> {
        let mut candidates = Vec::new();
        // RPZ lists whose closest encloser has been met: nothing above it applies.
        let mut closed: Vec<u16> = Vec::new();
        for suffix in name.suffixes() {
            let Some((stored, &head)) = self.heads.get_key_value(suffix.wire()) else {
                continue;
            };
            let closed_above = closed.len();
            let mut next = head;
            while let Some(entry) = usize::try_from(next)
                .ok()
                .and_then(|place| self.entries.get(place))
            {
                next = entry.next;
                let zone = self
                    .lists
                    .get(usize::from(entry.list))
                    .is_some_and(|list| list.format == Format::Rpz);
                if zone {
                    if closed
                        .get(..closed_above)
                        .is_some_and(|above| above.contains(&entry.list))
                    {
                        continue;
                    }
                    closed.push(entry.list);
                }
                let itself = suffix == name;
                let meant = match entry.scope {
                    Scope::Exact => itself,
                    Scope::Suffix => true,
                    Scope::Below => !itself,
                    Scope::NonTerminal => false,
                };
                let rule = usize::try_from(entry.rule)
                    .ok()
                    .and_then(|place| self.rules.get(place));
                if !meant || rule.is_some_and(|rule| !applies(rule, name, qtype)) {
                    continue;
                }
                let Ok(stored) = NameRef::from_lower_wire(stored) else {
                    continue;
                };
                candidates.push(Candidate {
                    list: entry.list,
                    line: entry.line,
                    rule,
                    name: Some((entry.scope, stored)),
                    specificity: u8::try_from(stored.labels().count()).unwrap_or(u8::MAX),
                });
            }
        }
        self.regex_candidates(name, qtype, &mut candidates);
        candidates
    }

    fn regex_candidates<'i>(&'i self, name: NameRef<'_>, qtype: u16, candidates: &mut Vec<Candidate<'i>>) {
        if self.patterns.is_empty() {
            return;
        }
        let text = name.to_string();
        for place in self.regexes.matches(text.as_bytes()) {
            let Some(entry) = self.patterns.get(place) else {
                continue;
            };
            if applies(&entry.rule, name, qtype) {
                candidates.push(Candidate {
                    list: entry.list,
                    line: entry.line,
                    rule: Some(&entry.rule),
                    name: None,
                    specificity: 0,
                });
            }
        }
    }
}

/// Whether the rule's limits (`$dnstype`, `$denyallow`) let it speak of this query.
fn applies(rule: &Rule, name: NameRef<'_>, qtype: u16) -> bool {
    rule.types.as_ref().is_none_or(|types| types.contains(qtype))
        && !rule
            .except
            .iter()
            .any(|except: &Name| name.is_at_or_below(except.as_ref()))
}
