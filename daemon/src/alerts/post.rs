//! What is sent when: the first at once, the rest together; what did not arrive is tried again for a day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;

use super::{Alert, Alerts, Recipient, Signal, text, ways};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(5);
/// How long until what did not arrive is tried again, each time.
const AGAIN: [u64; 5] = [60, 300, 900, 3600, 6 * 3600];
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

/// Recipient, kind, profile.
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

    /// What is due for a recipient now: what happened, and was not told of for as long as the recipient says.
    fn due(&mut self, id: &str, recipient: &Recipient, now: Instant) -> Vec<Alert> {
        let quiet = Duration::from_secs(u64::from(recipient.digest_minutes) * 60);
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
                to: recipient.name.clone(),
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

/// Alerts that did not arrive.
#[derive(Debug)]
struct Late {
    id: String,
    alerts: Vec<Alert>,
    first: Instant,
    next: Instant,
    tries: usize,
}

/// Sends what arrives, until the task is ended.
pub(super) async fn serve(alerts: Arc<Alerts>, mut arriving: Receiver<Signal>) {
    let mut gathered = Gathered::default();
    let mut late: Vec<Late> = Vec::new();
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
                for (id, recipient) in recipients(&alerts) {
                    for signal in signals.iter().filter(|one| recipient.wants(&one.about, &one.profile)) {
                        gathered.take(&id, signal);
                    }
                }
            }
            _ = look.tick() => gathered.tidy(Instant::now()),
        }
        for (id, recipient) in recipients(&alerts) {
            let due = gathered.due(&id, &recipient, Instant::now());
            if !due.is_empty() {
                alerts.keep(&due);
                late.extend(send(&alerts, &id, &recipient, due, None).await);
            }
        }
        late = try_again(&alerts, late).await;
    }
}

fn recipients(alerts: &Alerts) -> Vec<(String, Recipient)> {
    let inner = alerts.lock();
    inner
        .recipients
        .iter()
        .map(|(id, one)| (id.clone(), one.clone()))
        .collect()
}

/// Sends alerts; gives them back where they did not arrive.
async fn send(
    alerts: &Alerts,
    id: &str,
    recipient: &Recipient,
    due: Vec<Alert>,
    before: Option<(Instant, usize)>,
) -> Option<Late> {
    let message = text::message(recipient.language, due);
    let outcome = ways::send(&alerts.http, recipient, &message).await;
    alerts.note_outcome(id, &outcome);
    let error = outcome.err()?;
    tracing::warn!(recipient = recipient.name, %error, "an alert did not arrive");
    let now = Instant::now();
    let (first, tries) = before.unwrap_or((now, 0));
    let pause = AGAIN.get(tries).or(AGAIN.last()).copied().unwrap_or(60);
    (now.duration_since(first) < GIVEN_UP).then(|| Late {
        id: id.to_owned(),
        alerts: message.alerts,
        first,
        next: now + Duration::from_secs(pause),
        tries: tries + 1,
    })
}

async fn try_again(alerts: &Alerts, late: Vec<Late>) -> Vec<Late> {
    let mut left = Vec::new();
    for one in late {
        if one.next > Instant::now() {
            left.push(one);
            continue;
        }
        let Ok(recipient) = alerts.recipient(&one.id) else {
            continue; // removed meanwhile
        };
        let before = Some((one.first, one.tries));
        left.extend(send(alerts, &one.id, &recipient, one.alerts, before).await);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Language, Way};

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
        let recipient = Recipient {
            name: "lead".to_owned(),
            language: Language::En,
            about: vec!["category:self-harm".to_owned()],
            profiles: Vec::new(),
            digest_minutes: 60,
            way: Way::Webhook {
                url: "https://a.example".to_owned(),
                secret: None,
            },
        };
        let mut gathered = Gathered::default();
        let begin = Instant::now();
        let minutes = |minutes: u64| begin + Duration::from_secs(minutes * 60);
        gathered.take("1", &signal("class-7a", "tablet 1"));
        assert_eq!(gathered.due("1", &recipient, begin).len(), 1);
        for device in ["tablet 1", "tablet 2", "tablet 2"] {
            gathered.take("1", &signal("class-7a", device));
        }
        assert!(gathered.due("1", &recipient, minutes(59)).is_empty(), "not yet");
        gathered.take("1", &signal("class-8b", "tablet 9"));
        let other = gathered.due("1", &recipient, minutes(59));
        assert_eq!((other.len(), other[0].profile.as_str()), (1, "class-8b"));
        let due = gathered.due("1", &recipient, minutes(60));
        assert_eq!((due.len(), due[0].count), (1, 3));
        assert_eq!(due[0].devices, ["tablet 1", "tablet 2"]);
        assert!(
            gathered.due("1", &recipient, minutes(200)).is_empty(),
            "nothing happened since"
        );
        gathered.tidy(minutes(60 * 60));
        assert!(gathered.0.is_empty());
    }
}
