//! Confirmation of a candidate: does a full hash stand behind a short prefix of a list?
//!
//! ```text
//! Question { list, version, prefix } ── GET …/confirm/{list}/{version}/{prefix} ──▶ Confirmation { hashes, expires, signature }
//! ```
//!
//! A prefix list (`isigurt_blocklists::read::hashed`) says of a name only that it may be meant. The platform answers with all
//! full hashes under the prefix; the gateway compares at home, so that what is asked is one prefix shared by many names
//! and never a name. The answer is signed ahead of time by whoever publishes: the server that hands it out holds no key and
//! cannot lie. A prefix that is not in the list has no answer (404).

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Version of the form.
pub const FORMAT: u32 = 1;
/// The largest answer as JSON, octets: what a gateway reads at most.
pub const ANSWER: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The list's id.
    pub list: String,
    /// The version that the gateway has.
    pub version: u64,
    /// The prefix, as many lower-case hexadecimal digits as the list has.
    pub prefix: String,
}

impl Question {
    /// The path below the service's URL.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.list, self.version, self.prefix)
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// [`FORMAT`].
    pub format: u32,
    /// As asked.
    pub list: String,
    /// As asked.
    pub version: u64,
    /// As asked.
    pub prefix: String,
    /// All hashes under the prefix: 32 hexadecimal digits, `=` in front where the name alone is meant; sorted.
    pub hashes: Vec<String>,
    /// Until when the answer may be used, seconds since 1970.
    pub expires: i64,
    /// Ed25519 (RFC 8032) over [`Confirmation::octets`], hexadecimal.
    pub signature: String,
}

/// Why an answer is not believed. The way on is what the list says of candidates while nobody can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmError {
    /// Of a form that this program does not know.
    #[error("the confirmation is of a form that this program does not know; update the gateway")]
    Format,
    /// The answer to another question.
    #[error("the confirmation answers another question")]
    Question,
    /// Too old.
    #[error("the confirmation has expired")]
    Expired,
    /// No known key made the signature.
    #[error("no key of the platform has signed the confirmation")]
    Signature,
    /// A hash that is none, or is not under the prefix.
    #[error("the confirmation holds something that is no hash under its prefix")]
    Hash,
}

impl Confirmation {
    /// Answers `question` with `hashes`, signed with `key`.
    pub fn signed(question: &Question, mut hashes: Vec<String>, expires: i64, key: &SigningKey) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        let mut answer = Self {
            format: FORMAT,
            list: question.list.clone(),
            version: question.version,
            prefix: question.prefix.clone(),
            hashes,
            expires,
            signature: String::new(),
        };
        let signature = key.sign(&answer.octets());
        answer.signature = data_encoding::HEXLOWER.encode(&signature.to_bytes());
        answer
    }

    /// What is signed: a line each for purpose, list, version, prefix, expiry and every hash, each ended by LF.
    pub fn octets(&self) -> Vec<u8> {
        let (list, version, prefix, expires) = (&self.list, self.version, &self.prefix, self.expires);
        let mut text = format!("isigurt confirmation {FORMAT}\n{list}\n{version}\n{prefix}\n{expires}\n");
        for hash in &self.hashes {
            text.push_str(hash);
            text.push('\n');
        }
        text.into_bytes()
    }

    /// Believes the answer to `question` if one of `keys` ([`crate::release::Service::confirm_keys`]) has signed it and it has
    /// not expired at `now`, seconds since 1970.
    pub fn verify(&self, question: &Question, keys: &[String], now: i64) -> Result<(), ConfirmError> {
        if self.format != FORMAT {
            return Err(ConfirmError::Format);
        }
        let asked = (&question.list, question.version, &question.prefix);
        if (&self.list, self.version, &self.prefix) != asked {
            return Err(ConfirmError::Question);
        }
        let signature: [u8; 64] = octets(&self.signature).ok_or(ConfirmError::Signature)?;
        let signature = Signature::from_bytes(&signature);
        let signed = self.octets();
        let believed = keys
            .iter()
            .filter_map(|key| VerifyingKey::from_bytes(&octets(key)?).ok())
            .any(|key| key.verify_strict(&signed, &signature).is_ok());
        if !believed {
            return Err(ConfirmError::Signature);
        }
        if self.expires <= now {
            return Err(ConfirmError::Expired);
        }
        let under = |hash: &String| {
            let digits = hash.strip_prefix('=').unwrap_or(hash);
            digits.starts_with(&self.prefix) && octets::<16>(digits).is_some()
        };
        if self.hashes.iter().all(under) {
            Ok(())
        } else {
            Err(ConfirmError::Hash)
        }
    }

    /// Whether a name is meant whose hash is `digest`; `itself`: the hash is of the name that was asked for, not of a parent.
    pub fn holds(&self, digest: &[u8; 16], itself: bool) -> bool {
        let digits = data_encoding::HEXLOWER.encode(digest);
        self.hashes.iter().any(|hash| match hash.strip_prefix('=') {
            Some(hash) => itself && hash == digits,
            None => *hash == digits,
        })
    }
}

fn octets<const N: usize>(hexadecimal: &str) -> Option<[u8; N]> {
    let octets = data_encoding::HEXLOWER.decode(hexadecimal.as_bytes()).ok()?;
    octets.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            list: "abuse".to_owned(),
            version: 7,
            prefix: "0102ff".to_owned(),
        }
    }

    fn key() -> (SigningKey, Vec<String>) {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let key = SigningKey::from_bytes(&seed);
        let public = data_encoding::HEXLOWER.encode(key.verifying_key().as_bytes());
        (key, vec![public])
    }

    fn digest(last: u8) -> [u8; 16] {
        let mut digest = [9; 16];
        digest[..3].copy_from_slice(&[1, 2, 0xff]);
        digest[15] = last;
        digest
    }

    #[test]
    fn a_signed_answer_to_the_same_question_is_believed_until_it_expires() {
        let (key, keys) = key();
        let hex = |last| data_encoding::HEXLOWER.encode(&digest(last));
        let hashes = vec![format!("={}", hex(2)), hex(1), hex(1)];
        let answer = Confirmation::signed(&question(), hashes, 100, &key);
        let json = serde_json::to_string(&answer).unwrap();
        let read: Confirmation = serde_json::from_str(&json).unwrap();
        assert_eq!(read.verify(&question(), &keys, 99), Ok(()));
        assert_eq!(read.verify(&question(), &keys, 100), Err(ConfirmError::Expired));
        assert_eq!(read.hashes.len(), 2);
        assert!(read.holds(&digest(1), true) && read.holds(&digest(1), false));
        assert!(read.holds(&digest(2), true) && !read.holds(&digest(2), false));
        assert!(!read.holds(&digest(3), true));
    }

    #[test]
    fn whatever_was_changed_is_not_believed() {
        let (key, keys) = key();
        let hash = data_encoding::HEXLOWER.encode(&digest(1));
        let good = Confirmation::signed(&question(), vec![hash], 100, &key);
        let other = Question {
            version: 8,
            ..question()
        };
        assert_eq!(good.verify(&other, &keys, 0), Err(ConfirmError::Question));
        assert_eq!(good.verify(&question(), &[], 0), Err(ConfirmError::Signature));
        let stranger = self::key().1;
        assert_eq!(
            good.verify(&question(), &stranger, 0),
            Err(ConfirmError::Signature)
        );
        let changes: [fn(&mut Confirmation); 4] = [
            |answer| answer.expires += 1,
            |answer| answer.hashes.clear(),
            |answer| answer.signature.replace_range(0..2, "zz"),
            |answer| answer.hashes.push("0102ff".to_owned()),
        ];
        for change in changes {
            let mut answer = good.clone();
            change(&mut answer);
            assert_eq!(answer.verify(&question(), &keys, 0), Err(ConfirmError::Signature));
        }
        let newer = Confirmation { format: 2, ..good };
        assert_eq!(newer.verify(&question(), &keys, 0), Err(ConfirmError::Format));
    }

    #[test]
    fn a_hash_that_is_not_under_the_prefix_spoils_the_answer() {
        let (key, keys) = key();
        for hash in ["ff".repeat(16), "0102ff".to_owned()] {
            let answer = Confirmation::signed(&question(), vec![hash], 100, &key);
            assert_eq!(answer.verify(&question(), &keys, 0), Err(ConfirmError::Hash));
        }
    }
}
