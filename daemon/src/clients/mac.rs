//! The hardware address of a network card, and what can be told from it alone.
//!
//! It is read in every form that labels, routers and lease files print it in, and written in one. Anybody on the same
//! network can claim any address: it says who a device is among people who do not cheat, and proves nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::vendor;

/// A hardware address (EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// A text that is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address; one like aa:bb:cc:dd:ee:ff is expected")]
pub struct NotAMac(pub String);

impl Mac {
    /// Whether one device can have it: neither empty nor the address of a group.
    pub fn is_of_a_device(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 0 && self.0 != [0; 6]
    }

    /// Whether the device made it up (locally administered, IEEE 802): it may have another one tomorrow.
    pub fn is_randomised(self) -> bool {
        let [first, ..] = self.0;
        first & 2 != 0
    }

    /// Who made the card, where the address tells.
    pub fn vendor(self) -> Option<&'static str> {
        if self.is_randomised() {
            return None;
        }
        vendor::of(self)
    }

    /// An address as octets, if there are six.
    pub(super) fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(Self(octets.try_into().ok()?))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, octet) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ":" };
            write!(out, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    /// Reads `aa:bb:cc:dd:ee:ff`, `aa-bb-cc-dd-ee-ff`, `aabb.ccdd.eeff`, `aabbccddeeff` and `a:b:c:d:e:f`, in either case.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        read(text.trim()).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            NotAMac(shown)
        })
    }
}

fn read(text: &str) -> Option<Mac> {
    let (separator, digits) = match text.find([':', '-', '.']).and_then(|at| text.get(at..=at)) {
        None => ("", 12),
        Some(".") => (".", 4),
        Some(other) => (other, 2),
    };
    if text.len() > 17 || !text.is_ascii() {
        return None;
    }
    let mut number: u64 = 0;
    let mut read = 0;
    // Without a separator the whole text is one group.
    for group in text.split(|character: char| separator.starts_with(character)) {
        let short = digits == 2 && group.len() == 1;
        let whole = group.len() == digits || short;
        if !whole || !group.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return None;
        }
        number = number << (4 * digits) | u64::from_str_radix(group, 16).ok()?;
        read += digits;
    }
    let [_, _, octets @ ..] = number.to_be_bytes();
    (read == 12).then_some(Mac(octets))
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_printed_form_is_read() {
        for text in [
            "aa:bb:cc:0d:ee:ff",
            "AA-BB-CC-0D-EE-FF",
            "aabb.cc0d.eeff",
            "AABBCC0DEEFF",
            "aa:bb:cc:d:ee:ff",
            " aa:bb:cc:0d:ee:ff\n",
        ] {
            let mac: Mac = text.parse().unwrap();
            assert_eq!(mac.to_string(), "aa:bb:cc:0d:ee:ff", "{text:?}");
        }
        for text in [
            "",
            "aa:bb:cc:dd:ee",
            "aa:bb:cc:dd:ee:ff:00",
            "aa:bb:cc:dd:ee:fg",
            "aa:bb-cc:dd:ee:ff",
            "aabb.ccdd",
            "a.b.c",
            "192.168.1.1",
            "+1:bb:cc:dd:ee:ff",
            "aa:bb:cc:dd:ee:",
            "aabbccddeeff0",
            "ëë:bb:cc:dd:ee",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn made_up_and_group_addresses_are_told_apart() {
        assert!(Mac([0xda, 1, 2, 3, 4, 5]).is_randomised());
        assert!(!Mac([0xac, 1, 2, 3, 4, 5]).is_randomised());
        assert!(!Mac([0xff; 6]).is_of_a_device() && !Mac([0; 6]).is_of_a_device());
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_of_a_device());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(octets: [u8; 6]) {
            prop_assert_eq!(Mac(octets).to_string().parse(), Ok(Mac(octets)));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,24}|[0-9a-f:.-]{0,20}") {
            let _ = text.parse::<Mac>();
        }
    }
}
