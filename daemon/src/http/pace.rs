//! A bound on how many octets a second come in: what is over is waited for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All downloads together.
#[derive(Debug)]
pub(super) struct Pace {
    /// Octets a second.
    rate: Option<u64>,
    /// When what was taken so far is paid off.
    until: Mutex<Instant>,
}

/// How far the pace may run ahead: short answers are never waited for.
const AHEAD: Duration = Duration::from_millis(500);

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self {
            rate: rate.filter(|&rate| rate > 0),
            until: Mutex::new(Instant::now()),
        }
    }

    /// Octets a second, where there is a bound.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Takes so many octets, and waits until they are due.
    pub(super) async fn take(&self, octets: usize) {
        let wait = self.owe(octets, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn owe(&self, octets: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let micros = (octets as u64).saturating_mul(1_000_000) / rate;
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(now) + Duration::from_micros(micros);
        until.saturating_duration_since(now).saturating_sub(AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_for_in_time_by_all_together() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        assert_eq!(pace.owe(400, now), Duration::ZERO, "short answers do not wait");
        assert!(pace.owe(1000, now) >= Duration::from_millis(890));
        assert!(pace.owe(1000, now) >= Duration::from_millis(1890));
        // What nobody took is not saved up.
        let later = now + Duration::from_secs(100);
        assert!(pace.owe(2000, later) >= Duration::from_millis(1490));
        assert_eq!(Pace::new(None).owe(usize::MAX, now), Duration::ZERO);
    }
}
