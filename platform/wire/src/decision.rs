//! What triage decides, on its way to the publisher: one sealed decision a line.
//!
//! ```text
//! triage ── Decision ── sealed to the decision key ──▶ database ── export, JSON lines ──▶ publish ── the private key ──▶ a list
//! ```
//!
//! Neither the database nor the file between both sides names anything. Later decisions on a name undo earlier ones.

use std::collections::BTreeSet;

use crate::report::Id;
use crate::seal::{self, DECISION, PrivateKey, PublicKey, SealError};
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
    /// When it was decided, seconds since 1970.
    pub decided: i64,
    /// Who decided: for a mandatory list two at least.
    pub by: BTreeSet<String>,
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
        if decision.format == FORMAT {
            Ok(decision)
        } else {
            Err(DecisionError::Format(decision.format))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_names_nothing_until_it_is_opened() {
        let key = PrivateKey::generate().unwrap();
        let decision = Decision {
            format: FORMAT,
            act: Act::Block,
            name: "bad.test".to_owned(),
            subdomains: true,
            list: "abuse".to_owned(),
            decided: 1_764_000_000,
            by: ["ana".to_owned(), "ben".to_owned()].into(),
        };
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
}
