//! Reports to the national platform: what somebody met is sealed at once, waits where a power cut cannot reach it, and
//! goes out until the platform has it.
//!
//! ```text
//!   UI, page, shell, API ─▶ Draft ─▶ form ─▶ Report ─▶ sealed ─▶ kept (sled) ─▶ deliver ─▶ platform
//!                                    └ preview: what is sent, before it is     └◀ how it stands ◀┘
//! ```
//!
//! What is reported exists in clear only in memory, between the form and the seal, and is wiped there (`isigurt_wire::secret`,
//! `isigurt_memory`): it must never reach the state, a log or an error. Nothing is added that the reporter did not see: no query history, no device, no address. Without a key of the
//! platform that the sync has verified nothing is taken, and whoever asks is told so, with the helplines.

mod deliver;
mod form;
pub mod helplines;
mod kept;
mod limit;
#[doc(hidden)]
pub mod outside;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isigurt_wire::release::Service;
use isigurt_wire::report::{BLOCK, Envelope, FORMAT, Id, Report};
use isigurt_wire::seal::{self, PublicKey};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::store::{Changes, Store, StoreError};

pub use deliver::{Pace, deliver};
pub use form::Draft;
use kept::{Kept, Stage};
pub use kept::{Queue, ReportShown, Where};
use limit::Limits;

/// Reports that wait for the platform at most; with more, something is wrong that another one does not help.
const WAITING: usize = 200;
/// Reports that are kept at all; those that the platform is done with go first.
const KEPT: usize = 1_000;

/// A report as JSON has fewer octets: a note of line breaks alone takes twice its own.
const LARGEST: usize = 16 << 10;

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A member is wrong. Never says what was written there.
    #[error("{field}: {what}")]
    Field {
        /// The member.
        field: &'static str,
        /// What is expected.
        what: String,
    },
    /// No platform is configured.
    #[error(
        "this gateway is not joined to a national platform, so it cannot take a report; {}",
        helplines::CALL
    )]
    NoPlatform,
    /// The platform's key is not known yet.
    #[error(
        "the national platform's key is not known yet, so a report cannot be sealed; try again later, or {}",
        helplines::CALL
    )]
    NoKey,
    /// Too many from there.
    #[error("enough reports for now; try again in {0} seconds, or {call}", call = helplines::CALL)]
    Wait(u64),
    /// Too many wait already.
    #[error(
        "too many reports wait for the national platform already; {}",
        helplines::CALL
    )]
    Full,
    /// The system gives no randomness.
    #[error("no randomness to seal with; try again")]
    Random,
    /// The state cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What would be sent, to be shown before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The report itself, exactly as it is sealed.
    #[schema(value_type = serde_json::Value)]
    pub report: Report,
    /// Where it goes.
    pub to: String,
    /// The id of the key that it is sealed to; only the platform's analysts hold the other half.
    pub key: String,
    /// Octets that leave the gateway: padded, so that their number tells little.
    pub octets: usize,
    /// Whether a child may be in danger now: then the helplines come first.
    pub danger: bool,
}

/// A report that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Taken {
    /// Asks how it stands, without an account.
    pub receipt: String,
    /// Whether a child may be in danger now: then the helplines come first.
    pub danger: bool,
}

/// Where a report comes from; only bounds and the household's own list know it, the platform never.
#[derive(Debug, Clone, Default)]
pub struct From {
    /// The address of the device.
    pub address: Option<IpAddr>,
    /// The account, where somebody has signed in.
    pub account: Option<String>,
}

/// Where reports are taken, and asked after.
#[derive(Debug)]
pub struct Desk {
    store: Store,
    /// What the platform's signed metadata say of its keys; `None` until they are known.
    service: watch::Receiver<Option<Arc<Service>>>,
    /// URL of the platform's repository; `None` where none is configured.
    base: Option<String>,
    limits: Mutex<Limits>,
    /// Changes of records happen one at a time.
    changing: Mutex<()>,
    wake: Notify,
}

impl Desk {
    /// A desk over this state. `service` is what the sync has verified, `base` the `[platform] url`.
    pub fn new(
        store: Store,
        service: watch::Receiver<Option<Arc<Service>>>,
        base: Option<String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            service,
            base,
            limits: Mutex::default(),
            changing: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Whether a report can be taken now, and if not, why.
    pub fn open(&self) -> Result<(), ReportError> {
        self.key().map(|_| ())
    }

    /// What would be sent.
    pub fn preview(&self, draft: &Draft) -> Result<Preview, ReportError> {
        let report = draft.read()?;
        let (id, key) = self.key()?;
        let sealed = sealed(&report, &id, &key, Id([0; 16]))?;
        Ok(Preview {
            to: self.intake().ok_or(ReportError::NoPlatform)?,
            key: id,
            octets: serde_json::to_vec(&sealed).map_or(0, |octets| octets.len()),
            danger: report.kind.may_be_danger(),
            report,
        })
    }

    /// Takes a report: sealed, then kept; on return it is on the disk and will be delivered.
    pub fn take(&self, draft: &Draft, from: &From, now_s: i64) -> Result<Taken, ReportError> {
        let report = draft.read()?;
        let (key_id, key) = self.key()?;
        let id = Id::random().map_err(|_| ReportError::Random)?;
        let envelope = sealed(&report, &key_id, &key, id)?;
        lock(&self.limits).allow(from.address, now_s)?;
        let receipt = id.receipt();
        let _one = lock(&self.changing);
        let kept = self.store.all(&kept::TABLE)?;
        let waiting = kept
            .iter()
            .filter(|(_, kept)| matches!(kept.stage, Stage::Waiting { .. }));
        if waiting.count() >= WAITING {
            return Err(ReportError::Full);
        }
        let mut changes = Changes::default();
        for gone in kept::superfluous(&kept, KEPT - 1, now_s) {
            changes.remove(&kept::TABLE, gone);
        }
        changes.put(
            &kept::TABLE,
            &receipt,
            &Kept::new(from.account.clone(), envelope, now_s),
        );
        self.store.commit(changes)?;
        self.wake.notify_one();
        Ok(Taken {
            receipt,
            danger: report.kind.may_be_danger(),
        })
    }

    /// Reports made by accounts, the newest first; `account`: only this one's. Those that a device made without an account
    /// are its user's own matter and stand in no list: whoever holds the receipt asks with [`Desk::one`].
    pub fn list(&self, account: Option<&str>, now_s: i64) -> Result<Vec<ReportShown>, ReportError> {
        let _one = lock(&self.changing);
        let mut kept = self.store.all(&kept::TABLE)?;
        kept.retain(|(_, kept)| match (&kept.by, account) {
            (Some(by), Some(account)) => by == account,
            (by, _) => by.is_some(),
        });
        let mut changes = Changes::default();
        for (receipt, kept) in &mut kept {
            if kept.ask_soon(now_s) {
                changes.put(&kept::TABLE, receipt, kept);
            }
        }
        if !changes.is_empty() {
            self.store.commit(changes)?;
            self.wake.notify_one();
        }
        kept.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.taken_s));
        Ok(kept.iter().map(|(receipt, kept)| kept.shown(receipt)).collect())
    }

    /// How the report with this receipt stands. The platform is asked anew soon after.
    pub fn one(&self, receipt: &str, now_s: i64) -> Result<Option<ReportShown>, ReportError> {
        let receipt = receipt.trim().to_ascii_uppercase();
        let _one = lock(&self.changing);
        let Some(mut kept) = self.store.get(&kept::TABLE, &receipt)? else {
            return Ok(None);
        };
        if kept.ask_soon(now_s) {
            self.store.put(&kept::TABLE, &receipt, &kept)?;
            self.wake.notify_one();
        }
        Ok(Some(kept.shown(&receipt)))
    }

    /// How it stands with reports that wait for the platform.
    pub fn queue(&self) -> Result<Queue, ReportError> {
        Ok(kept::queue(&self.store.all(&kept::TABLE)?))
    }

    /// The key to seal to: the first that the signed metadata name and that this version understands.
    fn key(&self) -> Result<(String, PublicKey), ReportError> {
        if self.base.is_none() {
            return Err(ReportError::NoPlatform);
        }
        let service = self.service.borrow();
        let keys = service.iter().flat_map(|service| &service.report_keys);
        keys.filter(|key| key.suite == seal::SUITE)
            .find_map(|key| {
                let public = PublicKey::from_hex(&key.public).ok()?;
                (public.id() == key.id).then(|| (key.id.clone(), public))
            })
            .ok_or(ReportError::NoKey)
    }

    /// Where reports go.
    fn intake(&self) -> Option<String> {
        let service = self.service.borrow();
        let said = service.as_ref().and_then(|service| service.intake.clone());
        said.or_else(|| {
            let base = self.base.as_deref()?;
            Some(format!("{}/api/v1/reports", base.trim_end_matches('/')))
        })
    }
}

fn sealed(report: &Report, key_id: &str, key: &PublicKey, id: Id) -> Result<Envelope, ReportError> {
    // Large enough at once: a buffer that moves leaves a copy behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(LARGEST));
    serde_json::to_writer(&mut *plain, report).map_err(|_| ReportError::Random)?;
    let octets = seal::seal(key, seal::REPORT, &id.0, &plain, BLOCK).map_err(|_| ReportError::Random)?;
    Ok(Envelope {
        format: FORMAT,
        id,
        key: key_id.to_owned(),
        sealed: data_encoding::BASE64URL_NOPAD.encode(&octets),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
