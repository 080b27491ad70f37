//! What the state keeps of a report: the sealed envelope until the platform has it, then how it stands there.
//!
//! What was reported stands nowhere: neither kind nor name, and not who, but for the account of somebody who signed in.

use isigurt_wire::report::{Envelope, Progress, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Table;

/// The table; keys are receipts.
pub(super) const TABLE: Table<Kept> = Table::new("report", &[]);
/// The secret that pseudonyms are made of, hexadecimal.
pub(super) const SECRET: Table<String> = Table::new("report.secret", &[]);

/// A report that the platform is done with is forgotten after this.
const FORGOTTEN_S: i64 = 400 * 86_400;
/// An answer that is younger is not asked for again because somebody looks.
const FRESH_S: i64 = 10;

/// What is kept of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The account that made it; `None`: a device.
    pub(super) by: Option<String>,
    pub(super) taken_s: i64,
    pub(super) stage: Stage,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Here.
    Waiting {
        envelope: Envelope,
        tries: u32,
        next_s: i64,
        trouble: Option<String>,
    },
    /// At the platform.
    There {
        state: State,
        since_s: i64,
        /// When the platform was asked last, how often, and when it is next; `None`: not any more.
        asked_s: i64,
        asks: u32,
        next_s: Option<i64>,
    },
    /// Nowhere: the platform does not take it.
    Refused { why: String, at_s: i64 },
}

/// Where a report is, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// On this gateway, sealed, on its way.
    Waiting,
    /// The platform has it.
    Received,
    /// Somebody looks at it.
    UnderReview,
    /// Something was done.
    ActedOn,
    /// It is not against the law; here is help.
    NotIllegal,
    /// The platform does not take it; `trouble` says why and what to do.
    Refused,
}

/// How a report stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportShown {
    /// Its receipt.
    pub receipt: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Where it is.
    pub state: Where,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Why it is still on its way, or was refused.
    pub trouble: Option<String>,
    /// When the gateway tries again to deliver it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
}

/// Reports that wait for the platform, all together: nothing of any one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReportQueue)]
pub struct Queue {
    /// How many.
    pub waiting: usize,
    /// When the oldest of them was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest: Option<Timestamp>,
    /// When delivery is tried next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

impl Queue {
    /// How long the oldest waits at `now_s`, seconds; 0 where none waits.
    pub fn age_s(&self, now_s: i64) -> i64 {
        self.oldest
            .map_or(0, |oldest| (now_s - oldest.as_second()).max(0))
    }

    /// "2 reports wait for the national platform"; `None` where none waits.
    pub fn counted(&self) -> Option<String> {
        let counted = match self.waiting {
            0 => return None,
            1 => "1 report waits".to_owned(),
            more => format!("{more} reports wait"),
        };
        Some(counted + " for the national platform")
    }
}

/// How it stands with those that wait.
pub(super) fn queue(kept: &[(String, Kept)]) -> Queue {
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default();
    let mut queue = Queue::default();
    // One tries for all: the failure that is waited after longest is the newest.
    let (mut failed, mut next): (Option<i64>, Option<i64>) = (None, None);
    for (_, kept) in kept {
        let Stage::Waiting {
            tries,
            next_s,
            trouble,
            ..
        } = &kept.stage
        else {
            continue;
        };
        queue.waiting += 1;
        let made = at(kept.taken_s);
        queue.oldest = Some(queue.oldest.map_or(made, |oldest| oldest.min(made)));
        next = Some(next.map_or(*next_s, |next| next.min(*next_s)));
        if *tries > 0 && failed.is_none_or(|failed| failed < *next_s) {
            failed = Some(*next_s);
            queue.last_error.clone_from(trouble);
        }
    }
    queue.next_try = failed.or(next).map(at);
    queue
}

impl Kept {
    pub(super) fn new(by: Option<String>, envelope: Envelope, now_s: i64) -> Self {
        Self {
            by,
            taken_s: now_s,
            stage: Stage::Waiting {
                envelope,
                tries: 0,
                next_s: now_s,
                trouble: None,
            },
        }
    }

    /// When something is to be done for it next.
    pub(super) fn next_s(&self) -> Option<i64> {
        match self.stage {
            Stage::Waiting { next_s, .. } => Some(next_s),
            Stage::There { next_s, .. } => next_s,
            Stage::Refused { .. } => None,
        }
    }

    /// Has the platform asked now, because somebody looks; whether that changed something.
    pub(super) fn ask_soon(&mut self, now_s: i64) -> bool {
        match &mut self.stage {
            Stage::There {
                asked_s,
                next_s: Some(next_s),
                ..
            } if now_s - *asked_s >= FRESH_S && *next_s > now_s => {
                *next_s = now_s;
                true
            }
            _ => false,
        }
    }

    /// What the platform says; the sealed body goes.
    pub(super) fn told(&mut self, progress: &Progress, now_s: i64, next_s: impl FnOnce(u32) -> i64) {
        let asks = match self.stage {
            Stage::There { asks, .. } => asks.saturating_add(1),
            _ => 0,
        };
        let done = matches!(progress.state, State::ActedOn | State::NotIllegal);
        let old = now_s - self.taken_s > FORGOTTEN_S / 2;
        self.stage = Stage::There {
            state: progress.state,
            since_s: progress.since,
            asked_s: now_s,
            asks,
            next_s: (!done && !old).then(|| next_s(asks)),
        };
    }

    pub(super) fn shown(&self, receipt: &str) -> ReportShown {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default();
        let (state, since, trouble, next_try) = match &self.stage {
            Stage::Waiting {
                trouble,
                next_s,
                tries,
                ..
            } => {
                let next = (*tries > 0).then(|| at(*next_s));
                (Where::Waiting, self.taken_s, trouble.clone(), next)
            }
            Stage::There { state, since_s, .. } => {
                let state = match state {
                    State::Received => Where::Received,
                    State::UnderReview => Where::UnderReview,
                    State::ActedOn => Where::ActedOn,
                    State::NotIllegal => Where::NotIllegal,
                };
                (state, *since_s, None, None)
            }
            Stage::Refused { why, at_s } => (Where::Refused, *at_s, Some(why.clone()), None),
        };
        ReportShown {
            receipt: receipt.to_owned(),
            at: at(self.taken_s),
            state,
            since: at(since),
            trouble,
            next_try,
        }
    }
}

/// Receipts of those to be forgotten: what is old, and the oldest that are done with where there are more than `most`.
pub(super) fn superfluous(kept: &[(String, Kept)], most: usize, now_s: i64) -> Vec<&str> {
    let mut done: Vec<(i64, &str)> = kept
        .iter()
        .filter(|(_, kept)| !matches!(kept.stage, Stage::Waiting { .. }))
        .map(|(receipt, kept)| (kept.taken_s, receipt.as_str()))
        .collect();
    done.sort_unstable();
    let over = kept.len().saturating_sub(most);
    let gone = done
        .into_iter()
        .enumerate()
        .filter(|(place, (taken_s, _))| *place < over || now_s - taken_s > FORGOTTEN_S);
    gone.map(|(_, (_, receipt))| receipt).collect()
}
