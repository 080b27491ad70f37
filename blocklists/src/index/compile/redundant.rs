//! Rules that another rule makes unnecessary: those below a rule for a whole domain of the same category.

use super::super::TagId;
use super::super::filter::Filter;
use super::super::key::{Hasher, Key, Labels};
use super::super::records::{Groups, Record};
use super::super::sets::{Action, Entry, Scope};
use super::Compiler;
use crate::read;
use crate::read::report::Visitor;
use crate::rule::{Pattern, Rule};

impl Compiler {
    /// Reads the lists again and marks the records of rules that stand below a rule of the same category. Gives the
    /// number of such rules of each list.
    pub(super) fn mark_redundant(&self, groups: &mut Groups) -> Vec<u64> {
        let mut counts = vec![0; self.lists.len()];
        let Some(parents) = &self.parents else {
            return counts;
        };
        for (list, count) in self.lists.iter().zip(0_u16..) {
            let Some((source, reading)) = &list.source else {
                continue;
            };
            if list.zone || list.hash.is_some() {
                continue;
            }
            let mut visitor = Marking {
                compiler: self,
                parents,
                list: count,
                groups,
                marked: 0,
            };
            // What cannot be read a second time keeps its rules, which is no harm.
            if let Ok(input) = source.open() {
                let _ = read::stream(input, reading.format, reading.subdomains, &mut visitor);
            }
            let marked = visitor.marked;
            if let Some(count) = counts.get_mut(usize::from(count)) {
                *count = marked;
            }
        }
        counts
    }

    /// The group in which a list's rules may cover each other. None where the group has a zone too: there the depth
    /// of a rule decides between its answer and that of the zone.
    fn tag_of(&self, list: u16) -> Option<TagId> {
        let list = self.lists.get(usize::from(list))?;
        let zoned = || {
            self.lists
                .iter()
                .any(|other| other.zone && !other.dead && other.info.tag == list.info.tag)
        };
        (!list.dead && list.hash.is_none() && !zoned()).then_some(list.info.tag)
    }

    /// Whether a record is a plain block by a living list of this group that is no zone.
    fn is_plain_of(&self, record: &Record, tag: TagId) -> Option<Entry> {
        let entry = *self.entries.all.get(record.entry() as usize)?;
        let plain = entry.action == Action::PLAIN && !entry.void && entry.scope != Scope::NonTerminal;
        (plain && self.tag_of(entry.list) == Some(tag)).then_some(entry)
    }
}

/// Marks the rules of a list, read again, that a parent covers.
struct Marking<'c> {
    compiler: &'c Compiler,
    parents: &'c Filter,
    list: u16,
    groups: &'c mut Groups,
    marked: u64,
}

impl Marking<'_> {
    /// Whether a rule at this key covers all names below it for the group.
    fn covers(&mut self, key: Key, tag: TagId) -> bool {
        if !self.parents.contains(key) {
            return false;
        }
        let compiler = self.compiler;
        let records = self.groups.find(key);
        // Where anything is void at this name, it is not looked into what.
        let void = |record: &Record| {
            let entry = compiler.entries.all.get(record.entry() as usize);
            entry.is_none_or(|entry| entry.void)
        };
        !records.iter().any(void)
            && records.iter().any(|record| {
                compiler
                    .is_plain_of(record, tag)
                    .is_some_and(|entry| matches!(entry.scope, Scope::Suffix | Scope::Below))
            })
    }
}

impl Visitor for Marking<'_> {
    fn rule(&mut self, _line: u32, rule: Rule) {
        let (Pattern::Exact(name) | Pattern::Suffix(name) | Pattern::Below(name)) = &rule.pattern else {
            return;
        };
        let Some(tag) = self.compiler.tag_of(self.list) else {
            return;
        };
        if !Action::is_plain(&rule) {
            return;
        }
        let name = name.as_ref();
        let labels = Labels::of(name);
        let mut state = Hasher::start();
        for depth in 1..=labels.count {
            let (start, end) = labels.at(depth);
            state = self.compiler.hasher.label(state, name.wire(), start, end);
            let key = self.compiler.hasher.key(state);
            if depth == labels.count {
                return;
            }
            if self.covers(key, tag) {
                break;
            }
        }
        let (key, ..) = self.compiler.hasher.name(name);
        let compiler = self.compiler;
        for record in self.groups.find(key) {
            let own = compiler
                .is_plain_of(record, tag)
                .is_some_and(|entry| entry.list == self.list);
            if own && !record.is_redundant() {
                record.mark_redundant();
                self.marked += 1;
            }
        }
    }

    fn void(&mut self, _rule: Rule) {}
}
