//! The first account: whoever reads the log or the console owns the gateway, nobody else.
//!
//! While there is no account, each start makes a code of 40 random bits. It is gone once it was used.

use std::sync::{Mutex, PoisonError};

use super::AccountError;

/// Letters and digits that nobody takes for one another (Crockford).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The code, as long as there is no account.
#[derive(Debug, Default)]
pub(super) struct Claim(Mutex<Option<String>>);

impl Claim {
    /// A new code.
    pub(super) fn open() -> Result<Self, AccountError> {
        let mut octets = [0; 8];
        getrandom::fill(&mut octets).map_err(|_| AccountError::Random)?;
        let letters = octets
            .iter()
            .filter_map(|octet| LETTERS.get(usize::from(octet & 31)))
            .map(|letter| char::from(*letter));
        let code: String = letters.collect();
        let (left, right) = code.split_at(4);
        Ok(Self(Mutex::new(Some(format!("{left}-{right}")))))
    }

    /// The code, for the log and the console.
    pub(super) fn code(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this is the code, however it was typed.
    pub(super) fn is(&self, typed: &str) -> bool {
        let known = self.code();
        known.is_some_and(|known| blake3::hash(&plain(&known)) == blake3::hash(&plain(typed)))
    }

    /// Nobody can claim any more.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn plain(code: &str) -> Vec<u8> {
    code.bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|letter| match letter.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_however_it_is_typed_until_it_is_closed() {
        let claim = Claim(Mutex::new(Some("01AB-CDEF".to_owned())));
        for right in ["01AB-CDEF", "01abcdef", "oiAB cdef", " O1-AB-CD-EF "] {
            assert!(claim.is(right), "{right}");
        }
        for wrong in ["", "01AB-CDEG", "01AB", "01AB-CDEF0"] {
            assert!(!claim.is(wrong), "{wrong}");
        }
        claim.close();
        assert!(!claim.is("01AB-CDEF") && !claim.is("") && claim.code().is_none());
        let (one, other) = (Claim::open().unwrap().code(), Claim::open().unwrap().code());
        assert!(one != other && one.is_some_and(|code| code.len() == 9));
    }
}
