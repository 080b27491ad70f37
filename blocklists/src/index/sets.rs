//! Rule sets: what the rules at one name say together, stored once for all names where they say the same.
//!
//! ```text
//! slot ─▶ set ─▶ entries (list, scope, action) ─▶ action (answer, importance, types, exceptions)
//! ```
//!
//! Most of a million rules are one entry, "blocked by list 3, with all names below". So a slot holds one octet: the
//! number of one of the 255 most frequent sets, or [`WIDE`], which sends to a list of slots with rarer sets.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::rule::{Answer, Effect, Rule, Types};

/// The octet of a slot whose set has a number of [`WIDE`] or more.
pub(super) const WIDE: u8 = u8::MAX;
/// Different actions (answers, mostly) that one index may have.
pub(super) const MAX_ACTIONS: usize = 1 << 20;
/// Octets of an entry in the file.
pub(super) const ENTRY: usize = 8;

/// Which names around a rule's name are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Exact,
    Suffix,
    Below,
    /// No rule: the name exists in its RPZ zone only because names below it do (RFC 4592, section 2.2.2).
    NonTerminal,
}

/// One list's word on a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) list: u16,
    pub(super) scope: Scope,
    /// Compiler only: takes away the same entry without this mark.
    pub(super) void: bool,
    pub(super) action: u32,
}

impl Entry {
    pub(super) fn octets(self) -> [u8; ENTRY] {
        let [list_low, list_high] = self.list.to_le_bytes();
        let [a, b, c, d] = self.action.to_le_bytes();
        [list_low, list_high, self.scope as u8, 0, a, b, c, d]
    }

    pub(super) fn read(octets: [u8; ENTRY]) -> Option<Self> {
        let [list_low, list_high, scope, _, a, b, c, d] = octets;
        Some(Self {
            list: u16::from_le_bytes([list_low, list_high]),
            scope: match scope {
                0 => Scope::Exact,
                1 => Scope::Suffix,
                2 => Scope::Below,
                3 => Scope::NonTerminal,
                _ => return None,
            },
            void: false,
            action: u32::from_le_bytes([a, b, c, d]),
        })
    }
}

/// What a rule does, without the names that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Action {
    pub(super) effect: Effect,
    pub(super) important: bool,
    pub(super) types: Option<Types>,
    pub(super) except: Vec<Name>,
}

impl Action {
    pub(super) fn plain() -> Self {
        Self {
            effect: Effect::Block(Answer::Configured),
            important: false,
            types: None,
            except: Vec::new(),
        }
    }

    /// The number of the plain action, a block without anything else.
    pub(super) const PLAIN: u32 = 0;

    pub(super) fn is_plain(rule: &Rule) -> bool {
        rule.effect == Effect::Block(Answer::Configured)
            && !rule.important
            && rule.types.is_none()
            && rule.except.is_empty()
    }
}

/// Gives equal values equal numbers, in the order of their first use.
pub(super) struct Numbered<T> {
    numbers: HashMap<T, u32>,
    pub(super) all: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Numbered<T> {
    pub(super) fn new(first: impl IntoIterator<Item = T>) -> Self {
        let mut numbered = Self {
            numbers: HashMap::new(),
            all: Vec::new(),
        };
        for value in first {
            numbered.number(value);
        }
        numbered
    }

    pub(super) fn number(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.all.push(value.clone());
            next
        })
    }
}

/// How often each set occurs.
#[derive(Default)]
pub(super) struct SetCounts {
    /// Sets of one entry, by the entry's number.
    single: Vec<u64>,
    several: HashMap<Box<[u32]>, u64>,
}

impl SetCounts {
    pub(super) fn count(&mut self, set: &[u32]) {
        if let [entry] = set {
            let place = *entry as usize;
            if self.single.len() <= place {
                self.single.resize(place + 1, 0);
            }
            if let Some(count) = self.single.get_mut(place) {
                *count += 1;
            }
        } else if let Some(count) = self.several.get_mut(set) {
            *count += 1;
        } else {
            self.several.insert(set.into(), 1);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (place, count) in other.single.into_iter().enumerate() {
            if self.single.len() <= place {
                self.single.resize(place + 1, 0);
            }
            if let Some(held) = self.single.get_mut(place) {
                *held += count;
            }
        }
        for (set, count) in other.several {
            *self.several.entry(set).or_default() += count;
        }
    }

    /// Numbers the sets, the most frequent first; sets that occur equally often by their entries.
    pub(super) fn rank(self) -> Sets {
        let single = self
            .single
            .into_iter()
            .zip(0_u32..)
            .filter(|&(count, _)| count > 0)
            .map(|(count, entry)| (count, Box::<[u32]>::from([entry])));
        let mut all: Vec<(u64, Box<[u32]>)> = single
            .chain(self.several.into_iter().map(|(set, count)| (count, set)))
            .collect();
        all.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        let mut sets = Sets::default();
        for ((_, set), number) in all.into_iter().zip(0_u32..) {
            if let [entry] = *set {
                let place = entry as usize;
                if sets.single.len() <= place {
                    sets.single.resize(place + 1, u32::MAX);
                }
                if let Some(held) = sets.single.get_mut(place) {
                    *held = number;
                }
            } else {
                sets.several.insert(set.clone(), number);
            }
            sets.all.push(set);
        }
        sets
    }
}

/// All sets with their numbers.
#[derive(Default)]
pub(super) struct Sets {
    single: Vec<u32>,
    several: HashMap<Box<[u32]>, u32>,
    pub(super) all: Vec<Box<[u32]>>,
}

impl Sets {
    pub(super) fn number(&self, set: &[u32]) -> u32 {
        match set {
            [entry] => self.single.get(*entry as usize).copied(),
            _ => self.several.get(set).copied(),
        }
        .unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_sets_get_the_lowest_numbers_in_whatever_order_they_were_counted() {
        let mut one = SetCounts::default();
        let mut other = SetCounts::default();
        for set in [&[5][..], &[1, 2], &[5], &[3]] {
            one.count(set);
        }
        for set in [&[1, 2][..], &[5], &[2]] {
            other.count(set);
        }
        one.merge(other);
        let sets = one.rank();
        let all: Vec<&[u32]> = sets.all.iter().map(AsRef::as_ref).collect();
        assert_eq!(all, [&[5][..], &[1, 2], &[2], &[3]]);
        assert!((0..4).all(|number| sets.number(all[number as usize]) == number));
        assert_eq!(sets.number(&[9]), u32::MAX);
    }

    #[test]
    fn an_entry_is_read_back_and_an_unknown_scope_is_not() {
        for scope in [Scope::Exact, Scope::Suffix, Scope::Below, Scope::NonTerminal] {
            let entry = Entry {
                list: 700,
                scope,
                void: false,
                action: 1 << 20,
            };
            assert_eq!(Entry::read(entry.octets()), Some(entry));
        }
        assert_eq!(Entry::read([0, 0, 4, 0, 0, 0, 0, 0]), None);
    }
}
