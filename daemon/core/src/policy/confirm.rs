//! Candidates: names that share a short prefix of a hash with something on a list, and what is known about such prefixes.
//!
//! ```text
//! name ─▶ candidate of a list ─▶ known: meant, or another name is ─▶ decided
//!                             └▶ unknown ─▶ a job that asks, once for all who wait ─▶ decided, or as the list says
//! ```
//!
//! Nothing here asks anybody: the shell does ([`Confirm`]), and puts what it was told into [`Confirmed`]. Names that are no
//! candidates never come here.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use isigurt_blocklists::index::{Index, TagId, TagKind};
use isigurt_blocklists::name::NameRef;

use super::Client;

/// Prefixes that are remembered; what is forgotten is asked for again.
const MOST: usize = 8192;

/// A prefix of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The list's id.
    pub list: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// The prefix, filled up with zeros.
    pub digest: [u8; 16],
    /// Its length.
    pub bits: u8,
}

/// A candidate: a name, or one above it, that shares a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The prefix.
    pub prefix: Prefix,
    /// The whole hash of the name.
    pub full: [u8; 16],
    /// The hash is of the name that was asked for, not of one above it.
    pub itself: bool,
    /// The group of the list.
    pub tag: TagId,
    /// What the list says: blocked until somebody says otherwise.
    pub blocked_unless_told: bool,
    /// The list is the authority's.
    pub mandatory: bool,
    /// There is somebody to ask: the list is the platform's.
    pub askable: bool,
}

/// What is known about a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The name is on the list.
    Meant,
    /// Another name is.
    Innocent,
    /// Nothing yet.
    Unknown,
}

/// A hash, and whether it means one name alone.
pub type Meant = ([u8; 16], bool);

#[derive(Debug)]
struct Known {
    meant: Vec<Meant>,
    until_s: u64,
}

/// What was told about prefixes. Times are seconds since 1970.
#[derive(Debug, Default)]
pub struct Confirmed {
    known: RwLock<HashMap<Prefix, Known>>,
    /// Nobody answers: until then nobody is asked.
    silent_until_s: AtomicU64,
}

impl Confirmed {
    /// What is known about a candidate.
    pub fn told(&self, suspect: &Suspect, now_s: u64) -> Told {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(&suspect.prefix).filter(|known| known.until_s > now_s) {
            None => Told::Unknown,
            Some(known) => {
                let meant = known
                    .meant
                    .iter()
                    .any(|(hash, alone)| *hash == suspect.full && (suspect.itself || !alone));
                if meant { Told::Meant } else { Told::Innocent }
            }
        }
    }

    /// Notes everything that stands under a prefix.
    pub fn learn(&self, prefix: Prefix, meant: Vec<Meant>, until_s: u64, now_s: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, known| known.until_s > now_s);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(prefix, Known { meant, until_s });
    }

    /// Nobody answers: nobody is asked until then.
    pub fn rest(&self, until_s: u64) {
        self.silent_until_s.store(until_s, Ordering::Relaxed);
    }

    /// Whether nobody is to be asked now.
    pub fn resting(&self, now_s: u64) -> bool {
        self.silent_until_s.load(Ordering::Relaxed) > now_s
    }
}

/// Who asks about prefixes. Comes back when the answer is in [`Confirmed`], or when there will be none in time.
pub trait Confirm: std::fmt::Debug + Send + Sync {
    /// Asks.
    fn confirm<'a>(&'a self, prefixes: &'a [Prefix]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// The candidates of a name that would decide for this client, most specific first. Looks the name up: whoever is in a hurry asks
/// only where [`super::judge`] says that it is a candidate.
pub fn suspects(index: &Index, client: &Client<'_>, name: NameRef<'_>, qtype: u16) -> Vec<Suspect> {
    let labels = name.labels().count();
    let outcome = index.lookup(name, qtype);
    let mandatory = index.kind(TagKind::Mandatory);
    let candidates = outcome.candidates.iter().filter_map(|hit| {
        let decides = mandatory.contains(hit.tag) || client.profile.blocked.contains(hit.tag);
        let key = index.hash_key(hit).filter(|_| decides)?;
        let depth = usize::from(hit.specificity());
        let (full, digest) = index.digests(hit, name)?;
        Some(Suspect {
            prefix: Prefix {
                list: hit.list.id.as_str().into(),
                version: hit.list.version.as_str().into(),
                digest,
                bits: key.bits,
            },
            full,
            itself: depth == labels,
            tag: hit.tag,
            blocked_unless_told: key.offline == isigurt_blocklists::read::hashed::Offline::Block,
            mandatory: mandatory.contains(hit.tag),
            askable: hit.list.id.contains('/'),
        })
    });
    candidates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspect(full: u8, itself: bool) -> Suspect {
        Suspect {
            prefix: Prefix {
                list: "mandatory/abuse".into(),
                version: "1".into(),
                digest: [1; 16],
                bits: 24,
            },
            full: [full; 16],
            itself,
            tag: TagId(0),
            blocked_unless_told: false,
            mandatory: true,
            askable: true,
        }
    }

    #[test]
    fn what_was_told_holds_until_it_expires() {
        let confirmed = Confirmed::default();
        assert_eq!(confirmed.told(&suspect(7, true), 0), Told::Unknown);
        confirmed.learn(
            suspect(7, true).prefix,
            vec![([7; 16], false), ([8; 16], true)],
            100,
            0,
        );
        assert_eq!(confirmed.told(&suspect(7, false), 99), Told::Meant);
        assert_eq!(confirmed.told(&suspect(9, true), 99), Told::Innocent);
        assert_eq!(confirmed.told(&suspect(8, true), 99), Told::Meant);
        assert_eq!(
            confirmed.told(&suspect(8, false), 99),
            Told::Innocent,
            "the name alone is meant"
        );
        assert_eq!(confirmed.told(&suspect(7, true), 100), Told::Unknown);
        let other = Suspect {
            prefix: Prefix {
                version: "2".into(),
                ..suspect(7, true).prefix
            },
            ..suspect(7, true)
        };
        assert_eq!(confirmed.told(&other, 0), Told::Unknown, "another version");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let confirmed = Confirmed::default();
        for number in 0..20_000_u32 {
            let mut prefix = suspect(7, true).prefix;
            prefix.digest[..4].copy_from_slice(&number.to_le_bytes());
            confirmed.learn(prefix, Vec::new(), 100, 0);
        }
        assert!(confirmed.known.read().unwrap().len() <= MOST);
    }
}
