//! The structures.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher as _};
use std::hint::black_box;
use std::io::Cursor;
use std::time::Instant;

use fst::raw::Fst;
use hashbrown::HashTable;
use isigurt_blocklists::index::{Compiler, Index, ListInfo, Reading, Seed, SuffixKeys, TagKind};
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::read::Format;
use ptr_hash::{DefaultPtrHash, PtrHashParams};
use siphasher::sip128::{Hasher128, SipHasher13};
use xorf::{BinaryFuse8, Filter};

use crate::Structure;
use crate::flat::Flat;

/// Position and fingerprint of a name.
pub(crate) type Key = (u64, u64);
pub(crate) type Build = fn(&[Name]) -> Box<dyn Structure>;

pub(crate) fn all() -> Vec<(&'static str, Build)> {
    vec![
        ("`HashMap<Box<[u8]>, u32>`, SipHash", |names| {
            Box::new(HashedNames::<std::hash::RandomState>::build(names))
        }),
        ("`HashMap<Box<[u8]>, u32>`, foldhash", |names| {
            Box::new(HashedNames::<foldhash::quality::RandomState>::build(names))
        }),
        ("hashbrown table of 64-bit fingerprints", |names| {
            Box::new(Table::build(names))
        }),
        ("sorted 64-bit fingerprints, directory of upper bits", |names| {
            Box::new(Sorted::build(names))
        }),
        ("`fst`, labels from the right, one walk", |names| {
            Box::new(Transducer::build(names))
        }),
        ("PtrHash, 56-bit fingerprint, rule set", |names| {
            Box::new(Perfect::build(names))
        }),
        ("flat buckets, load 0.85", |names| {
            Box::new(FlatOnly::build(names))
        }),
        ("fuse8 in front of flat buckets, SipHash-1-3-128", |names| {
            Box::new(FuseFlat::<Sip>::build(names))
        }),
        ("fuse8 in front of flat buckets", |names| {
            Box::new(FuseFlat::<Polynomial>::build(names))
        }),
        ("fuse8 alone (0.4 % of suffixes wrong)", |names| {
            Box::new(FuseOnly::build(names))
        }),
        ("**gate, filter, cuckoo buckets (the index)**", |names| {
            Box::new(Compiled::build(names))
        }),
    ]
}

/// What hashing all suffixes costs by itself.
pub(crate) fn hashing(hits: &[Name], misses: &[Name]) {
    fn time<H: Hashing>(what: &str, names: &[Name]) {
        let hashing = H::new();
        let mut best = f64::MAX;
        for _ in 0..9 {
            let started = Instant::now();
            for name in names {
                hashing.each(name.as_ref(), |key| {
                    black_box(key);
                    false
                });
            }
            best = best.min(started.elapsed().as_nanos() as f64 / names.len() as f64);
        }
        println!("| hashing alone, {what} | | {best:.0} | | | | |");
    }
    let all: Vec<Name> = hits.iter().chain(misses).cloned().collect();
    time::<Sip>("SipHash-1-3-128 label by label", &all);
    time::<Polynomial>("polynomial over the labels", &all);
}

/// A way to hash every suffix of two labels or more.
pub(crate) trait Hashing {
    fn new() -> Self;
    /// Calls `ask` with every suffix' key, shortest first, and says whether it ever said yes. It does not stop there: an
    /// exception may stand further down.
    fn each(&self, name: NameRef<'_>, ask: impl FnMut(Key) -> bool) -> bool;

    fn key(&self, name: &Name) -> Key {
        let mut last = (0, 0);
        self.each(name.as_ref(), |key| {
            last = key;
            false
        });
        last
    }

    fn keys(&self, names: &[Name]) -> Vec<Key> {
        names.iter().map(|name| self.key(name)).collect()
    }
}

/// The index' own hash.
pub(crate) struct Polynomial(SuffixKeys);

impl Hashing for Polynomial {
    fn new() -> Self {
        Self(SuffixKeys::new(&Seed([7; 32])))
    }

    #[inline]
    fn each(&self, name: NameRef<'_>, mut ask: impl FnMut(Key) -> bool) -> bool {
        let mut any = false;
        self.0.each(name, |depth, position, fingerprint| {
            any |= depth > 1 && ask((position << 16 | fingerprint & 0xffff, fingerprint));
            false
        });
        any
    }
}

/// SipHash-1-3-128 over each label, keyed with the hash of what stands to its right.
pub(crate) struct Sip;

impl Hashing for Sip {
    fn new() -> Self {
        Self
    }

    #[inline]
    fn each(&self, name: NameRef<'_>, mut ask: impl FnMut(Key) -> bool) -> bool {
        let wire = name.wire();
        let mut starts = [0_u8; 128];
        let (mut count, mut at) = (0, 0_usize);
        while wire[at] != 0 {
            starts[count] = at as u8;
            count += 1;
            at += usize::from(wire[at]) + 1;
        }
        let (mut state, mut any) = ((7_u64, 9_u64), false);
        for place in (0..count).rev() {
            let start = usize::from(starts[place]);
            let mut hasher = SipHasher13::new_with_keys(state.0, state.1);
            hasher.write(&wire[start..=start + usize::from(wire[start])]);
            let hash = hasher.finish128();
            state = (hash.h1, hash.h2);
            any |= place + 1 < count && ask(state);
        }
        any
    }
}

pub(crate) struct HashedNames<S>(HashMap<Box<[u8]>, u32, S>);

impl<S: BuildHasher + Default> HashedNames<S> {
    pub(crate) fn build(names: &[Name]) -> Self {
        let entries = names.iter().map(|name| (Box::from(name.as_ref().wire()), 1));
        let mut map = HashMap::with_capacity_and_hasher(names.len(), S::default());
        map.extend(entries);
        Self(map)
    }
}

impl<S: BuildHasher> Structure for HashedNames<S> {
    fn contains(&self, name: NameRef<'_>) -> bool {
        // The top-level domain alone is no rule in any of the lists.
        name.suffixes().fold(false, |any, suffix| {
            any | (suffix.parent().is_some_and(|parent| !parent.is_root())
                && self.0.contains_key(suffix.wire()))
        })
    }

    fn octets(&self) -> usize {
        let names: usize = self
            .0
            .keys()
            .map(|name| (name.len() + 8).next_multiple_of(16))
            .sum();
        names + self.0.capacity() * 8 / 7 * (size_of::<(Box<[u8]>, u32)>() + 1)
    }
}

struct Table {
    hashing: Polynomial,
    table: HashTable<(u64, u8)>,
}

impl Table {
    fn build(names: &[Name]) -> Self {
        let hashing = Polynomial::new();
        let mut table = HashTable::with_capacity(names.len());
        for name in names {
            let key = hashing.key(name);
            table.insert_unique(key.0, (key.1, 1), |(_, _)| unreachable!("room for all was made"));
        }
        Self { hashing, table }
    }
}

impl Structure for Table {
    fn contains(&self, name: NameRef<'_>) -> bool {
        self.hashing.each(name, |key| {
            self.table.find(key.0, |held| held.0 == key.1).is_some()
        })
    }

    fn octets(&self) -> usize {
        self.table.capacity() * 8 / 7 * (size_of::<(u64, u8)>() + 1)
    }
}

struct Sorted {
    hashing: Polynomial,
    directory: Vec<u32>,
    fingerprints: Vec<u64>,
    sets: Vec<u8>,
    shift: u32,
}

impl Sorted {
    fn build(names: &[Name]) -> Self {
        let hashing = Polynomial::new();
        let mut fingerprints: Vec<u64> = hashing
            .keys(names)
            .iter()
            .map(|key| key.0 ^ key.1 >> 32)
            .collect();
        fingerprints.sort_unstable();
        let bits = names.len().ilog2() - 2;
        let shift = 64 - bits;
        let directory = (0..=1_u64 << bits)
            .map(|top| fingerprints.partition_point(|held| held >> shift < top) as u32)
            .collect();
        Self {
            hashing,
            directory,
            sets: vec![1; fingerprints.len()],
            fingerprints,
            shift,
        }
    }
}

impl Structure for Sorted {
    fn contains(&self, name: NameRef<'_>) -> bool {
        self.hashing.each(name, |key| {
            let wanted = key.0 ^ key.1 >> 32;
            let top = (wanted >> self.shift) as usize;
            let from = self.directory[top] as usize;
            let range = &self.fingerprints[from..self.directory[top + 1] as usize];
            range
                .iter()
                .position(|held| *held == wanted)
                .is_some_and(|place| self.sets[from + place] != 0)
        })
    }

    fn octets(&self) -> usize {
        self.fingerprints.len() * 9 + self.directory.len() * 4
    }
}

struct Transducer(Fst<Vec<u8>>);

fn from_the_right(name: NameRef<'_>) -> Vec<u8> {
    let labels: Vec<&[u8]> = name.labels().collect();
    labels
        .iter()
        .rev()
        .flat_map(|label| [label, b".".as_slice()].concat())
        .collect()
}

impl Transducer {
    fn build(names: &[Name]) -> Self {
        let mut keys: Vec<Vec<u8>> = names.iter().map(|name| from_the_right(name.as_ref())).collect();
        keys.sort_unstable();
        let mut builder = fst::MapBuilder::memory();
        for key in keys {
            builder.insert(key, 1).expect("sorted");
        }
        Self(Fst::new(builder.into_inner().expect("built")).expect("read"))
    }
}

impl Structure for Transducer {
    fn contains(&self, name: NameRef<'_>) -> bool {
        let labels: labels::Labels<'_> = labels::Labels::of(name);
        let (mut node, mut any) = (self.0.root(), false);
        for label in labels.from_the_right() {
            for &octet in label.iter().chain(b".") {
                let Some(place) = node.find_input(octet) else {
                    return any;
                };
                node = self.0.node(node.transition(place).addr);
            }
            any |= node.is_final();
        }
        any
    }

    fn octets(&self) -> usize {
        self.0.as_bytes().len()
    }
}

/// Labels without an allocation.
mod labels {
    use isigurt_blocklists::name::NameRef;

    pub(super) struct Labels<'n>([&'n [u8]; 16], usize);

    impl<'n> Labels<'n> {
        pub(super) fn of(name: NameRef<'n>) -> Self {
            let mut labels = Self([&[]; 16], 0);
            for label in name.labels().take(16) {
                labels.0[labels.1] = label;
                labels.1 += 1;
            }
            labels
        }

        pub(super) fn from_the_right(&self) -> impl Iterator<Item = &'n [u8]> {
            self.0[..self.1].iter().rev().copied()
        }
    }
}

struct Perfect {
    hashing: Polynomial,
    function: DefaultPtrHash,
    /// 56 bits of fingerprint, eight of rule set.
    slots: Vec<u64>,
}

impl Perfect {
    fn build(names: &[Name]) -> Self {
        let hashing = Polynomial::new();
        let keys = hashing.keys(names);
        let positions: Vec<u64> = keys.iter().map(|key| key.0 ^ key.1).collect();
        let function = DefaultPtrHash::new(&positions, PtrHashParams::default());
        let mut slots = vec![0; names.len()];
        for key in &keys {
            slots[function.index(&(key.0 ^ key.1))] = key.1 << 8 | 1;
        }
        Self {
            hashing,
            function,
            slots,
        }
    }
}

impl Structure for Perfect {
    fn contains(&self, name: NameRef<'_>) -> bool {
        self.hashing.each(name, |key| {
            let place = self.function.index(&(key.0 ^ key.1));
            self.slots.get(place).is_some_and(|slot| *slot == key.1 << 8 | 1)
        })
    }

    fn octets(&self) -> usize {
        self.slots.len() * 8
            + (self.function.bits_per_element().0 + self.function.bits_per_element().1) as usize
                * self.slots.len()
                / 8
    }
}

struct FlatOnly {
    hashing: Polynomial,
    flat: Flat,
}

impl FlatOnly {
    fn build(names: &[Name]) -> Self {
        let hashing = Polynomial::new();
        let flat = Flat::build(&hashing.keys(names));
        Self { hashing, flat }
    }
}

impl Structure for FlatOnly {
    fn contains(&self, name: NameRef<'_>) -> bool {
        self.hashing.each(name, |key| self.flat.contains(&key))
    }

    fn octets(&self) -> usize {
        self.flat.octets()
    }
}

struct FuseFlat<H> {
    hashing: H,
    fuse: BinaryFuse8,
    flat: Flat,
}

fn fuse(keys: &[Key]) -> BinaryFuse8 {
    let mut positions: Vec<u64> = keys.iter().map(|key| key.0 ^ key.1 << 8).collect();
    positions.sort_unstable();
    positions.dedup();
    BinaryFuse8::try_from(positions.as_slice()).expect("distinct keys")
}

impl<H: Hashing> FuseFlat<H> {
    fn build(names: &[Name]) -> Self {
        let hashing = H::new();
        let keys = hashing.keys(names);
        Self {
            fuse: fuse(&keys),
            flat: Flat::build(&keys),
            hashing,
        }
    }
}

impl<H: Hashing> Structure for FuseFlat<H> {
    fn contains(&self, name: NameRef<'_>) -> bool {
        self.hashing.each(name, |key| {
            self.fuse.contains(&(key.0 ^ key.1 << 8)) && self.flat.contains(&key)
        })
    }

    fn octets(&self) -> usize {
        self.fuse.len() + self.flat.octets()
    }
}

struct FuseOnly {
    hashing: Polynomial,
    fuse: BinaryFuse8,
}

impl FuseOnly {
    fn build(names: &[Name]) -> Self {
        let hashing = Polynomial::new();
        let fuse = fuse(&hashing.keys(names));
        Self { hashing, fuse }
    }
}

impl Structure for FuseOnly {
    fn contains(&self, name: NameRef<'_>) -> bool {
        self.hashing
            .each(name, |key| self.fuse.contains(&(key.0 ^ key.1 << 8)))
    }

    fn octets(&self) -> usize {
        self.fuse.len()
    }
}

struct Compiled(Index);

impl Compiled {
    fn build(names: &[Name]) -> Self {
        // From text, as lists come: reading is part of what it costs.
        let mut text = String::new();
        for name in names {
            text.push_str(&name.to_string());
            text.push('\n');
        }
        let octets: std::sync::Arc<[u8]> = text.into_bytes().into();
        let mut compiler = Compiler::new(Seed([7; 32]), octets.len() as u64);
        let tag = compiler.tag(TagKind::Own, "own").expect("one tag");
        let info = ListInfo {
            id: "l".to_owned(),
            tag,
            origin: String::new(),
            format: Format::Hosts,
            version: String::new(),
        };
        let reading = Reading {
            format: Format::Hosts,
            subdomains: Some(true),
        };
        compiler.read(info, octets, reading).expect("a list");
        let (mut out, mut lines) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
        compiler.finish(0, 2, &mut out, &mut lines).expect("compiled");
        let index = Index::open(out.into_inner()).expect("opened");
        index.verify().expect("whole");
        Self(index)
    }
}

impl Structure for Compiled {
    fn contains(&self, name: NameRef<'_>) -> bool {
        !self.0.matches(name).is_empty()
    }

    fn octets(&self) -> usize {
        self.0.octets()
    }
}
