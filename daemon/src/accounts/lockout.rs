//! Slows down guessing, without giving a child a way to lock its parents out.
//!
//! Failures are counted for each pair of account and place that the guess comes from, and for each place. Nothing is
//! counted for an account alone: whoever fails on one device never closes another one. A place is a browser that this account
//! signed in with before (it shows a cookie, as OWASP's "device cookies" do), else an address. So a parent's own browser
//! stays open even where parent and child share an address, behind a proxy or a second router.
//!
//! Two counters reach further, for strangers only, that is for guesses without such a cookie: all addresses of an IPv6 /64,
//! because one device has 2^64 of them; and wrong codes of the second step of an account, because six digits are few and
//! whoever gets there knows the password.
//!
//! An attempt is counted before the password is hashed and given back when it was right, so that guesses made at the
//! same time count too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Without a failure for so long, a counter is forgotten.
const MEMORY: Duration = Duration::from_secs(60 * 60);
/// Counters kept; beyond, the ones that lie longest go.
const COUNTERS: usize = 4096;

/// Where a guess comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A browser that the account signed in with before: the number in its cookie.
    Browser([u8; 16]),
    /// An address that nothing is known about.
    Address(IpAddr),
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counter {
    /// One account from one place.
    Pair(u64, Place),
    /// Anything from one place.
    Place(Place),
    /// Anything from the strangers of an IPv6 network.
    Network(u64),
    /// Codes of the second step of one account, from strangers.
    Code(u64),
}

impl Counter {
    /// Failures without a wait.
    const fn free(self) -> u32 {
        match self {
            Self::Pair(..) => 5,
            Self::Place(_) => 20,
            Self::Network(_) => 100,
            Self::Code(_) => 10,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Duration,
    until: Duration,
}

/// An attempt that was let through and counted.
#[derive(Debug)]
#[must_use]
pub(super) struct Attempt {
    account: u64,
    place: Place,
}

/// The counters. They live in memory: a restart, which needs the console, forgets them.
#[derive(Debug, Default)]
pub(super) struct Lockout(Mutex<HashMap<Counter, Count>>);

impl Lockout {
    fn lock(&self) -> MutexGuard<'_, HashMap<Counter, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt on an account, or says how long to wait before the next.
    pub(super) fn begin(&self, account: &str, place: Place, now: Duration) -> Result<Attempt, Duration> {
        let attempt = Attempt {
            account: key(account),
            place: canonical(place),
        };
        let mut counts = self.lock();
        let counters = attempt.counters();
        wait(&counts, &counters, now)?;
        for counter in counters {
            fail(&mut counts, counter, now);
        }
        Ok(attempt)
    }

    /// The attempt was right: the pair's past is forgotten.
    pub(super) fn succeeded(&self, attempt: &Attempt) {
        let mut counts = self.lock();
        counts.remove(&Counter::Pair(attempt.account, attempt.place));
        for counter in attempt.counters() {
            give_back(&mut counts, counter);
        }
    }

    /// The attempt was neither right nor wrong: the second step is still to come.
    pub(super) fn undecided(&self, attempt: &Attempt) {
        let mut counts = self.lock();
        for counter in attempt.counters() {
            give_back(&mut counts, counter);
        }
    }

    /// Before a code of the second step is looked at: counts it, or says how long to wait.
    pub(super) fn begin_code(&self, attempt: &Attempt, now: Duration) -> Result<(), Duration> {
        let Place::Address(_) = attempt.place else {
            return Ok(()); // the pair is counted
        };
        let mut counts = self.lock();
        let counter = Counter::Code(attempt.account);
        wait(&counts, &[counter], now)?;
        fail(&mut counts, counter, now);
        Ok(())
    }

    /// The code was right.
    pub(super) fn code_succeeded(&self, attempt: &Attempt) {
        give_back(&mut self.lock(), Counter::Code(attempt.account));
    }

    /// Forgets everything about an account; the console's recovery.
    pub(super) fn forget(&self, account: &str) {
        let account = key(account);
        self.lock().retain(|counter, _| match counter {
            Counter::Pair(of, _) | Counter::Code(of) => *of != account,
            Counter::Place(_) | Counter::Network(_) => true,
        });
    }
}

impl Attempt {
    fn counters(&self) -> Vec<Counter> {
        let mut counters = vec![
            Counter::Pair(self.account, self.place),
            Counter::Place(self.place),
        ];
        if let Place::Address(IpAddr::V6(address)) = self.place {
            counters.push(Counter::Network(network(address)));
        }
        counters
    }
}

fn wait(counts: &HashMap<Counter, Count>, counters: &[Counter], now: Duration) -> Result<(), Duration> {
    let until = counters
        .iter()
        .filter_map(|counter| counts.get(counter))
        .map(|count| count.until)
        .max();
    match until.and_then(|until| until.checked_sub(now)) {
        Some(left) if !left.is_zero() => Err(left),
        _ => Ok(()),
    }
}

fn fail(counts: &mut HashMap<Counter, Count>, counter: Counter, now: Duration) {
    make_room(counts, now);
    let count = counts.entry(counter).or_insert(Count {
        failures: 0,
        last: now,
        until: now,
    });
    if now.saturating_sub(count.last) > MEMORY {
        count.failures = 0;
    }
    count.failures = count.failures.saturating_add(1);
    count.last = now;
    let beyond = count.failures.saturating_sub(counter.free());
    let wait = match beyond {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << beyond.min(20)).min(LONGEST_WAIT),
    };
    count.until = now + wait;
}

fn give_back(counts: &mut HashMap<Counter, Count>, counter: Counter) {
    if let Some(count) = counts.get_mut(&counter) {
        count.failures = count.failures.saturating_sub(1);
        count.until = count.last;
    }
}

fn make_room(counts: &mut HashMap<Counter, Count>, now: Duration) {
    if counts.len() < COUNTERS {
        return;
    }
    counts.retain(|_, count| now.saturating_sub(count.last) <= MEMORY);
    if counts.len() >= COUNTERS {
        let mut ages: Vec<Duration> = counts.values().map(|count| count.last).collect();
        ages.sort_unstable();
        let middle = ages.get(ages.len() / 2).copied().unwrap_or_default();
        // Those of networks stay longest: they are what holds where addresses are many.
        counts.retain(|counter, count| count.last > middle || matches!(counter, Counter::Network(_)));
        if counts.len() >= COUNTERS {
            counts.clear();
        }
    }
}

/// What stands for an account's name, which need not exist.
fn key(account: &str) -> u64 {
    let hash = blake3::hash(account.to_lowercase().as_bytes());
    hash.as_bytes()
        .iter()
        .take(8)
        .fold(0, |key, octet| key << 8 | u64::from(*octet))
}

fn canonical(place: Place) -> Place {
    match place {
        Place::Address(address) => Place::Address(address.to_canonical()),
        browser @ Place::Browser(_) => browser,
    }
}

fn network(address: Ipv6Addr) -> u64 {
    u64::try_from(u128::from(address) >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn address(text: &str) -> Place {
        Place::Address(text.parse().unwrap())
    }

    fn fails(lockout: &Lockout, account: &str, place: Place, times: usize, now: Duration) -> usize {
        (0..times)
            .filter(|_| lockout.begin(account, place, now).is_ok())
            .count()
    }

    #[test]
    fn a_place_waits_longer_after_each_failure_and_others_never_wait() {
        let lockout = Lockout::default();
        let child = address("192.0.2.9");
        assert_eq!(
            fails(&lockout, "ana", child, 100, at(0)),
            6,
            "five free, one more makes it wait"
        );
        assert_eq!(
            lockout.begin("ANA", child, at(0)).unwrap_err(),
            at(2),
            "whatever the letters"
        );
        let _ = lockout.begin("ana", child, at(2)).unwrap();
        assert_eq!(lockout.begin("ana", child, at(2)).unwrap_err(), at(4));
        let mut now = 2;
        for _ in 0..40 {
            now += lockout
                .begin("ana", child, at(now))
                .err()
                .map_or(0, |wait| wait.as_secs());
            let _ = lockout.begin("ana", child, at(now)).map(|_| ());
        }
        assert_eq!(lockout.begin("ana", child, at(now)).unwrap_err(), LONGEST_WAIT);
        // The parents, at the same time:
        for parent in [address("192.0.2.7"), Place::Browser([1; 16])] {
            let attempt = lockout.begin("ana", parent, at(now)).unwrap();
            lockout.succeeded(&attempt);
        }
    }

    #[test]
    fn the_browser_that_signed_in_before_stays_open_at_an_address_that_is_closed() {
        let lockout = Lockout::default();
        fails(&lockout, "ana", address("192.0.2.1"), 50, at(0));
        assert!(lockout.begin("ana", address("192.0.2.1"), at(0)).is_err());
        assert!(lockout.begin("ana", Place::Browser([7; 16]), at(0)).is_ok());
    }

    #[test]
    fn many_accounts_from_one_place_count_together() {
        let lockout = Lockout::default();
        let tried = (0..100).filter(|number| {
            lockout
                .begin(&format!("user{number}"), address("192.0.2.9"), at(0))
                .is_ok()
        });
        assert_eq!(tried.count(), 21);
    }

    #[test]
    fn one_device_with_many_addresses_waits_and_known_browsers_and_other_networks_do_not() {
        let lockout = Lockout::default();
        let tried = (0..1000).filter(|number| {
            lockout
                .begin("ana", address(&format!("2001:db8::{number:x}")), at(0))
                .is_ok()
        });
        assert_eq!(tried.count(), 101);
        assert!(lockout.begin("ana", address("2001:db8::ffff:1"), at(1)).is_err());
        assert!(lockout.begin("ana", Place::Browser([1; 16]), at(1)).is_ok());
        assert!(lockout.begin("ana", address("2001:db8:0:1::1"), at(1)).is_ok());
        assert!(lockout.begin("ana", address("192.0.2.1"), at(1)).is_ok());
    }

    #[test]
    fn success_and_an_hour_of_peace_are_forgiving() {
        let lockout = Lockout::default();
        let place = address("::ffff:192.0.2.9");
        fails(&lockout, "ana", place, 5, at(0));
        let attempt = lockout.begin("ana", address("192.0.2.9"), at(0)).unwrap();
        lockout.succeeded(&attempt);
        assert_eq!(
            fails(&lockout, "ana", place, 9, at(0)),
            6,
            "counted from the start again"
        );
        assert_eq!(fails(&lockout, "ana", place, 9, at(4000)), 6);
        for _ in 0..50 {
            let attempt = lockout.begin("besa", place, at(4000)).unwrap();
            lockout.undecided(&attempt);
        }
        lockout.forget("ana");
        assert!(lockout.begin("ana", place, at(4000)).is_ok());
    }

    #[test]
    fn codes_of_the_second_step_are_few_for_strangers_wherever_they_come_from() {
        let lockout = Lockout::default();
        let tried = (1..200).filter(|number| {
            let attempt = lockout
                .begin("ana", address(&format!("192.0.2.{number}")), at(0))
                .unwrap();
            lockout.begin_code(&attempt, at(0)).is_ok()
        });
        assert_eq!(tried.count(), 11);
        let known = lockout.begin("ana", Place::Browser([1; 16]), at(0)).unwrap();
        assert!(lockout.begin_code(&known, at(0)).is_ok());
    }

    #[test]
    fn the_counters_stay_bounded() {
        let lockout = Lockout::default();
        for number in 0..20_000_u32 {
            let place = Place::Address(IpAddr::V4(number.into()));
            let _ = lockout.begin("ana", place, at(u64::from(number))).map(|_| ());
        }
        assert!(lockout.lock().len() <= COUNTERS);
    }
}
