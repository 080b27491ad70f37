//! Asking the platform for news: one small conditional request, and everything else only where there are some.

use std::path::PathBuf;
use std::time::Duration;

use isigurt_wire::release::{FORMAT, Service};

use super::fetch::Fetching;
use super::state::{FLOOR, FLOORS, Floor, Kept, State};
use super::trust::{self, Released, Verified};
use super::{NationalError, state};
use crate::config::Platform;
use crate::http::{Client, Got, Url, Validators};
use crate::store::Store;

/// 23 November 2025: no gateway of this version lives before it.
const RELEASED: i64 = 1_763_856_000;
/// How far behind a clock may be, seconds.
const SLACK: i64 = 600;
/// How often a root that is newer is asked for, although nothing else is, seconds.
const ROOT_EVERY: i64 = 3600;
/// How often the time of the last good answer is written down, seconds: flash memory wears out.
const NOTE_EVERY: i64 = 3600;
/// Most octets of `timestamp.json`.
const TIMESTAMP: u64 = 64 << 10;

/// Asks one platform.
#[derive(Debug)]
pub(in crate::sync) struct Poller {
    client: Client,
    store: Store,
    folder: PathBuf,
    base: Url,
    root: PathBuf,
    state: State,
    /// When the time of the last good answer was written down, and when a newer root was asked for.
    noted_at: i64,
    root_at: i64,
}

/// How a poll ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) enum Polled {
    /// Nothing is new.
    Same,
    /// Lists came or went.
    News,
}

impl Poller {
    /// One for this platform, with what was verified last.
    pub(in crate::sync) fn new(
        client: Client,
        store: Store,
        folder: PathBuf,
        platform: &Platform,
    ) -> Result<Self, NationalError> {
        let mut text = platform.url.clone();
        if !text.ends_with('/') {
            text.push('/');
        }
        let base = Url::parse(&text).map_err(|_| NationalError::Url(platform.url.clone()))?;
        let state = State::open(&folder);
        Ok(Self {
            client,
            store,
            base,
            root: platform.root.clone(),
            noted_at: state.checked_at,
            root_at: 0,
            state,
            folder,
        })
    }

    /// What was verified last.
    pub(in crate::sync) fn state(&self) -> &State {
        &self.state
    }

    /// Asks for news; `now` is the system's clock, seconds since 1970.
    pub(in crate::sync) async fn poll(&mut self, now: i64) -> Result<Polled, NationalError> {
        // Signatures are judged by the clock: one that is behind would believe old ones. What was verified stays in
        // force meanwhile. A note from the future cannot hold this up for longer than the signatures of then were good.
        if now + SLACK < self.state.checked_at.max(RELEASED) {
            let clock =
                jiff::Timestamp::from_second(now).map_or_else(|_| now.to_string(), |now| now.to_string());
            return Err(NationalError::Clock(clock));
        }
        let complete = self.complete();
        let url = self
            .base
            .join("metadata/timestamp.json")
            .map_err(|_| NationalError::Url(self.base.to_string()))?;
        let known = complete.then_some(&self.state.validators);
        let limits = self.client.small().with_octets(TIMESTAMP);
        let (timestamp, validators) = match self.client.get(&url, known, limits).await? {
            Got::NotModified => (
                self.state.timestamp.clone().into_bytes(),
                self.state.validators.clone(),
            ),
            Got::Body(body) => {
                let validators = body.validators();
                (body.whole().await?, validators)
            }
        };
        let same = complete && timestamp == self.state.timestamp.as_bytes();
        if same && now < self.state.expires && now < self.root_at + ROOT_EVERY {
            self.note(now).await?;
            return Ok(Polled::Same);
        }
        self.take(&timestamp, validators, now).await
    }

    /// Whether everything that was verified is there: else nothing may be left out for being known.
    fn complete(&self) -> bool {
        let begun = !self.state.root.is_empty() && !self.state.unfinished;
        begun && self.state.present(&self.folder).count() == self.state.lists.len()
    }

    /// Verifies what is behind a timestamp, and brings in what is new.
    async fn take(
        &mut self,
        timestamp: &[u8],
        validators: Validators,
        now: i64,
    ) -> Result<Polled, NationalError> {
        let shipped = std::fs::read_to_string(&self.root)
            .map_err(|error| NationalError::Root(self.root.clone(), error.to_string()))?;
        let floor = self.store.get(&FLOORS, FLOOR)?.unwrap_or_default();
        let verified = trust::verify(
            &self.client,
            &self.base,
            &self.state,
            &floor,
            &shipped,
            timestamp,
            &self.folder,
        )
        .await?;
        self.root_at = now;
        let (lists, trouble) = self.lists(&verified, now).await;
        let service = match self.service(&verified).await {
            Ok(service) => service,
            Err(error) => {
                tracing::warn!(%error, "the platform's services are not known anew");
                self.state.service.clone()
            }
        };
        let news = lists != self.state.lists;
        let state = State {
            root: verified.root,
            timestamp: verified.timestamp,
            validators,
            unfinished: trouble.is_some(),
            snapshot: verified.snapshot,
            expires: verified.expires,
            checked_at: if trouble.is_none() {
                now
            } else {
                self.state.checked_at
            },
            lists,
            service,
            ..State::default()
        };
        self.commit(state, raised(floor, verified.floor)).await?;
        self.noted_at = now;
        match trouble {
            // What did come in is to be enforced all the same.
            Some(error) if !news => Err(error),
            Some(error) => {
                tracing::error!(%error, "not every national list came in");
                Ok(Polled::News)
            }
            None => Ok(if news { Polled::News } else { Polled::Same }),
        }
    }

    /// The lists as they are to be from now on. One that does not come in stays as it was.
    async fn lists(&self, verified: &Verified, now: i64) -> (Vec<Kept>, Option<NationalError>) {
        let fetching = Fetching {
            client: self.client.clone(),
            base: self.base.clone(),
            lists: state::lists(&self.folder),
            work: self.folder.join("work"),
        };
        let (mut lists, mut trouble) = (Vec::new(), None);
        let mut wanted: Vec<&Released> = newest(&verified.released);
        wanted.sort_by_key(|released| state::id(&released.target));
        for released in wanted {
            let id = state::id(&released.target);
            let mut present = self.state.present(&self.folder);
            let kept = present.find(|kept| kept.id() == id);
            if let Some(kept) = kept
                && kept.target.version == released.target.version
            {
                if kept.target.blake3 == released.target.blake3 {
                    lists.push(kept.clone());
                    continue;
                }
                trouble = Some(NationalError::List(
                    id,
                    "has two contents under one version".to_owned(),
                ));
                lists.push(kept.clone());
                continue;
            }
            match fetching.list(kept, released, &verified.released, now).await {
                Ok(new) => {
                    tracing::info!(
                        list = id,
                        version = new.target.version,
                        rules = new.target.entries,
                        "national list verified"
                    );
                    lists.push(new);
                }
                Err(error) => {
                    lists.extend(kept.cloned());
                    trouble = Some(error);
                }
            }
        }
        for gone in &self.state.lists {
            if !lists.iter().any(|kept| kept.id() == gone.id()) {
                tracing::warn!(list = gone.id(), "national list withdrawn by its publisher");
            }
        }
        if trouble.is_none() {
            let _ = std::fs::remove_dir_all(&fetching.work); // nothing is left to go on with
        }
        (lists, trouble)
    }

    /// What else the platform offers.
    async fn service(&self, verified: &Verified) -> Result<Option<Service>, NationalError> {
        let Some(signed) = &verified.service else {
            return Ok(None);
        };
        let fetching = Fetching {
            client: self.client.clone(),
            base: self.base.clone(),
            lists: state::lists(&self.folder),
            work: self.folder.join("work"),
        };
        let file = fetching.target(signed).await?;
        let octets = std::fs::read(&file).map_err(|error| NationalError::Io(file.clone(), error))?;
        let _ = std::fs::remove_file(&file);
        let wrong = |what: String| NationalError::Target(signed.name.clone(), what);
        let service: Service = serde_json::from_slice(&octets).map_err(|error| wrong(error.to_string()))?;
        if service.format != FORMAT {
            return Err(wrong("is of a later form; update the gateway".to_owned()));
        }
        Ok(Some(service))
    }

    /// Writes down what is verified: the floors first, so that whatever happens in between, nothing older is taken.
    async fn commit(&mut self, state: State, floor: Floor) -> Result<(), NationalError> {
        let (store, folder) = (self.store.clone(), self.folder.clone());
        let written = state.clone();
        let work = move || -> Result<(), NationalError> {
            std::fs::create_dir_all(&folder).map_err(|error| NationalError::Io(folder.clone(), error))?;
            if store.get(&FLOORS, FLOOR)?.as_ref() != Some(&floor) {
                store.put(&FLOORS, FLOOR, &floor)?;
            }
            written
                .write(&folder)
                .map_err(|error| NationalError::Io(folder.join("state.json"), error))
        };
        let failed = |error: tokio::task::JoinError| NationalError::Metadata(error.to_string());
        tokio::task::spawn_blocking(work).await.map_err(failed)??;
        self.state = state;
        Ok(())
    }

    /// Notes that everything known is the newest.
    async fn note(&mut self, now: i64) -> Result<(), NationalError> {
        self.state.checked_at = now;
        if now < self.noted_at + NOTE_EVERY {
            return Ok(());
        }
        self.noted_at = now;
        let (state, folder) = (self.state.clone(), self.folder.clone());
        let written = tokio::task::spawn_blocking(move || {
            state
                .write(&folder)
                .map_err(|error| NationalError::Io(folder.join("state.json"), error))
        });
        written
            .await
            .map_err(|error| NationalError::Metadata(error.to_string()))?
    }
}

/// The full lists in their newest versions.
fn newest(released: &[Released]) -> Vec<&Released> {
    let mut newest: Vec<&Released> = Vec::new();
    for full in released.iter().filter(|released| released.target.from.is_none()) {
        let same = newest
            .iter_mut()
            .find(|other| state::id(&other.target) == state::id(&full.target));
        match same {
            Some(other) if other.target.version < full.target.version => *other = full,
            Some(_) => {}
            None => newest.push(full),
        }
    }
    newest
}

/// The floors from now on. A list that was withdrawn keeps its own.
fn raised(floor: Floor, verified: Floor) -> Floor {
    let mut lists = floor.lists;
    lists.extend(verified.lists);
    Floor { lists, ..verified }
}

/// When to ask again: `every`, a tenth more or less, so that gateways that started together do not ask together; after
/// failures later and later.
pub(in crate::sync) fn next(every: Duration, failures: u32) -> Duration {
    let longest = every.max(Duration::from_secs(300));
    let base = every.saturating_mul(1 << failures.min(8)).min(longest);
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    base.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}
