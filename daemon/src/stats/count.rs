//! Counts what the query log hands over, on its thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isigurt_core::step::Kind;

use super::day::{Day, Outcome};
use super::sites::Groups;
use super::{DAY_MS, HOUR_MS, Stats};
use crate::log::queries::Counter;
use crate::log::record::Raw;

/// How often what was counted goes to the disk: flash memory wears out.
const WRITTEN: Duration = Duration::from_secs(300);
/// Records of an earlier day that come so late are of its last hour, milliseconds.
const LATE_MS: u64 = 60_000;
/// The reason of what leads to safe search: such a name is answered.
const SAFE_SEARCH: &[u8] = b"safe search";

/// What counts.
pub struct Counting {
    stats: Arc<Stats>,
    groups: Groups,
    written: Instant,
    /// Is told of what was blocked.
    tell: Tell,
}

/// Who is told of what was blocked.
pub(super) type Tell = Box<dyn FnMut(&Raw<'_>) + Send>;

impl Counting {
    /// Counts into `stats`, and tells `tell` of what was blocked.
    pub fn new(stats: Arc<Stats>, tell: Tell) -> Self {
        Self {
            stats,
            groups: Groups::new(),
            written: Instant::now(),
            tell,
        }
    }
}

impl Counter for Counting {
    fn count(&mut self, records: &mut dyn Iterator<Item = Raw<'_>>) {
        let mut today = self.stats.lock();
        for raw in records {
            if raw.kind == Kind::Blocked {
                (self.tell)(&raw);
            }
            let number = raw.at_ms / DAY_MS;
            let late = number + 1 == today.0 && raw.at_ms + LATE_MS >= today.0 * DAY_MS;
            if number != today.0 && !late {
                drop(today);
                self.stats.turn(number);
                self.groups.forget();
                today = self.stats.lock();
            }
            let hour = if late { 0 } else { raw.at_ms % DAY_MS / HOUR_MS };
            one(
                &mut today.1,
                &mut self.groups,
                &raw,
                u8::try_from(hour).unwrap_or(0),
            );
        }
    }

    fn tend(&mut self) {
        if self.written.elapsed() >= WRITTEN {
            self.written = Instant::now();
            self.stats.write();
        }
    }

    fn end(&mut self) {
        self.stats.write();
    }
}

fn one(day: &mut Day, groups: &mut Groups, raw: &Raw<'_>, hour: u8) {
    let outcome = match raw.kind {
        Kind::Blocked if raw.reason == SAFE_SEARCH => Outcome::Answered,
        Kind::Blocked => Outcome::Blocked,
        Kind::Cached | Kind::Forwarded | Kind::Stale => Outcome::Answered,
        Kind::Failed => Outcome::Failed,
        Kind::Local | Kind::Refused | Kind::Fault => Outcome::Other,
    };
    let who = (day.number(raw.device), day.number(raw.profile));
    let reason = match outcome {
        Outcome::Blocked => day.number(raw.reason),
        _ => 0,
    };
    day.count(who, reason, outcome, hour);
    if raw.is_hidden() || !matches!(outcome, Outcome::Answered | Outcome::Blocked) {
        return;
    }
    let blocked = outcome == Outcome::Blocked;
    let belongs = groups.of(raw.name, day);
    if belongs.site != 0 {
        day.count_site(who, belongs.site, blocked);
    }
    if belongs.service != 0 {
        day.count_service(who, belongs.service, blocked);
    }
}
