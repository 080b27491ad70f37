//! The time, as a parameter: tests hold a clock in their hand.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Two clocks: the wall's may jump (a router boots in 1970), the steady one never does.
pub trait Clock: Debug + Send + Sync {
    /// Seconds since 1970.
    fn wall(&self) -> i64;
    /// Time since some moment, never backwards.
    fn steady(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }

    fn steady(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct HandClock(std::sync::atomic::AtomicI64);

#[cfg(test)]
impl HandClock {
    /// Moves both clocks on.
    pub(super) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for HandClock {
    fn wall(&self) -> i64 {
        1_900_000_000 + self.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn steady(&self) -> Duration {
        Duration::from_secs(self.0.load(std::sync::atomic::Ordering::SeqCst).unsigned_abs())
    }
}
