//! Calendars that are fetched: school holidays as an iCalendar behind an address, looked at once a day.
//!
//! The days that were read last hold until others have been read whole: a server that is away, slow, sends a page or a broken
//! calendar changes nothing, and the status says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isigurt_core::policy::PolicyError;
use isigurt_core::policy::model::{CalendarText, Policy};
use tokio::sync::broadcast::error::RecvError;

use super::{Author, Event, Household};
use crate::dns::engine::Engine;
use crate::http::{Client, Got, Limits, Url, Validators};

/// How often a calendar is fetched.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After a failure it is tried again so soon.
const AGAIN: Duration = Duration::from_secs(3600);
/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Longest address, octets.
const LONGEST_URL: usize = 2048;

/// What is known of the calendars' sources, by the calendar's name. A restart forgets it: then all are fetched again.
#[derive(Debug, Default)]
pub(super) struct Holidays(Mutex<BTreeMap<String, Source>>);

#[derive(Debug, Clone)]
struct Source {
    url: String,
    validators: Validators,
    next: Instant,
    error: Option<String>,
}

/// Goes on only where all addresses can be fetched from.
pub(super) fn check(policy: &Policy) -> Result<(), PolicyError> {
    for calendar in &policy.calendar {
        let url = calendar.url.as_deref();
        if let Some(url) = url.filter(|url| address(url).is_none()) {
            return Err(PolicyError::Address {
                calendar: calendar.name.clone(),
                url: url.to_owned(),
            });
        }
    }
    Ok(())
}

/// Days that were fetched stay where a policy names their address and no days.
pub(super) fn carry_over(policy: &mut Policy, before: &Policy) {
    for calendar in policy
        .calendar
        .iter_mut()
        .filter(|calendar| calendar.days.is_empty())
    {
        let same = |old: &&CalendarText| old.name == calendar.name && old.url == calendar.url;
        if let Some(old) = before.calendar.iter().find(same).filter(|old| old.url.is_some()) {
            calendar.days.clone_from(&old.days);
        }
    }
}

fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= LONGEST_URL)?;
    (matches!(url.scheme(), "https" | "http") && url.has_host()).then_some(url)
}

/// Fetches calendars when they are due, until the task is ended. One that gets an address is fetched at once.
pub async fn keep<H: AsRef<Household>>(engine: Arc<Engine>, household: Arc<H>, client: Client) {
    let household = H::as_ref(&household);
    let mut events = household.events();
    loop {
        for (calendar, url) in household.due_calendars() {
            household.fetch_calendar(&engine, &client, &calendar, url).await;
        }
        let woken = async {
            loop {
                match events.recv().await {
                    Ok(Event::Policy) | Err(RecvError::Lagged(_)) => return,
                    Ok(_) => {}
                    Err(RecvError::Closed) => std::future::pending::<()>().await,
                }
            }
        };
        let _ = tokio::time::timeout(LOOK_EVERY, woken).await;
    }
}

impl Household {
    /// What is wrong with fetched calendars, for a person.
    pub fn calendar_problems(&self) -> Vec<String> {
        let sources = self.holidays.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = sources.iter().filter_map(|(name, source)| {
            let error = source.error.as_ref()?;
            Some(format!(
                "calendar \"{name}\": {error}; the days that were read last hold"
            ))
        });
        wrong.collect()
    }

    fn due_calendars(&self) -> Vec<(CalendarText, Url)> {
        let now = Instant::now();
        let policy = self.policy();
        let mut sources = self.holidays.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|name, source| {
            let has = |calendar: &CalendarText| {
                calendar.name == *name && calendar.url.as_ref() == Some(&source.url)
            };
            policy.calendar.iter().any(has)
        });
        let due = policy.calendar.iter().filter_map(|calendar| {
            let url = calendar.url.as_deref().and_then(address)?;
            let waits = sources
                .get(&calendar.name)
                .is_some_and(|source| now < source.next);
            (!waits).then(|| (calendar.clone(), url))
        });
        due.collect()
    }

    async fn fetch_calendar(&self, engine: &Engine, client: &Client, calendar: &CalendarText, url: Url) {
        let known = self.validators(&calendar.name);
        let fetched = self
            .fetch_and_import(engine, client, calendar, &url, known.as_ref())
            .await;
        let (validators, next, error) = match fetched {
            Ok(validators) => (validators, EVERY, None),
            Err(error) => {
                tracing::warn!(calendar = calendar.name, error, "a calendar is not fetched");
                (known.unwrap_or_default(), AGAIN, Some(error))
            }
        };
        let source = Source {
            url: calendar.url.clone().unwrap_or_default(),
            validators,
            next: Instant::now() + next,
            error,
        };
        let mut sources = self.holidays.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.insert(calendar.name.clone(), source);
    }

    fn validators(&self, calendar: &str) -> Option<Validators> {
        let sources = self.holidays.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(calendar).map(|source| source.validators.clone())
    }

    async fn fetch_and_import(
        &self,
        engine: &Engine,
        client: &Client,
        calendar: &CalendarText,
        url: &Url,
        known: Option<&Validators>,
    ) -> Result<Validators, String> {
        let told = |error: crate::http::HttpError| error.to_string();
        let got = client.get(url, known, Limits::SMALL).await.map_err(told)?;
        let body = match got {
            Got::NotModified => return Ok(known.cloned().unwrap_or_default()),
            Got::Body(body) => body,
        };
        let validators = body.validators();
        let octets = body.whole().await.map_err(told)?;
        let text = String::from_utf8(octets).map_err(|_| "it is no text in UTF-8".to_owned())?;
        let author = Author {
            who: "calendar".to_owned(),
            from: url.host_str().unwrap_or_default().to_owned(),
        };
        let days = self
            .import_calendar(engine, &author, &calendar.name, &text)
            .map_err(|error| error.to_string())?;
        tracing::info!(
            calendar = calendar.name,
            days = days.len(),
            "a calendar was fetched"
        );
        Ok(validators)
    }
}
