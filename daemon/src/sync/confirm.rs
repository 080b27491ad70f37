//! Asks the platform about candidates of prefix lists: one prefix, never a name.
//!
//! Queries for one prefix that come while one is under way wait for that one. Whoever waits does not wait long; where nobody
//! answers, nobody is asked for a while, and the list's header decides. An answer counts if the platform's key has signed
//! it and it has not expired: whoever hands it out, or keeps it back, cannot open or close anything by lying.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use isigurt_core::policy::confirm::{Confirm, Confirmed, Meant, Prefix};
use isigurt_wire::confirm::{ANSWER, Confirmation, Question};
use tokio::sync::OnceCell;

use super::Keeper;
use crate::http::{Client, HttpError, Limits};

/// How long a query waits for a confirmation.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long nobody is asked after nobody answered, seconds.
const REST: u64 = 15;
/// Questions a second, and as many at once.
const A_SECOND: f64 = 20.0;
/// The longest that an answer is believed, seconds; it may say less.
const LONGEST: u64 = 24 * 3600;

/// Why a prefix is not confirmed.
#[derive(Debug, thiserror::Error)]
enum ConfirmationError {
    #[error("no confirmation service is known yet")]
    Nobody,
    #[error("more questions than may be asked at once")]
    TooMany,
    #[error("a list that is not the platform's")]
    NotOurs,
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("not a confirmation: {0}")]
    Form(#[from] serde_json::Error),
    #[error(transparent)]
    Refused(#[from] isigurt_wire::confirm::ConfirmError),
}

/// Asks.
#[derive(Debug)]
pub struct Confirmer {
    client: Client,
    keeper: Keeper,
    confirmed: Arc<Confirmed>,
    under_way: Mutex<HashMap<Prefix, Arc<OnceCell<()>>>>,
    /// Questions that may be asked now, and when that was worked out.
    allowance: Mutex<(f64, Instant)>,
}

impl Confirmer {
    /// Puts what it is told into `confirmed`.
    pub fn new(client: Client, keeper: Keeper, confirmed: Arc<Confirmed>) -> Self {
        Self {
            client,
            keeper,
            confirmed,
            under_way: Mutex::default(),
            allowance: Mutex::new((A_SECOND, Instant::now())),
        }
    }

    fn may_ask(&self, now: Instant) -> bool {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = *allowance;
        let left = (left + now.duration_since(at).as_secs_f64() * A_SECOND).min(A_SECOND);
        let may = left >= 1.0;
        *allowance = (if may { left - 1.0 } else { left }, now);
        may
    }

    /// Asks about one prefix, once for all who wait.
    async fn one(&self, prefix: &Prefix) {
        let cell = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.entry(prefix.clone()).or_default().clone()
        };
        cell.get_or_init(|| async {
            let now_s = wall_s();
            match self.ask(prefix, now_s).await {
                Ok(()) => {}
                Err(error @ (ConfirmationError::TooMany | ConfirmationError::NotOurs)) => {
                    tracing::debug!(%error, "a candidate is not confirmed");
                }
                Err(error) => {
                    tracing::warn!(%error, "candidates are not confirmed; their list's header decides");
                    self.confirmed.rest(now_s + REST);
                }
            }
        })
        .await;
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.get(prefix).is_some_and(|held| Arc::ptr_eq(held, &cell)) {
            under_way.remove(prefix);
        }
    }

    async fn ask(&self, prefix: &Prefix, now_s: u64) -> Result<(), ConfirmationError> {
        let question = question(prefix).ok_or(ConfirmationError::NotOurs)?;
        let (url, keys) = self.keeper.confirmation().ok_or(ConfirmationError::Nobody)?;
        if !self.may_ask(Instant::now()) {
            return Err(ConfirmationError::TooMany);
        }
        let limits = Limits {
            octets: ANSWER as u64,
            patience: PATIENCE,
            total: PATIENCE,
        };
        let url = url
            .join(&question.path())
            .map_err(|error| HttpError::Url(error.to_string()))?;
        let octets = self.client.get_whole(&url, limits).await?;
        let answer: Confirmation = serde_json::from_slice(&octets)?;
        answer.verify(&question, &keys, i64::try_from(now_s).unwrap_or(i64::MAX))?;
        let until_s = u64::try_from(answer.expires).unwrap_or(0).min(now_s + LONGEST);
        let meant = answer.hashes.iter().filter_map(|hash| meant(hash)).collect();
        self.confirmed.learn(prefix.clone(), meant, until_s, now_s);
        Ok(())
    }
}

impl Confirm for Confirmer {
    fn confirm<'a>(&'a self, prefixes: &'a [Prefix]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let all = futures_util::future::join_all(prefixes.iter().map(|prefix| self.one(prefix)));
            let _ = tokio::time::timeout(PATIENCE, all).await;
        })
    }
}

/// The question about a prefix of a list `role/list` of the platform.
fn question(prefix: &Prefix) -> Option<Question> {
    let (_, list) = prefix.list.split_once('/')?;
    let octets = prefix.digest.get(..usize::from(prefix.bits / 8))?;
    Some(Question {
        list: list.to_owned(),
        version: prefix.version.parse().ok()?,
        prefix: HEXLOWER.encode(octets),
    })
}

fn meant(hash: &str) -> Option<Meant> {
    let (digits, alone) = match hash.strip_prefix('=') {
        Some(digits) => (digits, true),
        None => (hash, false),
    };
    let octets = HEXLOWER.decode(digits.as_bytes()).ok()?;
    Some((octets.try_into().ok()?, alone))
}

/// Seconds since 1970 on the system's clock.
fn wall_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}
