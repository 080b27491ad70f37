//! Who sends and how often: by gateway and by network, never by a plain address.
//!
//! Sources are keyed hashes with a salt of the day. The key is no database's, the salt goes with its day, so that what
//! stands in the database names nobody, and nobody twice on two days. Questions (receipts, confirmations) are counted in
//! memory only and forgotten every minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use anyhow::{Context as _, bail};
use sqlx::PgPool;

/// A source as it is counted.
pub(crate) type Source = [u8; 16];

/// Sources that are remembered for a minute at most; beyond, the minute starts anew.
const REMEMBERED: usize = 200_000;

/// Makes sources.
#[derive(Debug)]
pub(crate) struct Sources {
    key: [u8; 32],
    salt: RwLock<(i64, Vec<u8>)>,
}

impl Sources {
    /// With the key of all instances or, without one, with a key of this process alone.
    pub(crate) fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut secret = vec![0; 32];
        match file {
            None => getrandom::fill(&mut secret).context("the system gives no random octets")?,
            Some(file) => {
                secret = std::fs::read(file).with_context(|| {
                    format!(
                        "{}: the quota key; make one with: head -c 32 /dev/urandom",
                        file.display()
                    )
                })?;
                if secret.len() < 32 {
                    bail!("{}: the quota key has less than 32 octets", file.display());
                }
            }
        }
        let mut salt = vec![0; 16]; // until the database has said today's
        getrandom::fill(&mut salt).context("the system gives no random octets")?;
        Ok(Self {
            key: blake3::derive_key("isigurt quota 1", &secret),
            salt: RwLock::new((0, salt)),
        })
    }

    /// Takes today's salt, which is made by whoever needs it first, and has yesterday's forgotten.
    pub(crate) async fn renew(&self, database: &PgPool, now: i64) -> Result<(), sqlx::Error> {
        let day = now / 86_400;
        let mut fresh = vec![0; 16];
        let _ = getrandom::fill(&mut fresh); // salted anew tomorrow; the key alone hides addresses already
        sqlx::query("INSERT INTO quota_salt (day, salt) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(day)
            .bind(&fresh)
            .execute(database)
            .await?;
        let salt: Vec<u8> = sqlx::query_scalar("SELECT salt FROM quota_salt WHERE day = $1")
            .bind(day)
            .fetch_one(database)
            .await?;
        *self.salt.write().unwrap_or_else(PoisonError::into_inner) = (day, salt);
        sqlx::query("DELETE FROM quota_salt WHERE day < $1")
            .bind(day)
            .execute(database)
            .await?;
        sqlx::query("DELETE FROM quota WHERE hour < $1")
            .bind(now / 3_600)
            .execute(database)
            .await?;
        Ok(())
    }

    /// The network of an address: a household or a school.
    pub(crate) fn network(&self, address: IpAddr) -> Source {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                self.hash(b'4', &[a, b, c])
            }
            IpAddr::V6(address) => self.hash(b'6', address.octets().split_at(6).0),
        }
    }

    /// A gateway's pseudonym of the month.
    pub(crate) fn gateway(&self, pseudonym: &str) -> Source {
        self.hash(b'g', pseudonym.as_bytes())
    }

    fn hash(&self, kind: u8, octets: &[u8]) -> Source {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.salt.read().unwrap_or_else(PoisonError::into_inner).1);
        hasher.update(&[kind]);
        hasher.update(octets);
        let mut source = [0; 16];
        hasher.finalize_xof().fill(&mut source);
        source
    }
}

/// Counts questions of the present minute.
#[derive(Debug)]
pub(crate) struct Questions {
    a_minute: u32,
    present: Mutex<(i64, HashMap<Source, u32>)>,
}

impl Questions {
    pub(crate) fn new(a_minute: u32) -> Self {
        Self {
            a_minute,
            present: Mutex::new((0, HashMap::new())),
        }
    }

    /// Whether one more may be asked; else in how many seconds.
    pub(crate) fn ask(&self, source: Source, now: i64) -> Result<(), u64> {
        let minute = now / 60;
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.0 != minute || present.1.len() >= REMEMBERED {
            *present = (minute, HashMap::new());
        }
        let count = present.1.entry(source).or_insert(0);
        *count = count.saturating_add(1);
        if *count > self.a_minute {
            return Err(until_next(now, 60));
        }
        Ok(())
    }
}

/// Seconds until the next span of so many seconds begins, 1 at least.
pub(crate) fn until_next(now: i64, span: i64) -> u64 {
    u64::try_from(span - now.rem_euclid(span)).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_network_and_tells_no_address() {
        let sources = Sources::new(None).unwrap();
        let network = |address: &str| sources.network(address.parse().unwrap());
        assert_eq!(network("192.0.2.1"), network("192.0.2.200"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ffff::9"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        // Another process without a common key, or another day, sees another source.
        assert_ne!(
            network("192.0.2.1"),
            Sources::new(None).unwrap().network("192.0.2.1".parse().unwrap())
        );
        let before = network("192.0.2.1");
        sources.salt.write().unwrap().1 = vec![1; 16];
        assert_ne!(network("192.0.2.1"), before);
    }

    #[test]
    fn questions_are_counted_for_each_source_and_forgotten_with_the_minute() {
        let questions = Questions::new(2);
        let (one, other) = ([1; 16], [2; 16]);
        assert_eq!(questions.ask(one, 100), Ok(()));
        assert_eq!(questions.ask(one, 101), Ok(()));
        assert_eq!(questions.ask(one, 102), Err(18));
        assert_eq!(questions.ask(other, 102), Ok(()));
        assert_eq!(questions.ask(one, 120), Ok(()));
    }

    #[test]
    fn a_short_quota_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quota.key");
        std::fs::write(&file, [0; 31]).unwrap();
        let error = Sources::new(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("less than 32"), "{error}");
    }
}
