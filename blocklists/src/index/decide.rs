//! Which of the rules that speak of a name decides, tag by tag.

use std::cmp::Reverse;

use super::lookup::Candidate;
use super::{Hit, Index, Outcome, TagId, TagKind};
use crate::read::Format;
use crate::rule::{Answer, Effect, LocalRecord};

/// Decides among `candidates`, which are in order of falling specificity, regular expressions last.
pub(super) fn decide<'i>(index: &'i Index, candidates: &[Candidate<'_>]) -> Outcome<'i> {
    let mut outcome = Outcome::default();
    let (unconfirmed, candidates): (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>) = candidates
        .iter()
        .partition(|candidate| index.unconfirmed(candidate.list));
    outcome.candidates = unconfirmed
        .into_iter()
        .filter_map(|candidate| hit(index, candidate, answer_of(candidate)))
        .collect();
    outcome.excepted = candidates.iter().any(|candidate| {
        let kind = tag_of(index, candidate).and_then(|tag| kind_of(index, tag));
        *candidate.effect() == Effect::Allow && kind == Some(TagKind::Own)
    });
    let mut done: Vec<TagId> = Vec::new();
    for candidate in &candidates {
        let Some(tag) = tag_of(index, candidate) else {
            continue;
        };
        if done.contains(&tag) || !matches!(candidate.effect(), Effect::Block(_)) {
            continue;
        }
        done.push(tag);
        match one_tag(index, tag, &candidates) {
            Some(Decision::Blocked(hit)) => outcome.blocked.push(hit),
            Some(Decision::Lifted(hit)) => outcome.lifted.push(hit),
            None => {}
        }
    }
    outcome.blocked.sort_by_key(|hit| Reverse(hit.specificity));
    outcome
}

enum Decision<'i> {
    Blocked(Hit<'i>),
    Lifted(Hit<'i>),
}

/// The decision of one tag.
fn one_tag<'i>(index: &'i Index, tag: TagId, candidates: &[&Candidate<'_>]) -> Option<Decision<'i>> {
    let fixed = matches!(kind_of(index, tag), Some(TagKind::Helpline | TagKind::Mandatory));
    let own = |candidate: &&&Candidate<'_>| tag_of(index, candidate) == Some(tag);
    // Exceptions of the household's own lists reach every tag but the helplines and the mandatory list.
    let reaching = |candidate: &&&Candidate<'_>| {
        let theirs = tag_of(index, candidate);
        theirs == Some(tag)
            || !fixed && theirs.and_then(|theirs| kind_of(index, theirs)) == Some(TagKind::Own)
    };
    if let Some(hit) = rewrite(index, candidates, own, reaching) {
        return Some(Decision::Blocked(hit));
    }
    let block = |important: bool| {
        candidates.iter().filter(own).find(|candidate| {
            matches!(candidate.effect(), Effect::Block(_))
                && !is_rewrite(index, candidate)
                && candidate.important() == important
        })
    };
    let allow = |important: bool| {
        candidates
            .iter()
            .filter(reaching)
            .find(|candidate| *candidate.effect() == Effect::Allow && candidate.important() == important)
    };
    let ranks = [
        (true, allow(true)),
        (false, block(true)),
        (true, allow(false)),
        (false, block(false)),
    ];
    let (allowing, candidate) = ranks
        .into_iter()
        .find_map(|(allowing, found)| Some((allowing, found?)))?;
    let hit = hit(index, candidate, answer_of(candidate))?;
    Some(if allowing {
        Decision::Lifted(hit)
    } else {
        Decision::Blocked(hit)
    })
}

/// The combined rewrite of one tag, if any is left after its exceptions.
fn rewrite<'i>(
    index: &'i Index,
    candidates: &[&Candidate<'_>],
    own: impl Fn(&&&Candidate<'_>) -> bool,
    reaching: impl Fn(&&&Candidate<'_>) -> bool,
) -> Option<Hit<'i>> {
    let lifted = |rewrite: &Candidate<'_>| {
        candidates
            .iter()
            .filter(|candidate| reaching(candidate))
            .any(|candidate| {
                let Effect::AllowRewrite(meant) = candidate.effect() else {
                    return false;
                };
                let ranks = candidate.important() || !rewrite.important();
                ranks
                    && meant
                        .as_ref()
                        .is_none_or(|meant| *rewrite.effect() == Effect::Block(meant.clone()))
            })
    };
    let left: Vec<&Candidate<'_>> = candidates
        .iter()
        .copied()
        .filter(|candidate| own(&candidate) && is_rewrite(index, candidate) && !lifted(candidate))
        .collect();
    let first_with = |wanted: fn(&Answer) -> bool| {
        left.iter().find_map(|candidate| match candidate.effect() {
            Effect::Block(answer) if wanted(answer) => Some((*candidate, answer.clone())),
            _ => None,
        })
    };
    let code = |answer: &Answer| matches!(answer, Answer::NxDomain | Answer::Refused | Answer::ServFail);
    let (candidate, answer) = first_with(|answer| matches!(answer, Answer::Alias { .. }))
        .or_else(|| first_with(code))
        .or_else(|| {
            let records: Vec<LocalRecord> = left
                .iter()
                .filter_map(|candidate| match candidate.effect() {
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
            left.first().map(|candidate| (*candidate, answer))
        })?;
    hit(index, candidate, answer)
}

/// Whether the rule is a rewrite: it blocks with an answer of its own, and its list is no RPZ zone.
fn is_rewrite(index: &Index, candidate: &Candidate<'_>) -> bool {
    let zone = index
        .lists()
        .get(usize::from(candidate.list))
        .is_some_and(|list| list.format == Format::Rpz);
    !zone && matches!(candidate.effect(), Effect::Block(answer) if *answer != Answer::Configured)
}

fn answer_of(candidate: &Candidate<'_>) -> Answer {
    match candidate.effect() {
        Effect::Block(answer) => answer.clone(),
        _ => Answer::Configured,
    }
}

fn hit<'i>(index: &'i Index, candidate: &Candidate<'_>, answer: Answer) -> Option<Hit<'i>> {
    let list = index.lists().get(usize::from(candidate.list))?;
    Some(Hit {
        list,
        tag: list.tag,
        number: candidate.list,
        place: candidate.place,
        pattern: index.pattern(candidate),
        answer,
        important: candidate.important(),
        specificity: candidate.specificity,
    })
}

fn tag_of(index: &Index, candidate: &Candidate<'_>) -> Option<TagId> {
    index
        .lists()
        .get(usize::from(candidate.list))
        .map(|list| list.tag)
}

fn kind_of(index: &Index, tag: TagId) -> Option<TagKind> {
    index.tags().get(usize::from(tag.0)).map(|tag| tag.kind)
}
