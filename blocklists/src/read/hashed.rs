//! Lists of keyed hashes: what a list may say without naming anything.
//!
//! ```text
//! # isigurt hashed list 1
//! # hash: blake3-keyed-128
//! # key: <64 hexadecimal digits>
//! # bits: 128
//! 3f2a…            (the name and all names below it)
//! =91c0…           (the name alone)
//! ```
//!
//! A hash is BLAKE3 in keyed mode, with the key in the header, of the canonical name (lower-case A-labels, no final
//! dot), of which the first 16 octets are kept. With `bits` below 128 only that many leading bits (a multiple of 8,
//! at least 16) stand in the list: a *prefix*, shared by many innocent names, so that a match is only a candidate
//! that a confirmation service has to decide. `# offline: allow` or `block` says what a candidate gets while nobody
//! can be asked; `allow` is the default, because with 24 bits and 10,000 entries one name in 1,700 is a candidate.
//!
//! **This is obfuscation, not secrecy.** The key ships with the list, and all registered domain names of the world can
//! be hashed with it in minutes: over 99 % of the 3,000 hashes in the module that Germany's BPjM gave to router makers
//! were turned back into names in 2014, from public lists of domains. A hashed list keeps names from being read in
//! passing, from turning up in backups and search results, and from being a ready-made directory. It does not keep
//! them from someone who wants them. Short prefixes, confirmed online, are the form for what must not be recovered.

use serde::{Deserialize, Serialize};

use super::LineReader;
use super::report::Sink;
use crate::rule::{Pattern, Rule};

/// The first line of every hashed list.
pub const FIRST_LINE: &str = "# isigurt hashed list 1";

/// What a candidate of a prefix list gets while nobody can confirm it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offline {
    /// The name is allowed.
    #[default]
    Allow,
    /// The name is blocked.
    Block,
}

/// How the hashes of a list were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HashKey {
    /// The BLAKE3 key.
    pub key: [u8; 32],
    /// Leading bits of each hash that the list holds: 16 to 128, a multiple of 8.
    pub bits: u8,
    /// What a candidate gets, where `bits` is below 128.
    pub offline: Offline,
}

impl HashKey {
    /// The hash of a canonical name, cut to [`HashKey::bits`] and filled up with zeros.
    pub fn digest(&self, canonical: &[u8]) -> [u8; 16] {
        let mut digest = [0; 16];
        let whole = blake3::keyed_hash(&self.key, canonical);
        let kept = usize::from(self.bits / 8);
        for (kept, octet) in digest.iter_mut().zip(whole.as_bytes()).take(kept) {
            *kept = *octet;
        }
        digest
    }

    /// Whether the list holds prefixes, whose matches need to be confirmed.
    pub fn is_prefix(&self) -> bool {
        self.bits < 128
    }

    /// The header of a list made with this key.
    pub fn header(&self) -> String {
        let offline = match (self.is_prefix(), self.offline) {
            (false, _) => String::new(),
            (true, Offline::Allow) => "# offline: allow\n".to_owned(),
            (true, Offline::Block) => "# offline: block\n".to_owned(),
        };
        let key = blake3::Hash::from_bytes(self.key).to_hex();
        format!(
            "{FIRST_LINE}\n# hash: blake3-keyed-128\n# key: {key}\n# bits: {}\n{offline}",
            self.bits
        )
    }

    /// The line of one name in such a list.
    pub fn line(&self, canonical: &[u8], exact: bool) -> String {
        self.text(&self.digest(canonical), exact)
    }

    /// The line of a hash.
    pub fn text(&self, digest: &[u8; 16], exact: bool) -> String {
        use std::fmt::Write as _;
        let mut line = String::from(if exact { "=" } else { "" });
        for octet in digest.iter().take(usize::from(self.bits / 8)) {
            let _ = write!(line, "{octet:02x}");
        }
        line
    }
}

/// Whether the octets start like a hashed list.
pub fn is_hashed(octets: &[u8]) -> bool {
    octets.starts_with(FIRST_LINE.as_bytes())
}

/// Reads such lists line by line.
#[derive(Default)]
pub(super) struct Hashed {
    algorithm: bool,
    key: Option<[u8; 32]>,
    bits: Option<u8>,
    offline: Offline,
    /// Complete, and therefore closed, with the first hash.
    header: Option<HashKey>,
}

impl LineReader for Hashed {
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        let text = line.trim();
        if text.is_empty() {
            return sink.comment();
        }
        if let Some(comment) = text.strip_prefix('#') {
            return match self.header_line(comment) {
                Ok(()) => sink.comment(),
                Err(reason) => sink.reject(number, reason, text),
            };
        }
        match self.digest(text) {
            Ok((digest, exact)) => {
                sink.rule(number, Rule::block(Pattern::Hashed { digest, exact }));
                sink.accepted();
            }
            Err(reason) => sink.reject(number, reason, text),
        }
    }

    fn hash_key(&self) -> Option<HashKey> {
        self.header
    }
}

impl Hashed {
    fn header_line(&mut self, comment: &str) -> Result<(), String> {
        let Some((key, value)) = comment.split_once(':') else {
            return Ok(());
        };
        let value = value.trim();
        let known = matches!(key.trim(), "hash" | "key" | "bits" | "offline");
        if known && self.header.is_some() {
            return Err("the header ends with the first hash".to_owned());
        }
        match key.trim() {
            "hash" if value == "blake3-keyed-128" => self.algorithm = true,
            "hash" => return Err(format!("unknown hash {value:?}; known is blake3-keyed-128")),
            "key" => {
                let key = blake3::Hash::from_hex(value).map_err(|_| "a key is 64 hexadecimal digits")?;
                self.key = Some(*key.as_bytes());
            }
            "bits" => {
                let bits = value.parse::<u8>().ok();
                let usable = |bits: &u8| (16..=128).contains(bits) && bits.is_multiple_of(8);
                self.bits = Some(
                    bits.filter(usable)
                        .ok_or("bits is a multiple of 8 from 16 to 128")?,
                );
            }
            "offline" => {
                self.offline = match value {
                    "allow" => Offline::Allow,
                    "block" => Offline::Block,
                    _ => return Err("offline is allow or block".to_owned()),
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn digest(&mut self, text: &str) -> Result<([u8; 16], bool), String> {
        let header = match (self.header, self.algorithm, self.key) {
            (Some(header), ..) => header,
            (None, true, Some(key)) => *self.header.insert(HashKey {
                key,
                bits: self.bits.unwrap_or(128),
                offline: self.offline,
            }),
            _ => return Err("a hash before the header's hash: and key: lines".to_owned()),
        };
        let (exact, digits) = match text.strip_prefix('=') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let octets = usize::from(header.bits / 8);
        if digits.len() != octets * 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!(
                "a hash of this list is {} hexadecimal digits",
                octets * 2
            ));
        }
        let mut digest = [0; 16];
        for (octet, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).unwrap_or_default();
            *octet = u8::from_str_radix(pair, 16).map_err(|error| error.to_string())?;
        }
        Ok((digest, exact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{Format, read};

    fn key(bits: u8) -> HashKey {
        HashKey {
            key: [7; 32],
            bits,
            offline: Offline::Block,
        }
    }

    #[test]
    fn what_a_key_writes_is_read_back() {
        for bits in [16, 24, 128] {
            let key = key(bits);
            let text = format!(
                "{}{}\n{}\n",
                key.header(),
                key.line(b"bad.example", false),
                key.line(b"worse.example", true)
            );
            let list = read(text.as_bytes(), Format::Auto, None).unwrap();
            assert_eq!(list.format, Format::Hashed);
            let read_key = list.hash_key.unwrap();
            assert_eq!((read_key.key, read_key.bits), (key.key, bits));
            assert_eq!(read_key.offline == Offline::Block, bits < 128);
            let patterns: Vec<Pattern> = list
                .rules
                .into_iter()
                .map(|located| located.rule.pattern)
                .collect();
            let digest = |name: &[u8]| key.digest(name);
            assert_eq!(
                patterns,
                [
                    Pattern::Hashed {
                        digest: digest(b"bad.example"),
                        exact: false
                    },
                    Pattern::Hashed {
                        digest: digest(b"worse.example"),
                        exact: true
                    }
                ]
            );
        }
    }

    #[test]
    fn the_hash_is_that_of_the_specification() {
        // BLAKE3 keyed mode over the text of the name, computed with the reference implementation's test key.
        let key = HashKey {
            key: *b"whats the Elvish word for friend",
            bits: 128,
            offline: Offline::Allow,
        };
        let whole = blake3::Hasher::new_keyed(b"whats the Elvish word for friend")
            .update(b"bad.")
            .update(b"example")
            .finalize();
        assert_eq!(key.digest(b"bad.example"), whole.as_bytes()[..16]);
    }

    #[test]
    fn damaged_headers_and_hashes_are_refused_line_by_line() {
        let text = format!(
            "{FIRST_LINE}\n00112233445566778899aabbccddeeff\n# hash: md5\n# hash: blake3-keyed-128\n# key: 12\n# bits: 12\n\
             # key: {}\n# offline: maybe\n00112233445566778899aabbccddeeff\n# bits: 24\n0011\nzz112233445566778899aabbccddeeff\n",
            "ab".repeat(32)
        );
        let list = read(text.as_bytes(), Format::Auto, None).unwrap();
        let refused: Vec<u32> = list.report.rejected.iter().map(|line| line.line).collect();
        assert_eq!(refused, [2, 3, 5, 6, 8, 10, 11, 12]);
        assert_eq!(list.rules.len(), 1);
    }
}
