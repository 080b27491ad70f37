//! The verdict: what applies to a name for the one who asks.
//!
//! The order, first match wins (CONTRACT "Order of decision"), stands once, in `order`; [`judge`] is it with the quick
//! look-up, [`verdict`] with the one that knows every rule. Within one step the most specific name wins.

pub mod budget;
pub mod confirm;
mod error;
mod in_force;
pub mod model;
mod names;
mod present;
mod ready;
pub mod schedule;
#[cfg(test)]
mod tests;

use isigurt_blocklists::index::{Hit, Index, Outcome, Plain, TagId, TagKind, TagSet};
use isigurt_blocklists::name::{MAX_WIRE, Name, NameRef};
use isigurt_blocklists::rule::Answer;

pub use error::PolicyError;
pub use in_force::{Clients, Device, Given, InForce, Surroundings};
pub use names::{Names, NamesError};
pub use present::{Grant, Off, Pause, Present, Standing, Who};
pub use ready::{Budget, Profile, SafeHosts, SafeSearchHosts};

/// The one who asks, with everything that is said about them.
#[derive(Debug, Clone, Copy)]
pub struct Client<'s> {
    /// The policy in force.
    pub policy: &'s InForce,
    /// Their profile.
    pub profile: &'s Profile,
    /// Their device, where it is known.
    pub device: Option<u32>,
    /// What holds for them now.
    pub standing: &'s Standing,
    /// The day that budgets count, and the minute since 1970.
    pub clock: (u16, u32),
}

impl<'s> Client<'s> {
    /// Everything about a device, or about clients that none is named for.
    #[inline]
    pub fn new(policy: &'s InForce, present: &'s Present, device: Option<u32>, minute: u32) -> Self {
        let profile = device.map_or_else(|| policy.default_profile(), |device| policy.profile_of(device));
        Self {
            policy,
            profile,
            device,
            standing: present.of(profile.place, device),
            clock: (present.day, minute),
        }
    }

    /// What was used today of the budget at this place of the profile.
    pub fn reading(&self, budget: usize) -> Option<budget::Reading> {
        let meter = self.policy.meter(self.profile, self.device, budget)?;
        Some(meter.reading(self.clock.0))
    }

    /// Everything about no device in particular of a profile.
    pub fn of_profile(policy: &'s InForce, present: &'s Present, profile: &'s Profile, minute: u32) -> Self {
        Self {
            policy,
            profile,
            device: None,
            standing: present.of(profile.place, None),
            clock: (present.day, minute),
        }
    }
}

/// What the line does with a query; why, [`verdict`] explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'p> {
    /// A helpline: never filtered, never logged.
    Helpline,
    /// Blocked, with the answer that the rule asks for.
    Blocked(Because, Answer),
    /// Allowed by the profile, by a grant or by the household's own lists, wherever the name leads.
    Excepted(Opened),
    /// A search engine's host, which leads to its safe search.
    Rewritten(&'p Name),
    /// Allowed, if it leads to nothing that is blocked.
    Allowed,
}

/// What opens a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// A grant.
    Grant,
    /// The profile's `allow`.
    Allow,
    /// An exception of the household's own lists.
    Own,
}

/// For whose sake a name is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// This group of lists.
    List(TagId),
    /// The mandatory national list.
    Mandatory(TagId),
    /// Somebody paused it.
    Paused,
    /// The schedule at this place of the profile.
    Schedule(u8),
    /// The budget at this place of the profile is used up.
    Budget(u8),
    /// The profile denies it.
    Denied,
    /// The profile allows nothing that it does not name.
    NotAllowed,
    /// The answer points into a private network (DNS rebinding).
    Private,
    /// It leads to safe search instead.
    SafeSearch,
}

/// What is told of whatever the national list blocks: never its name.
pub const NATIONAL: &str = "national list";

impl Because {
    /// For a person: the category, service or group, or what else it is.
    pub fn text<'t>(self, index: &'t Index, profile: &'t Profile) -> &'t str {
        match self {
            Self::List(tag) => index
                .tags()
                .get(usize::from(tag.0))
                .map_or("", |tag| tag.id.as_str()),
            Self::Mandatory(_) => NATIONAL,
            Self::Paused => "paused",
            Self::Schedule(place) => profile
                .schedules
                .get(usize::from(place))
                .map_or("schedule", |schedule| schedule.label.as_str()),
            Self::Budget(place) => profile
                .budgets
                .get(usize::from(place))
                .map_or("time used up", |budget| budget.label.as_str()),
            Self::Denied => "denied",
            Self::NotAllowed => "not on the allow list",
            Self::Private => "private address in a public answer",
            Self::SafeSearch => "safe search",
        }
    }
}

impl From<Off> for Because {
    fn from(off: Off) -> Self {
        match off {
            Off::Paused => Self::Paused,
            Off::Schedule(place) => Self::Schedule(place),
        }
    }
}

/// What the lists say about a name.
#[allow(clippy::large_enum_variant)] // lives on the stack of one decision; a box would be an allocation a query
enum Said<'i> {
    Nothing,
    /// Plain blocks, most specific first.
    Plain(Plain),
    /// Everything there is to know.
    Full(Outcome<'i>),
}

impl<'i> Said<'i> {
    /// The short way where only plain rules speak of the name; allocates nothing there. With it, whether the name is a
    /// candidate of a list of short prefixes: each of its labels is hashed once, here.
    #[inline]
    fn quick(index: &'i Index, name: NameRef<'_>, qtype: u16) -> (Self, bool) {
        let matches = index.matches(name);
        let expression = index.has_expression_for(name);
        if matches.is_empty() && !expression {
            return (Self::Nothing, false);
        }
        let plain = if expression {
            None
        } else {
            index.plain(name.labels().count(), &matches)
        };
        let said = plain.map_or_else(
            || Self::Full(index.lookup_matched(name, qtype, &matches)),
            Self::Plain,
        );
        (said, index.is_candidate(&matches))
    }

    /// Whether one of these tags blocks the name.
    fn any(&self, tags: &TagSet) -> bool {
        match self {
            Self::Nothing => false,
            Self::Plain(plain) => plain.iter().any(|(_, theirs)| theirs.intersects(tags)),
            Self::Full(outcome) => outcome.blocked.iter().any(|hit| tags.contains(hit.tag)),
        }
    }

    /// The most specific one of these tags that blocks the name.
    fn first(&self, tags: &TagSet) -> Option<(TagId, Answer)> {
        match self {
            Self::Nothing => None,
            Self::Plain(plain) => {
                let tag = plain.iter().find_map(|(_, theirs)| theirs.and(tags).first())?;
                Some((tag, Answer::Configured))
            }
            Self::Full(outcome) => {
                let hit = outcome.blocked.iter().find(|hit| tags.contains(hit.tag))?;
                Some((hit.tag, hit.answer().clone()))
            }
        }
    }

    fn excepted(&self) -> bool {
        matches!(self, Self::Full(outcome) if outcome.excepted)
    }
}

/// The decision where a candidate of a list is known to be meant, or is blocked until somebody says otherwise.
pub fn meant<'s>(suspect: &confirm::Suspect) -> Decision<'s> {
    let because = if suspect.mandatory {
        Because::Mandatory(suspect.tag)
    } else {
        Because::List(suspect.tag)
    };
    Decision::Blocked(because, Answer::Configured)
}

/// The decision on a query. Minutes of budgets are counted here. Allocates nothing where only plain rules speak of the name.
#[inline]
pub fn decide<'s>(index: &Index, client: &Client<'s>, name: NameRef<'_>, qtype: u16) -> Decision<'s> {
    judge(index, client, name, qtype).0
}

/// The same, and whether the name is a candidate of a list of short prefixes: only then are there any
/// [`confirm::suspects`], and names that are none are not looked up again.
#[inline]
pub fn judge<'s>(index: &Index, client: &Client<'s>, name: NameRef<'_>, qtype: u16) -> (Decision<'s>, bool) {
    let (said, candidate) = Said::quick(index, name, qtype);
    (order(index, &said, client, name, true), candidate)
}

/// The order of decision. `counting`: whether the minute counts for budgets.
fn order<'s>(
    index: &Index,
    said: &Said<'_>,
    client: &Client<'s>,
    name: NameRef<'_>,
    counting: bool,
) -> Decision<'s> {
    let (profile, standing) = (client.profile, client.standing);
    let listed = !matches!(said, Said::Nothing);
    // 1 and 2: what nobody here can change.
    if listed {
        if said.any(&index.kind(TagKind::Helpline)) {
            return Decision::Helpline;
        }
        if let Some((tag, answer)) = said.first(&index.kind(TagKind::Mandatory)) {
            return Decision::Blocked(Because::Mandatory(tag), answer);
        }
    }
    // 3 and 4: for a while.
    if let Some(off) = standing.off {
        return Decision::Blocked(off.into(), Answer::Configured);
    }
    if standing.grants(name, |tags| said.any(tags)) {
        return Decision::Excepted(Opened::Grant);
    }
    // 5 and 6: by name.
    if profile.allow.speak_of(name) {
        return Decision::Excepted(Opened::Allow);
    }
    if profile.deny.speak_of(name) {
        return Decision::Blocked(Because::Denied, Answer::Configured);
    }
    // 7 to 10: by lists.
    if listed && let Some(decision) = by_lists(index, said, client, counting) {
        return decision;
    }
    // 11 and 12.
    if let Some(target) = profile.safe_search.as_ref().and_then(|hosts| hosts.target(name)) {
        return Decision::Rewritten(target);
    }
    if let Some(place) = standing.allow_list {
        return Decision::Blocked(Because::Schedule(place), Answer::Configured);
    }
    if profile.deny_rest {
        return Decision::Blocked(Because::NotAllowed, Answer::Configured);
    }
    Decision::Allowed
}

/// Steps 7 to 10: the household's own lists and ways round the filter, budgets, services, categories.
fn by_lists<'s>(index: &Index, said: &Said<'_>, client: &Client<'s>, counting: bool) -> Option<Decision<'s>> {
    let (profile, standing) = (client.profile, client.standing);
    let blocked_by = |kind: TagKind| {
        let (tag, answer) = said.first(&profile.blocked.and(&index.kind(kind)))?;
        Some(Decision::Blocked(Because::List(tag), answer))
    };
    if let Some(decision) = blocked_by(TagKind::Own).or_else(|| blocked_by(TagKind::Bypass)) {
        return Some(decision);
    }
    let metered = !profile.metered.is_empty() && said.any(&profile.metered);
    if metered && let Some(place) = used_up(said, client, false) {
        return Some(Decision::Blocked(Because::Budget(place), Answer::Configured));
    }
    if let Some(decision) = blocked_by(TagKind::Service) {
        return Some(decision);
    }
    if let Some(place) = standing.no_services
        && said.any(&client.policy.services)
    {
        return Some(Decision::Blocked(Because::Schedule(place), Answer::Configured));
    }
    if let Some(decision) = blocked_by(TagKind::Category) {
        return Some(decision);
    }
    if metered
        && counting
        && let Some(place) = used_up(said, client, true)
    {
        return Some(Decision::Blocked(Because::Budget(place), Answer::Configured));
    }
    said.excepted().then_some(Decision::Excepted(Opened::Own))
}

/// The place of a budget that the name needs and that is used up. `counting`: the minute is taken from all of them.
fn used_up(said: &Said<'_>, client: &Client<'_>, counting: bool) -> Option<u8> {
    let (day, minute) = client.clock;
    let mut over = None;
    for (place, budget) in (0..=u8::MAX).zip(&client.profile.budgets) {
        if !said.any(&budget.tags) {
            continue;
        }
        let meter = client
            .policy
            .meter(client.profile, client.device, usize::from(place));
        let left = meter.is_none_or(|meter| {
            if counting {
                meter.take(day, minute, budget.minutes)
            } else {
                meter.peek(day, minute, budget.minutes)
            }
        });
        if !left {
            over = over.or(Some(place));
        }
    }
    over
}

/// What applies, with what decided it.
#[derive(Debug)]
pub struct Verdict<'i> {
    /// What the line does.
    pub decision: Decision<'i>,
    /// The rule that decided, if one did.
    pub rule: Option<Hit<'i>>,
    /// The line of the profile's own `allow` or `deny` that decided.
    pub line: Option<&'i str>,
    /// Exceptions without which the name would be blocked.
    pub lifted: Vec<Hit<'i>>,
    /// Prefixes of hashes that the name shares, which nobody has confirmed.
    pub candidates: Vec<Hit<'i>>,
}

/// The verdict on a query; counts nothing.
pub fn verdict<'i>(index: &'i Index, client: &Client<'i>, name: NameRef<'_>, qtype: u16) -> Verdict<'i> {
    let said = Said::Full(index.lookup(name, qtype));
    let decision = order(index, &said, client, name, false);
    let mut outcome = match said {
        Said::Full(outcome) => outcome,
        Said::Nothing | Said::Plain(_) => Outcome::default(), // made full above
    };
    let helplines = index.kind(TagKind::Helpline);
    let deciding = |hit: &Hit<'_>| match &decision {
        Decision::Helpline => helplines.contains(hit.tag),
        Decision::Blocked(Because::List(tag) | Because::Mandatory(tag), _) => hit.tag == *tag,
        _ => false,
    };
    let rule = outcome.blocked.iter().position(deciding);
    let line = match &decision {
        Decision::Excepted(Opened::Allow) => client.profile.allow.find(name),
        Decision::Blocked(Because::Denied, _) => client.profile.deny.find(name),
        _ => None,
    };
    Verdict {
        rule: rule.map(|place| outcome.blocked.swap_remove(place)),
        line,
        decision,
        lifted: outcome.lifted,
        candidates: outcome.candidates,
    }
}

/// Whether a name is a helpline's: never filtered, never logged, for nobody.
pub fn is_helpline(index: &Index, name: NameRef<'_>) -> bool {
    Said::quick(index, name, 1).0.any(&index.kind(TagKind::Helpline))
}

/// What holds of a name whoever asks, and whatever the household opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Law {
    /// It is a helpline's, which is on no list.
    Helpline,
    /// The national list blocks it.
    Listed(Because, Answer),
    /// It is a candidate of a list of short prefixes: [`confirm::suspects`] tells of which.
    Candidate,
    /// Nothing.
    Silent,
}

/// What holds of a name whoever asks: one look-up.
pub fn law(index: &Index, name: NameRef<'_>, qtype: u16) -> Law {
    let (said, candidate) = Said::quick(index, name, qtype);
    if said.any(&index.kind(TagKind::Helpline)) {
        return Law::Helpline;
    }
    match said.first(&index.kind(TagKind::Mandatory)) {
        Some((tag, answer)) => Law::Listed(Because::Mandatory(tag), answer),
        None if candidate => Law::Candidate,
        None => Law::Silent,
    }
}

/// Whether a name is, or begins with, one that no log may show: a helpline's, or one of the national list. A resolver that got
/// nothing for such a name asks again with the network's search domain behind it.
pub fn begins_unspoken(index: &Index, name: NameRef<'_>) -> bool {
    let (helplines, mandatory) = (index.kind(TagKind::Helpline), index.kind(TagKind::Mandatory));
    let unspoken = |name: NameRef<'_>| {
        let (said, candidate) = Said::quick(index, name, 1);
        candidate || said.any(&helplines) || said.any(&mandatory)
    };
    let mut front = [0; MAX_WIRE];
    let mut end = 0;
    for label in name.labels() {
        let next = end + 1 + label.len();
        let (Some(place), Some(octets)) = (front.get_mut(end..next), name.wire().get(end..next)) else {
            break;
        };
        place.copy_from_slice(octets);
        end = next;
        // What follows is still zero: the root.
        if front
            .get(..=end)
            .is_some_and(|front| unspoken(NameRef::accepted_before(front)))
        {
            return true;
        }
    }
    false
}

/// The kind of a tag.
pub fn kind(index: &Index, tag: TagId) -> Option<TagKind> {
    index.tags().get(usize::from(tag.0)).map(|tag| tag.kind)
}
