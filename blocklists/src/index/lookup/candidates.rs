//! The long way of a look-up: every rule that speaks of a name, with its place, for the one that decides.

use smallvec::SmallVec;

use super::super::key::Labels;
use super::super::sets::{Action, Scope};
use super::super::{Outcome, Place, decide};
use super::{Canonical, Index, Match};
use crate::name::{Name, NameRef};
use crate::read::Format;
use crate::rule::{Effect, Pattern, Rule};

/// A rule that speaks of the name asked for.
#[derive(Debug, Clone)]
pub(in crate::index) struct Candidate<'n> {
    pub(in crate::index) list: u16,
    pub(in crate::index) place: Place,
    /// `None`: the plain action.
    pub(in crate::index) action: Option<Box<Action>>,
    pub(in crate::index) what: What<'n>,
    pub(in crate::index) specificity: u8,
}

/// What a candidate speaks of.
#[derive(Debug, Clone)]
pub(in crate::index) enum What<'n> {
    Name(Scope, NameRef<'n>),
    Hash([u8; 16], Scope),
    Regex(usize),
}

impl Index {
    /// What the rules say about a query for `name` and `qtype`.
    pub fn lookup(&self, name: NameRef<'_>, qtype: u16) -> Outcome<'_> {
        self.lookup_matched(name, qtype, &self.matches(name))
    }

    /// The same for whoever has the name's [`Index::matches`] already: nothing is hashed twice.
    pub fn lookup_matched(&self, name: NameRef<'_>, qtype: u16, matches: &[Match]) -> Outcome<'_> {
        if matches.is_empty() && self.meta.regexes.is_empty() {
            return Outcome::default();
        }
        let candidates = self.candidates(name, qtype, matches);
        if candidates.is_empty() {
            Outcome::default()
        } else {
            decide::decide(self, &candidates)
        }
    }

    fn candidates<'n>(&self, name: NameRef<'n>, qtype: u16, matches: &[Match]) -> Vec<Candidate<'n>> {
        let mut candidates = Vec::new();
        // RPZ lists whose closest encloser has been met: nothing above it applies.
        let mut closed: SmallVec<[u16; 8]> = SmallVec::new();
        let labels = Labels::of(name);
        for found in matches.iter().rev() {
            let closed_above = closed.len();
            let itself = usize::from(found.depth) == labels.count;
            for (entry, number) in self.set(found.set).zip(0..) {
                let zone = self
                    .meta
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
                let meant = match entry.scope {
                    Scope::Exact => itself,
                    Scope::Suffix => true,
                    Scope::Below => !itself,
                    Scope::NonTerminal => false,
                };
                if !meant {
                    continue;
                }
                let action = self.action(entry.action);
                if action
                    .as_ref()
                    .is_some_and(|action| !applies(action.types.as_ref(), &action.except, name, qtype))
                {
                    continue;
                }
                let what = match found.hashed {
                    None => What::Name(
                        entry.scope,
                        name.last_labels(labels.suffix(usize::from(found.depth))),
                    ),
                    Some(list) => What::Hash(self.digest(list, name, found.depth), entry.scope),
                };
                candidates.push(Candidate {
                    list: entry.list,
                    place: Place::Slot(found.slot, number),
                    action,
                    what,
                    specificity: found.depth,
                });
            }
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.specificity));
        self.regex_candidates(name, qtype, &mut candidates);
        candidates
    }

    /// The hash of a name's last `depth` labels as the list has it.
    fn digest(&self, list: u16, name: NameRef<'_>, depth: u8) -> [u8; 16] {
        let mut text = Canonical::new();
        let starts = text.write(name).unwrap_or_default();
        let start = starts
            .len()
            .checked_sub(usize::from(depth))
            .and_then(|place| starts.get(place));
        let suffix = start.and_then(|start| text.suffix(*start)).unwrap_or_default();
        let key = self.hashed.iter().find(|(number, _)| *number == list);
        key.map_or([0; 16], |(_, key)| key.digest(suffix))
    }

    fn regex_candidates(&self, name: NameRef<'_>, qtype: u16, candidates: &mut Vec<Candidate<'_>>) {
        let Some(regexes) = self.regexes.get().filter(|_| !self.meta.regexes.is_empty()) else {
            return;
        };
        let text = name.to_string();
        for place in regexes.matches(text.as_bytes()) {
            let Some(entry) = self.meta.regexes.get(place) else {
                continue;
            };
            let Rule { types, except, .. } = &entry.rule;
            if applies(types.as_ref(), except, name, qtype) {
                candidates.push(Candidate {
                    list: entry.list,
                    place: Place::Line(entry.line),
                    action: Some(Box::new(Action {
                        effect: entry.rule.effect.clone(),
                        important: entry.rule.important,
                        types: None,
                        except: Vec::new(),
                    })),
                    what: What::Regex(place),
                    specificity: 0,
                });
            }
        }
    }

    /// The names that a candidate speaks of.
    pub(in crate::index) fn pattern(&self, candidate: &Candidate<'_>) -> Pattern {
        match &candidate.what {
            What::Name(Scope::Exact | Scope::NonTerminal, name) => Pattern::Exact(name.to_name()),
            What::Name(Scope::Suffix, name) => Pattern::Suffix(name.to_name()),
            What::Name(Scope::Below, name) => Pattern::Below(name.to_name()),
            What::Hash(digest, scope) => Pattern::Hashed {
                digest: *digest,
                exact: *scope == Scope::Exact,
            },
            What::Regex(place) => self.meta.regexes.get(*place).map_or_else(
                || Pattern::Regex(String::new()),
                |entry| entry.rule.pattern.clone(),
            ),
        }
    }

    /// Whether a list holds prefixes whose matches are candidates only.
    pub(in crate::index) fn unconfirmed(&self, list: u16) -> bool {
        self.meta
            .facts
            .get(usize::from(list))
            .and_then(|facts| facts.hash_key)
            .is_some_and(|key| key.is_prefix())
    }
}

impl Candidate<'_> {
    pub(in crate::index) fn effect(&self) -> &Effect {
        static PLAIN: Effect = Effect::Block(crate::rule::Answer::Configured);
        self.action.as_ref().map_or(&PLAIN, |action| &action.effect)
    }

    pub(in crate::index) fn important(&self) -> bool {
        self.action.as_ref().is_some_and(|action| action.important)
    }
}

/// Whether a rule's limits (`$dnstype`, `$denyallow`) let it speak of this query.
fn applies(types: Option<&crate::rule::Types>, except: &[Name], name: NameRef<'_>, qtype: u16) -> bool {
    types.is_none_or(|types| types.contains(qtype))
        && !except.iter().any(|except| name.is_at_or_below(except.as_ref()))
}
