//! Lists that somebody looks at before adding them: brought in aside, built aside, and shown with what they would change.
//!
//! ```text
//! asked for ─▶ fetched or given (sync/staging.rs) ─▶ built aside, twice ─▶ compared (effect.rs) ─▶ added | discarded | forgotten after an hour
//! ```
//!
//! One at a time, because a router has little memory, and a few are kept until they are decided on. Nothing here is in force, and nothing
//! of it outlives the daemon.

mod effect;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isigurt_blocklists::index::TagKind;
use isigurt_blocklists::read::Format;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use crate::config::{List, ListId, Source, Span};
use crate::http::{Client, HttpError, Url};
use crate::status::Watch;
use crate::store::Store;
use crate::store::audit::Author;
use crate::sync::added::{AddError, Added, LONGEST_TEXT};
use crate::sync::staging::{self, Staged};
use crate::sync::worker::Worker;
use crate::sync::{Loading, RemoteError};

pub use effect::{Effect, ListFindings, RejectedLine, Shows, WellKnown, Would};

/// How long one is kept for a decision.
const KEPT: Duration = Duration::from_secs(3600);
/// Words that stand in the place of a list's id in the API.
const RESERVED: [&str; 2] = ["previews", "update"];
/// How many are kept.
const MOST: usize = 3;

/// A list as it was asked for.
#[derive(Debug)]
pub struct Asked {
    /// What it shall be called.
    pub id: String,
    /// Its address, or its text.
    pub from: Origin,
    /// Its format.
    pub format: Format,
    /// Its category; `None`: the household's own list.
    pub category: Option<String>,
    /// How often its server is to be asked, hours.
    pub every_hours: Option<u16>,
    /// Whether a bare name means all names below it too.
    pub subdomains: Option<bool>,
}

/// Where a list comes from.
#[derive(Debug)]
pub enum Origin {
    /// An address.
    Url(String),
    /// Its text.
    Text(String),
}

/// Why a list is not looked at, or not added.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// Something that was asked for makes no sense.
    #[error("{what}")]
    Wrong {
        /// What it is.
        field: &'static str,
        /// Why.
        what: String,
    },
    /// Another one is under way.
    #[error("another list is being looked at; try again when that is done")]
    Busy,
    /// It is not there any more.
    #[error("there is no such preview; it may have been forgotten, look at the list once more")]
    Missing,
    /// It cannot be added.
    #[error("this list cannot be added: it is not looked at yet, or was refused")]
    Unfinished,
    /// Why it is not added.
    #[error(transparent)]
    Add(#[from] AddError),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its server is asked.
    Fetching,
    /// It is read and built aside.
    Building,
    /// It is compared with what was asked for.
    Comparing,
    /// It can be added.
    Ready,
    /// It cannot be used.
    Refused,
}

/// A list that somebody looks at.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListPreview {
    /// Names it here.
    pub id: String,
    /// What the list shall be called.
    pub list: String,
    /// Where it comes from; nothing where its text was given.
    pub url: Option<String>,
    /// Its category; nothing: the household's own list.
    pub category: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// Why it cannot be used.
    pub reason: Option<String>,
    /// What it is, and what it would do.
    pub findings: Option<ListFindings>,
}

/// A preview with what it is made of.
#[derive(Debug)]
struct Slot {
    shown: ListPreview,
    added: Added,
    staged: Option<Staged>,
    began: Instant,
}

/// All lists that are looked at.
#[derive(Debug)]
pub struct Previews {
    watch: Arc<Watch>,
    client: Client,
    store: Store,
    worker: Worker,
    one: Arc<Semaphore>,
    slots: Mutex<BTreeMap<String, Slot>>,
}

impl Previews {
    /// None yet; what an earlier run left on the disk goes.
    pub fn new(watch: Arc<Watch>, client: Client, (store, worker): (&Store, &Worker)) -> Arc<Self> {
        let _ = std::fs::remove_dir_all(staging::folder(store.folder()));
        Arc::new(Self {
            watch,
            client,
            store: store.clone(),
            worker: worker.clone(),
            one: Arc::new(Semaphore::new(1)),
            slots: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to look at a list. `shows`: whether the queries of a profile may be shown by name to who asks.
    pub fn start(self: &Arc<Self>, asked: Asked, shows: Shows) -> Result<ListPreview, PreviewError> {
        let (list, text, added) = self.checked(asked)?;
        let permit = self
            .one
            .clone()
            .try_acquire_owned()
            .map_err(|_| PreviewError::Busy)?;
        let shown = ListPreview {
            id: fresh_id(),
            list: list.id.as_str().to_owned(),
            url: added.url.clone(),
            category: list.category.clone(),
            stage: if text.is_none() {
                Stage::Fetching
            } else {
                Stage::Building
            },
            reason: None,
            findings: None,
        };
        let slot = Slot {
            shown: shown.clone(),
            added,
            staged: None,
            began: Instant::now(),
        };
        {
            let mut slots = self.lock();
            slots.retain(|_, slot| slot.began.elapsed() < KEPT);
            while slots.len() >= MOST {
                let oldest = slots.iter().min_by_key(|(_, slot)| slot.began);
                let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                    break;
                };
                slots.remove(&oldest);
            }
            slots.insert(shown.id.clone(), slot);
        }
        tokio::spawn(self.clone().look(shown.id.clone(), (list, text), shows, permit));
        Ok(shown)
    }

    /// What was asked for as the configuration would have it, with the text that was given.
    fn checked(&self, asked: Asked) -> Result<(List, Option<String>, Added), PreviewError> {
        let wrong = |field, what: String| PreviewError::Wrong { field, what };
        let id = ListId::try_from(asked.id).map_err(|what| wrong("id", what))?;
        if RESERVED.contains(&id.as_str()) {
            return Err(wrong(
                "id",
                format!("{:?} means something else in addresses of the API", id.as_str()),
            ));
        }
        if let Some(category) = &asked.category {
            let known = self
                .watch
                .engine()
                .snapshot()
                .index
                .tag(TagKind::Category, category);
            known.ok_or_else(|| wrong("category", format!("there is no category {category:?}")))?;
        }
        if asked
            .every_hours
            .is_some_and(|hours| !(1..=24 * 30).contains(&hours))
        {
            return Err(wrong("every_hours", "1 to 720 hours are expected".to_owned()));
        }
        let (url, text) = match asked.from {
            Origin::Url(text) => {
                let url = Url::parse(text.trim()).map_err(|error| wrong("url", error.to_string()))?;
                if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
                    return Err(wrong(
                        "url",
                        "an address such as https://lists.example/list.txt is expected".to_owned(),
                    ));
                }
                if url.as_str().len() > 2048 {
                    return Err(wrong("url", "the address is longer than 2,048 octets".to_owned()));
                }
                (Some(url), None)
            }
            Origin::Text(text) if text.len() > LONGEST_TEXT => {
                let what = "the text is longer than 1 MiB; serve such a list from an address".to_owned();
                return Err(wrong("text", what));
            }
            Origin::Text(text) => (None, Some(text)),
        };
        self.watch.keeper().free(id.as_str(), url.as_ref())?;
        let same = |other: &str| other.eq_ignore_ascii_case(id.as_str());
        if self.watch.lists().iter().any(|list| same(&list.id)) {
            return Err(AddError::Taken(format!("there is a list called {:?} already", id.as_str())).into());
        }
        let every = asked
            .every_hours
            .map(|hours| Duration::from_secs(u64::from(hours) * 3600));
        let added = Added {
            url: url.as_ref().map(ToString::to_string),
            format: asked.format,
            category: asked.category.clone(),
            every_s: every.map(|every| every.as_secs()),
            subdomains: asked.subdomains,
            added_at: 0,
        };
        let list = List {
            id,
            url: url.map_or_else(|| Source::File(Path::new("text").to_owned()), Source::Url),
            format: asked.format,
            category: asked.category,
            every: every.map(Span),
            subdomains: asked.subdomains,
            added: true,
        };
        Ok((list, text, added))
    }

    /// Looks at a list, and writes down what was found.
    async fn look(
        self: Arc<Self>,
        id: String,
        (list, text): (List, Option<String>),
        shows: Shows,
        _permit: OwnedSemaphorePermit,
    ) {
        let outcome = self.found(&id, list, text, shows).await;
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(&id) else {
            return; // discarded meanwhile
        };
        match outcome {
            Ok((staged, findings)) => {
                slot.shown.stage = Stage::Ready;
                slot.shown.findings = Some(findings);
                slot.staged = Some(staged);
            }
            Err(reason) => {
                tracing::info!(list = slot.shown.list, %reason, "a list that was looked at is refused");
                slot.shown.stage = Stage::Refused;
                slot.shown.reason = Some(reason);
            }
        }
    }

    /// The error is for a person.
    async fn found(
        self: &Arc<Self>,
        id: &str,
        list: List,
        text: Option<String>,
        shows: Shows,
    ) -> Result<(Staged, ListFindings), String> {
        let folder = staging::folder(self.store.folder()).join(id);
        let staged = match (&list.url, text) {
            (Source::Url(url), _) => Staged::fetch(&self.client, url, folder)
                .await
                .map_err(|error| told(&error))?,
            (Source::File(_), text) => {
                let text = text.unwrap_or_default();
                Staged::given(text.as_bytes(), folder).map_err(|error| error.to_string())?
            }
        };
        self.set(id, Stage::Building);
        let (this, id) = (self.clone(), id.to_owned());
        let work = move || -> Result<(Staged, ListFindings), String> {
            let config = this.watch.keeper().config();
            let loading = Loading {
                config: &config,
                store: Some(&this.store),
                worker: &this.worker,
                threads: 1, // queries are served meanwhile
                now: jiff::Timestamp::now().as_second(),
                first: false,
            };
            let tried = loading.try_out(&list, &staged)?;
            this.set(&id, Stage::Comparing);
            let findings = effect::findings(&this.watch, tried, &list, staged.octets(), &shows)?;
            Ok((staged, findings))
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn set(&self, id: &str, stage: Stage) {
        if let Some(slot) = self.lock().get_mut(id) {
            slot.shown.stage = stage;
        }
    }

    /// All that are looked at, in no order.
    pub fn all(&self) -> Vec<ListPreview> {
        let mut slots = self.lock();
        slots.retain(|_, slot| slot.began.elapsed() < KEPT);
        slots.values().map(|slot| slot.shown.clone()).collect()
    }

    /// How one stands.
    pub fn get(&self, id: &str) -> Option<ListPreview> {
        self.lock().get(id).map(|slot| slot.shown.clone())
    }

    /// Lets go of one; whether there was such a one.
    pub fn discard(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    /// Adds the list; it is in force a moment later. Its id.
    pub fn accept(&self, id: &str, author: &Author) -> Result<String, PreviewError> {
        let mut slots = self.lock();
        let slot = slots.get_mut(id).ok_or(PreviewError::Missing)?;
        let staged = slot.staged.as_ref().ok_or(PreviewError::Unfinished)?;
        let added = Added {
            added_at: jiff::Timestamp::now().as_second(),
            ..slot.added.clone()
        };
        let list = slot.shown.list.clone();
        self.watch.keeper().add(&list, &added, staged, author)?;
        slots.remove(id);
        Ok(list)
    }
}

/// Why a list was not fetched, with what the owner could do about it.
fn told(error: &RemoteError) -> String {
    match error {
        RemoteError::Http(HttpError::Inside(_)) => {
            format!("{error}; [web] private_lists = true allows lists from private addresses")
        }
        other => other.to_string(),
    }
}

/// A name that nobody guesses.
fn fresh_id() -> String {
    let mut octets = [0; 12];
    if getrandom::fill(&mut octets).is_err() {
        octets = *blake3::hash(jiff::Timestamp::now().to_string().as_bytes())
            .as_bytes()
            .first_chunk()
            .unwrap_or(&octets);
    }
    data_encoding::HEXLOWER.encode(&octets)
}
