//! One-time codes of an authenticator app (TOTP, RFC 6238): 6 digits, 30 seconds, HMAC-SHA-1, as all apps know them.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha1::Sha1;

use super::AccountError;

/// Seconds that a code is for.
const STEP_S: i64 = 30;
/// Steps before and after the present one that are taken too: clocks differ.
const SLACK: i64 = 1;
/// Octets of a secret (RFC 4226 section 4: 160 bits recommended).
const SECRET: usize = 20;
/// Recovery codes of one set.
const RECOVERY_CODES: usize = 8;

/// A user's second step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totp {
    /// The secret, base32.
    pub(super) secret: String,
    /// Whether a code was shown to work; before, no code is asked for.
    pub(super) confirmed: bool,
    /// The last step whose code was used. A code works once.
    pub(super) used: i64,
    /// BLAKE3 hashes of recovery codes that were not used.
    pub(super) recovery: Vec<String>,
}

impl Totp {
    /// A new secret, to be confirmed.
    pub(super) fn new() -> Result<Self, AccountError> {
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).map_err(|_| AccountError::Random)?;
        Ok(Self {
            secret: BASE32_NOPAD.encode(&secret),
            confirmed: false,
            used: 0,
            recovery: Vec::new(),
        })
    }

    /// What an authenticator app scans.
    pub(super) fn uri(&self, name: &str) -> String {
        let label: String = name.bytes().map(percent_encoded).collect();
        format!(
            "otpauth://totp/iSigurt:{label}?secret={}&issuer=iSigurt",
            self.secret
        )
    }

    /// New recovery codes, shown once; the old ones are void.
    pub(super) fn renew_recovery(&mut self) -> Result<Vec<String>, AccountError> {
        let mut codes = Vec::new();
        for _ in 0..RECOVERY_CODES {
            let mut octets = [0; 10];
            getrandom::fill(&mut octets).map_err(|_| AccountError::Random)?;
            let code = BASE32_NOPAD.encode(&octets).to_lowercase();
            let (left, right) = code.split_at(code.len() / 2);
            codes.push(format!("{left}-{right}"));
        }
        self.recovery = codes.iter().map(|code| kept(code)).collect();
        Ok(codes)
    }

    /// Takes a code of the app or a recovery code, and makes sure that it is not taken again.
    pub(super) fn take(&mut self, code: &str, now: i64) -> bool {
        if let Some(step) = self.step_of(code, now) {
            self.used = step;
            return true;
        }
        let kept = kept(code);
        let place = self.recovery.iter().position(|known| *known == kept);
        if let Some(place) = place {
            self.recovery.remove(place);
        }
        place.is_some()
    }

    /// The unused step near `now` whose code this is.
    fn step_of(&self, code: &str, now: i64) -> Option<i64> {
        let secret = BASE32_NOPAD.decode(self.secret.as_bytes()).ok()?;
        let code: String = code.chars().filter(|character| *character != ' ').collect();
        let present = now.div_euclid(STEP_S);
        (present - SLACK..=present + SLACK)
            .filter(|step| *step > self.used)
            .find(|step| same(&code, &code_of(&secret, *step)))
    }
}

/// The code of a step (RFC 4226 section 5.3).
fn code_of(secret: &[u8], step: i64) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else {
        return String::new();
    };
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest.last().copied().unwrap_or_default() & 15);
    let number = digest
        .iter()
        .skip(at)
        .take(4)
        .fold(0_u32, |number, octet| number << 8 | u32::from(*octet));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// Constant time in what is compared.
fn same(one: &str, other: &str) -> bool {
    !other.is_empty() && blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

/// What is kept of a recovery code: 80 random bits need no slow hash.
fn kept(code: &str) -> String {
    let plain: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    blake3::hash(plain.as_bytes()).to_hex().to_string()
}

fn percent_encoded(octet: u8) -> String {
    if octet.is_ascii_alphanumeric() {
        char::from(octet).to_string()
    } else {
        format!("%{octet:02X}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The code that an app shows.
    pub(in crate::accounts) fn code(secret: &str, now: i64) -> String {
        code_of(&BASE32_NOPAD.decode(secret.as_bytes()).unwrap(), now / STEP_S)
    }

    fn shown(totp: &Totp, now: i64) -> String {
        code(&totp.secret, now)
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238 appendix B, the last six of its eight digits.
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_of(b"12345678901234567890", time / STEP_S), code, "{time}");
        }
    }

    #[test]
    fn a_code_works_once_and_only_about_its_time() {
        let mut totp = Totp::new().unwrap();
        let now = 1_900_000_000;
        let code = shown(&totp, now);
        assert!(!totp.take(&code, now + 61) && !totp.take(&code, now - 61));
        assert!(!totp.take("", now) && !totp.take("12345", now));
        assert!(totp.take(&code, now + 29), "the step before");
        assert!(!totp.take(&code, now), "used");
        let earlier = shown(&totp, now - 30);
        assert!(!totp.take(&earlier, now), "older than one that was used");
        let next = shown(&totp, now + 30);
        assert!(totp.take(&format!("{} {}", &next[..3], &next[3..]), now + 30));
    }

    #[test]
    fn a_recovery_code_works_once_however_it_is_typed() {
        let mut totp = Totp::new().unwrap();
        let codes = totp.renew_recovery().unwrap();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert!(totp.take(&codes[0].to_uppercase().replace('-', " "), 0));
        assert!(!totp.take(&codes[0], 0));
        assert!(totp.take(&codes[7], 0));
        totp.renew_recovery().unwrap();
        assert!(!totp.take(&codes[1], 0), "void with the new set");
    }

    #[test]
    fn the_uri_names_the_account_whatever_its_letters() {
        let totp = Totp::new().unwrap();
        assert!(
            totp.uri("Zana & Ben")
                .starts_with("otpauth://totp/iSigurt:Zana%20%26%20Ben?secret=")
        );
    }
}
