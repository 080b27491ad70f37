//! The short way of a look-up: most names that have rules have plain ones, and then which groups block them is a matter of
//! masks, without touching a rule.

use smallvec::SmallVec;

use super::lookup::{Index, Match};
use super::sets::{Action, Scope};
use super::{TagId, TagKind, TagSet};
use crate::read::Format;

/// What the rules of one set come to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Summary {
    /// Exceptions, answers of their own, zones, prefixes of hashes: the long way.
    Complex,
    /// Plain blocks by these groups: of the name alone, with all below it, of all below it.
    Plain {
        exact: TagSet,
        suffix: TagSet,
        below: TagSet,
    },
}

/// Groups that block a name plainly, by the depth of their rules, most specific first.
pub type Plain = SmallVec<[(u8, TagSet); 8]>;

impl Index {
    /// Works out what the most frequent sets come to.
    pub(super) fn summarise(&mut self) {
        self.summaries = (0..u32::from(super::sets::WIDE))
            .map_while(|set| self.has_set(set).then(|| self.summary(set)))
            .collect();
        let tags: Vec<TagKind> = self.tags().iter().map(|tag| tag.kind).collect();
        for (kind, place) in tags.into_iter().zip(0..=u8::MAX) {
            if let Some(mask) = self.kinds.get_mut(kind as usize) {
                mask.insert(TagId(place));
            }
        }
    }

    fn summary(&self, set: u32) -> Summary {
        let (mut exact, mut suffix, mut below) = (TagSet::EMPTY, TagSet::EMPTY, TagSet::EMPTY);
        for entry in self.set(set) {
            let list = usize::from(entry.list);
            let (Some(info), Some(facts)) = (self.lists().get(list), self.facts().get(list)) else {
                return Summary::Complex;
            };
            let prefix = facts.hash_key.is_some_and(|key| key.is_prefix());
            if entry.action != Action::PLAIN || info.format == Format::Rpz || prefix {
                return Summary::Complex;
            }
            match entry.scope {
                Scope::Exact => exact.insert(info.tag),
                Scope::Suffix => suffix.insert(info.tag),
                Scope::Below => below.insert(info.tag),
                Scope::NonTerminal => return Summary::Complex,
            }
        }
        Summary::Plain { exact, suffix, below }
    }

    /// All groups of a kind.
    pub fn kind(&self, kind: TagKind) -> TagSet {
        self.kinds.get(kind as usize).copied().unwrap_or_default()
    }

    /// Which groups block a name of `labels` labels plainly, by its matches. `None` where that is not all there is to say
    /// and [`Index::lookup`] has to be asked. Allocates nothing for up to eight matches.
    pub fn plain(&self, labels: usize, matches: &[Match]) -> Option<Plain> {
        let mut plain = Plain::new();
        for found in matches.iter().rev() {
            let Summary::Plain { exact, suffix, below } = self.summaries.get(found.set as usize)? else {
                return None;
            };
            let itself = usize::from(found.depth) == labels;
            let mut tags = *suffix;
            tags.extend(if itself { exact } else { below });
            if !tags.is_empty() {
                plain.push((found.depth, tags));
            }
        }
        Some(plain)
    }
}
