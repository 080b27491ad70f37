//! Budgets: minutes a day for services and categories, counted where a query is decided.
//!
//! A minute counts when a device asked for a name of what the budget is about in it. DNS sees the asking, not the use: an app
//! that keeps its connection open asks seldom, one that runs in the background asks too. A meter is one atomic number, so
//! that counting costs the line no lock and no allocation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What one device, or all devices of a profile together, used of one budget today.
#[derive(Debug, Default)]
pub struct Meter {
    /// Day (16 bits), minute that was counted last (32 bits), minutes used (16 bits).
    state: AtomicU64,
    /// Day (16 bits), minutes that were given on top (16 bits).
    bonus: AtomicU32,
}

/// A meter's state as numbers, for keeping it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The day that it is about, see [`Meter`].
    pub day: u16,
    /// The minute that was counted last, since 1970.
    pub minute: u32,
    /// Minutes used.
    pub used: u16,
    /// Minutes given on top.
    pub bonus: u16,
}

const fn pack(day: u16, minute: u32, used: u16) -> u64 {
    (day as u64) << 48 | (minute as u64) << 16 | used as u64
}

#[allow(clippy::cast_possible_truncation)] // takes apart what `pack` put together
const fn unpack(state: u64) -> (u16, u32, u16) {
    ((state >> 48) as u16, (state >> 16) as u32, state as u16)
}

impl Meter {
    /// A meter that goes on where another left off.
    pub fn from_reading(reading: Reading) -> Self {
        Self {
            state: AtomicU64::new(pack(reading.day, reading.minute, reading.used)),
            bonus: AtomicU32::new(u32::from(reading.day) << 16 | u32::from(reading.bonus)),
        }
    }

    /// Counts `minute` (since 1970) of `day`, if it does not count yet, and tells whether there was one left of `limit`.
    pub fn take(&self, day: u16, minute: u32, limit: u16) -> bool {
        let limit = limit.saturating_add(self.bonus(day));
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let (of, last, used) = unpack(state);
            let used = if of == day { used } else { 0 };
            if of == day && minute <= last {
                return true; // counted already, by this worker or by one that is a moment ahead
            }
            if used >= limit {
                return false;
            }
            let next = pack(day, minute, used + 1);
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
    }

    /// Whether a name would be let through, without counting.
    pub fn peek(&self, day: u16, minute: u32, limit: u16) -> bool {
        let (of, last, used) = unpack(self.state.load(Ordering::Relaxed));
        let (counted, used) = if of == day {
            (minute <= last, used)
        } else {
            (false, 0)
        };
        counted || used < limit.saturating_add(self.bonus(day))
    }

    /// Gives minutes on top, for this day.
    pub fn give(&self, day: u16, minutes: u16) {
        let bonus = self.bonus(day).saturating_add(minutes);
        self.bonus
            .store(u32::from(day) << 16 | u32::from(bonus), Ordering::Relaxed);
    }

    #[allow(clippy::cast_possible_truncation)] // the two halves
    fn bonus(&self, day: u16) -> u16 {
        let bonus = self.bonus.load(Ordering::Relaxed);
        if (bonus >> 16) as u16 == day {
            bonus as u16
        } else {
            0
        }
    }

    /// What it shows on this day.
    pub fn reading(&self, day: u16) -> Reading {
        let (of, minute, used) = unpack(self.state.load(Ordering::Relaxed));
        let (minute, used) = if of == day { (minute, used) } else { (0, 0) };
        Reading {
            day,
            minute,
            used,
            bonus: self.bonus(day),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minute_counts_once_and_the_next_day_begins_anew() {
        let meter = Meter::default();
        for minute in [100, 100, 101, 101] {
            assert!(meter.take(7, minute, 2));
        }
        assert_eq!(meter.reading(7).used, 2);
        assert!(meter.take(7, 101, 2), "the minute that was paid for");
        assert!(!meter.take(7, 102, 2));
        assert!(!meter.peek(7, 102, 2));
        assert!(meter.take(8, 102, 2), "another day");
        assert_eq!(meter.reading(8).used, 1);
    }

    #[test]
    fn minutes_on_top_are_for_one_day() {
        let meter = Meter::default();
        assert!(!meter.take(7, 1, 0));
        meter.give(7, 1);
        meter.give(7, 1);
        assert!(meter.take(7, 1, 0) && meter.take(7, 2, 0) && !meter.take(7, 3, 0));
        assert!(!meter.take(8, 4, 0));
        let again = Meter::from_reading(meter.reading(7));
        assert!(!again.take(7, 5, 0));
        again.give(7, 1);
        assert!(again.take(7, 5, 0));
    }

    #[test]
    fn workers_that_count_at_once_count_a_minute_once() {
        let meter = Meter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|minute| assert!(meter.take(1, minute, 1000))));
            }
        });
        assert!(meter.reading(1).used <= 500);
    }
}
