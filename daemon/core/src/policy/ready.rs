//! One profile made ready: ids turned into masks, hours into schedules, names into tables.

use std::collections::HashMap;
use std::sync::Arc;

use isigurt_blocklists::data::SafeSearch;
use isigurt_blocklists::index::{Index, TagKind, TagSet};
use isigurt_blocklists::name::{Name, NameRef};
use jiff::civil::Time;

use super::error::PolicyError;
use super::model::{
    BudgetText, CalendarText, Otherwise, Per, Preset, ProfileText, ScheduleText, Visibility, Youtube,
};
use super::names::Names;
use super::schedule::{Days, Keeping, Mode, Schedule};

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
    /// Hosts that lead to safe search.
    pub safe_search: Option<Arc<SafeHosts>>,
    /// What others see of its devices' queries.
    pub visibility: Visibility,
    /// When more is blocked.
    pub schedules: Vec<Schedule>,
    /// Minutes a day.
    pub budgets: Vec<Budget>,
    /// What the budgets are about, together.
    pub metered: TagSet,
    /// The place of its first meter.
    pub meters: u32,
}

impl Profile {
    /// The place of the budget with this label.
    pub fn budget(&self, label: &str) -> Option<usize> {
        self.budgets.iter().position(|budget| budget.label == label)
    }
}

/// In front of what a budget is called, in its label.
const USED_UP: &str = "time used up: ";

impl Budget {
    /// What it is called.
    pub fn called(&self) -> &str {
        self.label.strip_prefix(USED_UP).unwrap_or(&self.label)
    }
}

/// Minutes a day for services and categories.
#[derive(Debug, Clone)]
pub struct Budget {
    /// What is said where it is used up, for a person.
    pub label: String,
    /// Services and categories.
    pub tags: TagSet,
    /// Minutes.
    pub minutes: u16,
    /// Whose minutes are counted together.
    pub per: Per,
}

/// Hosts of search engines and where they lead, by wire format.
#[derive(Debug, Default)]
pub struct SafeHosts(HashMap<Box<[u8]>, Name, foldhash::fast::RandomState>);

impl SafeHosts {
    /// Where a host leads.
    #[inline]
    pub fn target(&self, name: NameRef<'_>) -> Option<&Name> {
        self.0.get(name.wire())
    }
}

/// Facts that profiles are made ready with; made once, shared by all.
#[derive(Debug, Default)]
pub struct SafeSearchHosts {
    /// By whether search engines are meant, and the mode of YouTube.
    made: HashMap<(bool, u8), Arc<SafeHosts>>,
}

impl SafeSearchHosts {
    /// From `blocklists/data/safesearch.toml`.
    pub fn new(entries: &[SafeSearch]) -> Self {
        let mut made = HashMap::new();
        for search in [false, true] {
            for youtube in [Youtube::Off, Youtube::Moderate, Youtube::Strict] {
                let mut hosts = SafeHosts::default();
                for entry in entries.iter().filter(|entry| meant(entry, search, youtube)) {
                    for host in &entry.hosts {
                        hosts.0.insert(host.as_ref().wire().into(), entry.target.clone());
                    }
                }
                made.insert((search, youtube as u8), Arc::new(hosts));
            }
        }
        Self { made }
    }

    fn of(&self, search: bool, youtube: Youtube) -> Option<Arc<SafeHosts>> {
        let hosts = self.made.get(&(search, youtube as u8))?;
        (!hosts.0.is_empty()).then(|| hosts.clone())
    }
}

/// Whether an entry is for these settings. A provider with two levels is set to the stricter one.
fn meant(entry: &SafeSearch, search: bool, youtube: Youtube) -> bool {
    let mode = entry.mode.as_deref();
    if entry.provider == "youtube" {
        return match youtube {
            Youtube::Off => false,
            Youtube::Moderate => mode == Some("moderate"),
            Youtube::Strict => mode == Some("strict"),
        };
    }
    search && mode != Some("moderate")
}

/// What profiles are made ready for.
pub(super) struct Making<'m> {
    pub(super) index: &'m Index,
    /// Groups that every profile blocks: the household's own lists.
    pub(super) own: &'m TagSet,
    pub(super) hosts: &'m SafeSearchHosts,
    pub(super) calendars: &'m [CalendarText],
}

impl Making<'_> {
    pub(super) fn profile(&self, text: &ProfileText, place: u16) -> Result<Profile, PolicyError> {
        let mut blocked = *self.own;
        for id in &text.categories {
            blocked.extend(&self.tag(&text.name, TagKind::Category, id)?);
        }
        for id in &text.services {
            blocked.extend(&self.tag(&text.name, TagKind::Service, id)?);
        }
        if text.bypass_protection
            && let Some(tag) = self.index.tag(TagKind::Bypass, "bypass")
        {
            blocked.insert(tag);
        }
        let names = |lines: &[String]| {
            Names::read(lines).map_err(|error| PolicyError::Names {
                profile: text.name.clone(),
                error,
            })
        };
        let schedules: Vec<Schedule> = text
            .schedule
            .iter()
            .map(|schedule| self.schedule(&text.name, schedule))
            .collect::<Result<_, _>>()?;
        apart(&text.name, &schedules, &text.schedule)?;
        let budgets: Vec<Budget> = text
            .budget
            .iter()
            .map(|budget| self.budget(&text.name, budget))
            .collect::<Result<_, _>>()?;
        if budgets.len() > usize::from(u8::MAX) || schedules.len() > usize::from(u8::MAX) {
            return Err(PolicyError::TooMany);
        }
        let mut metered = TagSet::EMPTY;
        for (at, budget) in budgets.iter().enumerate() {
            let earlier = budgets.iter().take(at);
            if earlier.into_iter().any(|other| other.label == budget.label) {
                return Err(PolicyError::Twice {
                    kind: "budget",
                    name: budget.label.clone(),
                });
            }
            metered.extend(&budget.tags);
        }
        Ok(Profile {
            name: text.name.clone(),
            place,
            blocked,
            allow: names(&text.allow)?,
            deny: names(&text.deny)?,
            deny_rest: text.default == Otherwise::Deny,
            safe_search: self.hosts.of(text.safe_search, text.youtube),
            visibility: text.visibility,
            schedules,
            budgets,
            metered,
            meters: 0,
        })
    }

    fn tag(&self, profile: &str, kind: TagKind, id: &str) -> Result<TagSet, PolicyError> {
        let tag = self.index.tag(kind, id).ok_or_else(|| PolicyError::UnknownTag {
            profile: profile.to_owned(),
            kind: if kind == TagKind::Service {
                "service"
            } else {
                "category"
            },
            id: id.to_owned(),
        })?;
        let mut tags = TagSet::EMPTY;
        tags.insert(tag);
        Ok(tags)
    }

    fn budget(&self, profile: &str, text: &BudgetText) -> Result<Budget, PolicyError> {
        let wrong = |what: String| PolicyError::Budget {
            profile: profile.to_owned(),
            what,
        };
        let mut tags = TagSet::EMPTY;
        for what in &text.what {
            let (kind, id) = match what.split_once(':') {
                Some(("service", id)) => (TagKind::Service, id),
                Some(("category", id)) => (TagKind::Category, id),
                _ => return Err(wrong(format!("{what:?} is not service:ID or category:ID"))),
            };
            tags.extend(&self.tag(profile, kind, id)?);
        }
        if text.what.is_empty() {
            return Err(wrong("it is about nothing".to_owned()));
        }
        if text.minutes > 1440 {
            return Err(wrong(format!("{} minutes are more than a day has", text.minutes)));
        }
        let called = text.name.clone().unwrap_or_else(|| text.what.join(" "));
        Ok(Budget {
            label: format!("{USED_UP}{called}"),
            tags,
            minutes: text.minutes,
            per: text.per,
        })
    }

    fn schedule(&self, profile: &str, text: &ScheduleText) -> Result<Schedule, PolicyError> {
        let preset = text.preset.map(preset);
        let missing = |key: &'static str| PolicyError::Schedule {
            profile: profile.to_owned(),
            what: format!("{key:?} is missing; give it, or a preset: bedtime, homework, exam"),
        };
        let mode = text.mode.or(preset.as_ref().map(|preset| preset.mode));
        let mode = mode.ok_or_else(|| missing("mode"))?;
        let from = text.from.map(|hour| hour.0);
        let to = text.to.map(|hour| hour.0);
        let name = text
            .name
            .clone()
            .or(preset.as_ref().map(|preset| preset.label.clone()));
        let name = name.unwrap_or_else(|| {
            match mode {
                Mode::Off => "off",
                Mode::AllowList => "allowed names only",
                Mode::NoServices => "no services",
            }
            .to_owned()
        });
        let mut keeping = Vec::new();
        for (name, only) in [(&text.only_on, true), (&text.not_on, false)] {
            let Some(name) = name else { continue };
            let calendar = self.calendars.iter().find(|calendar| calendar.name == *name);
            let calendar = calendar.ok_or_else(|| PolicyError::Schedule {
                profile: profile.to_owned(),
                what: format!("there is no calendar {name:?}"),
            })?;
            keeping.push(Keeping {
                dates: calendar.days.clone().into(),
                only,
            });
        }
        Ok(Schedule {
            label: format!("schedule: {name}"),
            days: text
                .days
                .or(preset.as_ref().map(|preset| preset.days))
                .unwrap_or(Days::DAILY),
            from: from
                .or(preset.as_ref().map(|preset| preset.from))
                .ok_or_else(|| missing("from"))?,
            to: to
                .or(preset.as_ref().map(|preset| preset.to))
                .ok_or_else(|| missing("to"))?,
            mode,
            keeping,
        })
    }
}

/// What a preset stands for.
fn preset(preset: Preset) -> Schedule {
    let (label, days, from, to, mode) = match preset {
        Preset::Bedtime => ("bedtime", Days::DAILY, 21, 7, Mode::Off),
        Preset::Homework => ("homework", Days::WEEKDAYS, 16, 18, Mode::NoServices),
        Preset::Exam => ("exam", Days::WEEKDAYS, 8, 14, Mode::AllowList),
    };
    let hour = |hour| Time::new(hour, 0, 0, 0).unwrap_or(Time::MIN);
    Schedule {
        label: label.to_owned(),
        days,
        from: hour(from),
        to: hour(to),
        mode,
        keeping: Vec::new(),
    }
}

/// Refuses two schedules of one profile that hold at the same hour and do different things: which of them was meant, nobody
/// could tell. Those that keep to different days of calendars may overlap; the stricter one holds.
fn apart(profile: &str, schedules: &[Schedule], texts: &[ScheduleText]) -> Result<(), PolicyError> {
    let keeping = |at: usize| texts.get(at).map(|text| (&text.only_on, &text.not_on));
    for (at, schedule) in schedules.iter().enumerate() {
        for (before, other) in schedules.iter().enumerate().take(at) {
            let same = keeping(at) == keeping(before);
            if same && schedule.mode != other.mode && schedule.overlaps(other) {
                return Err(PolicyError::Overlap {
                    profile: profile.to_owned(),
                    one: other.label.clone(),
                    other: schedule.label.clone(),
                });
            }
        }
    }
    Ok(())
}
