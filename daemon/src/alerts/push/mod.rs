//! Web Push: alerts on the phones and computers of those who signed in, through the push services that their browsers use.
//!
//! ```text
//! browser ─▶ subscribe: address at its push service, keys ─▶ kept with its user
//! post.rs ─▶ what its user may see now ─▶ sealed (seal.rs) ─▶ signed (vapid.rs) ─▶ push service ─▶ service worker shows it
//! ```
//!
//! A user reaches the own browsers alone, and hears only of what that user may see at that moment. The push service learns
//! that something is sent, and when; never what. Addresses of push services come from browsers, which is to say from anybody who
//! signed in: they are never spoken to inside this network, unless the configuration says so, and neither they nor keys are shown.

mod seal;
mod subscription;
mod vapid;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;

use super::text::{self, Notice};
use super::{Alert, AlertError, Alerts, Outcome, SendError, WrongRecipient, new_id};
use crate::accounts::Accounts;
use crate::http::{HttpError, Url, shown};
use crate::store::audit::Author;
use crate::store::{Changes, Store, StoreError, Table};

pub use seal::SealError;
pub(super) use subscription::Subscription;
pub use subscription::{Browser, Choice, Detail, Keys, ShownSubscription, Subscribe};
pub use vapid::KeyError;

const SUBSCRIPTIONS: Table<Subscription> = Table::new("push-subscription", &[]);
/// Browsers of one user.
pub const MOST: usize = 10;
/// How long a push service keeps a message for a browser that is away, seconds.
const TTL_S: u32 = 24 * 3600;
/// The longest time that a push service may ask to be left alone for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whom push services write to when something is wrong: `mailto:` or `https:`.
    pub contact: String,
    /// Whether push services may be in this network.
    pub private: bool,
}

/// Browsers that are told, and what is needed for it.
#[derive(Debug)]
pub(super) struct Push {
    settings: Settings,
    pub(super) accounts: Arc<Accounts>,
    vapid: vapid::Vapid,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    subscriptions: BTreeMap<String, Subscription>,
    outcomes: BTreeMap<String, Outcome>,
}

impl Push {
    pub(super) fn open(
        store: &Store,
        accounts: Arc<Accounts>,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let subscriptions = store.all(&SUBSCRIPTIONS)?.into_iter().collect();
        Ok(Self {
            settings,
            accounts,
            vapid: vapid::Vapid::default(),
            held: Mutex::new(Held {
                subscriptions,
                outcomes: BTreeMap::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, with their ids.
    pub(super) fn all(&self) -> Vec<(String, Subscription)> {
        let held = self.lock();
        held.subscriptions
            .iter()
            .map(|(id, one)| (id.clone(), one.clone()))
            .collect()
    }

    pub(super) fn one(&self, id: &str) -> Option<Subscription> {
        self.lock().subscriptions.get(id).cloned()
    }

    /// Of what somebody wants to hear.
    pub(super) fn about(&self) -> Vec<String> {
        let held = self.lock();
        let about = held
            .subscriptions
            .values()
            .flat_map(|one| one.choice.about.iter().cloned());
        about.collect()
    }

    pub(super) fn note_outcome(&self, id: &str, outcome: &Result<(), SendError>) {
        let mut held = self.lock();
        if held.subscriptions.contains_key(id) {
            held.outcomes.entry(id.to_owned()).or_default().note(outcome);
        }
    }
}

impl Alerts {
    /// The public key that browsers subscribe for; made when it is asked for first.
    pub fn push_key(&self) -> Result<String, KeyError> {
        Ok(vapid::public(&*self.push.vapid.key(&self.store)?))
    }

    /// The browsers of a user.
    pub fn subscriptions(&self, user: &str) -> Vec<ShownSubscription> {
        let held = self.push.lock();
        let own = held.subscriptions.iter().filter(|(_, one)| one.user == user);
        own.map(|(id, one)| one.shown(id, held.outcomes.get(id).cloned().unwrap_or_default()))
            .collect()
    }

    /// Tells a browser of this user from now on. One that is known already, also as another user's who signed in there before, is
    /// this user's alone then.
    pub fn subscribe(
        &self,
        author: &Author,
        user: &str,
        asked: Subscribe,
    ) -> Result<ShownSubscription, AlertError> {
        asked.choice.check()?;
        asked.browser.check(self.push.settings.private)?;
        let _only_one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.push.all();
        let before = all
            .iter()
            .find(|(_, one)| one.browser.endpoint == asked.browser.endpoint);
        let others = |(id, one): &&(String, Subscription)| {
            one.user == user && before.is_none_or(|(before, _)| before != id)
        };
        if all.iter().filter(others).count() >= MOST {
            return Err(AlertError::TooManyBrowsers);
        }
        let id = before.map_or_else(new_id, |(id, _)| id.clone());
        let subscription = Subscription {
            user: user.to_owned(),
            browser: asked.browser,
            choice: asked.choice,
            created: before
                .filter(|(_, one)| one.user == user)
                .map_or_else(Timestamp::now, |(_, one)| one.created),
        };
        self.put_subscription(author, "push.add", &id, subscription)
    }

    /// Changes what a browser of this user is told.
    pub fn choose(
        &self,
        author: &Author,
        user: &str,
        id: &str,
        choice: Choice,
    ) -> Result<ShownSubscription, AlertError> {
        choice.check()?;
        let _only_one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.own(user, id)?;
        let subscription = Subscription { choice, ..before };
        self.put_subscription(author, "push.change", id, subscription)
    }

    /// Tells a browser of this user no more.
    pub fn unsubscribe(&self, author: &Author, user: &str, id: &str) -> Result<(), AlertError> {
        let _only_one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.own(user, id)?;
        Ok(self.forget(author, &[(id.to_owned(), before)])?)
    }

    /// Tells browsers no more whose user is gone, or took the account back at the console since.
    pub(super) fn tidy_browsers(&self) -> Result<(), StoreError> {
        let _only_one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = self.push.all();
        gone.retain(|(_, one)| !self.push.accounts.still_holds(&one.user, one.created.as_second()));
        if gone.is_empty() {
            return Ok(());
        }
        self.forget(&Author::console(), &gone)
    }

    /// Sends a browser of this user a message that says that it is a test.
    pub async fn test_push(&self, user: &str, id: &str) -> Result<Result<(), SendError>, AlertError> {
        let to = self.own(user, id)?;
        let notice = text::test_notice(to.choice.language);
        let outcome = self.deliver(&to, &notice, "test").await;
        self.note_push(id, &outcome);
        Ok(outcome)
    }

    /// Whether a browser's user may hear of this now; nobody hears of anything for a user who is gone.
    pub(super) fn may_hear(&self, user: &str, profile: &str) -> bool {
        let member = self.push.accounts.member(user);
        member.is_some_and(|member| super::may_hear(|action, scope| member.may(action, scope), profile))
    }

    /// Sends a browser what happened.
    pub(super) async fn push(&self, to: &Subscription, alerts: &[Alert]) -> Result<(), SendError> {
        let notice = text::notice(to.choice.language, to.choice.detail, alerts);
        let about: Vec<String> = alerts
            .iter()
            .map(|alert| format!("{}|{}", alert.about, alert.profile))
            .collect();
        self.deliver(to, &notice, &about.join("|")).await
    }

    /// Notes how sending went; a browser that is gone at its push service is told no more.
    pub(super) fn note_push(&self, id: &str, outcome: &Result<(), SendError>) {
        if !matches!(outcome, Err(SendError::Gone(_))) {
            self.push.note_outcome(id, outcome);
            return;
        }
        let author = Author {
            who: "push service".to_owned(),
            from: String::new(),
        };
        let _only_one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = self.push.one(id)
            && let Err(error) = self.forget(&author, &[(id.to_owned(), gone)])
        {
            tracing::warn!(%error, "a browser that is gone is not forgotten");
        }
    }

    /// Sends a message (RFC 8030, section 5). `topic`: a later one about the same takes the place of one that waits.
    async fn deliver(&self, to: &Subscription, notice: &Notice, topic: &str) -> Result<(), SendError> {
        let key = self
            .push
            .vapid
            .key(&self.store)
            .map_err(|error| SendError::Made(error.to_string()))?;
        let reader = to
            .browser
            .reader()
            .map_err(|error| SendError::Made(error.to_string()))?;
        let url = Url::parse(&to.browser.endpoint).map_err(|error| HttpError::Url(error.to_string()))?;
        let place = url.host_str().unwrap_or_default().to_owned();
        let body = serde_json::to_vec(notice).unwrap_or_default();
        let body = seal::seal(&reader, &body).map_err(|error| SendError::Made(error.to_string()))?;
        let now = Timestamp::now().as_second();
        let request = Request::post(url.as_str())
            .header(
                header::AUTHORIZATION,
                vapid::authorization(&key, &url, &self.push.settings.contact, now),
            )
            .header(header::CONTENT_ENCODING, "aes128gcm")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("ttl", TTL_S)
            .header("urgency", if notice.urgent { "high" } else { "normal" })
            .header("topic", topic_of(&to.browser.keys.auth, topic))
            .body(body)
            .map_err(|error| HttpError::Url(error.to_string()))?;
        let limits = self.http.small();
        let http = if self.push.settings.private {
            self.http.clone()
        } else {
            self.http.for_strangers()
        };
        let answer = http.exchange(request, limits).await;
        // Whoever has the whole address can write to the browser: it is in no log and on no page.
        let hidden = |error: HttpError| error.to_string().replace(&shown(&url), &place);
        taken(
            place.clone(),
            &answer.map_err(|error| SendError::Unreached(hidden(error)))?,
        )
    }

    fn own(&self, user: &str, id: &str) -> Result<Subscription, AlertError> {
        let found = self.push.one(id).filter(|one| one.user == user);
        found.ok_or(AlertError::NoBrowser)
    }

    /// Whoever calls it holds `writing`.
    fn put_subscription(
        &self,
        author: &Author,
        action: &str,
        id: &str,
        subscription: Subscription,
    ) -> Result<ShownSubscription, AlertError> {
        let shown = subscription.shown(id, Outcome::default());
        let mut changes = Changes::default();
        changes.put(&SUBSCRIPTIONS, id, &subscription);
        let told = serde_json::to_value(&shown).ok();
        changes.audit(author.entry(action, &subscription.choice.name, None, told));
        self.store.commit(changes)?;
        self.push.lock().subscriptions.insert(id.to_owned(), subscription);
        self.note_wanted();
        Ok(shown)
    }

    /// Whoever calls it holds `writing`.
    fn forget(&self, author: &Author, gone: &[(String, Subscription)]) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        for (id, one) in gone {
            changes.remove(&SUBSCRIPTIONS, id);
            let told = serde_json::to_value(one.shown(id, Outcome::default())).ok();
            changes.audit(author.entry("push.remove", &one.choice.name, told, None));
        }
        self.store.commit(changes)?;
        let mut held = self.push.lock();
        for (id, _) in gone {
            held.subscriptions.remove(id);
            held.outcomes.remove(id);
        }
        drop(held);
        self.note_wanted();
        Ok(())
    }
}

/// A topic (RFC 8030, section 5.4): 32 letters that tell the push service nothing, for they are keyed by what only the browser
/// knows.
fn topic_of(auth: &str, about: &str) -> String {
    let key = blake3::derive_key("isigurt gateway 2026 topic of a push message", auth.as_bytes());
    let hash = blake3::keyed_hash(&key, about.as_bytes());
    BASE64URL_NOPAD.encode(hash.as_bytes().get(..24).unwrap_or_default())
}

/// What a push service's answer means (RFC 8030, sections 5 and 8.4).
fn taken(place: String, answer: &axum::http::Response<Vec<u8>>) -> Result<(), SendError> {
    let status = answer.status();
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(SendError::Gone(place)),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let after = answer.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok());
            Err(SendError::Busy {
                place,
                status: status.as_u16(),
                after: after.and_then(|text| pause(text, Timestamp::now())),
            })
        }
        status => Err(SendError::Unwelcome {
            place,
            status: status.as_u16(),
        }),
    }
}

/// A `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    let pause = if let Ok(seconds) = text.trim().parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).unwrap_or_default()
    };
    Some(pause.min(LONGEST_PAUSE))
}

impl WrongRecipient {
    fn of(field: &'static str, reason: &str) -> Self {
        super::recipient::wrong(field, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_service_says_for_how_long_it_is_to_be_left_alone() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let seconds = |text: &str| pause(text, now).map(|pause| pause.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Thu, 26 Nov 2026 12:05:00 GMT"), Some(300));
        assert_eq!(seconds("Thu, 26 Nov 2026 11:00:00 GMT"), Some(0), "it is over");
        assert_eq!(seconds("99999999999999"), Some(24 * 3600));
        assert_eq!(seconds("-5"), None);
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds(""), None);
    }

    #[test]
    fn a_topic_is_the_same_for_the_same_and_tells_nothing() {
        let topic = topic_of("a", "category:self-harm|child");
        assert_eq!(topic.len(), 32);
        assert_eq!(topic, topic_of("a", "category:self-harm|child"));
        assert_ne!(topic, topic_of("a", "category:self-harm|other"));
        assert_ne!(topic, topic_of("b", "category:self-harm|child"));
        assert!(
            topic
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
        );
    }

    #[test]
    fn answers_of_push_services_mean_what_rfc_8030_says() {
        let said = |status: u16, retry: Option<&str>| {
            let mut answer = axum::http::Response::builder().status(status);
            if let Some(retry) = retry {
                answer = answer.header("retry-after", retry);
            }
            taken("push.example".to_owned(), &answer.body(Vec::new()).unwrap())
        };
        assert!(said(201, None).is_ok() && said(202, None).is_ok());
        for status in [404, 410] {
            assert!(matches!(said(status, None), Err(SendError::Gone(_))), "{status}");
        }
        for status in [429, 500, 503] {
            let busy = said(status, Some("7"));
            let wait = Some(Duration::from_secs(7));
            assert!(
                matches!(busy, Err(SendError::Busy { after, .. }) if after == wait),
                "{status}"
            );
        }
        for status in [301, 400, 401, 403, 413] {
            assert!(
                matches!(said(status, None), Err(SendError::Unwelcome { .. })),
                "{status}"
            );
        }
    }
}
