//! Whether a device asks this gateway: a page has it look up a name that nobody asked for before, and this notes that the
//! question came, and from which address.
//!
//! The names stand below `check.isigurt.home.arpa`, are answered here with "no such name", and never leave. Only queries that
//! were answered locally are looked at, and the newest few are kept: this is never a log of who asked what.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How many are kept; a household checks a few devices at once.
const KEPT: usize = 64;
/// Length of a token: 16 lower-case hexadecimal digits.
const TOKEN: usize = 16;
/// What stands behind the token in a question, in wire format and lower case.
const ZONE: &[u8] = b"\x05check\x07isigurt\x04home\x04arpa\x00";
/// Octets of a message in front of its question.
const HEADER: usize = 12;

/// The newest checks.
#[derive(Debug, Default)]
pub struct Checks(Mutex<VecDeque<([u8; TOKEN], IpAddr)>>);

/// The token that a query asks for, where it is a check.
fn token(packet: &[u8]) -> Option<[u8; TOKEN]> {
    let question = packet.get(HEADER..)?;
    let (length, rest) = question.split_first()?;
    let (label, rest) = rest.split_at_checked(TOKEN)?;
    let zone = rest.get(..ZONE.len())?;
    if usize::from(*length) != TOKEN || !zone.eq_ignore_ascii_case(ZONE) {
        return None;
    }
    let mut token: [u8; TOKEN] = label.try_into().ok()?;
    token.make_ascii_lowercase(); // resolvers may mix the case of letters (0x20)
    token.iter().all(u8::is_ascii_hexdigit).then_some(token)
}

impl Checks {
    /// Notes a query that was answered locally, where it is a check; whether it is one. A page asked it, so it is in no log.
    pub(super) fn note(&self, packet: &[u8], from: IpAddr) -> bool {
        let Some(token) = token(packet) else {
            return false;
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|(known, _)| *known == token) {
            return true; // the first one counts; A and AAAA come together
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((token, from.to_canonical()));
        true
    }

    /// The address that asked for this token, if one did.
    pub fn seen(&self, token: &str) -> Option<IpAddr> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(known, _)| known == token.as_bytes());
        found.map(|(_, from)| *from)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn query(token: &str) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet.push(u8::try_from(token.len()).unwrap());
        packet.extend(token.as_bytes());
        packet.extend(ZONE);
        packet.extend([0, 1, 0, 1]);
        packet
    }

    #[test]
    fn a_token_is_seen_once_it_was_asked_for_in_whatever_case() {
        let checks = Checks::default();
        assert_eq!(checks.seen("0123456789abcdef"), None);
        checks.note(&query("0123456789ABcdef"), HERE);
        assert_eq!(checks.seen("0123456789abcdef"), Some(HERE));
        checks.note(&query("not-hexadecimal!"), HERE);
        assert_eq!(checks.seen("not-hexadecimal!"), None);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let checks = Checks::default();
        for number in 0..=KEPT {
            checks.note(&query(&format!("{number:016x}")), HERE);
        }
        assert_eq!(checks.seen("0000000000000000"), None);
        assert_eq!(checks.seen("0000000000000001"), Some(HERE));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_more_than_no_check(packet in proptest::collection::vec(any::<u8>(), 0..80)) {
            Checks::default().note(&packet, HERE);
        }
    }
}
