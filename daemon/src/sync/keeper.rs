//! Keeps lists fresh: two tasks, one for the platform and one for lists by URL, that a slow server of one kind does not hold
//! the other up. They bring versions in and say so; building and swapping is the daemon's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use isigurt_wire::release::Service;
use tokio::sync::{Notify, watch};

use super::added::{self, AddError, Added};
use super::national::{self, Polled, Poller};
use super::newer::Newer;
use super::remote;
use super::staging::Staged;
use crate::config::{Config, List, Source};
use crate::http::{Client, Url};
use crate::store::audit::Author;
use crate::store::{Store, StoreError};

/// How often lists by URL are asked for where nothing is said.
const DAILY: Duration = Duration::from_secs(24 * 3600);
/// How often the platform is asked where nothing is said.
const MINUTE: Duration = Duration::from_secs(60);
/// After so long without news that is said, seconds.
const DAY: i64 = 86_400;
/// After so long it is said loudly.
const WEEK: i64 = 7 * 86_400;
/// The first try after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// Lists by URL that are fetched at a time: one slow server does not hold the others up.
const AT_ONCE: usize = 4;
/// What came in waits so long for what else is under way: putting lists in force costs the same for one as for all.
const TOGETHER: Duration = Duration::from_secs(5);

/// How bringing in a list goes; all times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When its server last answered and everything was right.
    pub checked_at: Option<i64>,
    /// When it is asked next.
    pub next_try: Option<i64>,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// What brings lists in; clones share it.
#[derive(Debug, Clone)]
pub struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    config: watch::Sender<Arc<Config>>,
    /// Asked for at once: how often so far.
    asked: watch::Sender<u64>,
    /// How often the platform's task and the other one have done so.
    done: [watch::Sender<u64>; 2],
    /// Something came in.
    news: Notify,
    /// Lists are added and removed one at a time.
    adding: Mutex<()>,
    lists: RwLock<BTreeMap<String, Progress>>,
    platform: RwLock<Option<Progress>>,
    service: watch::Sender<Option<Arc<Service>>>,
}

impl Keeper {
    /// One that has not begun.
    pub fn new(store: Store, config: Config) -> Self {
        let folder = national::folder(&config.state_dir);
        let state = config.platform.as_ref().map(|_| national::State::open(&folder));
        let platform = state.as_ref().map(|state| Progress {
            checked_at: Some(state.checked_at).filter(|&at| at > 0),
            ..Progress::default()
        });
        Self {
            shared: Arc::new(Shared {
                store,
                config: watch::Sender::new(Arc::new(config)),
                asked: watch::Sender::new(0),
                done: [watch::Sender::new(0), watch::Sender::new(0)],
                news: Notify::new(),
                adding: Mutex::new(()),
                lists: RwLock::default(),
                platform: RwLock::new(platform),
                service: watch::Sender::new(state.and_then(|state| state.service).map(Arc::new)),
            }),
        }
    }

    /// Asks the platform for news, until the task is ended.
    pub async fn keep_platform(self, client: Client) {
        keep_platform(&self.shared, &client).await;
    }

    /// Asks the servers of lists by URL, until the task is ended. `outside`: the way to lists that were added in the web UI.
    pub async fn keep_lists(self, client: Client, outside: Client) {
        keep_lists(&self.shared, &client, &outside).await;
    }

    /// Another configuration is in force.
    pub fn configure(&self, config: Config) {
        self.shared.config.send_replace(Arc::new(config));
    }

    /// Comes back when something came in that is to be put in force.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Asks all servers now, and waits for the answers, but not longer than `patience`; whether all have come.
    pub async fn update(&self, patience: Duration) -> bool {
        let mut done = [&self.shared.done[0], &self.shared.done[1]].map(watch::Sender::subscribe);
        let mut asked = 0;
        self.shared.asked.send_modify(|count| {
            *count += 1;
            asked = *count;
        });
        let all = async {
            for done in &mut done {
                let _ = done.wait_for(|&done| done >= asked).await;
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }

    /// Accepts a version of a list that was held back; whether there was one.
    pub fn accept(&self, id: &str) -> Result<bool, StoreError> {
        let copies = self.shared.config.borrow().state_dir.join("lists");
        let accepted = remote::accept(&self.shared.store, &copies, id)?;
        if accepted {
            self.shared.news.notify_one();
        }
        Ok(accepted)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.shared.config.borrow().clone()
    }

    /// Whether a list of this id, from this address, could be added.
    pub fn free(&self, id: &str, url: Option<&Url>) -> Result<(), AddError> {
        added::taken(&self.config(), &self.shared.store, id, url)
    }

    /// Adds a list that was looked at, and has it put in force.
    pub fn add(&self, id: &str, list: &Added, staged: &Staged, author: &Author) -> Result<(), AddError> {
        let _one = self.shared.adding.lock().unwrap_or_else(PoisonError::into_inner);
        added::add(&self.config(), &self.shared.store, (id, list), staged, author)?;
        self.shared.news.notify_one();
        Ok(())
    }

    /// Removes a list that was added.
    pub fn remove(&self, id: &str, author: &Author) -> Result<(), AddError> {
        let _one = self.shared.adding.lock().unwrap_or_else(PoisonError::into_inner);
        added::remove(&self.config(), &self.shared.store, id, author)?;
        self.shared.news.notify_one();
        Ok(())
    }

    /// How bringing in this list goes.
    pub fn progress(&self, id: &str) -> Option<Progress> {
        let national = id.contains('/');
        if national {
            return self.platform();
        }
        let lists = self.shared.lists.read();
        lists.unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// How asking the platform goes; `None` where none is configured.
    pub fn platform(&self) -> Option<Progress> {
        let platform = self.shared.platform.read();
        platform.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where candidates of prefix lists are confirmed, and the keys that confirmations are signed with.
    pub(super) fn confirmation(&self) -> Option<(Url, Vec<String>)> {
        let service = self.shared.service.borrow().clone()?;
        let config = self.shared.config.borrow().clone();
        let mut base = config.platform.as_ref()?.url.clone();
        base.push('/');
        let url = match &service.confirm {
            Some(url) => Url::parse(url).ok()?,
            None => Url::parse(base.trim_end_matches('/')).ok()?,
        };
        let mut text = url.to_string();
        if !text.ends_with('/') {
            text.push('/');
        }
        if service.confirm.is_none() {
            text.push_str("api/v1/confirm/");
        }
        Some((Url::parse(&text).ok()?, service.confirm_keys.clone()))
    }

    /// The newer version of this program that the platform knows, if it does.
    pub fn newer(&self) -> Option<Newer> {
        let service = self.shared.service.borrow();
        Newer::than(env!("CARGO_PKG_VERSION"), service.as_ref()?)
    }

    /// What the platform offers beside lists, as it was verified last.
    pub fn services(&self) -> watch::Receiver<Option<Arc<Service>>> {
        self.shared.service.subscribe()
    }
}

/// Sleeps until `at`, or until something else has to be done; whether everything is asked for at once.
async fn until(
    at: Option<Instant>,
    config: &mut watch::Receiver<Arc<Config>>,
    asked: &mut watch::Receiver<u64>,
) -> Woken {
    let sleep = async {
        match at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = sleep => Woken::Due,
        changed = config.changed() => if changed.is_ok() { Woken::Configured } else { Woken::Ended },
        changed = asked.changed() => if changed.is_ok() { Woken::Asked } else { Woken::Ended },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Due,
    Configured,
    Asked,
    Ended,
}

/// The platform's task.
async fn keep_platform(shared: &Shared, client: &Client) {
    let (mut config, mut asked) = (shared.config.subscribe(), shared.asked.subscribe());
    // Gateways that get their power back together do not ask together.
    let poll = config.borrow_and_update().platform.as_ref().map(every);
    let mut due = poll.map(|poll| Instant::now() + national::next(poll.min(MINUTE) / 4, 0));
    let mut poller: Option<Poller> = None;
    let mut failures = 0;
    loop {
        let woken = until(due, &mut config, &mut asked).await;
        match woken {
            Woken::Ended => return,
            Woken::Configured => poller = None,
            Woken::Due | Woken::Asked => {}
        }
        let now_config = config.borrow_and_update().clone();
        let Some(platform) = &now_config.platform else {
            *shared.platform.write().unwrap_or_else(PoisonError::into_inner) = None;
            due = None;
            shared.done[0].send_replace(*asked.borrow_and_update());
            continue;
        };
        let count = *asked.borrow_and_update();
        let folder = national::folder(&now_config.state_dir);
        let outcome = match &mut poller {
            Some(poller) => poller.poll(wall_s()).await,
            None => match Poller::new(client.clone(), shared.store.clone(), folder, platform) {
                Ok(new) => poller.insert(new).poll(wall_s()).await,
                Err(error) => Err(error),
            },
        };
        failures = if outcome.is_ok() { 0 } else { failures + 1 };
        let after = national::next(every(platform), failures);
        due = Some(Instant::now() + after);
        let state = poller.as_ref().map(Poller::state);
        let error = outcome.as_ref().err().map(ToString::to_string);
        if let Some(reason) = &error {
            let heard = state.map(|state| state.checked_at).filter(|&at| at > 0);
            unheard(reason, heard.map_or(0, |at| wall_s() - at));
        }
        let progress = Progress {
            checked_at: state.map(|state| state.checked_at).filter(|&at| at > 0),
            next_try: Some(wall_s() + i64::try_from(after.as_secs()).unwrap_or(0)),
            error,
        };
        *shared.platform.write().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        let service = state.and_then(|state| state.service.clone());
        shared.service.send_if_modified(|known| {
            let new = known.as_deref() != service.as_ref();
            if new {
                *known = service.map(Arc::new);
            }
            new
        });
        if matches!(outcome, Ok(Polled::News)) {
            shared.news.notify_one();
        }
        shared.done[0].send_replace(count);
    }
}

/// Says in the log that the platform was not heard of for so long.
fn unheard(reason: &str, age: i64) {
    match age {
        age if age >= WEEK => tracing::error!(
            %reason,
            "no news from the national platform for a week or more: what is new is not blocked here"
        ),
        age if age >= DAY => tracing::warn!(
            %reason,
            "the national platform was not heard of for a day or more; the lists that were verified last stay in force"
        ),
        _ => tracing::warn!(
            %reason,
            "no news from the national platform; the lists that were verified last stay in force"
        ),
    }
}

fn every(platform: &crate::config::Platform) -> Duration {
    platform
        .poll
        .map_or(MINUTE, |poll| poll.0)
        .max(Duration::from_secs(1))
}

/// A list by URL on its way.
#[derive(Debug)]
struct Due {
    at: Instant,
    failures: u32,
}

/// The task of lists by URL.
async fn keep_lists(shared: &Shared, client: &Client, outside: &Client) {
    let (mut config, mut asked) = (shared.config.subscribe(), shared.asked.subscribe());
    let mut due: BTreeMap<String, Due> = BTreeMap::new();
    let mut woken = Woken::Configured;
    loop {
        let now_config = config.borrow_and_update().clone();
        let count = *asked.borrow_and_update();
        if woken == Woken::Configured {
            due = planned(shared, &now_config, due);
        }
        let now = Instant::now();
        let lists = now_config.lists.iter().filter(|list| {
            let known = due.get(list.id.as_str());
            woken == Woken::Asked || known.is_none_or(|due| due.at <= now)
        });
        fetch(shared, (client, outside), &now_config, lists.collect(), &mut due).await;
        shared.done[1].send_replace(count);
        let first = due.values().map(|due| due.at).min();
        woken = until(first, &mut config, &mut asked).await;
        if woken == Woken::Ended {
            return;
        }
    }
}

/// Fetches lists, a few at once, and tells when something came in: at the end, or before where others are slow.
async fn fetch(
    shared: &Shared,
    (client, outside): (&Client, &Client),
    config: &Config,
    lists: Vec<&List>,
    due: &mut BTreeMap<String, Due>,
) {
    let copies = &config.state_dir.join("lists");
    let tries = lists.into_iter().filter_map(|list| match &list.url {
        Source::Url(url) => Some(attempt(
            shared,
            if list.added { outside } else { client },
            copies,
            list,
            url,
        )),
        Source::File(_) => None,
    });
    let tries: Vec<_> = tries.collect();
    let mut tries = pin!(stream::iter(tries).buffer_unordered(AT_ONCE));
    let mut untold: Option<Instant> = None;
    loop {
        let next = match untold {
            Some(at) => tokio::time::timeout_at(at.into(), tries.next()).await,
            None => Ok(tries.next().await),
        };
        match next {
            Ok(Some((list, outcome))) => {
                tried(shared, list, &outcome, due);
                if matches!(outcome, Ok(true)) {
                    untold = untold.or(Some(Instant::now() + TOGETHER));
                }
            }
            end => {
                if untold.take().is_some() {
                    shared.news.notify_one();
                }
                if end.is_ok() {
                    return;
                }
            }
        }
    }
}

async fn attempt<'l>(
    shared: &Shared,
    way: &Client,
    copies: &Path,
    list: &'l List,
    url: &Url,
) -> (&'l List, Result<bool, remote::RemoteError>) {
    let id = list.id.as_str();
    let outcome = remote::refresh(way, &shared.store, copies, (id, url), wall_s()).await;
    (list, outcome)
}

/// Plans the next try, and writes down how this one went.
fn tried(
    shared: &Shared,
    list: &List,
    outcome: &Result<bool, remote::RemoteError>,
    due: &mut BTreeMap<String, Due>,
) {
    let id = list.id.as_str();
    let every = list.every.map_or(DAILY, |every| every.0);
    let failures = match outcome {
        Ok(_) => 0,
        Err(_) => due.get(id).map_or(0, |due| due.failures) + 1,
    };
    let after = match failures {
        0 => national::next(every, 0),
        failures => national::next(RETRY.min(every), failures).min(every),
    };
    let at = Instant::now() + after;
    due.insert(id.to_owned(), Due { at, failures });
    noted(shared, id, outcome.as_ref().err(), after);
}

/// Writes down how a try went.
fn noted(shared: &Shared, id: &str, error: Option<&remote::RemoteError>, after: Duration) {
    if let Some(reason) = error {
        tracing::warn!(list = id, %reason, "list not fetched; its last good version stays in force");
    }
    let mut lists = shared.lists.write().unwrap_or_else(PoisonError::into_inner);
    let progress = lists.entry(id.to_owned()).or_default();
    if error.is_none() {
        progress.checked_at = Some(wall_s());
    }
    progress.error = error.map(ToString::to_string);
    progress.next_try = Some(wall_s() + i64::try_from(after.as_secs()).unwrap_or(0));
}

/// When each list of a configuration is due: as before where it was known, by its age after a start, now where it is new.
fn planned(shared: &Shared, config: &Config, mut before: BTreeMap<String, Due>) -> BTreeMap<String, Due> {
    let (now, wall) = (Instant::now(), wall_s());
    let mut planned = BTreeMap::new();
    let mut progress = BTreeMap::new();
    let by_url = config
        .lists
        .iter()
        .filter(|list| matches!(list.url, Source::Url(_)));
    for list in by_url {
        let id = list.id.as_str().to_owned();
        let held = shared.store.get(&remote::FETCHES, &id).ok().flatten();
        let checked_at = held.map(|held| held.checked_at).filter(|&at| at > 0);
        let there = copy(config, &id).exists();
        let every = list.every.map_or(DAILY, |every| every.0);
        let due = before.remove(&id).unwrap_or_else(|| {
            let age = checked_at
                .filter(|_| there)
                .and_then(|at| u64::try_from(wall - at).ok());
            let left = age.map_or(Duration::ZERO, |age| {
                every.saturating_sub(Duration::from_secs(age))
            });
            Due {
                at: now + left,
                failures: 0,
            }
        });
        let left = due.at.saturating_duration_since(now).as_secs();
        let known = Progress {
            checked_at,
            next_try: Some(wall + i64::try_from(left).unwrap_or(0)),
            error: None,
        };
        progress.insert(id.clone(), known);
        planned.insert(id, due);
    }
    let mut lists = shared.lists.write().unwrap_or_else(PoisonError::into_inner);
    for (id, known) in std::mem::take(&mut *lists) {
        progress.entry(id).and_modify(|progress| *progress = known);
    }
    *lists = progress;
    planned
}

fn copy(config: &Config, id: &str) -> PathBuf {
    config.state_dir.join("lists").join(id)
}

/// Seconds since 1970 on the system's clock.
fn wall_s() -> i64 {
    jiff::Timestamp::now().as_second()
}
