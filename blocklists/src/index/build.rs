//! From lists to the index.

use std::collections::HashMap;
use std::collections::hash_map;

use regex::bytes::{RegexBuilder, RegexSetBuilder};

use super::{Entry, Index, ListInfo, NONE, RegexEntry, Scope, Tag, TagId, TagKind};
use crate::name::Name;
use crate::read::Format;
use crate::rule::{Answer, Effect, Located, Pattern, Rule};

/// Octets that the compiled form of one regular expression may take.
pub const REGEX_LIMIT: usize = 256 << 10;
/// Octets that all of them may take together.
const REGEX_SET_LIMIT: usize = 64 << 20;

/// Why an index cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// More groups than a [`super::TagSet`] holds.
    #[error("more than 256 categories, services and groups of lists; merge some")]
    TooManyTags,
    /// More lists than 65,536.
    #[error("more than 65,536 lists; merge some")]
    TooManyLists,
    /// More rules than 2^32 - 2.
    #[error("more than 4,294,967,294 rules; drop some lists")]
    TooManyRules,
    /// All regular expressions together are too large.
    #[error("the regular expressions of all lists need more than 64 MiB together; drop some: {0}")]
    Regexes(String),
}

/// Collects lists.
#[derive(Debug, Default)]
pub struct Builder {
    tags: Vec<Tag>,
    lists: Vec<ListInfo>,
    heads: HashMap<Box<[u8]>, u32>,
    entries: Vec<Entry>,
    rules: Vec<Rule>,
    patterns: Vec<RegexEntry>,
    refused: Vec<(String, u32)>,
    len: usize,
    overflow: Option<IndexError>,
}

impl Builder {
    /// The group with this kind and identifier, made if it is new.
    pub fn tag(&mut self, kind: TagKind, id: &str) -> Result<TagId, IndexError> {
        let place = if let Some(place) = self.tags.iter().position(|tag| tag.kind == kind && tag.id == id) {
            place
        } else {
            self.tags.push(Tag {
                id: id.to_owned(),
                kind,
            });
            self.tags.len() - 1
        };
        u8::try_from(place)
            .map(TagId)
            .map_err(|_| IndexError::TooManyTags)
    }

    /// Adds a list.
    pub fn add(&mut self, info: ListInfo, rules: Vec<Located>) {
        let Ok(list) = u16::try_from(self.lists.len()) else {
            self.overflow = Some(IndexError::TooManyLists);
            return;
        };
        let zone = info.format == Format::Rpz;
        let id = info.id.clone();
        self.lists.push(info);
        for Located { rule, line } in rules {
            self.len += 1;
            match &rule.pattern {
                Pattern::Regex(regex) => {
                    // Its reader has compiled it before; a rule made elsewhere may still be too large.
                    let compiles = RegexBuilder::new(regex)
                        .unicode(false)
                        .case_insensitive(true)
                        .size_limit(REGEX_LIMIT)
                        .build()
                        .is_ok();
                    if compiles {
                        self.patterns.push(RegexEntry { line, rule, list });
                    } else {
                        self.refused.push((id.clone(), line));
                    }
                }
                Pattern::Exact(name) => {
                    let name = name.clone();
                    self.named(list, line, Scope::Exact, &name, rule, zone);
                }
                Pattern::Suffix(name) => {
                    let name = name.clone();
                    self.named(list, line, Scope::Suffix, &name, rule, zone);
                }
                Pattern::Below(name) => {
                    let name = name.clone();
                    self.named(list, line, Scope::Below, &name, rule, zone);
                }
            }
        }
    }

    /// Rules whose regular expression is refused: list and line.
    pub fn refused(&self) -> &[(String, u32)] {
        &self.refused
    }

    fn named(&mut self, list: u16, line: u32, scope: Scope, name: &Name, rule: Rule, zone: bool) {
        let plain = rule.effect == Effect::Block(Answer::Configured)
            && !rule.important
            && rule.types.is_none()
            && rule.except.is_empty();
        let rule = if plain {
            NONE
        } else {
            let place = u32::try_from(self.rules.len()).unwrap_or(NONE);
            self.rules.push(rule);
            place
        };
        self.chain(
            name.as_ref().wire(),
            Entry {
                next: NONE,
                line,
                rule,
                list,
                scope,
            },
        );
        if zone {
            for above in name.as_ref().suffixes().skip(1) {
                let known = self.chained(above.wire(), list);
                if known {
                    break; // its own parents are there too
                }
                self.chain(
                    above.wire(),
                    Entry {
                        next: NONE,
                        line,
                        rule: NONE,
                        list,
                        scope: Scope::NonTerminal,
                    },
                );
            }
        }
    }

    /// Whether the list already has an entry at this name.
    fn chained(&self, wire: &[u8], list: u16) -> bool {
        let mut next = self.heads.get(wire).copied().unwrap_or(NONE);
        while let Some(entry) = usize::try_from(next)
            .ok()
            .and_then(|place| self.entries.get(place))
        {
            if entry.list == list {
                return true;
            }
            next = entry.next;
        }
        false
    }

    /// Puts an entry at the end of its name's chain, so that earlier lines come first.
    fn chain(&mut self, wire: &[u8], entry: Entry) {
        let Some(place) = u32::try_from(self.entries.len())
            .ok()
            .filter(|&place| place != NONE)
        else {
            self.overflow = Some(IndexError::TooManyRules);
            return;
        };
        match self.heads.entry(wire.into()) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(place);
            }
            hash_map::Entry::Occupied(occupied) => {
                let mut last = *occupied.get();
                while let Some(held) = usize::try_from(last)
                    .ok()
                    .and_then(|place| self.entries.get_mut(place))
                {
                    if held.next == NONE {
                        held.next = place;
                        break;
                    }
                    last = held.next;
                }
            }
        }
        self.entries.push(entry);
    }

    /// The finished index.
    pub fn finish(mut self) -> Result<Index, IndexError> {
        if let Some(error) = self.overflow {
            return Err(error);
        }
        let sources = self
            .patterns
            .iter()
            .filter_map(|entry| match &entry.rule.pattern {
                Pattern::Regex(regex) => Some(regex.as_str()),
                _ => None,
            });
        let regexes = RegexSetBuilder::new(sources)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(REGEX_SET_LIMIT)
            .build()
            .map_err(|error| IndexError::Regexes(error.to_string()))?;
        self.entries.shrink_to_fit();
        self.heads.shrink_to_fit();
        let Self {
            tags,
            lists,
            heads,
            entries,
            rules,
            patterns,
            len,
            ..
        } = self;
        Ok(Index {
            tags,
            lists,
            heads,
            entries,
            rules,
            patterns,
            regexes,
            len,
        })
    }
}
