//! What a list says beside the lists in force: how much of it is new, and what of it does more than block. It changes nothing.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use isigurt_blocklists::index::{Index, TagId};
use isigurt_blocklists::read::report::Visitor;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::{Answer, Effect, Pattern, Rule};
use serde::{Deserialize, Serialize};

use super::build::Group;
use super::open;

/// What a list says beside those in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Rules for names that no list of its category blocks.
    pub new: u64,
    /// Rules that open names.
    pub exceptions: u64,
    /// Rules with addresses or names of their own to answer with.
    pub answers: u64,
}

struct Measuring<'i> {
    index: &'i Index,
    tag: Option<TagId>,
    /// What was counted as new, that it is not counted twice.
    seen: HashSet<u64>,
    hasher: RandomState,
    measured: Measured,
}

impl Measuring<'_> {
    fn is_blocked(&self, pattern: &Pattern) -> bool {
        let (Some(tag), Pattern::Exact(name) | Pattern::Suffix(name) | Pattern::Below(name)) =
            (self.tag, pattern)
        else {
            return false; // hashes and expressions cannot be compared
        };
        let outcome = self.index.lookup(name.as_ref(), 1);
        outcome.blocked.iter().any(|hit| hit.tag == tag)
    }
}

impl Visitor for Measuring<'_> {
    fn rule(&mut self, _: u32, rule: Rule) {
        match &rule.effect {
            Effect::Allow | Effect::AllowRewrite(_) => self.measured.exceptions += 1,
            Effect::Void => {}
            Effect::Block(answer) => {
                if matches!(answer, Answer::Records(_) | Answer::Alias { .. }) {
                    self.measured.answers += 1;
                }
                if !self.is_blocked(&rule.pattern) && self.seen.insert(self.hasher.hash_one(&rule.pattern)) {
                    self.measured.new += 1;
                }
            }
        }
    }

    fn void(&mut self, _: Rule) {}
}

/// Reads the list in `file` and compares it with the index in force.
pub(super) fn measure(
    file: &Path,
    (format, subdomains): (Format, Option<bool>),
    group: &Group,
    index: &Path,
) -> Result<Measured, String> {
    let index = open(index).map_err(|error| error.to_string())?;
    let (kind, id) = group.tag();
    let mut measuring = Measuring {
        tag: index.tag(kind, id),
        index: &index,
        seen: HashSet::new(),
        hasher: RandomState::new(),
        measured: Measured::default(),
    };
    let input = std::fs::File::open(file).map_err(|error| error.to_string())?;
    read::stream(input, format, subdomains, &mut measuring).map_err(|error| error.to_string())?;
    Ok(measuring.measured)
}
