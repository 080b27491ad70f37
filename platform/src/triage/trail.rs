//! The trail: every act of every analyst, signed, and bound to the one before.
//!
//! ```text
//!   act n:  body { seq n, previous = hash(n-1), at, analyst, verb, … } · signature over the body · hash over both
//! ```
//!
//! Whoever changes, drops or inserts an act breaks the chain; whoever adds one without an analyst's key has no signature.
//! What a cut at the end hides is shown by the newest hash, which each analyst and the publisher may write down. No name of
//! a case is ever in it: cases are named by their tags.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

use super::TriageError;
use super::analyst::{Analyst, Public};
use super::ring::Tag;
use crate::database::now;

/// Held while an act is added: the number of an advisory lock of this database.
const LOCK: i64 = 0x0069_7369_6775_7274;

/// What is signed over before the body, so that a signature for this purpose serves no other.
const PURPOSE: &[u8] = b"isigurt act 1\n";

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Act {
    pub(crate) seq: i64,
    /// Hash of the act before; of none: zeros.
    previous: String,
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) analyst: String,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub(crate) enum What {
    /// The first analyst began.
    Begin { sign: String, open: String },
    /// An analyst was added.
    AddAnalyst {
        name: String,
        sign: String,
        open: String,
    },
    /// An analyst was removed.
    RemoveAnalyst { name: String },
    /// A report key was given to all analysts.
    AddKey { key: String },
    /// A case was opened for review.
    Review { case: String },
    /// A name is to go into a list (`block`) or out of it (`release`); `decision`: all votes are there.
    Vote {
        case: String,
        act: String,
        list: String,
        /// BLAKE3 of the signed vote: what the analyst stands by, though not told here.
        vote: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        decision: Option<String>,
    },
    /// A case was rejected.
    Reject { case: String, reason: String },
    /// A case became part of another.
    Merge { case: String, into: String },
    /// Confirmed names were exported.
    Export {
        form: String,
        names: i64,
        mandatory: bool,
    },
}

impl What {
    /// The verb, as it is written.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "begin",
            Self::AddAnalyst { .. } => "add-analyst",
            Self::RemoveAnalyst { .. } => "remove-analyst",
            Self::AddKey { .. } => "add-key",
            Self::Review { .. } => "review",
            Self::Vote { .. } => "vote",
            Self::Reject { .. } => "reject",
            Self::Merge { .. } => "merge",
            Self::Export { .. } => "export",
        }
    }

    /// The case that it is about.
    pub(crate) fn case(&self) -> Option<&str> {
        match self {
            Self::Review { case }
            | Self::Vote { case, .. }
            | Self::Reject { case, .. }
            | Self::Merge { case, .. } => Some(case),
            _ => None,
        }
    }
}

/// A tag as acts, addresses and commands write it.
pub(crate) fn written(tag: &Tag) -> String {
    HEXLOWER.encode(tag)
}

/// Adds an act, within the transaction that does what it says.
pub(crate) async fn add(
    connection: &mut PgConnection,
    analyst: &Analyst,
    what: What,
) -> Result<(), TriageError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    let last: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT seq, hash FROM act ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    let (seq, previous) = last.unwrap_or((0, vec![0; 32]));
    let act = Act {
        seq: seq + 1,
        previous: HEXLOWER.encode(&previous),
        at: now(),
        analyst: analyst.name.clone(),
        what,
    };
    let body = serde_json::to_string(&act).map_err(|error| TriageError::Form(error.to_string()))?;
    let signature = analyst
        .signing
        .sign(&[PURPOSE, body.as_bytes()].concat())
        .to_bytes();
    sqlx::query("INSERT INTO act (seq, body, signature, hash) VALUES ($1, $2, $3, $4)")
        .bind(act.seq)
        .bind(&body)
        .bind(&signature[..])
        .bind(&hash(&body, &signature)[..])
        .execute(connection)
        .await?;
    Ok(())
}

fn hash(body: &str, signature: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(body.as_bytes());
    hasher.update(signature);
    *hasher.finalize().as_bytes()
}

/// A trail that holds: what was read, and the newest hash.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) acts: Vec<Act>,
    pub(crate) head: String,
    /// All hashes, the newest last.
    pub(crate) hashes: Vec<String>,
    /// Analysts that the trail knows at its end.
    pub(crate) analysts: HashMap<String, Public>,
}

/// Reads the whole trail and checks it.
pub(crate) async fn check(database: &PgPool) -> Result<Checked, TriageError> {
    let rows: Vec<(i64, String, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT seq, body, signature, hash FROM act ORDER BY seq")
            .fetch_all(database)
            .await?;
    checked(&rows)
}

fn checked(rows: &[(i64, String, Vec<u8>, Vec<u8>)]) -> Result<Checked, TriageError> {
    let mut known = Checked {
        acts: Vec::new(),
        head: HEXLOWER.encode(&[0; 32]),
        hashes: Vec::new(),
        analysts: HashMap::new(),
    };
    for (place, (seq, body, signature, hashed)) in (1..).zip(rows) {
        let broken = |what: &str| TriageError::Trail(place, what.to_owned());
        let act: Act = serde_json::from_str(body).map_err(|_| broken("its body is no act"))?;
        if act.seq != place || *seq != place {
            return Err(broken("an act is missing before it"));
        }
        if act.previous != known.head {
            return Err(broken("it does not follow on the act before"));
        }
        if hash(body, signature)[..] != hashed[..] {
            return Err(broken("it was changed"));
        }
        if place == 1
            && let What::Begin { sign, open } = &act.what
        {
            known
                .analysts
                .insert(act.analyst.clone(), Public::parse(&act.analyst, sign, open)?);
        }
        let signer = known.analysts.get(&act.analyst);
        let signer = signer.ok_or_else(|| broken("its analyst was not known then"))?;
        let key = VerifyingKey::from_bytes(&signer.sign).map_err(|_| broken("its analyst has no key"))?;
        let signature = Signature::from_slice(signature).map_err(|_| broken("it has no signature"))?;
        key.verify_strict(&[PURPOSE, body.as_bytes()].concat(), &signature)
            .map_err(|_| broken("its analyst did not sign it"))?;
        match &act.what {
            What::AddAnalyst { name, sign, open } => {
                known
                    .analysts
                    .insert(name.clone(), Public::parse(name, sign, open)?);
            }
            What::RemoveAnalyst { name } => {
                known.analysts.remove(name);
            }
            _ => {}
        }
        known.head = HEXLOWER.encode(hashed);
        known.hashes.push(known.head.clone());
        known.acts.push(act);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (i64, String, Vec<u8>, Vec<u8>);

    fn analyst(name: &str) -> Analyst {
        let folder = tempfile::tempdir().unwrap();
        Analyst::make(name, &folder.path().join("key")).unwrap()
    }

    fn push(rows: &mut Vec<Row>, analyst: &Analyst, what: What) {
        let previous = rows.last().map_or(vec![0; 32], |row| row.3.clone());
        let act = Act {
            seq: i64::try_from(rows.len()).unwrap() + 1,
            previous: HEXLOWER.encode(&previous),
            at: 1,
            analyst: analyst.name.clone(),
            what,
        };
        let body = serde_json::to_string(&act).unwrap();
        let signature = analyst
            .signing
            .sign(&[PURPOSE, body.as_bytes()].concat())
            .to_bytes();
        let hashed = hash(&body, &signature).to_vec();
        rows.push((act.seq, body, signature.to_vec(), hashed));
    }

    fn trail() -> (Vec<Row>, Analyst) {
        let (ana, ben) = (analyst("ana"), analyst("ben"));
        let keys = |analyst: &Analyst| {
            let public = analyst.public().unwrap();
            (HEXLOWER.encode(&public.sign), public.open.to_hex())
        };
        let mut rows = Vec::new();
        let (sign, open) = keys(&ana);
        push(&mut rows, &ana, What::Begin { sign, open });
        let (sign, open) = keys(&ben);
        let name = "ben".to_owned();
        push(&mut rows, &ana, What::AddAnalyst { name, sign, open });
        let case = "00".repeat(16);
        let reason = "not-illegal".to_owned();
        push(&mut rows, &ben, What::Reject { case, reason });
        (rows, ben)
    }

    #[test]
    fn a_trail_that_nobody_touched_holds() {
        let (rows, _) = trail();
        let known = checked(&rows).unwrap();
        assert_eq!(known.acts.len(), 3);
        assert_eq!(known.head, HEXLOWER.encode(&rows[2].3));
        assert_eq!(known.analysts.len(), 2);
    }

    #[test]
    fn changed_dropped_moved_and_forged_acts_are_found() {
        let (good, ben) = trail();
        let says = |rows: &[Row]| checked(rows).unwrap_err().to_string();
        let mut rows = good.clone();
        rows[2].1 = rows[2].1.replace("not-illegal", "out-of-scope");
        assert!(says(&rows).contains("act 3: it was changed"), "{}", says(&rows));
        rows[2].3 = hash(&rows[2].1, &rows[2].2).to_vec(); // the hash is made anew, the signature cannot be
        assert!(says(&rows).contains("did not sign"), "{}", says(&rows));
        let mut rows = good.clone();
        rows.remove(1);
        assert!(says(&rows).contains("missing"), "{}", says(&rows));
        let mut rows = good.clone();
        rows.swap(1, 2);
        assert!(checked(&rows).is_err());
        // Somebody who can write to the database, but is no analyst.
        let mut rows = good.clone();
        let case = "00".repeat(16);
        let reason = "not-illegal".to_owned();
        push(&mut rows, &analyst("eve"), What::Reject { case, reason });
        assert!(says(&rows).contains("not known"), "{}", says(&rows));
        // Somebody who is one no more.
        let mut rows = good;
        let name = "ben".to_owned();
        push(&mut rows, &ben, What::RemoveAnalyst { name });
        let key = "1".to_owned();
        push(&mut rows, &ben, What::AddKey { key });
        assert!(says(&rows).contains("act 5"), "{}", says(&rows));
    }
}
