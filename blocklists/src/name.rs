//! Domain names as the index and the line see them: lower-case, uncompressed wire format (RFC 1035, section 3.1).
//!
//! A [`Name`] owns its octets, a [`NameRef`] borrows them from a packet. Both hold length-prefixed labels and the
//! final root octet, 1 to 255 octets in all, ASCII letters lower-cased; any other octet is allowed inside a label,
//! because queries may carry it (RFC 2181, section 11). Lists are held to more: see [`Name::parse`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name in wire format, in octets, root included (RFC 1035, section 3.1).
pub const MAX_WIRE: usize = 255;
/// Longest label, in octets (RFC 1035, section 3.1).
pub const MAX_LABEL: usize = 63;

/// Why a text is not a usable domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("empty name")]
    Empty,
    /// Two dots in a row, or a leading dot.
    #[error("empty label")]
    EmptyLabel,
    /// A label has more than 63 octets.
    #[error("label longer than 63 octets")]
    LongLabel,
    /// The whole name has more than 255 octets in wire format.
    #[error("name longer than 255 octets")]
    LongName,
    /// A character that no host or service name has.
    #[error("character {0:?} is not allowed in a domain name")]
    Character(char),
    /// Not convertible to A-labels (UTS 46).
    #[error("not a valid internationalised name")]
    Idna,
    /// An IPv4 or IPv6 address where a name is expected.
    #[error("an IP address, not a domain name")]
    Address,
    /// Octets that are not a well-formed wire-format name.
    #[error("malformed wire-format name")]
    Wire,
}

/// An owned domain name: lower-case wire format.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<[u8]>);

/// A borrowed domain name: lower-case wire format.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameRef<'a>(&'a [u8]);

impl Name {
    /// Reads a name from a list or a command line: optional final dot, any letter case, U-labels or A-labels.
    ///
    /// Letters, digits, hyphen and underscore are allowed in labels (underscore for service names, RFC 8552), and
    /// whatever UTS 46 maps to them. An IP address is refused, so that `0.0.0.0 127.0.0.1` in a hosts file is not
    /// taken for a name. `"."` is the root.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text == "." {
            return Ok(Self(Box::new([0])));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.is_ascii() {
            return Self::from_ascii(text);
        }
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
            .map_err(|_| NameError::Idna)?;
        Self::from_ascii(ascii.strip_suffix('.').unwrap_or(&ascii))
    }

    fn from_ascii(text: &str) -> Result<Self, NameError> {
        // Here, and not before: what UTS 46 leaves out or maps may have hidden it.
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(NameError::Address);
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            if label.is_empty() {
                return Err(NameError::EmptyLabel);
            }
            let length = u8::try_from(label.len())
                .ok()
                .filter(|&length| usize::from(length) <= MAX_LABEL)
                .ok_or(NameError::LongLabel)?;
            wire.push(length);
            for character in label.chars() {
                if !(character.is_ascii_alphanumeric() || character == '-' || character == '_') {
                    return Err(NameError::Character(character));
                }
                wire.push(character.to_ascii_lowercase() as u8);
            }
        }
        wire.push(0);
        if wire.len() > MAX_WIRE {
            return Err(NameError::LongName);
        }
        Ok(Self(wire.into_boxed_slice()))
    }

    /// Takes over an uncompressed wire-format name, lower-casing it.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut lower = wire.to_vec();
        lower.make_ascii_lowercase(); // lengths are at most 63 and so never in 'A'..='Z'
        NameRef::from_lower_wire(&lower)?;
        Ok(Self(lower.into_boxed_slice()))
    }

    /// The borrowed form, for look-ups.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef(&self.0)
    }
}

impl<'a> NameRef<'a> {
    /// Checks that `wire` is one well-formed, uncompressed, lower-case name with nothing behind it.
    pub fn from_lower_wire(wire: &'a [u8]) -> Result<Self, NameError> {
        if wire.len() > MAX_WIRE {
            return Err(NameError::LongName);
        }
        let mut rest = wire;
        loop {
            let (&length, tail) = rest.split_first().ok_or(NameError::Wire)?;
            if length == 0 {
                return if tail.is_empty() {
                    Ok(Self(wire))
                } else {
                    Err(NameError::Wire)
                };
            }
            if usize::from(length) > MAX_LABEL {
                return Err(NameError::Wire);
            }
            let (label, tail) = tail
                .split_at_checked(usize::from(length))
                .ok_or(NameError::Wire)?;
            if label.iter().any(u8::is_ascii_uppercase) {
                return Err(NameError::Wire);
            }
            rest = tail;
        }
    }

    /// The same for octets that [`NameRef::from_lower_wire`] has accepted before, without looking at them again. Others give
    /// look-ups that find nothing.
    pub fn accepted_before(wire: &'a [u8]) -> Self {
        debug_assert!(Self::from_lower_wire(wire).is_ok(), "{wire:?}");
        Self(wire)
    }

    /// The root name.
    pub const fn root() -> NameRef<'static> {
        NameRef(&[0])
    }

    /// The octets, final root octet included.
    pub fn wire(self) -> &'a [u8] {
        self.0
    }

    /// True for the root name.
    pub fn is_root(self) -> bool {
        self.0.len() <= 1
    }

    /// The name without its first label; `None` at the root.
    pub fn parent(self) -> Option<NameRef<'a>> {
        let (&length, tail) = self.0.split_first()?;
        if length == 0 {
            return None;
        }
        tail.get(usize::from(length)..).map(NameRef)
    }

    /// The name that starts at octet `offset` of this one's wire format; the root where none does.
    pub(crate) fn last_labels(self, offset: usize) -> NameRef<'a> {
        self.0.get(offset..).map_or(NameRef(&[0]), NameRef)
    }

    /// The labels from left to right, root excluded.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        self.suffixes().filter_map(|suffix| {
            let (&length, tail) = suffix.0.split_first()?;
            tail.get(..usize::from(length))
        })
    }

    /// The name itself, then each parent, down to the top-level domain; the root is left out.
    pub fn suffixes(self) -> impl Iterator<Item = NameRef<'a>> {
        std::iter::successors(Some(self), |name| name.parent()).take_while(|name| !name.is_root())
    }

    /// True where this name is `other` or lies below it.
    pub fn is_at_or_below(self, other: NameRef<'_>) -> bool {
        other.is_root() || self.suffixes().any(|suffix| suffix.0 == other.0)
    }

    /// An owned copy.
    pub fn to_name(self) -> Name {
        Name(self.0.into())
    }
}

/// Presentation format without the final dot (`"."` for the root); octets that are not printable ASCII, dots and
/// backslashes inside labels are escaped (RFC 1035, section 5.1).
impl fmt::Display for NameRef<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return out.write_str(".");
        }
        for (position, label) in self.labels().enumerate() {
            if position > 0 {
                out.write_str(".")?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' => write!(out, "\\{}", octet as char)?,
                    0x21..=0x7e => write!(out, "{}", octet as char)?,
                    _ => write!(out, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(out)
    }
}

impl fmt::Debug for NameRef<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}.")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}.")
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        Name::parse(text).unwrap().to_string()
    }

    #[test]
    fn letter_case_final_dot_and_u_labels_are_canonical() {
        assert_eq!(parse("WWW.Example."), "www.example");
        assert_eq!(parse("müller.example"), "xn--mller-kva.example");
        assert_eq!(parse("BÜCHER.example"), parse("xn--bcher-kva.example"));
        assert_eq!(parse("_srv._tcp.a-b_c.example"), "_srv._tcp.a-b_c.example");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(Name::parse("a..example"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(".example"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse("192.0.2.1"), Err(NameError::Address));
        assert_eq!(Name::parse("::1"), Err(NameError::Address));
        // Hidden by what is left out, and by what is mapped: an index that held such a target could not be read again.
        assert_eq!(Name::parse("192.0.\u{feff}2.1"), Err(NameError::Address));
        assert_eq!(Name::parse("\u{ff11}92.0.2.1"), Err(NameError::Address));
        assert_eq!(Name::parse("a b.example"), Err(NameError::Character(' ')));
        assert_eq!(
            Name::parse(&format!("{}.example", "a".repeat(64))),
            Err(NameError::LongLabel)
        );
        assert_eq!(
            Name::parse(&vec!["a".repeat(60); 5].join(".")),
            Err(NameError::LongName)
        );
    }

    #[test]
    fn suffixes_run_from_the_name_to_its_top_level_domain() {
        let name = Name::parse("a.b.example").unwrap();
        let walk: Vec<String> = name
            .as_ref()
            .suffixes()
            .map(|suffix| suffix.to_string())
            .collect();
        assert_eq!(walk, ["a.b.example", "b.example", "example"]);
    }

    #[test]
    fn a_name_with_dots_inside_a_label_is_not_its_neighbour() {
        let odd = Name::from_wire(b"\x03a.b\x07example\x00").unwrap();
        assert_eq!(odd.to_string(), "a\\.b.example");
        assert!(
            !odd.as_ref()
                .is_at_or_below(Name::parse("b.example").unwrap().as_ref())
        );
    }
}
