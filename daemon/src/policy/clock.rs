//! What time changes: hours of schedules, the ends of pauses and grants, the days of budgets.
//!
//! One task looks at the clock on the wall every second, when a second begins; so a clock that jumps is seen as soon as one
//! that runs. Where something begins or ends, what holds is made anew for all profiles at once. The line has no clock on the
//! wall, only one that runs on evenly and the time at which that began: where the clock on the wall leaps, that time is set
//! right here, else whatever expires on the line would never do so on a box that starts in 1970.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use isigurt_core::policy::InForce;
use isigurt_core::policy::budget::Reading;
use isigurt_core::snapshot::Snapshot;
use jiff::Timestamp;

use super::tables::{self, Used};
use super::{Event, Household, Inner, RELEASED_S};
use crate::dns::engine::Engine;
use crate::store::Changes;

/// Minutes of budgets are kept this often, where they changed: flash memory wears out.
const KEEP_S: i64 = 60;

/// Looks at the clock until the task is ended.
pub async fn tick<H: AsRef<Household>>(engine: Arc<Engine>, household: Arc<H>) {
    loop {
        let behind = u64::try_from(Timestamp::now().subsec_nanosecond()).unwrap_or(0);
        tokio::time::sleep(Duration::from_nanos(1_000_000_000_u64.saturating_sub(behind))).await;
        H::as_ref(&household).look(&engine, Timestamp::now());
    }
}

/// Seconds since 1970 at the engine's start, by the clock on the wall as it is now.
fn epoch_s(engine: &Engine, now: Timestamp) -> u64 {
    let (_, now_ms) = engine.cache();
    u64::try_from(now.as_second())
        .unwrap_or(0)
        .saturating_sub(now_ms / 1000)
}

impl Household {
    /// Has hold what holds at `now`.
    pub fn look(&self, engine: &Engine, now: Timestamp) {
        let mut inner = self.lock();
        let snapshot = engine.snapshot();
        let due = snapshot.present.next.is_some_and(|next| next <= now) || now < inner.looked;
        inner.looked = now;
        let epoch_s = epoch_s(engine, now);
        // Both are rounded to seconds: one that is off by one is right.
        let leapt = snapshot.answers.epoch_s.abs_diff(epoch_s) > 1;
        if due || leapt {
            let mut next = Snapshot::clone(&snapshot);
            if leapt {
                next.answers.epoch_s = epoch_s;
            }
            if due {
                self.forget(&mut inner, now);
                next.present = inner.present(&snapshot.policy, &snapshot.index, now);
            }
            engine.swap(next);
        }
        if due {
            self.tell(Event::Moments);
        }
        let since = now.as_second() - inner.kept.0.as_second();
        if !(0..KEEP_S).contains(&since) {
            self.keep_minutes(&mut inner, engine, now);
        }
    }

    /// Keeps what was used of budgets; at the end of the daemon too.
    pub fn keep(&self, engine: &Engine) {
        self.keep_minutes(&mut self.lock(), engine, Timestamp::now());
    }

    pub(super) fn keep_minutes(&self, inner: &mut Inner, engine: &Engine, now: Timestamp) {
        let snapshot = engine.snapshot();
        let day = snapshot.present.day;
        if now.as_second() >= RELEASED_S {
            inner.counted = day;
        }
        let mut changes = Changes::default();
        let mut kept = HashMap::new();
        for (who, budget, reading) in snapshot.policy.readings(day) {
            let Reading {
                day,
                minute,
                used,
                bonus,
            } = reading;
            let key = format!("{who}\n{budget}");
            if inner.kept.1.remove(&key) != Some((used, bonus)) {
                let used = Used {
                    who,
                    budget,
                    day,
                    last: minute,
                    minutes: used,
                    bonus,
                };
                changes.put(&tables::METERS, &key, &used);
            }
            kept.insert(key, (reading.used, reading.bonus));
        }
        for gone in inner.kept.1.keys() {
            changes.remove(&tables::METERS, gone);
        }
        inner.kept = (now, kept);
        if let Err(error) = self.store.commit(changes) {
            tracing::error!(%error, "minutes of budgets are not kept");
        }
    }

    /// Has budgets go on where the last run left them.
    pub(super) fn go_on(&self, inner: &mut Inner, ready: &mut InForce) -> Result<(), String> {
        let kept = self
            .store
            .all(&tables::METERS)
            .map_err(|error| error.to_string())?;
        for (key, used) in kept {
            let reading = Reading {
                day: used.day,
                minute: used.last,
                used: used.minutes,
                bonus: used.bonus,
            };
            inner.counted = inner.counted.max(used.day);
            ready.go_on(&used.who, &used.budget, reading);
            inner.kept.1.insert(key, (used.minutes, used.bonus));
        }
        Ok(())
    }

    /// Forgets pauses and grants that are over.
    fn forget(&self, inner: &mut Inner, now: Timestamp) {
        let mut changes = Changes::default();
        inner.pauses.retain(|pause| {
            let over = pause.until.is_some_and(|until| until <= now);
            if over {
                changes.remove(&tables::PAUSES, &pause.who.to_string());
            }
            !over
        });
        inner.grants.retain(|grant| {
            let over = grant.until <= now;
            if over {
                changes.remove(&tables::GRANTS, &super::moment::key(grant));
            }
            !over
        });
        if let Err(error) = self.store.commit(changes) {
            tracing::warn!(%error, "what is over is not forgotten");
        }
    }
}
