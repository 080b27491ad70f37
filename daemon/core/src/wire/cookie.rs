//! DNS cookies (RFC 7873) in their interoperable form (RFC 9018): a client that has been answered before proves with
//! eight octets that it sits where it says it does. The gateway keeps nothing for it.
//!
//! ```text
//! server cookie: version 1 · reserved (3) · seconds since 1970 (4) · SipHash-2-4 (8)
//!                of client cookie | version | reserved | seconds | client address
//! ```

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Octets of a client cookie.
pub const CLIENT: usize = 8;
/// Octets of client and server cookie together, as this server makes them.
pub const WHOLE: usize = CLIENT + 16;
/// How old a cookie may be, and how far ahead of this clock, seconds (RFC 9018, section 4.3).
const PAST: u32 = 3600;
const AHEAD: u32 = 300;

/// A COOKIE option as a client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    octets: [u8; WHOLE],
    /// The server cookie is of the length that this server makes.
    whole: bool,
}

/// What server cookies are made with: secret, and the same for servers that share an address.
#[derive(Clone, Copy, Default)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(…)")
    }
}

impl Cookie {
    /// Reads an option; `None` where its length is none that it may have (RFC 7873, section 5.2.2: FORMERR).
    pub fn read(option: &[u8]) -> Option<Self> {
        if option.len() != CLIENT && !(16..=40).contains(&option.len()) {
            return None;
        }
        let mut octets = [0; WHOLE];
        for (octet, from) in octets.iter_mut().zip(option) {
            *octet = *from;
        }
        Some(Self {
            octets,
            whole: option.len() == WHOLE,
        })
    }

    /// Whether this server gave this cookie to this client not long ago.
    pub fn is_valid(&self, secret: &Secret, client: IpAddr, now: u32) -> bool {
        let [.., v, _, _, _, t0, t1, t2, t3, _, _, _, _, _, _, _, _] = self.octets;
        let then = u32::from_be_bytes([t0, t1, t2, t3]);
        // Serial number arithmetic (RFC 1982): the field ends in 2106.
        let recent = now.wrapping_sub(then) <= PAST || then.wrapping_sub(now) <= AHEAD;
        self.whole && v == 1 && recent && self.made(secret, client, then).octets == self.octets
    }

    /// The cookie to answer with: the client's own, and a fresh server cookie.
    pub fn answer(&self, secret: &Secret, client: IpAddr, now: u32) -> [u8; WHOLE] {
        self.made(secret, client, now).octets
    }

    fn made(&self, secret: &Secret, client: IpAddr, now: u32) -> Self {
        let mut octets = [0; WHOLE];
        let (theirs, ours) = octets.split_at_mut(CLIENT);
        theirs.copy_from_slice(self.octets.first_chunk::<CLIENT>().unwrap_or(&[0; CLIENT]));
        let mut hasher = SipHasher24::new_with_key(&secret.0);
        hasher.write(theirs);
        let (front, hash) = ours.split_at_mut(8);
        let (version, time) = front.split_at_mut(4);
        version.copy_from_slice(&[1, 0, 0, 0]);
        time.copy_from_slice(&now.to_be_bytes());
        hasher.write(version);
        hasher.write(time);
        match client {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hash.copy_from_slice(&hasher.finish().to_le_bytes());
        Self { octets, whole: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|place| u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn the_examples_of_the_specification_come_out() {
        // RFC 9018, appendices A.1 and A.2: 198.51.100.100, then renewed.
        let secret = Secret(hex("e5e973e5a6b2a43f48e7dc849e37bfcf").try_into().unwrap());
        let client: IpAddr = "198.51.100.100".parse().unwrap();
        let first = Cookie::read(&hex("2464c4abcf10c957")).unwrap();
        let given = first.answer(&secret, client, 1_559_731_985);
        assert_eq!(
            given.to_vec(),
            hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")
        );
        let cookie = Cookie::read(&given).unwrap();
        assert!(cookie.is_valid(&secret, client, 1_559_731_985 + 600));
        // Appendix A.4: an IPv6 client, with the secret after its rollover.
        let secret = Secret(hex("445536bcd2513298075a5d379663c962").try_into().unwrap());
        let client: IpAddr = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let cookie = Cookie::read(&hex("22681ab97d52c298010000005cf7c57926556bd0934c72f8")).unwrap();
        let given = cookie.answer(&secret, client, 1_559_741_961);
        assert_eq!(
            given.to_vec(),
            hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a")
        );
    }

    #[test]
    fn cookies_of_others_old_ones_and_changed_ones_are_not_valid() {
        let secret = Secret([7; 16]);
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let given = Cookie::read(&[1; 8]).unwrap().answer(&secret, client, 10_000);
        let cookie = Cookie::read(&given).unwrap();
        assert!(
            cookie.is_valid(&secret, client, 10_000 + PAST)
                && cookie.is_valid(&secret, client, 10_000 - AHEAD)
        );
        assert!(!cookie.is_valid(&secret, client, 10_001 + PAST));
        assert!(!cookie.is_valid(&secret, client, 9_999 - AHEAD));
        assert!(!cookie.is_valid(&secret, "192.0.2.2".parse().unwrap(), 10_000));
        assert!(!cookie.is_valid(&Secret([8; 16]), client, 10_000));
        for bit in 0..WHOLE * 8 {
            let mut changed = given;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !Cookie::read(&changed).unwrap().is_valid(&secret, client, 10_000),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn only_lengths_of_the_specification_are_read() {
        let read: Vec<usize> = (0..50)
            .filter(|&length| Cookie::read(&vec![0; length]).is_some())
            .collect();
        assert_eq!(read, [8].into_iter().chain(16..=40).collect::<Vec<_>>());
    }
}
