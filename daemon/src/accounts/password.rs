//! Passwords: which are taken, and what is kept of them. A password itself is never kept, shown or logged.
//!
//! Argon2id with the least that OWASP recommends (19 MiB, 2 passes, 1 lane), because a router hashes too. What was used is
//! kept with each hash, so that a later version may ask for more.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::AccountError;

/// Shortest password, characters.
pub(super) const SHORTEST: usize = 10;
/// Longest password, octets: longer ones would only cost time.
pub(super) const LONGEST: usize = 256;
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OCTETS: usize = 32;

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    hash: String,
}

impl PasswordHash {
    /// Hashes a password with a new salt. Takes tens of milliseconds and 19 MiB.
    pub(super) fn new(password: &str) -> Result<Self, AccountError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| AccountError::Random)?;
        let hash = hash(password, &salt, (MEMORY_KIB, PASSES, LANES)).ok_or(AccountError::Memory)?;
        Ok(Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: HEXLOWER.encode(&salt),
            hash: HEXLOWER.encode(&hash),
        })
    }

    /// Whether this is the password. Takes as long as [`PasswordHash::new`].
    pub(super) fn is(&self, password: &str) -> bool {
        let (Ok(salt), Ok(kept)) = (
            HEXLOWER.decode(self.salt.as_bytes()),
            HEXLOWER.decode(self.hash.as_bytes()),
        ) else {
            return false;
        };
        let costs = (self.memory_kib, self.passes, self.lanes);
        let (Some(found), Ok(kept)) = (hash(password, &salt, costs), <[u8; OCTETS]>::try_from(kept)) else {
            return false;
        };
        blake3::Hash::from(found) == blake3::Hash::from(kept) // compared in constant time
    }
}

/// Does the work of [`PasswordHash::is`] where there is no user, so that time does not tell who exists.
pub(super) fn waste(password: &str) {
    let _ = std::hint::black_box(hash(password, &[0; 16], (MEMORY_KIB, PASSES, LANES)));
}

fn hash(password: &str, salt: &[u8], (memory_kib, passes, lanes): (u32, u32, u32)) -> Option<[u8; OCTETS]> {
    let bounded = password.get(..LONGEST).unwrap_or(password);
    if bounded.len() < password.len() {
        return None; // never set, so never right
    }
    let params = Params::new(memory_kib, passes, lanes, Some(OCTETS)).ok()?;
    let mut out = [0; OCTETS];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .ok()?;
    Some(out)
}

/// Refuses a new password that would be guessed; says what is expected.
pub(super) fn check(password: &str, name: &str) -> Result<(), AccountError> {
    let refused = |what: &str| Err(AccountError::invalid("password", what));
    if password.chars().count() < SHORTEST {
        return refused("at least 10 characters are expected; three or four words make a good password");
    }
    if password.len() > LONGEST {
        return refused("at most 256 octets are expected");
    }
    let lower = password.to_lowercase();
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    let row = "0123456789012345678901234567890qwertyuiopasdfghjklzxcvbnmabcdefghijklmnopqrstuvwxyz";
    if different.len() < 5 || row.contains(&lower) {
        return refused(
            "something that is harder to guess is expected; three or four words make a good password",
        );
    }
    if lower.contains(&name.to_lowercase()) && password.chars().count() < name.chars().count() + SHORTEST / 2
    {
        return refused("something else than the account's name is expected");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_is_right_and_two_hashes_of_it_differ() {
        let hash = PasswordHash::new("three green apples").unwrap();
        assert!(hash.is("three green apples"));
        for wrong in [
            "",
            "three green apple",
            "three green apples ",
            "Three green apples",
        ] {
            assert!(!hash.is(wrong), "{wrong:?}");
        }
        assert!(!hash.is(&"x".repeat(1 << 20)), "not even hashed");
        assert_ne!(hash, PasswordHash::new("three green apples").unwrap());
        assert_eq!((hash.memory_kib, hash.passes, hash.lanes), (19_456, 2, 1));
    }

    #[test]
    fn passwords_that_are_guessed_at_once_are_refused() {
        for bad in [
            "short",
            "1234567890",
            "aaaaaaaaaaaa",
            "qwertyuiop",
            "arbenarben",
            &"x1y2z3".repeat(60),
        ] {
            assert!(check(bad, "arbenarben").is_err(), "{bad}");
        }
        check("tre mollë jeshile", "arben").unwrap();
    }
}
