//! The way to the platform: each report is sent until the platform has it, and asked after until it is done with.
//!
//! ```text
//!   Waiting ──201, 200──▶ There ──asked again and again──▶ acted on | not illegal
//!      │ 5xx, 429, no network, an answer that is no platform's: again later
//!      └──400, 413, 422, 30 days──▶ Refused
//! ```
//!
//! The platform knows a report by its id, so that one sent twice is there once. What fails for one report fails for all that
//! wait: after a failure nothing is sent before that one is due again. A delivery says nothing of the gateway but a
//! pseudonym that is another one each month.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, header};
use isigurt_wire::report::{ENVELOPE, Envelope, GATEWAY_HEADER, Progress, pseudonym};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::kept::{self, Kept, Stage};
use super::{Desk, lock};
use crate::http::{Client, Limits};
use crate::store::{Changes, StoreError};

/// The longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Octets of an answer that are read.
const LARGEST: u64 = 64 << 10;
/// A report that cannot be delivered for so long is given up.
const GIVEN_UP_S: i64 = 30 * 86_400;
/// The longest wait that a platform may ask for.
const LONGEST_WAIT_S: i64 = 7 * 86_400;
/// A time that lies further ahead was written by a clock that was wrong, and holds nothing up.
const FARTHEST_S: i64 = 8 * 86_400;
/// 23 November 2025: what a clock took down before, it took down wrongly.
const RELEASED_S: i64 = 1_763_856_000;

/// How long is waited between tries.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After the first failure, seconds; twice that after the second, and so on.
    pub first_s: i64,
    /// At most.
    pub longest_s: i64,
    /// From a delivery to the first question how it stands; twice that to the second, and so on.
    pub ask_first_s: i64,
    /// At most.
    pub ask_longest_s: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_s: 5,
            longest_s: 6 * 3_600,
            ask_first_s: 60,
            ask_longest_s: 12 * 3_600,
        }
    }
}

/// What came back.
struct Heard {
    status: u16,
    retry_after_s: Option<i64>,
    body: Vec<u8>,
}

/// Delivers until the task is ended.
pub async fn deliver(desk: Arc<Desk>, http: Client, pace: Pace) {
    let courier = Courier::new(desk, http, pace);
    let mut service = courier.desk.service.clone();
    loop {
        let now = Timestamp::now().as_second();
        let next_s = courier.round(now).await.unwrap_or_else(|error| {
            tracing::error!(%error, "reports are not delivered");
            now + 60
        });
        let wait = u64::try_from(next_s - now).unwrap_or(0).clamp(1, 3_600);
        let known = service.has_changed().is_ok(); // else nobody will tell any more
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            () = courier.desk.wake.notified() => {}
            _ = service.changed(), if known => {}
        }
    }
}

/// What became of one turn.
enum Outcome {
    /// The platform answered: the next one's turn.
    Answered,
    /// It did not, or wants rest: nothing more before this time.
    Quiet(i64),
}

pub(super) struct Courier {
    desk: Arc<Desk>,
    http: Client,
    pace: Pace,
}

impl Courier {
    pub(super) fn new(desk: Arc<Desk>, http: Client, pace: Pace) -> Self {
        Self { desk, http, pace }
    }

    /// Does what is due at `now_s`; gives the time at which something is due next.
    pub(super) async fn round(&self, now_s: i64) -> Result<i64, StoreError> {
        let far = now_s + 3_600;
        let Some(intake) = self.desk.intake() else {
            return Ok(far);
        };
        let mut kept = self.desk.store.all(&kept::TABLE)?;
        // After a failure, or where the platform asked for rest, all wait; also over a restart.
        let quiet = kept.iter().filter_map(|(_, kept)| match &kept.stage {
            Stage::Waiting { tries, next_s, .. } if *tries > 0 => Some(*next_s),
            _ => None,
        });
        if let Some(until) = quiet.filter(|until| !is_due(*until, now_s)).max() {
            return Ok(until);
        }
        kept.sort_by_key(|(_, kept)| kept.next_s());
        let due = kept
            .iter()
            .filter(|(_, kept)| kept.next_s().is_some_and(|next| is_due(next, now_s)));
        for (receipt, report) in due {
            let outcome = match &report.stage {
                Stage::Waiting { envelope, .. } => {
                    self.send(&intake, receipt, report, envelope, now_s).await?
                }
                _ => self.ask(&intake, receipt, now_s).await?,
            };
            if let Outcome::Quiet(until) = outcome {
                return Ok(until);
            }
        }
        let kept = self.desk.store.all(&kept::TABLE)?;
        let next = kept.iter().filter_map(|(_, kept)| kept.next_s()).min();
        Ok(next.unwrap_or(far).min(far))
    }

    /// Sends one report.
    async fn send(
        &self,
        intake: &str,
        receipt: &str,
        report: &Kept,
        envelope: &Envelope,
        now_s: i64,
    ) -> Result<Outcome, StoreError> {
        let request = Request::post(intake)
            .header(GATEWAY_HEADER, self.pseudonym(now_s)?)
            .header(header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(envelope).unwrap_or_default());
        let heard = hear(&self.http, request).await;
        let (why, wait_s) = match &heard {
            Ok(heard) => match heard.status {
                200 | 201 => match progress(heard, receipt) {
                    Some(progress) => {
                        self.change(receipt, |kept| {
                            kept.told(&progress, now_s, |asks| self.ask_next(asks, now_s));
                        })?;
                        tracing::info!(receipt, "report delivered");
                        return Ok(Outcome::Answered);
                    }
                    None => (
                        "the platform's address answers, but not as the platform does".to_owned(),
                        None,
                    ),
                },
                400 | 413 | 422 => {
                    self.refuse(receipt, refusal(heard.status), now_s)?;
                    return Ok(Outcome::Answered);
                }
                429 => (
                    "the platform has much to do and asks to wait".to_owned(),
                    heard.retry_after_s,
                ),
                status => (
                    format!("the platform answers with status {status}"),
                    heard.retry_after_s,
                ),
            },
            Err(error) => (format!("the platform cannot be reached: {error}"), None),
        };
        if report.taken_s >= RELEASED_S && now_s - report.taken_s > GIVEN_UP_S {
            let why = format!("30 days without success: {why}. Make the report anew");
            self.refuse(receipt, &why, now_s)?;
            return Ok(Outcome::Answered);
        }
        let tries = match report.stage {
            Stage::Waiting { tries, .. } => tries.saturating_add(1),
            _ => 1,
        };
        let own = back_off(self.pace.first_s, self.pace.longest_s, tries - 1);
        let until = now_s + own.max(wait_s.unwrap_or(0).min(LONGEST_WAIT_S));
        tracing::warn!(
            receipt,
            tries,
            reason = why,
            "report not delivered; tried again later"
        );
        self.change(receipt, |kept| {
            if let Stage::Waiting {
                tries: counted,
                next_s,
                trouble,
                ..
            } = &mut kept.stage
            {
                (*counted, *next_s, *trouble) = (tries, until, Some(why));
            }
        })?;
        Ok(Outcome::Quiet(until))
    }

    /// Asks how a report stands.
    async fn ask(&self, intake: &str, receipt: &str, now_s: i64) -> Result<Outcome, StoreError> {
        let at = format!("{}/{receipt}", intake.trim_end_matches('/'));
        let heard = hear(&self.http, Request::get(at).body(Vec::new())).await;
        let progress = heard
            .as_ref()
            .ok()
            .filter(|heard| heard.status == 200)
            .and_then(|heard| progress(heard, receipt));
        let rest_s = match &heard {
            Ok(heard) => heard.retry_after_s.unwrap_or(0).min(LONGEST_WAIT_S),
            Err(_) => 0,
        };
        self.change(receipt, |kept| match progress {
            Some(progress) => kept.told(&progress, now_s, |asks| self.ask_next(asks, now_s)),
            None => {
                if let Stage::There { asks, next_s, .. } = &mut kept.stage {
                    *asks = asks.saturating_add(1);
                    *next_s = Some(self.ask_next(*asks, now_s).max(now_s + rest_s));
                }
            }
        })?;
        // A question that is not answered holds no delivery back.
        Ok(Outcome::Answered)
    }

    fn ask_next(&self, asks: u32, now_s: i64) -> i64 {
        now_s + back_off(self.pace.ask_first_s, self.pace.ask_longest_s, asks)
    }

    fn refuse(&self, receipt: &str, why: &str, now_s: i64) -> Result<(), StoreError> {
        tracing::warn!(receipt, reason = why, "report not taken by the platform");
        self.change(receipt, |kept| {
            kept.stage = Stage::Refused {
                why: why.to_owned(),
                at_s: now_s,
            };
        })
    }

    /// Changes what is kept of one, if it still is.
    fn change(&self, receipt: &str, change: impl FnOnce(&mut Kept)) -> Result<(), StoreError> {
        let _one = lock(&self.desk.changing);
        let Some(mut kept) = self.desk.store.get(&kept::TABLE, receipt)? else {
            return Ok(());
        };
        change(&mut kept);
        let mut changes = Changes::default();
        changes.put(&kept::TABLE, receipt, &kept);
        self.desk.store.commit(changes)
    }

    /// This gateway's pseudonym of the month; its secret is made when it is needed first, and never leaves the state.
    fn pseudonym(&self, now_s: i64) -> Result<String, StoreError> {
        let store = &self.desk.store;
        let read = |text: String| {
            let octets = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
            <[u8; 32]>::try_from(octets).ok()
        };
        let mut secret = store.get(&kept::SECRET, "")?.and_then(read);
        if secret.is_none() {
            let mut fresh = [0; 32];
            getrandom::fill(&mut fresh).map_err(|error| StoreError::Stopped(error.to_string()))?;
            store.put(&kept::SECRET, "", &data_encoding::HEXLOWER.encode(&fresh))?;
            secret = Some(fresh);
        }
        let secret = secret.unwrap_or_default();
        let at = Timestamp::from_second(now_s).unwrap_or_default();
        let month = at.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m").to_string();
        Ok(pseudonym(&secret, &month))
    }
}

/// Whether a time has come.
fn is_due(at_s: i64, now_s: i64) -> bool {
    at_s <= now_s || at_s > now_s + FARTHEST_S
}

/// Why the platform does not take a report, for whoever made it.
fn refusal(status: u16) -> &'static str {
    match status {
        413 => "it is too large for the platform; make it anew with a shorter note",
        422 => {
            "the key that it was sealed to is not in use any more, and only the platform could open it: make the report anew"
        }
        _ => "the platform does not understand it; update this gateway, then make the report anew",
    }
}

/// Asks, and reads a bounded answer.
async fn hear(http: &Client, request: axum::http::Result<Request<Vec<u8>>>) -> Result<Heard, String> {
    let request = request.map_err(|error| error.to_string())?;
    let limits = Limits {
        octets: LARGEST,
        patience: PATIENCE,
        total: PATIENCE,
    };
    let answer = http.exchange(request, limits).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let retry_after = answer.headers().get(header::RETRY_AFTER);
    let retry_after_s = retry_after.and_then(|value| wait(value.to_str().ok()?));
    let status = answer.status().as_u16();
    let body = answer.into_body();
    Ok(Heard {
        status,
        retry_after_s,
        body,
    })
}

/// The platform's answer, if it is one, and about this report.
fn progress(heard: &Heard, receipt: &str) -> Option<Progress> {
    about(&heard.body, receipt)
}

pub(super) fn about(body: &[u8], receipt: &str) -> Option<Progress> {
    let progress: Progress = serde_json::from_slice(body).ok()?;
    (progress.receipt == receipt).then_some(progress)
}

/// Seconds of `Retry-After`, which is a number of them or a date (RFC 9110, section 10.2.3).
pub(super) fn wait(value: &str) -> Option<i64> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(i64::from(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some((at.as_second() - Timestamp::now().as_second()).max(0))
}

/// `first` doubled `times` times, at most `longest`; a quarter more or less, so that gateways do not come all at once.
fn back_off(first: i64, longest: i64, times: u32) -> i64 {
    let plain = first.saturating_mul(1 << times.min(30)).min(longest);
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random); // without randomness it is the same each time
    let quarter = plain / 4;
    plain - quarter + quarter * 2 * i64::from(random[0]) / 255
}

/// A report that is kept is never larger than what the platform reads.
const _: () = assert!(ENVELOPE >= 4 * 1_024 * 2);
