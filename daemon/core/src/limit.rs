//! How often a client may ask: so many queries a second, in constant time and constant memory.
//!
//! Each client (an IPv4 address, or the /64 of an IPv6 one) has a place among four that its keyed hash chooses, with the
//! time at which its next query is due (GCRA, ITU-T I.371). A flood from forged addresses pushes out places of others,
//! whoever waited longest first: it costs a busy client its debts, never its answers, and the table never grows.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Groups of places.
const GROUPS: usize = 1 << 14;
/// Places of a group.
const WAYS: usize = 4;
/// Bits of a place that tell clients apart; the others are microseconds.
const TAG: u32 = 20;
const TIME: u64 = (1 << (64 - TAG)) - 1;

/// The limit of all clients.
#[derive(Debug)]
pub struct Limiter {
    places: Box<[[AtomicU64; WAYS]]>,
    hasher: std::hash::RandomState,
    /// Microseconds that a query takes up; 0 = no limit.
    cost: u64,
}

impl Limiter {
    /// A limit of so many queries a second, with as many at once; 0 = none.
    pub fn new(per_second: u32) -> Self {
        let groups = if per_second == 0 { 0 } else { GROUPS };
        Self {
            places: (0..groups)
                .map(|_| std::array::from_fn(|_| AtomicU64::new(0)))
                .collect(),
            hasher: std::hash::RandomState::new(),
            cost: 1_000_000_u64.checked_div(u64::from(per_second)).unwrap_or(0),
        }
    }

    /// Whether a client may ask at `now_ms` on the caller's monotonic clock. This host itself always may: what runs on it
    /// could be a forwarder of a whole house.
    #[allow(clippy::cast_possible_truncation)] // a place among the groups
    pub fn allows(&self, client: IpAddr, now_ms: u64) -> bool {
        let client = client.to_canonical();
        if self.cost == 0 || client.is_loopback() {
            return true;
        }
        let hash = match client {
            IpAddr::V4(address) => self.hasher.hash_one(address.octets()),
            IpAddr::V6(address) => self.hasher.hash_one(address.octets().first_chunk::<8>()),
        };
        let Some(group) = self.places.get(hash as usize % GROUPS) else {
            return true;
        };
        // Never zero, so that an empty place is nobody's.
        let tag = hash >> (64 - TAG) | 1;
        let now = (now_ms * 1000) & TIME;
        let read = || group.iter().map(|place| (place, place.load(Ordering::Relaxed)));
        let held = read().find(|(_, held)| held >> (64 - TAG) == tag);
        let Some((place, held)) = held.or_else(|| read().min_by_key(|(_, held)| held & TIME)) else {
            return true;
        };
        let due = if held >> (64 - TAG) == tag { held & TIME } else { 0 };
        let due = due.max(now);
        if due - now > 1_000_000 {
            return false;
        }
        // Two workers may both count from the same time: a query too many is no harm.
        place.store(tag << (64 - TAG) | (due + self.cost) & TIME, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limiter: &Limiter, client: &str, now_ms: u64, tries: u32) -> u32 {
        let client = client.parse().unwrap();
        (0..tries)
            .map(|_| u32::from(limiter.allows(client, now_ms)))
            .sum()
    }

    #[test]
    fn a_client_gets_its_share_at_once_and_then_by_the_second() {
        let limiter = Limiter::new(100);
        assert!((100..=101).contains(&allowed(&limiter, "192.0.2.1", 5000, 500)));
        assert_eq!(allowed(&limiter, "192.0.2.1", 5000, 500), 0);
        assert!(
            (49..=51).contains(&allowed(&limiter, "192.0.2.1", 5500, 500)),
            "half a second later"
        );
        assert!(
            (100..=101).contains(&allowed(&limiter, "192.0.2.2", 5500, 500)),
            "another client"
        );
        assert!(
            (100..=101).contains(&allowed(&limiter, "192.0.2.1", 60_000, 500)),
            "rested"
        );
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_this_host_is_free() {
        let limiter = Limiter::new(10);
        let one = allowed(&limiter, "2001:db8::1", 0, 100);
        assert!((10..=11).contains(&one));
        assert_eq!(allowed(&limiter, "2001:db8::2", 0, 100), 0);
        assert!(allowed(&limiter, "2001:db8:0:1::1", 0, 100) >= 10);
        assert_eq!(allowed(&limiter, "127.0.0.1", 0, 100), 100);
        assert_eq!(allowed(&limiter, "::ffff:127.0.0.1", 0, 100), 100);
        assert_eq!(allowed(&Limiter::new(0), "192.0.2.1", 0, 10_000), 10_000);
    }

    #[test]
    fn a_flood_of_forged_addresses_neither_grows_the_table_nor_silences_a_client() {
        let limiter = Limiter::new(10);
        let size = limiter.places.len();
        for number in 0..300_000_u32 {
            limiter.allows(IpAddr::from(number.to_be_bytes()), u64::from(number / 1000));
            if number.is_multiple_of(30_000) {
                assert!(limiter.allows("192.0.2.77".parse().unwrap(), u64::from(number / 1000)));
            }
        }
        assert_eq!(limiter.places.len(), size);
    }
}
