//! What a list would do: to what was asked for in the last day, to well-known names, to helplines.
//!
//! What would be blocked is found with the line's own order of decision, once with the index in force and once with the one that was
//! built aside, by what the profiles say alone: pauses, hours and used-up minutes end, a list stays. Names come from the query log, so
//! nothing is shown that was not kept, and nothing of a profile that keeps its names to itself. An answer that leads on to a name of the
//! list is not seen here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use isigurt_blocklists::data;
use isigurt_blocklists::index::{Index, TagId, TagKind};
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_core::policy::{self, Client, Decision, InForce, Present};
use isigurt_core::step::Kind;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::List;
use crate::log::pages::{self, Span};
use crate::log::record::Raw;
use crate::log::segment;
use crate::status::Watch;
use crate::sync::staging::{ALONE, Tried};

/// The query type that is looked at.
const A: u16 = 1;
/// Different names that are looked at.
const LOOKED_AT: usize = 50_000;
/// Names that are shown.
const SHOWN: usize = 100;

/// Whether the queries of a profile may be shown by name.
pub type Shows = Box<dyn Fn(&str) -> bool + Send>;

/// What a list is, and what it would do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListFindings {
    /// Its format, as it was found.
    pub format: String,
    /// Its length, octets.
    pub octets: u64,
    /// Lines with rules.
    pub lines: u64,
    /// Rules that would be kept.
    pub kept: u64,
    /// Rules that say what an earlier one of the list says.
    pub duplicates: u64,
    /// Rules that a rule above them makes unnecessary.
    pub redundant: u64,
    /// Lines that are no rules.
    pub rejected: u64,
    /// The first of them.
    pub rejections: Vec<RejectedLine>,
    /// Rules for names that no list of its category blocks yet.
    pub new: u64,
    /// Rules that open names.
    pub exceptions: u64,
    /// Rules that answer with addresses or names of their own.
    pub answers: u64,
    /// Profiles that block its category.
    pub profiles: Vec<String>,
    /// Helplines that it names: they stay open.
    pub helplines: Vec<String>,
    /// Well-known names that it names.
    pub well_known: Vec<WellKnown>,
    /// What would have been blocked of what was asked for in the last day.
    pub effect: Effect,
}

/// A line that is no rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RejectedLine {
    /// Its number, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub reason: String,
    /// How it begins.
    pub text: String,
}

/// A name that many know.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WellKnown {
    /// The app or site.
    pub app: String,
    /// Its name.
    pub name: String,
}

/// What would have been blocked.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Effect {
    /// What the log keeps: `full`, `anonymous`, or `blocked-only` and `off`, where nothing can be said.
    pub log: &'static str,
    /// From when on was looked.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Different names that were looked at.
    pub looked_at: u64,
    /// Whether there were more than can be looked at.
    pub more: bool,
    /// Different names that would have been blocked, counted for each profile.
    pub names: u64,
    /// How often they were asked for.
    pub requests: u64,
    /// The most frequent of them.
    pub items: Vec<Would>,
}

/// A name that would have been blocked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Would {
    /// For whom.
    pub profile: String,
    /// The name.
    pub name: String,
    /// How often it was asked for.
    pub times: u64,
}

/// Everything about a list that was built aside.
pub(super) fn findings(
    watch: &Watch,
    tried: Tried,
    list: &List,
    octets: u64,
    shows: &Shows,
) -> Result<ListFindings, String> {
    let snapshot = watch.engine().snapshot();
    let (now, then) = (
        Ahead::new(watch, &snapshot.index)?,
        Ahead::new(watch, &tried.together)?,
    );
    let alone = Alone::new(&tried.alone);
    let rejections = tried.rejections.into_iter().map(|rejected| RejectedLine {
        line: rejected.line,
        reason: rejected.reason,
        text: rejected.text,
    });
    Ok(ListFindings {
        format: tried.format.to_string(),
        octets,
        lines: tried.lines,
        kept: tried.kept,
        duplicates: tried.duplicates,
        redundant: tried.redundant,
        rejected: tried.rejected,
        rejections: rejections.collect(),
        new: tried.measured.new,
        exceptions: tried.measured.exceptions,
        answers: tried.measured.answers,
        profiles: then.blocking(list.category.as_deref()),
        helplines: alone.helplines(),
        well_known: alone.well_known(),
        effect: effect(watch, &now, &then, shows).map_err(|error| format!("query log: {error}"))?,
    })
}

/// An index with the profiles made ready for it.
struct Ahead<'i> {
    index: &'i Index,
    policy: InForce,
    present: Present,
}

impl<'i> Ahead<'i> {
    fn new(watch: &Watch, index: &'i Index) -> Result<Self, String> {
        let policy = watch.household().ahead(index)?;
        Ok(Self {
            index,
            present: Present::plain(&policy),
            policy,
        })
    }

    /// Whether a profile blocks a name; helplines are blocked for nobody.
    fn blocks(&self, profile: &policy::Profile, name: NameRef<'_>) -> bool {
        let client = Client::of_profile(&self.policy, &self.present, profile, 0);
        let verdict = policy::verdict(self.index, &client, name, A);
        matches!(verdict.decision, Decision::Blocked(..))
    }

    /// Profiles that block a category, or, without one, the household's own lists.
    fn blocking(&self, category: Option<&str>) -> Vec<String> {
        let tag = match category {
            Some(category) => self.index.tag(TagKind::Category, category),
            None => self.index.tag(TagKind::Own, "own"),
        };
        let all = self.policy.profiles().iter();
        all.filter(|profile| tag.is_some_and(|tag| profile.blocked.contains(tag)))
            .map(|profile| profile.name.clone())
            .collect()
    }
}

/// The list by itself.
struct Alone<'i> {
    index: &'i Index,
    tag: Option<TagId>,
}

impl<'i> Alone<'i> {
    fn new(index: &'i Index) -> Self {
        Self {
            index,
            tag: index.tag(TagKind::Category, ALONE),
        }
    }

    fn blocks(&self, name: &Name) -> bool {
        let outcome = self.index.lookup(name.as_ref(), A);
        outcome.blocked.iter().any(|hit| Some(hit.tag) == self.tag)
    }

    fn helplines(&self) -> Vec<String> {
        let helplines = data::built_in().map(|data| data.helplines).unwrap_or_default();
        let domains = helplines.iter().flat_map(|line| &line.domains);
        let mut named: Vec<String> = domains
            .filter(|domain| self.blocks(domain))
            .map(ToString::to_string)
            .collect();
        named.sort();
        named.dedup();
        named
    }

    /// Names of apps that the built-in data know, and of search engines.
    fn well_known(&self) -> Vec<WellKnown> {
        let Ok(data) = data::built_in() else {
            return Vec::new();
        };
        let services = data
            .services
            .iter()
            .map(|service| (&service.name, &service.domains));
        let engines = data
            .safe_search
            .iter()
            .map(|engine| (&engine.provider, &engine.hosts));
        let named = services.chain(engines).filter_map(|(app, names)| {
            let name = names.iter().find(|name| self.blocks(name))?;
            Some(WellKnown {
                app: app.clone(),
                name: name.to_string(),
            })
        });
        named.take(SHOWN).collect()
    }
}

/// How often each name was asked for and not blocked, by profile; and whether there were more.
#[derive(Default)]
struct Queries {
    by_profile: HashMap<Vec<u8>, HashMap<Vec<u8>, u64>>,
    names: usize,
    more: bool,
}

impl Queries {
    fn note(&mut self, raw: &Raw<'_>) {
        if raw.kind == Kind::Blocked || raw.is_hidden() {
            return;
        }
        let names = match self.by_profile.get_mut(raw.profile) {
            Some(names) => names,
            None => self.by_profile.entry(raw.profile.to_vec()).or_default(),
        };
        let name = raw.name.to_ascii_lowercase(); // an octet of a length is none of a letter
        if let Some(times) = names.get_mut(&name) {
            *times += 1;
        } else if self.names < LOOKED_AT {
            self.names += 1;
            names.insert(name, 1);
        } else {
            self.more = true;
        }
    }
}

fn queries(watch: &Watch, since: Timestamp) -> io::Result<Queries> {
    watch.engine().log().flush();
    let folder = segment::folder(watch.household().folder());
    let found = RefCell::new(Queries::default());
    let mut span = Span {
        from: None,
        since_ms: u64::try_from(since.as_millisecond()).unwrap_or(0),
        before_ms: u64::MAX,
        limit: 1,
    };
    loop {
        let page = pages::page(&folder, span, |raw| {
            found.borrow_mut().note(raw);
            false // noted is enough
        })?;
        match page.next {
            Some(next) => span.from = Some(next),
            None => return Ok(found.into_inner()),
        }
    }
}

/// What would have been blocked of what was asked for in the last day.
fn effect(watch: &Watch, now: &Ahead<'_>, then: &Ahead<'_>, shows: &Shows) -> io::Result<Effect> {
    let keeping = watch.engine().log().keeping();
    let mut effect = Effect {
        since: Timestamp::now()
            .checked_sub(SignedDuration::from_hours(24))
            .unwrap_or_default(),
        log: match keeping {
            keeping if keeping.nothing => "off",
            keeping if keeping.blocked_only => "blocked-only",
            keeping if keeping.anonymous => "anonymous",
            _ => "full",
        },
        ..Effect::default()
    };
    if keeping.nothing || keeping.blocked_only {
        return Ok(effect);
    }
    let queries = queries(watch, effect.since)?;
    effect.more = queries.more;
    for (profile, names) in queries.by_profile {
        let profile = String::from_utf8_lossy(&profile);
        let both = (now.policy.profile(&profile), then.policy.profile(&profile));
        let (Some(before), Some(after)) = both else {
            continue; // it is gone
        };
        if !shows(&profile) {
            continue;
        }
        for (wire, times) in names {
            let Ok(name) = Name::from_wire(&wire) else {
                continue;
            };
            effect.looked_at += 1;
            if then.blocks(after, name.as_ref()) && !now.blocks(before, name.as_ref()) {
                effect.names += 1;
                effect.requests += times;
                effect.items.push(Would {
                    profile: profile.clone().into_owned(),
                    name: name.to_string(),
                    times,
                });
            }
        }
    }
    effect.items.sort_by(|one, other| {
        other
            .times
            .cmp(&one.times)
            .then_with(|| one.name.cmp(&other.name))
    });
    effect.items.truncate(SHOWN);
    Ok(effect)
}
