//! What a site shows that does not open: which rule, in words that a child understands, and what to do about it.
//!
//! The verdict is made anew for who looks, so that the page says what holds now. A site of the mandatory national list is
//! never named, and nobody is offered to ask for it.

use std::net::IpAddr;

use askama::Template;
use axum::http::StatusCode;
use isigurt_blocklists::data::{self, Category, Service};
use isigurt_blocklists::index::TagKind;
use isigurt_blocklists::name::Name;
use isigurt_core::policy::schedule::Mode;
use isigurt_core::policy::{self, Because, Client, Decision, NATIONAL};
use isigurt_core::snapshot::Snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::LazyLock;

use super::words::fill;
use super::{Language, Page};
use crate::explain::Whom;
use crate::web::Site;

/// Query type A.
const A: u16 = 1;

/// Why a site does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It does.
    Open,
    /// The mandatory national list.
    National,
    /// Somebody paused the internet.
    Paused(Option<Timestamp>),
    /// Hours: what they are called, what they do, when they end.
    Hours(String, Mode, Option<Timestamp>),
    /// Minutes of today are used up.
    Time(String),
    /// A service, by its id.
    Service(String),
    /// A category, by its id.
    Category(String),
    /// A list of the household.
    Own,
    /// A way round the filter.
    Bypass,
    /// The profile denies it.
    Denied,
    /// Only what was chosen opens.
    NotAllowed,
    /// Its answer leads inside the network.
    Private,
}

impl Why {
    /// Why `name` does not open for the client at `address`.
    pub(super) fn of(site: &Site, address: IpAddr, name: &Name) -> Self {
        let engine = site.watch.engine();
        let snapshot = engine.snapshot();
        let (_, now_ms) = engine.cache();
        let client = snapshot.client(address, now_ms);
        match Self::by_name(&snapshot, &client, name) {
            Self::Open => {}
            why => return why,
        }
        // The name may be blocked for where its answer leads.
        let whom = Whom::Device(address.to_string());
        let explained = site.watch.why(&name.to_string(), A, &whom, None).ok();
        let Some(explained) = explained.filter(|explained| explained.verdict == "blocked") else {
            return Self::Open;
        };
        if explained.because.as_deref() == Some(NATIONAL) {
            return Self::National;
        }
        match explained.leads_to.and_then(|target| Name::parse(&target).ok()) {
            Some(target) => Self::by_name(&snapshot, &client, &target),
            // Or because it shares the hash of a listed name.
            None => explained
                .candidate_of
                .into_iter()
                .next()
                .map_or(Self::Open, |list| Self::Category(list.category)),
        }
    }

    fn by_name(snapshot: &Snapshot, client: &Client<'_>, name: &Name) -> Self {
        let verdict = policy::verdict(&snapshot.index, client, name.as_ref(), A);
        let Decision::Blocked(because, _) = verdict.decision else {
            return Self::Open;
        };
        let tags = snapshot.index.tags();
        match because {
            Because::Mandatory(_) => Self::National,
            Because::Paused => Self::Paused(client.standing.until),
            Because::Schedule(place) => {
                let schedule = client.profile.schedules.get(usize::from(place));
                let label = schedule.map_or_else(String::new, |schedule| schedule.label.clone());
                let mode = schedule.map_or(Mode::Off, |schedule| schedule.mode);
                Self::Hours(label, mode, client.standing.until)
            }
            Because::Budget(place) => {
                let budget = client.profile.budgets.get(usize::from(place));
                Self::Time(budget.map_or_else(String::new, |budget| budget.called().to_owned()))
            }
            Because::List(tag) => match tags.get(usize::from(tag.0)) {
                Some(tag) if tag.kind == TagKind::Service => Self::Service(tag.id.clone()),
                Some(tag) if tag.kind == TagKind::Category => Self::Category(tag.id.clone()),
                Some(tag) if tag.kind == TagKind::Bypass => Self::Bypass,
                Some(tag) if tag.kind == TagKind::Mandatory => Self::National,
                _ => Self::Own,
            },
            Because::Denied => Self::Denied,
            Because::NotAllowed => Self::NotAllowed,
            Because::Private => Self::Private,
            Because::SafeSearch => Self::Open,
        }
    }

    /// 451 where an authority wants it (RFC 7725).
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Open => StatusCode::OK,
            Self::National => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// Whether asking for access may bring something.
    fn may_ask(&self) -> bool {
        match self {
            Self::Service(_)
            | Self::Category(_)
            | Self::Own
            | Self::Denied
            | Self::NotAllowed
            | Self::Time(_) => true,
            Self::Hours(_, mode, _) => *mode != Mode::Off,
            Self::Open | Self::National | Self::Paused(_) | Self::Bypass | Self::Private => false,
        }
    }

    /// Whether it may be a mistake: hours and minutes are not.
    fn may_be_wrong(&self) -> bool {
        !matches!(
            self,
            Self::Open | Self::Paused(_) | Self::Hours(..) | Self::Time(_)
        )
    }

    fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Paused(until) | Self::Hours(_, _, until) => *until,
            _ => None,
        }
    }

    fn title<'w>(&self, page: &'w Page) -> &'w str {
        let words = &page.words.block;
        match self {
            Self::Open => &words.title_open,
            Self::Paused(_) => &words.title_paused,
            Self::Hours(_, Mode::Off, _) => &words.title_bedtime,
            Self::Time(_) => &words.title_time,
            _ => &words.title_blocked,
        }
    }

    fn text(&self, page: &Page, name: &str) -> String {
        let words = &page.words.block;
        let with = |text: &str, what: &str| fill(text, &[("name", name), ("what", what)]);
        match self {
            Self::Open => words.open.clone(),
            Self::National => words.national.clone(),
            Self::Paused(_) => words.paused.clone(),
            Self::Hours(label, Mode::Off, _) => with(&words.schedule_off, &hours(label, page)),
            Self::Hours(label, Mode::AllowList, _) => with(&words.allow_list, &hours(label, page)),
            Self::Hours(label, Mode::NoServices, _) => with(&words.no_services, &hours(label, page)),
            Self::Time(budget) => with(&words.budget, &minutes(budget, page.language)),
            Self::Service(id) => with(&words.service, service(id)),
            Self::Category(id) => with(&words.category, category(id, page.language)),
            Self::Own => with(&words.own, ""),
            Self::Bypass => with(&words.bypass, ""),
            Self::Denied => with(&words.denied, ""),
            Self::NotAllowed => with(&words.not_allowed, ""),
            Self::Private => with(&words.private, ""),
        }
    }
}

/// Names of categories and services, as people know them.
static NAMES: LazyLock<(Vec<Category>, Vec<Service>)> = LazyLock::new(|| {
    let data = data::built_in().ok();
    data.map(|data| (data.categories, data.services))
        .unwrap_or_default()
});

/// What hours are called: the presets in the reader's language, else as whoever set them wrote it.
pub(super) fn hours(label: &str, page: &Page) -> String {
    let words = &page.words.block;
    let name = label.strip_prefix("schedule: ").unwrap_or(label);
    match name {
        "bedtime" => words.bedtime.clone(),
        "homework" => words.homework.clone(),
        "exam" => words.exam.clone(),
        "off" | "allowed names only" | "no services" => words.hours.clone(), // called by what it does, as nothing was said
        name => name.to_owned(),
    }
}

/// What a budget is called: services and categories as people know them, else as whoever set it wrote it. Services of a
/// category that stands there too are not named beside it.
pub(super) fn minutes(called: &str, language: Language) -> String {
    let categories: Vec<&str> = called
        .split(' ')
        .filter_map(|part| part.strip_prefix("category:"))
        .collect();
    let meant = |part: &&str| {
        let id = part.strip_prefix("service:").unwrap_or_default();
        let service = NAMES.1.iter().find(|service| service.id == id);
        service.is_none_or(|service| !categories.contains(&service.category.as_str()))
    };
    let parts = called
        .split(' ')
        .filter(meant)
        .map(|part| match part.split_once(':')? {
            ("service", id) => Some(service(id)),
            ("category", id) => Some(category(id, language)),
            _ => None,
        });
    let known: Option<Vec<&str>> = parts.collect();
    known.map_or_else(|| called.to_owned(), |known| known.join(", "))
}

fn service(id: &str) -> &str {
    let known = NAMES.1.iter().find(|service| service.id == id);
    known.map_or(id, |service| &service.name)
}

fn category(id: &str, language: Language) -> &str {
    let known = NAMES.0.iter().find(|category| category.id == id);
    known.map_or(id, |category| match language {
        Language::Sq => &category.name.sq,
        Language::En => &category.name.en,
    })
}

/// When something ends, on the gateway's clock; with the day where that is not today.
pub(super) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    let (then, now) = (
        at.to_zoned_datetime(zone.clone()),
        Timestamp::now().to_zoned_datetime(zone.clone()),
    );
    let form = if then.date() == now.date() {
        "%H:%M"
    } else {
        "%d.%m. %H:%M"
    };
    then.strftime(form).to_string()
}

/// The page of a site that does not open.
#[derive(Template)]
#[template(path = "block.html")]
pub(super) struct BlockPage<'p> {
    page: Page,
    title: &'p str,
    text: String,
    until: Option<String>,
    name: &'p str,
    national: bool,
    open: bool,
    ask: bool,
    mistake: bool,
}

impl<'p> BlockPage<'p> {
    pub(super) fn new(page: &'p Page, why: &Why, name: &'p str, zone: &TimeZone) -> Self {
        let until = why.until().map(|until| {
            let until = clock(until, zone);
            fill(&page.words.block.until, &[("until", until.as_str())])
        });
        Self {
            page: *page,
            title: why.title(page),
            text: why.text(page, name),
            until,
            name,
            national: *why == Why::National,
            open: *why == Why::Open,
            ask: why.may_ask(),
            mistake: why.may_be_wrong(),
        }
    }

    /// The page as one line of text, for programs.
    pub(super) fn line(&self) -> String {
        let until = self.until.as_deref().unwrap_or_default();
        format!("iSigurt: {}. {} {until}\n", self.title, self.text)
    }
}
