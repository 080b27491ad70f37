//! What an analyst opens with: the private report keys and the key that names are tagged with, each sealed to every analyst.
//!
//! ```text
//!   report key ─┬ sealed to Ana ─▶ database ─▶ Ana's machine: reports open there, and nowhere else
//!               └ sealed to Ben ─▶ …
//! ```
//!
//! The database holds them sealed only. An analyst who is removed loses their copies here but may have kept what they
//! opened: then the report key is to be rotated.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use isigurt_wire::report::Id;
use isigurt_wire::seal::{self, PrivateKey, REPORT};
use sqlx::{PgConnection, PgPool};
use zeroize::Zeroizing;

use super::TriageError;
use super::analyst::{Analyst, Public};

/// What secrets are sealed to an analyst for.
const RING: &[u8] = b"isigurt ring 1";
/// What triage seals for itself: names of cases, votes.
const OWN: &[u8] = b"isigurt triage 1";
/// Sealed texts are padded to a multiple of this, octets.
const BLOCK: usize = 256;
/// The name of the key that names are tagged with.
const TAG: &str = "tag";
const KEY: &str = "report:";

/// Equal names have equal tags; without the key nobody can tell the name.
pub(crate) type Tag = [u8; 16];

/// Opened secrets; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Ring {
    tag: Zeroizing<[u8; 32]>,
    reports: HashMap<String, PrivateKey>,
    newest: String,
}

/// Something that triage sealed for itself, with the id of the key.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) key: String,
    pub(crate) sealed: Vec<u8>,
}

impl Ring {
    /// A new one, for the first analyst.
    pub(crate) fn begin(report: PrivateKey) -> Result<Self, TriageError> {
        let mut tag = Zeroizing::new([0; 32]);
        getrandom::fill(tag.as_mut_slice()).map_err(|_| TriageError::Random)?;
        let newest = report.public()?.id();
        Ok(Self {
            tag,
            reports: HashMap::from([(newest.clone(), report)]),
            newest,
        })
    }

    /// Opens the analyst's.
    pub(crate) async fn open(database: &PgPool, analyst: &Analyst) -> Result<Self, TriageError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT what, sealed FROM ring WHERE analyst = $1")
            .bind(&analyst.name)
            .fetch_all(database)
            .await?;
        let newest: Option<String> =
            sqlx::query_scalar("SELECT id FROM report_key ORDER BY added DESC, id LIMIT 1")
                .fetch_optional(database)
                .await?;
        let unknown = || TriageError::NoRing(analyst.name.clone());
        let (mut tag, mut reports) = (None, HashMap::new());
        for (what, sealed) in rows {
            let plain =
                seal::open(&analyst.opening, RING, what.as_bytes(), &sealed).map_err(|_| unknown())?;
            let secret = HEXLOWER.decode(&plain).ok().map(Zeroizing::new);
            let secret = secret.and_then(|secret| <[u8; 32]>::try_from(secret.as_slice()).ok());
            let secret = Zeroizing::new(secret.ok_or_else(unknown)?);
            match what.strip_prefix(KEY) {
                Some(id) => {
                    reports.insert(id.to_owned(), PrivateKey::from_octets(*secret));
                }
                None if what == TAG => tag = Some(secret),
                None => {}
            }
        }
        Ok(Self {
            tag: tag.ok_or_else(unknown)?,
            newest: newest.filter(|id| reports.contains_key(id)).ok_or_else(unknown)?,
            reports,
        })
    }

    /// Seals all of it to an analyst.
    pub(crate) async fn give(&self, connection: &mut PgConnection, to: &Public) -> Result<(), TriageError> {
        give(connection, to, TAG, &self.tag).await?;
        for (id, key) in &self.reports {
            give(connection, to, &format!("{KEY}{id}"), key.octets()).await?;
        }
        Ok(())
    }

    /// Seals one report key to an analyst.
    pub(crate) async fn give_key(
        connection: &mut PgConnection,
        to: &Public,
        key: &PrivateKey,
    ) -> Result<(), TriageError> {
        let what = format!("{KEY}{}", key.public()?.id());
        give(connection, to, &what, key.octets()).await
    }

    /// Ids of the report keys that it opens with.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.reports.keys().cloned().collect()
    }

    /// Opens a report.
    pub(crate) fn report(&self, key: &str, id: Id, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        seal::open(self.reports.get(key)?, REPORT, &id.0, sealed).ok()
    }

    /// The tag of a canonical name.
    pub(crate) fn tag(&self, name: &str) -> Tag {
        let mut tag = [0; 16];
        let mut hasher = blake3::Hasher::new_keyed(&self.tag);
        hasher.update(name.as_bytes());
        hasher.finalize_xof().fill(&mut tag);
        tag
    }

    /// Seals a text of triage's own, bound to a case.
    pub(crate) fn seal(&self, tag: &Tag, text: &str) -> Result<Own, TriageError> {
        let key = self.reports.get(&self.newest).ok_or(TriageError::Sealed)?;
        Ok(Own {
            key: self.newest.clone(),
            sealed: seal::seal(&key.public()?, OWN, tag, text.as_bytes(), BLOCK)?,
        })
    }

    /// Opens such a text.
    pub(crate) fn unseal(&self, tag: &Tag, own: &Own) -> Result<Zeroizing<String>, TriageError> {
        let key = self.reports.get(&own.key).ok_or(TriageError::Sealed)?;
        let plain = seal::open(key, OWN, tag, &own.sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| TriageError::Sealed)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

async fn give(
    connection: &mut PgConnection,
    to: &Public,
    what: &str,
    secret: &[u8; 32],
) -> Result<(), TriageError> {
    // As digits: sealing takes zeros off the end, which a key may end with.
    let digits = Zeroizing::new(HEXLOWER.encode(secret));
    let sealed = seal::seal(&to.open, RING, what.as_bytes(), digits.as_bytes(), 64)?;
    sqlx::query(
        "INSERT INTO ring (analyst, what, sealed) VALUES ($1, $2, $3) \
         ON CONFLICT (analyst, what) DO UPDATE SET sealed = excluded.sealed",
    )
    .bind(&to.name)
    .bind(what)
    .bind(&sealed)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_have_equal_tags_on_one_ring_only() {
        let ring = Ring::begin(PrivateKey::generate().unwrap()).unwrap();
        let other = Ring::begin(PrivateKey::generate().unwrap()).unwrap();
        assert_eq!(ring.tag("a.test"), ring.tag("a.test"));
        assert_ne!(ring.tag("a.test"), ring.tag("b.test"));
        assert_ne!(ring.tag("a.test"), other.tag("a.test"));
    }

    #[test]
    fn what_triage_seals_for_itself_opens_for_the_same_case_only() {
        let ring = Ring::begin(PrivateKey::generate().unwrap()).unwrap();
        let own = ring.seal(&[1; 16], "a.test").unwrap();
        assert_eq!(own.sealed.len(), 32 + BLOCK + 16);
        assert_eq!(ring.unseal(&[1; 16], &own).unwrap().as_str(), "a.test");
        assert!(ring.unseal(&[2; 16], &own).is_err());
    }
}
