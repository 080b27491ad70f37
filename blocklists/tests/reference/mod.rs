//! The naive reference: every rule is held against the name, and the order of decision is written out plainly.

use isigurt_blocklists::index::{Hit, Index, Lines, ListInfo, TagKind};
use isigurt_blocklists::name::NameRef;
use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::hashed::{HashKey, Offline};
use isigurt_blocklists::rule::{Answer, Effect, Located, Pattern, Rule};

/// What was said about a name, in a form that can be compared.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Said {
    pub(crate) blocked: Vec<(String, Option<u32>, u8, String)>,
    pub(crate) lifted: Vec<(String, Option<u32>, u8, String)>,
    pub(crate) candidates: usize,
}

impl Said {
    /// Without which rule it was: groups that block, groups that are lifted, with their answers.
    pub(crate) fn verdicts(&self) -> (Vec<(u8, &str)>, Vec<u8>, usize) {
        let mut blocked: Vec<(u8, &str)> = self.blocked.iter().map(|hit| (hit.2, hit.3.as_str())).collect();
        blocked.sort_unstable();
        let mut lifted: Vec<u8> = self.lifted.iter().map(|hit| hit.2).collect();
        lifted.sort_unstable();
        (blocked, lifted, self.candidates)
    }
}

/// What the index says.
pub(crate) fn said(index: &Index, lines: &Lines, name: NameRef<'_>, qtype: u16) -> Said {
    let outcome = index.lookup(name, qtype);
    let text = |hit: &Hit<'_>| {
        (
            hit.list.id.clone(),
            hit.line(Some(lines)),
            hit.tag.0,
            format!("{:?}", hit.answer()),
        )
    };
    let mut said = Said {
        blocked: outcome.blocked.iter().map(text).collect(),
        lifted: outcome.lifted.iter().map(text).collect(),
        candidates: outcome.candidates.len(),
    };
    said.blocked.sort();
    said.lifted.sort();
    said
}

#[derive(Default)]
pub(crate) struct Reference {
    lists: Vec<(TagKind, ListInfo, Option<HashKey>, Vec<Located>)>,
}

struct Speaking<'r> {
    kind: TagKind,
    list: &'r ListInfo,
    line: u32,
    rule: &'r Rule,
    /// Labels of its name; 0 for a regular expression.
    depth: usize,
}

impl Reference {
    pub(crate) fn add(&mut self, kind: TagKind, info: ListInfo, key: Option<HashKey>, rules: &[Located]) {
        self.lists.push((kind, info, key, rules.to_vec()));
    }

    pub(crate) fn lookup(&self, name: NameRef<'_>, qtype: u16) -> Said {
        let mut speaking = Vec::new();
        let mut candidates = 0;
        for (kind, list, key, rules) in &self.lists {
            let mut of_list: Vec<Speaking<'_>> = rules
                .iter()
                .filter_map(|located| {
                    let depth = speaks(&located.rule.pattern, key.as_ref(), name)?;
                    Some(Speaking {
                        kind: *kind,
                        list,
                        line: located.line,
                        rule: &located.rule,
                        depth,
                    })
                })
                .collect();
            if list.format == Format::Rpz {
                // The closest encloser: the longest name that exists in the zone, as an owner or above one.
                let closest = name
                    .suffixes()
                    .find(|suffix| {
                        rules.iter().any(|located| match &located.rule.pattern {
                            Pattern::Exact(owner) | Pattern::Below(owner) => {
                                owner.as_ref().is_at_or_below(*suffix)
                            }
                            _ => false,
                        })
                    })
                    .map_or(0, |suffix| suffix.labels().count());
                of_list.retain(|one| one.depth == closest);
            }
            of_list.retain(|one| {
                one.rule.types.as_ref().is_none_or(|types| types.contains(qtype))
                    && !one
                        .rule
                        .except
                        .iter()
                        .any(|except| name.is_at_or_below(except.as_ref()))
            });
            if key.is_some_and(|key| key.is_prefix() && key.offline == Offline::Allow) {
                candidates += of_list.len();
            } else {
                speaking.extend(of_list);
            }
        }
        // Most specific first, regular expressions last; else in the order of lists and lines.
        speaking.sort_by_key(|one| std::cmp::Reverse(one.depth));
        let mut tags: Vec<u8> = speaking
            .iter()
            .filter(|one| matches!(one.rule.effect, Effect::Block(_)))
            .map(|one| one.list.tag.0)
            .collect();
        tags.sort_unstable();
        tags.dedup();
        let mut said = Said {
            candidates,
            ..Said::default()
        };
        for tag in tags {
            one_tag(&speaking, tag, &mut said);
        }
        said.blocked.sort();
        said.lifted.sort();
        said
    }
}

fn one_tag(speaking: &[Speaking<'_>], tag: u8, said: &mut Said) {
    let own = |one: &&Speaking<'_>| one.list.tag.0 == tag;
    let helpline = speaking
        .iter()
        .filter(own)
        .any(|one| one.kind == TagKind::Helpline);
    let reaching = |one: &&Speaking<'_>| one.list.tag.0 == tag || one.kind == TagKind::Own && !helpline;
    let is_rewrite = |one: &Speaking<'_>| {
        one.list.format != Format::Rpz
            && matches!(&one.rule.effect, Effect::Block(answer) if *answer != Answer::Configured)
    };
    let record = |one: &Speaking<'_>, answer: &Answer| {
        (
            one.list.id.clone(),
            Some(one.line),
            one.list.tag.0,
            format!("{answer:?}"),
        )
    };
    let rewrites: Vec<&Speaking<'_>> = speaking
        .iter()
        .filter(own)
        .filter(|one| is_rewrite(one))
        .filter(|rewrite| {
            !speaking
                .iter()
                .filter(reaching)
                .any(|one| match &one.rule.effect {
                    Effect::AllowRewrite(meant) => {
                        (one.rule.important || !rewrite.rule.important)
                            && meant
                                .as_ref()
                                .is_none_or(|meant| rewrite.rule.effect == Effect::Block(meant.clone()))
                    }
                    _ => false,
                })
        })
        .collect();
    let answers = |wanted: fn(&Answer) -> bool| {
        rewrites.iter().find_map(|one| match &one.rule.effect {
            Effect::Block(answer) if wanted(answer) => Some((*one, answer.clone())),
            _ => None,
        })
    };
    if let Some((one, answer)) = answers(|answer| matches!(answer, Answer::Alias { .. }))
        .or_else(|| answers(|answer| matches!(answer, Answer::NxDomain | Answer::Refused | Answer::ServFail)))
    {
        return said.blocked.push(record(one, &answer));
    }
    if let Some(first) = rewrites.first() {
        let records: Vec<_> = rewrites
            .iter()
            .filter_map(|one| match &one.rule.effect {
                Effect::Block(Answer::Records(records)) => Some(records.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        let answer = if records.is_empty() {
            Answer::NoData
        } else {
            Answer::Records(records)
        };
        return said.blocked.push(record(first, &answer));
    }
    for important in [true, false] {
        let allow = speaking
            .iter()
            .filter(reaching)
            .find(|one| one.rule.effect == Effect::Allow && one.rule.important == important);
        if let Some(one) = allow {
            return said.lifted.push(record(one, &Answer::Configured));
        }
        let block = speaking.iter().filter(own).find(|one| {
            matches!(one.rule.effect, Effect::Block(_)) && !is_rewrite(one) && one.rule.important == important
        });
        if let Some(one) = block
            && let Effect::Block(answer) = &one.rule.effect
        {
            return said.blocked.push(record(one, answer));
        }
    }
}

/// Whether a pattern speaks of a name, and with how many labels.
fn speaks(pattern: &Pattern, key: Option<&HashKey>, name: NameRef<'_>) -> Option<usize> {
    let labels = |owner: NameRef<'_>| owner.labels().count();
    match pattern {
        Pattern::Exact(owner) => (owner.as_ref() == name).then(|| labels(owner.as_ref())),
        Pattern::Suffix(owner) => name
            .is_at_or_below(owner.as_ref())
            .then(|| labels(owner.as_ref())),
        Pattern::Below(owner) => {
            (owner.as_ref() != name && name.is_at_or_below(owner.as_ref())).then(|| labels(owner.as_ref()))
        }
        Pattern::Regex(regex) => regex::RegexBuilder::new(regex)
            .case_insensitive(true)
            .build()
            .unwrap()
            .is_match(&name.to_string())
            .then_some(0),
        Pattern::Hashed { digest, exact } => {
            let suffix = name
                .suffixes()
                .find(|suffix| key.unwrap().digest(suffix.to_string().as_bytes()) == *digest)?;
            (!exact || suffix == name).then(|| labels(suffix))
        }
    }
}
