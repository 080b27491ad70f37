//! What triage decides, on its way to the publisher: one sealed decision a line.
//!
//! ```text
//! triage ── Decision ── sealed to the decision key ──▶ database ── export, JSON lines ──▶ publish ── the private key ──▶ a list
//! ```
//!
//! Neither the database nor the file between both sides names anything. Later decisions on a name undo earlier ones. Each
//! analyst signs what is decided, so that the publisher need believe neither the database nor whoever runs it: it counts the
//! signatures of analysts that it knows itself ([`Decision::voters`]).

use std::collections::BTreeSet;

use crate::report::Id;
use crate::seal::{self, DECISION, PrivateKey, PublicKey, SealError};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Version of the forms in this module.
pub const FORMAT: u32 = 1;
/// A sealed decision is padded to a multiple of this, octets.
const BLOCK: usize = 512;

/// What is to become of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It goes into the list.
    Block,
    /// It goes out of the list, whichever source it came from.
    Release,
}

/// A decision; exists in clear only in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// [`FORMAT`].
    pub format: u32,
    /// What is to become of the name.
    pub act: Act,
    /// The name, canonical: lower-case A-labels without final dot.
    pub name: String,
    /// Whether all names below it are meant too.
    pub subdomains: bool,
    /// The list's id, as in the publisher's configuration.
    pub list: String,
    /// When it was decided, seconds since 1970: the time of its earliest vote. Votes sign their time, so that whoever has seen
    /// another's vote cannot use it again for a decision that undoes a later one.
    pub decided: i64,
    /// Who decided: for a mandatory list two different analysts at least.
    pub votes: Vec<Vote>,
}

/// One analyst's word for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The analyst's Ed25519 key (RFC 8032), 64 hexadecimal digits.
    pub key: String,
    /// When it was given, seconds since 1970.
    pub at: i64,
    /// Over [`Decision::octets`], 128 hexadecimal digits.
    pub signature: String,
}

/// A decision as it is kept and exported: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// [`FORMAT`].
    pub format: u32,
    /// Names the decision.
    pub id: Id,
    /// [`seal::seal`]'s octets, base64url without padding.
    pub sealed: String,
}

/// Why a line is no decision.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// Not the form.
    #[error("not a decision: {0}; export the decisions again")]
    Form(String),
    /// A newer form.
    #[error("a decision of form {0}, this program reads form {FORMAT}; update the publisher")]
    Format(u32),
    /// Not for this key.
    #[error("decision {0}: {1}; give publish the private key whose public key triage seals to")]
    Seal(Id, SealError),
}

impl Decision {
    /// What an analyst signs: purpose, act, name, reach, list and time, each ended by LF.
    pub fn octets(&self, at: i64) -> Vec<u8> {
        let act = match self.act {
            Act::Block => "block",
            Act::Release => "release",
        };
        let reach = if self.subdomains { "below" } else { "alone" };
        let (name, list) = (&self.name, &self.list);
        format!("isigurt decision {FORMAT}\n{act}\n{name}\n{reach}\n{list}\n{at}\n").into_bytes()
    }

    /// The word of whoever holds `key`.
    pub fn vote(&self, at: i64, key: &SigningKey) -> Vote {
        let signature = key.sign(&self.octets(at));
        Vote {
            key: data_encoding::HEXLOWER.encode(key.verifying_key().as_bytes()),
            at,
            signature: data_encoding::HEXLOWER.encode(&signature.to_bytes()),
        }
    }

    /// Those of `analysts` (keys as in [`Vote::key`]) who have signed this very decision, each once.
    pub fn voters<'a>(&self, analysts: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let signed = |key: &str| {
            let Some(verifying) = octets::<32>(key).and_then(|octets| VerifyingKey::from_bytes(&octets).ok())
            else {
                return false;
            };
            self.votes.iter().filter(|vote| vote.key == key).any(|vote| {
                octets::<64>(&vote.signature).is_some_and(|signature| {
                    let signature = Signature::from_bytes(&signature);
                    verifying.verify_strict(&self.octets(vote.at), &signature).is_ok()
                })
            })
        };
        analysts.into_iter().filter(|key| signed(key)).collect()
    }

    /// Seals it to `key` under `id`.
    pub fn seal(&self, id: Id, key: &PublicKey) -> Result<Sealed, DecisionError> {
        let plain = serde_json::to_vec(self).map_err(|error| DecisionError::Form(error.to_string()))?;
        let sealed = seal::seal(key, DECISION, &id.0, &plain, BLOCK)
            .map_err(|error| DecisionError::Seal(id, error))?;
        Ok(Sealed {
            format: FORMAT,
            id,
            sealed: data_encoding::BASE64URL_NOPAD.encode(&sealed),
        })
    }
}

impl Sealed {
    /// Reads a line of an export.
    pub fn parse(line: &str) -> Result<Self, DecisionError> {
        let sealed: Self =
            serde_json::from_str(line).map_err(|error| DecisionError::Form(error.to_string()))?;
        if sealed.format == FORMAT {
            Ok(sealed)
        } else {
            Err(DecisionError::Format(sealed.format))
        }
    }

    /// Opens it with the private decision key.
    pub fn open(&self, key: &PrivateKey) -> Result<Decision, DecisionError> {
        let octets = data_encoding::BASE64URL_NOPAD
            .decode(self.sealed.as_bytes())
            .map_err(|error| DecisionError::Form(error.to_string()))?;
        let plain = seal::open(key, DECISION, &self.id.0, &octets)
            .map_err(|error| DecisionError::Seal(self.id, error))?;
        let decision: Decision =
            serde_json::from_slice(&plain).map_err(|error| DecisionError::Form(error.to_string()))?;
        if decision.format != FORMAT {
            return Err(DecisionError::Format(decision.format));
        }
        if decision.votes.iter().map(|vote| vote.at).min() != Some(decision.decided) {
            let what = format!("decision {} is not of the time of its earliest vote", self.id);
            return Err(DecisionError::Form(what));
        }
        Ok(decision)
    }
}

fn octets<const N: usize>(hexadecimal: &str) -> Option<[u8; N]> {
    let octets = data_encoding::HEXLOWER.decode(hexadecimal.as_bytes()).ok()?;
    octets.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analyst() -> (SigningKey, String) {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let key = SigningKey::from_bytes(&seed);
        let public = data_encoding::HEXLOWER.encode(key.verifying_key().as_bytes());
        (key, public)
    }

    fn decision() -> Decision {
        Decision {
            format: FORMAT,
            act: Act::Block,
            name: "bad.test".to_owned(),
            subdomains: true,
            list: "abuse".to_owned(),
            decided: 1_764_000_000,
            votes: Vec::new(),
        }
    }

    #[test]
    fn an_analyst_counts_once_however_often_they_sign_and_only_for_what_they_signed() {
        let ((ana, ana_public), (ben, ben_public)) = (analyst(), analyst());
        let both = [ana_public.as_str(), ben_public.as_str()];
        let mut decision = decision();
        decision.votes = vec![decision.vote(1, &ana), decision.vote(2, &ana)];
        assert_eq!(decision.voters(both).len(), 1);
        assert_eq!(decision.voters([both[0], both[0]]).len(), 1);
        decision.votes.push(decision.vote(3, &ben));
        assert_eq!(decision.voters(both).len(), 2);
        assert_eq!(decision.voters([both[1]]).len(), 1, "a stranger does not count");
        // Ana's signature under Ben's key, or at another time, is nobody's.
        let mut forged = decision.clone();
        forged.votes.pop();
        forged.votes[1].key.clone_from(&ben_public);
        forged.votes[0].at = 5;
        assert!(forged.voters(both).is_empty());
        let changes: [fn(&mut Decision); 4] = [
            |decision| decision.act = Act::Release,
            |decision| decision.name = "good.test".to_owned(),
            |decision| decision.subdomains = false,
            |decision| decision.list = "other".to_owned(),
        ];
        for change in changes {
            let mut other = decision.clone();
            change(&mut other);
            assert!(other.voters(both).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn a_decision_names_nothing_until_it_is_opened() {
        let key = PrivateKey::generate().unwrap();
        let mut decision = decision();
        decision.votes.push(decision.vote(decision.decided, &analyst().0));
        let sealed = decision.seal(Id([1; 16]), &key.public().unwrap()).unwrap();
        let line = serde_json::to_string(&sealed).unwrap();
        assert!(!line.contains("bad") && !line.contains("abuse"), "{line}");
        assert_eq!(Sealed::parse(&line).unwrap().open(&key).unwrap(), decision);
        let other = PrivateKey::generate().unwrap();
        assert!(matches!(sealed.open(&other), Err(DecisionError::Seal(..))));
        // A sealed decision under another's id does not open.
        let moved = Sealed {
            id: Id([2; 16]),
            ..sealed
        };
        assert!(matches!(moved.open(&key), Err(DecisionError::Seal(..))));
        assert!(matches!(Sealed::parse("{}"), Err(DecisionError::Form(_))));
    }

    #[test]
    fn an_old_vote_makes_no_newer_decision() {
        let key = PrivateKey::generate().unwrap();
        let (ana, ben) = (analyst().0, analyst().0);
        let mut decision = decision();
        let old = decision.vote(decision.decided, &ben);
        decision.decided += 1_000;
        decision.votes = vec![decision.vote(decision.decided, &ana), old];
        let sealed = decision.seal(Id([1; 16]), &key.public().unwrap()).unwrap();
        let error = sealed.open(&key).unwrap_err().to_string();
        assert!(error.contains("earliest vote"), "{error}");
    }
}
