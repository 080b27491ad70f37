//! How the gateway fared in the last day, minute by minute: in memory only.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Minutes that are kept.
const KEPT: usize = 24 * 60;
/// Places of waiting times: below 1, 2, 4 … milliseconds, and beyond.
const WAITS: usize = 14;

/// Numbers since the start, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// All packets.
    pub queries: u64,
    /// Blocked or rewritten.
    pub blocked: u64,
    /// Answered from the cache.
    pub cached: u64,
    /// Answered by an upstream.
    pub forwarded: u64,
    /// Answered stale, or not at all.
    pub failed: u64,
    /// How many waited how long for an upstream.
    pub waits: [u64; WAITS],
}

/// What happened in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Seconds since 1970 at its end.
    pub at_s: i64,
    /// The numbers of this minute.
    pub happened: Taken,
}

/// The minutes of the last day.
#[derive(Debug, Default)]
pub struct Health(Mutex<(Taken, VecDeque<Minute>)>);

impl Health {
    /// Notes the numbers at the end of a minute.
    pub fn note(&self, at_s: i64, now: Taken) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut held.0, now);
        let mut waits = [0; WAITS];
        for (place, wait) in waits.iter_mut().enumerate() {
            let of = |taken: &Taken| taken.waits.get(place).copied().unwrap_or(0);
            *wait = of(&now).saturating_sub(of(&before));
        }
        let happened = Taken {
            queries: now.queries.saturating_sub(before.queries),
            blocked: now.blocked.saturating_sub(before.blocked),
            cached: now.cached.saturating_sub(before.cached),
            forwarded: now.forwarded.saturating_sub(before.forwarded),
            failed: now.failed.saturating_sub(before.failed),
            waits,
        };
        held.1.push_back(Minute { at_s, happened });
        if held.1.len() > KEPT {
            held.1.pop_front();
        }
    }

    /// The minutes, the oldest first.
    pub fn minutes(&self) -> Vec<Minute> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.1.iter().copied().collect()
    }
}

impl Taken {
    /// The time, milliseconds, within which so many of a hundred upstream answers came; `None` where none was waited for.
    pub fn wait_ms(&self, percent: u64) -> Option<u32> {
        let all: u64 = self.waits.iter().sum();
        if all == 0 {
            return None;
        }
        let mut counted = 0;
        let place = self.waits.iter().position(|wait| {
            counted += wait;
            counted * 100 >= all * percent
        });
        place
            .and_then(|place| u32::try_from(place).ok())
            .map(|place| 1 << place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_the_difference_to_the_one_before_and_a_day_of_them_is_kept() {
        let health = Health::default();
        let mut now = Taken::default();
        for minute in 1..=2_000 {
            now.queries += 7;
            now.waits[3] += 1;
            health.note(minute * 60, now);
        }
        let minutes = health.minutes();
        assert_eq!(minutes.len(), 1_440);
        assert!(minutes.iter().all(|minute| minute.happened.queries == 7));
        assert_eq!(minutes[1_439].at_s, 120_000);
        assert_eq!(minutes[0].happened.wait_ms(50), Some(8));
    }

    #[test]
    fn waiting_times_are_known_to_the_next_power_of_two() {
        let mut taken = Taken::default();
        assert_eq!(taken.wait_ms(50), None);
        taken.waits[0] = 90;
        taken.waits[5] = 10;
        assert_eq!(
            (taken.wait_ms(50), taken.wait_ms(90), taken.wait_ms(99)),
            (Some(1), Some(1), Some(32))
        );
    }
}
