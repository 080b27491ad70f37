//! The verdict: what applies to a name for the one who asks.
//!
//! Order, first match wins (CONTRACT "Order of decision", as far as the parts exist): helplines are never filtered; then what
//! the profile allows, then what it denies; then the household's own lists; then ways round the filter; then services; then
//! categories; else the profile's default. Within one step the most specific name wins.

mod in_force;
pub mod model;
mod names;

use isigurt_blocklists::index::{Hit, Index, TagId, TagKind, TagSet};
use isigurt_blocklists::name::NameRef;
use isigurt_blocklists::rule::Answer;

pub use in_force::{InForce, PolicyError};
pub use names::{Names, NamesError};

/// Who is meant, and what is blocked for them.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// The profile's name.
    pub name: String,
    /// Its place in the policy.
    pub place: u16,
    /// Categories, services, own lists and bypass lists that are blocked.
    pub blocked: TagSet,
    /// Names that are allowed.
    pub allow: Names,
    /// Names that are blocked.
    pub deny: Names,
    /// Whether names that nothing is said about are blocked.
    pub deny_rest: bool,
}

/// What applies.
#[derive(Debug)]
pub enum Verdict<'i> {
    /// A helpline: never filtered, never logged.
    Helpline(Hit<'i>),
    /// The profile allows it, with this line.
    AllowedBy(&'i str),
    /// The profile denies it, with this line.
    DeniedBy(&'i str),
    /// Blocked by this rule.
    Blocked(Hit<'i>),
    /// The profile allows nothing that it does not name.
    NotAllowed,
    /// Allowed; exceptions that won are kept for the explanation.
    Allowed {
        /// Exceptions without which the name would be blocked.
        lifted: Vec<Hit<'i>>,
        /// Prefixes of hashes that the name shares, which nobody has confirmed.
        candidates: Vec<Hit<'i>>,
        /// The household's own lists say so.
        excepted: bool,
    },
}

/// The verdict on a query for `name` and `qtype` under `profile`.
pub fn verdict<'i>(index: &'i Index, profile: &'i Profile, name: NameRef<'_>, qtype: u16) -> Verdict<'i> {
    let lists = of_lists(index, profile, name, qtype);
    if let Verdict::Helpline(_) = lists {
        return lists;
    }
    if let Some(line) = profile.allow.find(name) {
        return Verdict::AllowedBy(line);
    }
    if let Some(line) = profile.deny.find(name) {
        return Verdict::DeniedBy(line);
    }
    match lists {
        Verdict::Allowed { excepted: false, .. } if profile.deny_rest => Verdict::NotAllowed,
        lists => lists,
    }
}

/// What the lists say.
fn of_lists<'i>(index: &'i Index, profile: &Profile, name: NameRef<'_>, qtype: u16) -> Verdict<'i> {
    let outcome = index.lookup(name, qtype);
    if outcome.blocked.is_empty() {
        return Verdict::Allowed {
            lifted: outcome.lifted,
            candidates: outcome.candidates,
            excepted: outcome.excepted,
        };
    }
    let mut best: Option<(u8, Hit<'i>)> = None;
    for hit in outcome.blocked {
        let Some(step) = kind(index, hit.tag).map(step) else {
            continue;
        };
        if step == 0 {
            return Verdict::Helpline(hit);
        }
        let better = best.as_ref().is_none_or(|(held, other)| {
            (step, -i16::from(hit.specificity())) < (*held, -i16::from(other.specificity()))
        });
        if profile.blocked.contains(hit.tag) && better {
            best = Some((step, hit));
        }
    }
    match best {
        Some((_, hit)) => Verdict::Blocked(hit),
        None => Verdict::Allowed {
            lifted: outcome.lifted,
            candidates: outcome.candidates,
            excepted: outcome.excepted,
        },
    }
}

/// What the line does with a query; why, [`verdict`] explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A helpline: never filtered, never logged.
    Helpline,
    /// Blocked, with the answer that the rule asks for.
    Blocked(Because, Answer),
    /// Allowed by the profile or by the household's own lists, wherever the name leads.
    Excepted,
    /// Allowed, if it leads to nothing that is blocked.
    Allowed,
}

/// For whose sake a name is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// This group of lists.
    List(TagId),
    /// The profile denies it.
    Denied,
    /// The profile allows nothing that it does not name.
    NotAllowed,
    /// The answer points into a private network (DNS rebinding).
    Private,
}

impl Because {
    /// For a person: the category, service or group, or what else it is.
    pub fn text(self, index: &Index) -> &str {
        match self {
            Self::List(tag) => index
                .tags()
                .get(usize::from(tag.0))
                .map_or("", |tag| tag.id.as_str()),
            Self::Denied => "denied",
            Self::NotAllowed => "not on the allow list",
            Self::Private => "private address in a public answer",
        }
    }
}

/// The decision on a query: what [`verdict`] comes to, the short way where only plain rules speak of the name. Allocates
/// nothing there.
#[inline]
pub fn decide(index: &Index, profile: &Profile, name: NameRef<'_>, qtype: u16) -> Decision {
    let lists = decide_lists(index, profile, name, qtype);
    if lists == Decision::Helpline {
        return lists;
    }
    if !profile.allow.is_empty() && profile.allow.find(name).is_some() {
        return Decision::Excepted;
    }
    if !profile.deny.is_empty() && profile.deny.find(name).is_some() {
        return Decision::Blocked(Because::Denied, Answer::Configured);
    }
    if profile.deny_rest && lists == Decision::Allowed {
        return Decision::Blocked(Because::NotAllowed, Answer::Configured);
    }
    lists
}

/// Steps of the order of decision behind the helplines.
const STEPS: [TagKind; 4] = [TagKind::Own, TagKind::Bypass, TagKind::Service, TagKind::Category];

fn decide_lists(index: &Index, profile: &Profile, name: NameRef<'_>, qtype: u16) -> Decision {
    let matches = index.matches(name);
    let expression = index.has_expression_for(name);
    if matches.is_empty() && !expression {
        return Decision::Allowed;
    }
    let plain = if expression {
        None
    } else {
        index.plain(name.labels().count(), &matches)
    };
    let Some(plain) = plain else {
        return match of_lists(index, profile, name, qtype) {
            Verdict::Helpline(_) => Decision::Helpline,
            Verdict::Blocked(hit) => Decision::Blocked(Because::List(hit.tag), hit.answer().clone()),
            Verdict::Allowed { excepted: true, .. } => Decision::Excepted,
            _ => Decision::Allowed,
        };
    };
    let helplines = index.kind(TagKind::Helpline);
    if plain.iter().any(|(_, tags)| tags.intersects(&helplines)) {
        return Decision::Helpline;
    }
    STEPS
        .into_iter()
        .find_map(|kind| {
            let blocked = profile.blocked.and(&index.kind(kind));
            plain.iter().find_map(|(_, tags)| tags.and(&blocked).first())
        })
        .map_or(Decision::Allowed, |tag| {
            Decision::Blocked(Because::List(tag), Answer::Configured)
        })
}

/// The kind of a tag.
pub fn kind(index: &Index, tag: TagId) -> Option<TagKind> {
    index.tags().get(usize::from(tag.0)).map(|tag| tag.kind)
}

/// The step of the order of decision that a kind of list belongs to.
fn step(kind: TagKind) -> u8 {
    match kind {
        TagKind::Helpline => 0,
        TagKind::Own => 1,
        TagKind::Bypass => 2,
        TagKind::Service => 3,
        TagKind::Category => 4,
    }
}
