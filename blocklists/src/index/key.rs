//! The keyed hash under which names are found, for every suffix of a name in one pass.
//!
//! A name is read from the right, label by label, in words of up to seven octets, each tagged with its length and
//! with whether it ends a label, so that no two names give the same words. Two lanes evaluate a polynomial over the
//! words modulo 2^61 - 1, each at a secret point below 2^60; after every label the state of the lanes *is* the hash
//! of that suffix. Two folded multiplications turn it into 48 bits of position and 48 bits of fingerprint.
//!
//! Why a polynomial: whoever writes a list does not know the points, which are made of the device's own random seed.
//! Two different names of at most n words agree in both lanes for at most (n / 2^60)^2 of all seeds, whatever the
//! names are (a polynomial of degree n has at most n roots), so no list can be crafted to collide with a popular name.
//! The speed comes from the words: a label of seven octets costs two multiplications, and the next label goes on
//! where the last one ended.

use serde::{Deserialize, Serialize};

use crate::name::NameRef;

/// Bits of [`Key::position`] and of [`Key::fingerprint`].
pub(super) const BITS: u32 = 48;
/// Most labels that a name can have: 127 of one octet each (RFC 1035, section 3.1).
const MAX_LABELS: usize = 128;
/// Multiplications are modulo this prime.
const P: u64 = (1 << 61) - 1;

/// What makes the hashes of one device its own: 32 random octets.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Seed(…)")
    }
}

/// Where a name stands in the index, and what it is recognised by there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Partition and bucket, 48 bits.
    pub(super) position: u64,
    /// 48 bits.
    pub(super) fingerprint: u64,
}

/// The secret constants of the hash.
#[derive(Debug, Clone)]
pub(super) struct Hasher {
    points: [u64; 2],
    masks: [u64; 4],
}

/// The lanes after some labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct State(u64, u64);

impl Hasher {
    pub(super) fn new(seed: &Seed) -> Self {
        let mut octets = [0; 48];
        blake3::Hasher::new_derive_key("isigurt-gateway index 1: hash constants")
            .update(&seed.0)
            .finalize_xof()
            .fill(&mut octets);
        let mut words = octets
            .as_chunks::<8>()
            .0
            .iter()
            .map(|octets| u64::from_le_bytes(*octets));
        let mut next = || words.next().unwrap_or_default();
        Self {
            points: [next() >> 4, next() >> 4],
            masks: [next(), next(), next(), next()],
        }
    }

    /// The lanes before the first label, which are those of the root.
    pub(super) fn start() -> State {
        State(1, 1)
    }

    #[inline]
    fn word(&self, state: State, word: u64) -> State {
        State(
            step(state.0, self.points[0], word),
            step(state.1, self.points[1], word),
        )
    }

    /// The lanes after the label that stands at `start..end` in `wire`, without its length octet.
    #[inline]
    pub(super) fn label(&self, mut state: State, wire: &[u8], start: usize, mut end: usize) -> State {
        while end > start {
            let length = (end - start).min(7);
            let last = u64::from(end - start <= 7);
            let word = load(wire, end, length) | (length as u64) << 56 | last << 59;
            state = self.word(state, word);
            end -= length;
        }
        state
    }

    /// The key of the suffix that ends here.
    #[inline]
    pub(super) fn key(&self, state: State) -> Key {
        Key {
            position: fold(state.0 ^ self.masks[0], state.1 ^ self.masks[1]) >> (64 - BITS),
            fingerprint: fold(state.1 ^ self.masks[2], state.0.rotate_left(32) ^ self.masks[3])
                >> (64 - BITS),
        }
    }

    /// The key of a whole name, and that of its last two labels if it has so many.
    pub(super) fn name(&self, name: NameRef<'_>) -> (Key, Option<Key>, usize) {
        let labels = Labels::of(name);
        let mut state = Self::start();
        let mut second = None;
        for depth in 1..=labels.count {
            let (start, end) = labels.at(depth);
            state = self.label(state, name.wire(), start, end);
            if depth == 2 {
                second = Some(self.key(state));
            }
        }
        (self.key(state), second, labels.count)
    }

    /// The key of a keyed hash from the list with hash key number `group`. No name has a word without octets, so that
    /// it cannot be taken for one.
    pub(super) fn digest(&self, group: u16, digest: &[u8; 16]) -> Key {
        let mut state = self.word(Self::start(), u64::from(group));
        for octets in digest.as_chunks::<4>().0 {
            state = self.word(state, u64::from(u32::from_le_bytes(*octets)));
        }
        self.key(state)
    }
}

/// The hashes of all suffixes, for benches that hold this index against other structures.
#[doc(hidden)]
#[derive(Debug)]
pub struct SuffixKeys(Hasher);

impl SuffixKeys {
    /// Hashes with this seed.
    pub fn new(seed: &Seed) -> Self {
        Self(Hasher::new(seed))
    }

    /// Calls `ask` with number of labels, position and fingerprint of each suffix until it says yes.
    #[inline]
    pub fn each(&self, name: NameRef<'_>, mut ask: impl FnMut(usize, u64, u64) -> bool) -> bool {
        let labels = Labels::of(name);
        let mut state = Hasher::start();
        (1..=labels.count).any(|depth| {
            let (start, end) = labels.at(depth);
            state = self.0.label(state, name.wire(), start, end);
            let key = self.0.key(state);
            ask(depth, key.position, key.fingerprint)
        })
    }
}

/// `state · point + word` modulo [`P`], not fully reduced. With `point` below 2^60 and `word` below 2^60 the result
/// stays below 2^63 for any number of steps; equal words give equal octets, and that is all that is needed.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the halves of a product
fn step(state: u64, point: u64, word: u64) -> u64 {
    let product = u128::from(state) * u128::from(point);
    (product as u64 & P) + (product >> 61) as u64 + word
}

#[inline]
#[allow(clippy::cast_possible_truncation)] // the halves of a product
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// The `length` (1 to 7) octets before `end`, the last one highest.
#[inline]
fn load(wire: &[u8], end: usize, length: usize) -> u64 {
    let unused = 64 - 8 * length;
    if let Some(octets) = end
        .checked_sub(8)
        .and_then(|from| wire.get(from..)?.first_chunk::<8>())
    {
        return u64::from_le_bytes(*octets) >> unused;
    }
    // The first label of a name: fewer than eight octets stand before its end.
    if let Some(octets) = wire.first_chunk::<8>() {
        return u64::from_le_bytes(*octets) << (64 - 8 * end.min(8)) >> unused;
    }
    let mut octets = [0; 8];
    for (octet, from) in octets.iter_mut().skip(8 - end.min(8)).zip(wire) {
        *octet = *from;
    }
    u64::from_le_bytes(octets) >> unused
}

/// Where the labels of a name stand.
pub(super) struct Labels {
    /// Offset of each length octet, from the left; then that of the root.
    starts: [u8; MAX_LABELS],
    pub(super) count: usize,
}

impl Labels {
    #[inline]
    pub(super) fn of(name: NameRef<'_>) -> Self {
        let wire = name.wire();
        let mut starts = [0; MAX_LABELS];
        let (mut count, mut at) = (0, 0_u8);
        while let Some(&length) = wire.get(usize::from(at)) {
            let Some(start) = starts.get_mut(count) else { break };
            *start = at;
            if length == 0 {
                break;
            }
            count += 1;
            at = at.wrapping_add(length).wrapping_add(1);
        }
        Self { starts, count }
    }

    /// Start and end, without the length octet, of the label that is number `depth` from the right, from 1.
    #[inline]
    pub(super) fn at(&self, depth: usize) -> (usize, usize) {
        let offset = |place: usize| self.starts.get(place).map_or(0, |&at| usize::from(at));
        let place = self.count.wrapping_sub(depth);
        (offset(place) + 1, offset(place.wrapping_add(1)))
    }

    /// Offset of the suffix of `depth` labels in the name's wire format.
    #[inline]
    pub(super) fn suffix(&self, depth: usize) -> usize {
        self.starts
            .get(self.count.wrapping_sub(depth))
            .map_or(0, |&at| usize::from(at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::name::Name;

    fn key(hasher: &Hasher, name: &str) -> Key {
        hasher.name(Name::parse(name).unwrap().as_ref()).0
    }

    #[test]
    fn a_suffix_has_the_key_of_the_name_that_it_is() {
        let hasher = Hasher::new(&Seed([3; 32]));
        for text in [
            "a.b",
            "www.example.com",
            "a.averyverylonglabelindeed.b.example",
            "x.y.z.w.v",
        ] {
            let name = Name::parse(text).unwrap();
            let labels = Labels::of(name.as_ref());
            let mut state = Hasher::start();
            for depth in 1..=labels.count {
                let (start, end) = labels.at(depth);
                state = hasher.label(state, name.as_ref().wire(), start, end);
                let suffix: Vec<&str> = text.rsplit('.').take(depth).collect();
                let suffix: Vec<&str> = suffix.into_iter().rev().collect();
                assert_eq!(
                    hasher.key(state),
                    key(&hasher, &suffix.join(".")),
                    "{text} {depth}"
                );
                assert_eq!(
                    &name.as_ref().wire()[labels.suffix(depth)..],
                    Name::parse(&suffix.join(".")).unwrap().as_ref().wire()
                );
            }
        }
    }

    #[test]
    fn names_that_differ_only_in_where_the_dots_are_differ_in_their_keys() {
        let hasher = Hasher::new(&Seed([9; 32]));
        let mut seen: HashMap<(u64, u64), String> = HashMap::new();
        let mut check = |wire: &[u8]| {
            let name = Name::from_wire(wire).unwrap();
            let key = hasher.name(name.as_ref()).0;
            let text = format!("{wire:?}");
            if let Some(other) = seen.insert((key.position, key.fingerprint), text.clone()) {
                panic!("{text} and {other} have one key");
            }
        };
        check(b"\x08aaaaaaaa\x00");
        check(b"\x07aaaaaaa\x01a\x00");
        check(b"\x01a\x07aaaaaaa\x00");
        check(b"\x07aaaaaaa\x00");
        check(b"\x08\x00aaaaaaa\x00");
        check(b"\x0eaaaaaaaaaaaaaa\x00");
        check(b"\x07aaaaaaa\x07aaaaaaa\x00");
        check(b"\x01\x00\x00");
        check(b"\x02\x00\x00\x00");
        check(b"\x00");
    }

    #[test]
    fn the_seed_decides_the_keys() {
        let one = key(&Hasher::new(&Seed([1; 32])), "example.com");
        let other = key(&Hasher::new(&Seed([2; 32])), "example.com");
        assert_ne!(one, other);
    }

    #[test]
    fn positions_and_fingerprints_of_numbered_names_spread_evenly() {
        let hasher = Hasher::new(&Seed([5; 32]));
        let mut buckets = [[0_u32; 256]; 3];
        for number in 0..25_600 {
            let key = key(&hasher, &format!("host{number}.example"));
            buckets[0][usize::try_from(key.position >> 40).unwrap()] += 1;
            buckets[1][usize::try_from(key.fingerprint >> 40).unwrap()] += 1;
            buckets[2][usize::try_from(key.fingerprint & 255).unwrap()] += 1;
        }
        for counts in buckets {
            // 100 a bucket on average; nine standard deviations on either side
            assert!(
                counts.iter().all(|&count| (10..190).contains(&count)),
                "{counts:?}"
            );
        }
    }
}
