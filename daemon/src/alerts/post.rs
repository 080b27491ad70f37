//! What is sent when: the first at once, the rest together; what did not arrive is tried again for a day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;

use super::ways::SendError;
use super::{Alert, Alerts, Listener, Signal, text, ways};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(5);
/// How long until what did not arrive is tried again, each time.
const AGAIN: [u64; 5] = [60, 300, 900, 3600, 6 * 3600];
/// A browser is tried again after this at the latest, unless its push service wants to be left alone for longer.
const BROWSER_AGAIN: u64 = 3600;
/// Browsers that are sent to at the same time.
const AT_ONCE: usize = 8;
/// How long it is tried.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
/// Devices that an alert names.
const DEVICES: usize = 10;

/// What happened since the last message about the same.
#[derive(Debug, Default)]
struct Held {
    /// When the last message about it was made; never, at first.
    told: Option<Instant>,
    count: u32,
    devices: BTreeSet<String>,
    problem: String,
}

impl Listener {
    /// What it is called in the list of what was sent.
    fn name(&self, alerts: &Alerts) -> String {
        match self {
            Self::Recipient(one) => one.name.clone(),
            Self::Browser(one) => {
                let user = alerts.push.accounts.user(one.user());
                user.map(|user| user.name).unwrap_or_default()
            }
        }
    }

    fn quiet(&self) -> Duration {
        let minutes = match self {
            Self::Recipient(one) => one.digest_minutes,
            Self::Browser(one) => one.choice().digest_minutes,
        };
        Duration::from_secs(u64::from(minutes) * 60)
    }

    /// Whether it is told of this: what was asked for, and what may be seen now.
    fn wants(&self, alerts: &Alerts, about: &str, profile: &str) -> bool {
        match self {
            Self::Recipient(one) => one.wants(about, profile),
            Self::Browser(one) => {
                one.choice().about.iter().any(|wanted| wanted == about)
                    && alerts.may_hear(one.user(), profile)
            }
        }
    }
}

/// Who, kind, profile.
type Key = (String, String, String);

/// Gathers signals into alerts.
#[derive(Debug, Default)]
struct Gathered(BTreeMap<Key, Held>);

impl Gathered {
    fn take(&mut self, id: &str, signal: &Signal) {
        let key = (id.to_owned(), signal.about.clone(), signal.profile.clone());
        let held = self.0.entry(key).or_default();
        held.count = held.count.saturating_add(1);
        if !signal.device.is_empty() && held.devices.len() < DEVICES {
            held.devices.insert(signal.device.clone());
        }
        held.problem.clone_from(&signal.problem);
    }

    /// What is due for somebody now: what happened, and was not told of for as long as the listener says.
    fn due(&mut self, id: &str, (to, quiet): (&str, Duration), now: Instant) -> Vec<Alert> {
        let mut due = Vec::new();
        for ((of, about, profile), held) in &mut self.0 {
            let silent = held.told.is_none_or(|told| now.duration_since(told) >= quiet);
            if of != id || held.count == 0 || !silent {
                continue;
            }
            due.push(Alert {
                at: Timestamp::now(),
                about: about.clone(),
                profile: profile.clone(),
                devices: std::mem::take(&mut held.devices).into_iter().collect(),
                count: std::mem::take(&mut held.count),
                problem: std::mem::take(&mut held.problem),
                to: to.to_owned(),
            });
            held.told = Some(now);
        }
        due
    }

    /// Lets go of what has long been told.
    fn tidy(&mut self, now: Instant) {
        let day = Duration::from_secs(24 * 3600);
        self.0
            .retain(|_, held| held.count > 0 || held.told.is_some_and(|told| now.duration_since(told) < day));
    }
}

/// Alerts for somebody: on their way, or late.
#[derive(Debug)]
struct Letter {
    id: String,
    listener: Listener,
    alerts: Vec<Alert>,
    /// When it was tried first.
    first: Instant,
    /// When it is to be tried.
    next: Instant,
    tries: usize,
    /// Whether nothing else is to be sent there before.
    alone: bool,
}

/// Sends what arrives, until the task is ended.
pub(super) async fn serve(alerts: &Arc<Alerts>, arriving: &mut Receiver<Signal>) {
    let mut gathered = Gathered::default();
    let mut late: Vec<Letter> = Vec::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            signal = arriving.recv() => {
                let Some(signal) = signal else { return };
                let mut signals = vec![signal];
                while let Ok(signal) = arriving.try_recv() {
                    signals.push(signal);
                }
                for (id, listener) in alerts.listeners() {
                    for signal in signals.iter().filter(|one| listener.wants(alerts, &one.about, &one.profile)) {
                        gathered.take(&id, signal);
                    }
                }
            }
            _ = look.tick() => {
                gathered.tidy(Instant::now());
                if let Err(error) = alerts.tidy_browsers() {
                    tracing::warn!(%error, "browsers of accounts that are gone are not forgotten");
                }
            }
        }
        let mut letters = write(alerts, &mut gathered, &late);
        keep(alerts, &letters);
        let now = Instant::now();
        let (due, waiting): (Vec<_>, Vec<_>) = late.into_iter().partition(|letter| letter.next <= now);
        letters.extend(due.into_iter().filter_map(|letter| {
            let listener = alerts.listener(&letter.id)?; // `None`: removed meanwhile
            Some(Letter { listener, ..letter })
        }));
        late = waiting;
        late.extend(send_all(alerts, letters).await);
    }
}

/// What is due, for everybody who does not want to be left alone.
fn write(alerts: &Alerts, gathered: &mut Gathered, late: &[Letter]) -> Vec<Letter> {
    let now = Instant::now();
    let mut letters = Vec::new();
    for (id, listener) in alerts.listeners() {
        if late.iter().any(|one| one.id == id && one.alone) {
            continue;
        }
        let due = gathered.due(&id, (&listener.name(alerts), listener.quiet()), now);
        if !due.is_empty() {
            letters.push(Letter {
                id,
                listener,
                alerts: due,
                first: now,
                next: now,
                tries: 0,
                alone: false,
            });
        }
    }
    letters
}

/// Keeps what is sent, for those who look later: of browsers of the same user once.
fn keep(alerts: &Alerts, letters: &[Letter]) {
    let mut kept: Vec<Alert> = Vec::new();
    for letter in letters {
        let browser = matches!(letter.listener, Listener::Browser(_));
        for alert in &letter.alerts {
            let same = |other: &Alert| {
                (&other.about, &other.profile, &other.to) == (&alert.about, &alert.profile, &alert.to)
            };
            if !browser || !kept.iter().any(same) {
                kept.push(alert.clone());
            }
        }
    }
    if !kept.is_empty() {
        alerts.keep(&kept);
    }
}

/// Sends letters, a few at a time; gives those back that did not arrive and are to be tried again.
async fn send_all(alerts: &Arc<Alerts>, letters: Vec<Letter>) -> Vec<Letter> {
    let mut late = Vec::new();
    let mut under_way = tokio::task::JoinSet::new();
    for letter in letters {
        if under_way.len() >= AT_ONCE {
            late.extend(under_way.join_next().await.and_then(Result::ok).flatten());
        }
        let alerts = alerts.clone();
        under_way.spawn(async move { send(&alerts, letter).await });
    }
    while let Some(done) = under_way.join_next().await {
        late.extend(done.ok().flatten());
    }
    late
}

async fn send(alerts: &Alerts, mut letter: Letter) -> Option<Letter> {
    let error = match &letter.listener {
        Listener::Recipient(recipient) => {
            let message = text::message(recipient.language, letter.alerts.clone());
            let outcome = ways::send(&alerts.http, recipient, &message).await;
            alerts.note_outcome(&letter.id, &outcome);
            outcome.err()?
        }
        Listener::Browser(browser) => {
            // What its user may not see any more is not sent late either.
            letter
                .alerts
                .retain(|alert| alerts.may_hear(browser.user(), &alert.profile));
            if letter.alerts.is_empty() {
                return None;
            }
            let outcome = alerts.push(browser, &letter.alerts).await;
            alerts.note_push(&letter.id, &outcome);
            outcome.err()?
        }
    };
    let name = letter.listener.name(alerts);
    tracing::warn!(recipient = name, %error, "an alert did not arrive");
    let pause = pause(&letter.listener, letter.tries, &error)?;
    let now = Instant::now();
    (now.duration_since(letter.first) < GIVEN_UP).then(|| Letter {
        next: now + pause,
        tries: letter.tries + 1,
        alone: matches!(error, SendError::Busy { .. }),
        ..letter
    })
}

/// For how long what did not arrive waits; `None`: it is of no use to try again.
fn pause(listener: &Listener, tries: usize, error: &SendError) -> Option<Duration> {
    let usual = AGAIN.get(tries).or(AGAIN.last()).copied().unwrap_or(60);
    if matches!(listener, Listener::Recipient(_)) {
        return Some(Duration::from_secs(usual));
    }
    let usual = Duration::from_secs(usual.min(BROWSER_AGAIN));
    match error {
        SendError::Busy { after, .. } => Some(after.unwrap_or_default().max(usual)),
        SendError::Unreached(_) => Some(usual),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(profile: &str, device: &str) -> Signal {
        Signal {
            about: "category:self-harm".to_owned(),
            profile: profile.to_owned(),
            device: device.to_owned(),
            problem: String::new(),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_what_follows_comes_together_later() {
        let recipient = ("lead", Duration::from_secs(3600));
        let mut gathered = Gathered::default();
        let begin = Instant::now();
        let minutes = |minutes: u64| begin + Duration::from_secs(minutes * 60);
        gathered.take("1", &signal("class-7a", "tablet 1"));
        assert_eq!(gathered.due("1", recipient, begin).len(), 1);
        for device in ["tablet 1", "tablet 2", "tablet 2"] {
            gathered.take("1", &signal("class-7a", device));
        }
        assert!(gathered.due("1", recipient, minutes(59)).is_empty(), "not yet");
        gathered.take("1", &signal("class-8b", "tablet 9"));
        let other = gathered.due("1", recipient, minutes(59));
        assert_eq!((other.len(), other[0].profile.as_str()), (1, "class-8b"));
        let due = gathered.due("1", recipient, minutes(60));
        assert_eq!((due.len(), due[0].count), (1, 3));
        assert_eq!(due[0].devices, ["tablet 1", "tablet 2"]);
        assert!(
            gathered.due("1", recipient, minutes(200)).is_empty(),
            "nothing happened since"
        );
        gathered.tidy(minutes(60 * 60));
        assert!(gathered.0.is_empty());
    }
}
