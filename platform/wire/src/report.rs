//! A report: what is in it, the envelope that it travels in, its receipt, and what the platform says of it.
//!
//! ```text
//! Report ── JSON, padded ── sealed ──▶ Envelope { id, key, sealed } ── POST ──▶ 201 Accepted { receipt }
//! receipt = f(id) ── GET ──▶ Progress
//! ```
//!
//! The receipt follows from the id alone, so that it can be shown before anything was delivered, and whoever holds it can
//! ask how the report stands without an account. Nothing in an envelope says who sent it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Version of the forms in this module.
pub const FORMAT: u32 = 1;

/// The longest note, octets of UTF-8.
pub const NOTE: usize = 4_000;
/// The longest contact, octets of UTF-8.
pub const CONTACT: usize = 200;
/// The largest envelope as JSON, octets: what the platform reads at most.
pub const ENVELOPE: usize = 16 * 1024;
/// A sealed report is padded to a multiple of this, octets, so that its length tells little.
pub const BLOCK: usize = 1_024;

/// What was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Sexual abuse of children.
    AbuseMaterial,
    /// An adult who approaches a child.
    Grooming,
    /// Blackmail with pictures.
    Sextortion,
    /// Bullying.
    Bullying,
    /// Violence or self-harm.
    Violence,
    /// Hate.
    Hate,
    /// Gambling open to minors.
    Gambling,
    /// Fraud.
    Fraud,
    /// Blocked, and should not be.
    WronglyBlocked,
    /// Something else.
    Other,
}

impl Kind {
    /// Every one, in the order in which they are offered.
    pub const ALL: [Self; 10] = [
        Self::AbuseMaterial,
        Self::Grooming,
        Self::Sextortion,
        Self::Bullying,
        Self::Violence,
        Self::Hate,
        Self::Gambling,
        Self::Fraud,
        Self::WronglyBlocked,
        Self::Other,
    ];

    /// As it is written in commands, JSON and databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AbuseMaterial => "abuse-material",
            Self::Grooming => "grooming",
            Self::Sextortion => "sextortion",
            Self::Bullying => "bullying",
            Self::Violence => "violence",
            Self::Hate => "hate",
            Self::Gambling => "gambling",
            Self::Fraud => "fraud",
            Self::WronglyBlocked => "wrongly-blocked",
            Self::Other => "other",
        }
    }

    /// Whether a child may be in danger now, so that 116 111, 129 and 112 are shown before anything else.
    pub const fn may_be_danger(self) -> bool {
        matches!(
            self,
            Self::AbuseMaterial | Self::Grooming | Self::Sextortion | Self::Bullying | Self::Violence
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.map(Self::as_str).into();
                format!(
                    "{text:?} is no kind of report; expected one of {}",
                    known.join(", ")
                )
            })
    }
}

/// What somebody tells the platform; exists in clear only in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was met.
    pub kind: Kind,
    /// The name, canonical: lower-case A-labels without final dot.
    pub name: Secret,
    /// In their words, [`NOTE`] octets at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Secret>,
    /// How they may be reached, if they want to be, [`CONTACT`] octets at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Secret>,
    /// Language of the one who reports: `sq`, `en`.
    pub language: String,
    /// For a wrong block: what the gateway says that blocked the name, such as a list's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// A report on its way, and as it is kept on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// [`FORMAT`].
    pub format: u32,
    /// Made by the gateway at random; the same report sent twice has the same.
    pub id: Id,
    /// [`crate::release::ReportKey::id`] of the key that it is sealed to.
    pub key: String,
    /// [`crate::seal::seal`]'s octets, base64url without padding.
    pub sealed: String,
}

/// 128 random bits that name a report, 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(pub [u8; 16]);

impl Id {
    /// A new one.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets)?;
        Ok(Self(octets))
    }

    /// The receipt of the report with this id: 80 bits, as four groups of four letters and digits (RFC 4648 base32).
    pub fn receipt(self) -> String {
        let hash = blake3::derive_key("isigurt report receipt 1", &self.0);
        let text = data_encoding::BASE32_NOPAD.encode(hash.split_at(10).0);
        let groups: Vec<String> = text
            .as_bytes()
            .chunks(4)
            .map(|group| String::from_utf8_lossy(group).into_owned())
            .collect();
        groups.join("-")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let octets = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        octets
            .and_then(|octets| octets.try_into().ok())
            .map(Self)
            .ok_or_else(|| "not an id; expected 32 lower-case hexadecimal digits".to_owned())
    }
}

/// How a report stands, as the platform tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is there.
    Received,
    /// Somebody looks at it.
    UnderReview,
    /// Something was done.
    ActedOn,
    /// It is not against the law; help is named.
    NotIllegal,
}

impl State {
    /// As it is written in JSON and databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::UnderReview => "under-review",
            Self::ActedOn => "acted-on",
            Self::NotIllegal => "not-illegal",
        }
    }
}

/// The platform's answer to an envelope (`POST /api/v1/reports`: 201 when new, 200 when it was there already) and to the
/// question after a receipt (`GET /api/v1/reports/{receipt}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// [`Id::receipt`].
    pub receipt: String,
    /// How it stands.
    pub state: State,
    /// Since when, seconds since 1970.
    pub since: i64,
}

/// Header of a delivery: a gateway's pseudonym, which quotas are counted by.
pub const GATEWAY_HEADER: &str = "isigurt-gateway";

/// A gateway's pseudonym for one month: 128 bits, hexadecimal. Another month's cannot be told to be of the same gateway.
/// `secret` is the gateway's own and leaves it never; `month` is such as `2026-11`.
pub fn pseudonym(secret: &[u8; 32], month: &str) -> String {
    let hash = blake3::keyed_hash(secret, month.as_bytes());
    data_encoding::HEXLOWER.encode(hash.as_bytes().split_at(16).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_short_follows_from_the_id_and_does_not_tell_it() {
        let id = Id([7; 16]);
        let receipt = id.receipt();
        assert_eq!(receipt.len(), 19, "{receipt}");
        assert_eq!(receipt, id.receipt());
        assert_ne!(receipt, Id([8; 16]).receipt());
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<Id>(&text).unwrap(), id);
        assert!(serde_json::from_str::<Id>("\"07\"").is_err());
    }

    #[test]
    fn every_kind_is_written_as_it_is_read() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("csam".parse::<Kind>().unwrap_err().contains("wrongly-blocked"));
    }

    #[test]
    fn a_pseudonym_is_another_one_next_month() {
        let secret = [3; 32];
        assert_eq!(pseudonym(&secret, "2026-11"), pseudonym(&secret, "2026-11"));
        assert_ne!(pseudonym(&secret, "2026-11"), pseudonym(&secret, "2026-12"));
    }
}
