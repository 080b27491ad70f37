//! Alerts: what somebody should know at once, told to those who asked for it, in their language, without a flood.
//!
//! ```text
//! query log's thread ─┐
//! reports of danger ──┼─▶ Alerts::tell ─▶ bounded queue ─▶ post.rs: the first at once, the rest together ─▶ ways.rs
//! the gateway itself ─┘                                                      mail | webhook | ntfy | browsers (push/)
//! ```
//!
//! An alert says which kind of thing happened, on whose device and how often: never the name that was asked for, which may
//! be a child's secret. Nobody waits for it; where too much happens at once the rest is only counted. Passwords and tokens
//! are taken and never given back.

mod post;
pub mod push;
mod recipient;
mod text;
mod ways;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::accounts::{Accounts, Action, Scope};
use crate::http::Client;
use crate::store::audit::Author;
use crate::store::{Changes, Store, StoreError, Table};

use push::{Push, Subscription};

pub use recipient::{Language, Recipient, Security, Shown, Way, WrongRecipient};
pub use ways::SendError;

const RECIPIENTS: Table<Recipient> = Table::new("alert-recipient", &[]);
const SENT: Table<Alert> = Table::new("alert", &[]);
/// Alerts that are kept.
const KEPT: usize = 500;
/// Recipients that there may be.
const MOST: usize = 50;
/// Signals that may wait.
const WAITING: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// `category:ID`, `danger` (somebody reported danger) or `gateway`.
    pub about: String,
    /// Whose profile; empty for the gateway itself.
    pub profile: String,
    /// Which device; empty where nobody is to know.
    pub device: String,
    /// What is wrong with the gateway; empty else.
    pub problem: String,
}

/// An alert that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `category:ID`, `danger` or `gateway`.
    pub about: String,
    /// Whose profile; empty for the gateway itself.
    pub profile: String,
    /// Which devices.
    pub devices: Vec<String>,
    /// How often since the alert before.
    pub count: u32,
    /// What is wrong with the gateway; empty else.
    pub problem: String,
    /// Name of the recipient.
    pub to: String,
}

/// How sending to a recipient went last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AlertOutcome)]
pub struct Outcome {
    /// When something was sent last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    /// Why the last try failed, if it did.
    pub error: Option<String>,
}

impl Outcome {
    fn note(&mut self, outcome: &Result<(), SendError>) {
        match outcome {
            Ok(()) => {
                self.sent_at = Some(Timestamp::now());
                self.error = None;
            }
            Err(error) => self.error = Some(error.to_string()),
        }
    }
}

/// Somebody who is told.
#[derive(Debug, Clone)]
enum Listener {
    Recipient(Recipient),
    Browser(Box<Subscription>),
}

/// Whether somebody who may do such things may hear of what happened to a profile; without one, to the gateway.
pub fn may_hear(may: impl Fn(Action, Scope<'_>) -> bool, profile: &str) -> bool {
    let scope = match profile {
        "" => Scope::Gateway,
        name => Scope::Profile(name),
    };
    may(Action::ReportRead, scope)
}

#[derive(Debug, Default)]
struct Inner {
    recipients: BTreeMap<String, Recipient>,
    outcomes: BTreeMap<String, Outcome>,
    /// The newest last, with their numbers.
    sent: VecDeque<(u64, Alert)>,
}

/// Recipients, and the way to them.
#[derive(Debug)]
pub struct Alerts {
    store: Store,
    http: Client,
    inner: Mutex<Inner>,
    push: Push,
    /// Held by whoever changes which browsers are told, from looking to writing.
    writing: Mutex<()>,
    /// What somebody wants to hear of.
    wanted: ArcSwap<HashSet<String>>,
    signals: mpsc::Sender<Signal>,
    /// Held by the task that sends.
    arriving: tokio::sync::Mutex<mpsc::Receiver<Signal>>,
}

/// Why recipients are not as asked.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// There is no such recipient.
    #[error("there is no recipient {0:?}")]
    Missing(String),
    /// There are enough.
    #[error("there are {MOST} recipients already; remove one")]
    TooMany,
    /// The user has no such browser.
    #[error("no such device of yours is told; it may have been removed meanwhile")]
    NoBrowser,
    /// The user has enough browsers.
    #[error("{} of your devices are told already; remove one", push::MOST)]
    TooManyBrowsers,
    /// There is no key for push messages.
    #[error(transparent)]
    Key(#[from] push::KeyError),
    /// It is not possible so.
    #[error(transparent)]
    Wrong(#[from] WrongRecipient),
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Alerts {
    /// The alerts of this state; `accounts` say who may hear of what on the own browsers.
    pub fn open(
        store: Store,
        http: Client,
        accounts: Arc<Accounts>,
        settings: push::Settings,
    ) -> Result<Arc<Self>, StoreError> {
        let push = Push::open(&store, accounts, settings)?;
        let recipients: BTreeMap<String, Recipient> = store.all(&RECIPIENTS)?.into_iter().collect();
        let sent = store.all(&SENT)?.into_iter();
        let sent = sent
            .map(|(key, alert)| (key.parse().unwrap_or(0), alert))
            .collect();
        let (signals, arriving) = mpsc::channel(WAITING);
        let alerts = Self {
            store,
            http,
            inner: Mutex::new(Inner {
                recipients,
                outcomes: BTreeMap::new(),
                sent,
            }),
            push,
            writing: Mutex::new(()),
            wanted: ArcSwap::default(),
            signals,
            arriving: tokio::sync::Mutex::new(arriving),
        };
        alerts.note_wanted();
        Ok(Arc::new(alerts))
    }

    /// Whether anybody wants to hear of this: cheap, for those who would tell.
    pub fn wants(&self, about: &str) -> bool {
        self.wanted.load().contains(about)
    }

    /// Tells of something. Never waits: where too much waits already this is left out. What was blocked comes in floods,
    /// perhaps made by who wants nobody to hear of something else: half of the room is for danger and the gateway alone.
    pub fn tell(&self, signal: Signal) {
        let flood = signal.about.starts_with("category:");
        let room = !flood || self.signals.capacity() > WAITING / 2;
        if room && self.wants(&signal.about) {
            let _ = self.signals.try_send(signal);
        }
    }

    /// Sends what is told, until the task is ended.
    pub async fn serve(self: Arc<Self>) {
        let mut arriving = self.arriving.lock().await;
        post::serve(&self, &mut arriving).await;
    }

    /// All recipients with their ids, without secrets.
    pub fn recipients(&self) -> Vec<Shown> {
        let inner = self.lock();
        let shown = inner.recipients.iter().map(|(id, recipient)| {
            let outcome = inner.outcomes.get(id).cloned().unwrap_or_default();
            recipient.shown(id, outcome)
        });
        shown.collect()
    }

    /// Adds a recipient; gives it with its id.
    pub fn add(&self, author: &Author, recipient: Recipient) -> Result<Shown, AlertError> {
        recipient.check()?;
        if self.lock().recipients.len() >= MOST {
            return Err(AlertError::TooMany);
        }
        self.put(author, "alert.recipient.add", &new_id(), recipient)
    }

    /// Replaces a recipient. A secret that is not sent again stays, as long as it goes to the same place.
    pub fn replace(&self, author: &Author, id: &str, recipient: Recipient) -> Result<Shown, AlertError> {
        let before = self.recipient(id)?;
        let recipient = recipient.with_secret_of(&before)?;
        recipient.check()?;
        self.put(author, "alert.recipient.change", id, recipient)
    }

    /// Removes a recipient.
    pub fn remove(&self, author: &Author, id: &str) -> Result<(), AlertError> {
        let before = self.recipient(id)?;
        let mut changes = Changes::default();
        changes.remove(&RECIPIENTS, id);
        let told = serde_json::to_value(before.shown(id, Outcome::default())).ok();
        changes.audit(author.entry("alert.recipient.remove", &before.name, told, None));
        self.store.commit(changes)?;
        let mut inner = self.lock();
        inner.recipients.remove(id);
        inner.outcomes.remove(id);
        drop(inner);
        self.note_wanted();
        Ok(())
    }

    /// Sends a recipient a message that says that it is a test.
    pub async fn test(&self, id: &str) -> Result<Result<(), SendError>, AlertError> {
        let recipient = self.recipient(id)?;
        let outcome = ways::send(&self.http, &recipient, &text::test(recipient.language)).await;
        self.note_outcome(id, &outcome);
        Ok(outcome)
    }

    /// Alerts that were made, the newest first.
    pub fn sent(&self) -> Vec<Alert> {
        self.lock()
            .sent
            .iter()
            .rev()
            .map(|(_, alert)| alert.clone())
            .collect()
    }

    fn put(
        &self,
        author: &Author,
        action: &str,
        id: &str,
        recipient: Recipient,
    ) -> Result<Shown, AlertError> {
        let shown = recipient.shown(id, Outcome::default());
        let mut changes = Changes::default();
        changes.put(&RECIPIENTS, id, &recipient);
        changes.audit(author.entry(action, &recipient.name, None, serde_json::to_value(&shown).ok()));
        self.store.commit(changes)?;
        self.lock().recipients.insert(id.to_owned(), recipient);
        self.note_wanted();
        Ok(shown)
    }

    fn recipient(&self, id: &str) -> Result<Recipient, AlertError> {
        let found = self.lock().recipients.get(id).cloned();
        found.ok_or_else(|| AlertError::Missing(id.to_owned()))
    }

    fn note_wanted(&self) {
        let inner = self.lock();
        let recipients = inner.recipients.values();
        let about = recipients.flat_map(|one| one.about.iter().cloned());
        let about = about.chain(self.push.about());
        self.wanted.store(Arc::new(about.collect()));
    }

    fn note_outcome(&self, id: &str, outcome: &Result<(), SendError>) {
        self.lock()
            .outcomes
            .entry(id.to_owned())
            .or_default()
            .note(outcome);
    }

    /// Everybody who is told, with ids. Browsers of accounts that are gone are among them, and hear of nothing.
    fn listeners(&self) -> Vec<(String, Listener)> {
        let inner = self.lock();
        let recipients = inner.recipients.iter();
        let recipients = recipients.map(|(id, one)| (id.clone(), Listener::Recipient(one.clone())));
        let browsers = self.push.all().into_iter();
        let browsers = browsers.map(|(id, one)| (id, Listener::Browser(Box::new(one))));
        recipients.chain(browsers).collect()
    }

    fn listener(&self, id: &str) -> Option<Listener> {
        let browser = || self.push.one(id).map(|one| Listener::Browser(Box::new(one)));
        let recipient = self.recipient(id).ok().map(Listener::Recipient);
        recipient.or_else(browser)
    }

    /// Keeps what was sent, for those who look later.
    fn keep(&self, alerts: &[Alert]) {
        let mut inner = self.lock();
        let mut changes = Changes::default();
        for alert in alerts {
            let number = inner.sent.back().map_or(0, |(number, _)| *number) + 1;
            changes.put(&SENT, &format!("{number:020}"), alert);
            inner.sent.push_back((number, alert.clone()));
            if inner.sent.len() > KEPT
                && let Some((oldest, _)) = inner.sent.pop_front()
            {
                changes.remove(&SENT, &format!("{oldest:020}"));
            }
        }
        if let Err(error) = self.store.commit(changes) {
            tracing::warn!(%error, "alerts that were sent are not kept");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id of somebody who is told: a number among few; nothing is secret about it.
fn new_id() -> String {
    let mut octets = [0; 8];
    let _ = getrandom::fill(&mut octets);
    data_encoding::HEXLOWER.encode(&octets)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounts::{Lifetimes, SystemClock};
    use crate::http::{Settings, SystemLookup};

    #[test]
    fn a_flood_of_what_was_blocked_keeps_no_danger_from_being_told() {
        let folder = tempfile::tempdir().unwrap();
        let lookup: Arc<dyn crate::http::Lookup> = Arc::new(SystemLookup);
        let http = Client::new(&Settings::default(), &lookup).unwrap();
        let store = Store::in_memory(folder.path());
        let lifetimes = Lifetimes {
            idle: Duration::from_secs(60),
            longest: Duration::from_secs(60),
        };
        let accounts = Accounts::open(store.clone(), Arc::new(SystemClock::default()), lifetimes).unwrap();
        let alerts = Alerts::open(store, http, Arc::new(accounts), push::Settings::default()).unwrap();
        let lead = Recipient {
            name: "lead".to_owned(),
            language: Language::Sq,
            about: vec!["category:self-harm".to_owned(), "danger".to_owned()],
            profiles: Vec::new(),
            digest_minutes: 60,
            way: Way::Webhook {
                url: "https://a.example".to_owned(),
                secret: None,
            },
        };
        alerts.add(&Author::console(), lead).unwrap();
        let tell = |about: &str| {
            alerts.tell(Signal {
                about: about.to_owned(),
                profile: String::new(),
                device: String::new(),
                problem: String::new(),
            });
        };
        for _ in 0..10 * WAITING {
            tell("category:self-harm");
        }
        tell("danger");
        let mut arriving = alerts.arriving.try_lock().unwrap();
        let mut told = Vec::new();
        while let Ok(signal) = arriving.try_recv() {
            told.push(signal.about);
        }
        assert_eq!(told.last().map(String::as_str), Some("danger"));
        assert!(told.len() > WAITING / 4, "{}", told.len());
    }
}
