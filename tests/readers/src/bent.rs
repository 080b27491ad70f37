//! Octets made from examples: bent, cut, repeated and mixed, from a seed, so that the same seed makes the same.

/// Numbers that look random (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// The next number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = self.number() % u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(number).unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }
}

/// Octets that readers stumble over.
const WORST: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b":",
    b";",
    b"=",
    b"/",
    b"%",
    b"\\x",
    b"[",
    b"]",
    b"{",
    b"}",
    b"-",
    b".",
    b" ",
    b"\xff\xff\xff\xff",
    b"\xc0\x0c",
    b"\x80\x80\x80\x80\x10",
    "ë".as_bytes(),
    "\u{feff}".as_bytes(),
    b"18446744073709551615",
    b"-9223372036854775808",
    b"99999999",
    b"0",
];

/// Longest that anything gets.
const LONGEST: usize = 8 << 10;

/// One of the examples, changed in up to eight places.
pub fn bent(examples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut octets = one_of(examples, random);
    for _ in 0..=random.below(8) {
        change(&mut octets, examples, random);
    }
    octets.truncate(LONGEST);
    octets
}

fn one_of(examples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let place = random.below(examples.len());
    examples.get(place).cloned().unwrap_or_default()
}

fn change(octets: &mut Vec<u8>, examples: &[Vec<u8>], random: &mut Random) {
    let at = random.below(octets.len() + 1);
    let end = (at + 1 + random.below(16)).min(octets.len());
    match random.below(8) {
        0 => {
            if let Some(octet) = octets.get_mut(at) {
                *octet ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(octet) = octets.get_mut(at) {
                *octet = random.octet();
            }
        }
        2 => octets.truncate(at),
        3 => drop(octets.drain(at.min(end)..end)),
        4 => {
            let piece: Vec<u8> = octets.get(at..end).unwrap_or_default().to_vec();
            for _ in 0..=random.below(20) {
                octets.splice(at..at, piece.iter().copied());
            }
        }
        5 => {
            let other = one_of(examples, random);
            let from = random.below(other.len() + 1);
            let until = (from + random.below(64)).min(other.len());
            let piece = other.get(from..until).unwrap_or_default();
            octets.splice(at..at, piece.iter().copied());
        }
        6 => {
            // A number becomes another one.
            let digits = |octet: &u8| octet.is_ascii_digit();
            if let Some(digit) = octets.iter().skip(at).position(digits) {
                octets.splice(at + digit..=at + digit, random.number().to_string().into_bytes());
            }
        }
        _ => {
            let place = random.below(WORST.len());
            let piece = WORST.get(place).copied().unwrap_or_default();
            octets.splice(at..at, piece.iter().copied());
        }
    }
}
