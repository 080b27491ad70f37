//! The look-up: which rules speak of a name.

mod candidates;

use std::sync::OnceLock;

use std::net::IpAddr;

use bytes::Bytes;
use regex::bytes::{RegexSet, RegexSetBuilder};
use smallvec::SmallVec;

use super::file::{File, FileError, Section};
use super::key::{Hasher, Key, Labels};
use super::quick::Summary;
use super::sets::{Action, ENTRY, Entry, Scope, WIDE};
use super::table::{Found, Table};
use super::{ListFacts, ListInfo, Meta, REGEX_SET_LIMIT, Seed, Tag, TagId, TagKind, TagSet, filter};
use crate::address::AddressName;
use crate::name::{MAX_WIRE, NameRef};
use crate::read::hashed::HashKey;
use crate::rule::Pattern;

pub(super) use candidates::Candidate;

/// Every rule of every list, ready for look-ups.
#[derive(Debug)]
pub struct Index {
    file: File,
    hasher: Hasher,
    meta: Meta,
    gate: Bytes,
    filter: Bytes,
    directory: Bytes,
    buckets: Bytes,
    wide: Bytes,
    sets: Bytes,
    entries: Bytes,
    actions: Bytes,
    /// Places of hashed lists among the lists.
    hashed: Vec<(u16, HashKey)>,
    regexes: OnceLock<RegexSet>,
    /// What the most frequent sets come to.
    pub(super) summaries: Vec<Summary>,
    /// The groups of each kind.
    pub(super) kinds: [TagSet; 6],
    addresses: bool,
    prefixes: bool,
}

/// A name at or above the one asked for, for which there are rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Labels of that name.
    pub depth: u8,
    /// Set of rules; equal numbers mean equal rules.
    pub set: u32,
    slot: u32,
    hashed: Option<u16>,
}

/// All matches of one look-up, from the top-level domain down.
pub type Matches = SmallVec<[Match; 8]>;

impl Index {
    /// Opens an index: checks its header and reads its small parts. The time does not depend on how many rules there
    /// are. `octets` must not change as long as the index is in use.
    pub fn open(octets: impl Into<Bytes>) -> Result<Self, FileError> {
        let file = File::open(octets.into())?;
        let damaged = |section: Section| FileError::Section(section as u32);
        let meta = file.checked(Section::Meta)?;
        let meta: Meta = postcard::from_bytes(&meta).map_err(|_| damaged(Section::Meta))?;
        if meta.lists.len() != meta.facts.len() {
            return Err(damaged(Section::Meta));
        }
        let hashed = (0..)
            .zip(&meta.facts)
            .filter_map(|(list, facts)| Some((list, facts.hash_key?)))
            .collect();
        let mut index = Self {
            hasher: Hasher::new(&file.seed),
            meta,
            gate: file.section(Section::Gate),
            filter: file.section(Section::Filter),
            directory: file.section(Section::Directory),
            buckets: file.section(Section::Buckets),
            wide: file.section(Section::Wide),
            sets: file.section(Section::Sets),
            entries: file.section(Section::Entries),
            actions: file.section(Section::Actions),
            hashed,
            regexes: OnceLock::new(),
            summaries: Vec::new(),
            kinds: [TagSet::EMPTY; 6],
            addresses: false,
            prefixes: false,
            file,
        };
        // Both families meet the gate with the same two labels in every rule.
        index.addresses = [IpAddr::from([0; 4]), IpAddr::from([0; 16])]
            .iter()
            .any(|address| {
                let (_, second, _) = index.hasher.name(AddressName::new(*address).as_ref());
                second.is_some_and(|key| filter::contains(&index.gate, key))
            });
        index.prefixes = index.hashed.iter().any(|(_, key)| key.is_prefix());
        index.summarise();
        Ok(index)
    }

    /// Whether there are rules for addresses. Rarely a yes where there are none, which costs time and nothing else.
    pub fn has_addresses(&self) -> bool {
        self.addresses
    }

    /// Whether there is a list of short prefixes, whose matches are candidates only.
    pub fn has_prefixes(&self) -> bool {
        self.prefixes
    }

    /// Whether one of these matches is of a list of short prefixes: then the name may be meant, and somebody has to confirm it.
    #[inline]
    pub fn is_candidate(&self, matches: &[Match]) -> bool {
        let mut lists = matches.iter().filter_map(|found| found.hashed);
        self.prefixes && lists.any(|list| self.unconfirmed(list))
    }

    /// How the hashes of a rule's list were made, where it is a hashed list.
    pub fn hash_key(&self, hit: &super::Hit<'_>) -> Option<HashKey> {
        self.meta.facts.get(usize::from(hit.number))?.hash_key
    }

    /// For a rule of a hashed list that speaks of `name`: the whole hash of the name that it speaks of, and what the list has of it.
    pub fn digests(&self, hit: &super::Hit<'_>, name: NameRef<'_>) -> Option<([u8; 16], [u8; 16])> {
        let key = self.hash_key(hit)?;
        let whole = HashKey { bits: 128, ..key };
        let mut text = Canonical::new();
        let starts = text.write(name)?;
        let start = starts.len().checked_sub(usize::from(hit.specificity()))?;
        let suffix = text.suffix(*starts.get(start)?)?;
        Some((whole.digest(suffix), key.digest(suffix)))
    }

    /// Whether a set of this number is stored.
    pub(super) fn has_set(&self, set: u32) -> bool {
        numbered(&self.sets, set, 4).is_some()
    }

    /// Whether regular expressions speak of this name.
    pub fn has_expression_for(&self, name: NameRef<'_>) -> bool {
        let Some(regexes) = self.regexes.get().filter(|_| !self.meta.regexes.is_empty()) else {
            return false;
        };
        let mut text = Canonical::new();
        match text.write(name) {
            // A name with other octets than host names have is escaped where it is matched.
            Some(starts) if starts.len() == name.labels().count() => {
                text.suffix(0).is_some_and(|text| regexes.is_match(text))
            }
            _ => true,
        }
    }

    /// Whether the octets start like an index.
    pub fn is_index(octets: &[u8]) -> bool {
        File::is_index(octets)
    }

    /// Compares every octet of the file with what was written, and makes the regular expressions ready. An index that
    /// is to decide about anything has passed this.
    pub fn verify(&self) -> Result<(), FileError> {
        self.file.verify()?;
        let sources = self
            .meta
            .regexes
            .iter()
            .filter_map(|entry| match &entry.rule.pattern {
                Pattern::Regex(regex) => Some(regex.as_str()),
                _ => None,
            });
        let regexes = RegexSetBuilder::new(sources)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(REGEX_SET_LIMIT)
            .build()
            .map_err(|error| FileError::Regexes(error.to_string()))?;
        let _ = self.regexes.set(regexes);
        Ok(())
    }

    /// The same for an index whose file was verified in another mapping: its octets need not be met again.
    pub fn trust(&self, verified: &Self) -> Result<(), FileError> {
        match verified.regexes.get() {
            Some(regexes) if verified.identity() == self.identity() => {
                let _ = self.regexes.set(regexes.clone());
                Ok(())
            }
            _ => self.verify(),
        }
    }

    /// The seed that it was compiled with.
    pub fn seed(&self) -> Seed {
        self.file.seed
    }

    /// Names the index and its content: what [`super::Lines::belongs_to`] asks for.
    pub fn identity(&self) -> [u8; 16] {
        self.file.identity
    }

    /// When it was built, seconds since 1970.
    pub fn built_at(&self) -> i64 {
        self.meta.built_at
    }

    /// Octets of the whole file.
    pub fn octets(&self) -> usize {
        self.file.len()
    }

    /// Octets of its parts, by name: where the size goes.
    pub fn parts(&self) -> [(&'static str, usize); 6] {
        [
            ("buckets", self.buckets.len()),
            ("directory", self.directory.len()),
            ("gate", self.gate.len()),
            ("filter", self.filter.len()),
            ("wide sets", self.wide.len()),
            ("sets", self.sets.len() + self.entries.len() + self.actions.len()),
        ]
    }

    /// The groups of lists; a [`TagId`] is a place in here.
    pub fn tags(&self) -> &[Tag] {
        &self.meta.tags
    }

    /// The group with this kind and identifier.
    pub fn tag(&self, kind: TagKind, id: &str) -> Option<TagId> {
        let place = self
            .tags()
            .iter()
            .position(|tag| tag.kind == kind && tag.id == id)?;
        u8::try_from(place).ok().map(TagId)
    }

    /// The lists.
    pub fn lists(&self) -> &[ListInfo] {
        &self.meta.lists
    }

    /// What is known about each list, in the same order.
    pub fn facts(&self) -> &[ListFacts] {
        &self.meta.facts
    }

    /// Rules in the index, those of all lists together.
    pub fn len(&self) -> usize {
        usize::try_from(self.meta.rules).unwrap_or(usize::MAX)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.meta.rules == 0
    }

    /// The names at or above `name` for which there are rules.
    pub fn matches(&self, name: NameRef<'_>) -> Matches {
        let mut matches = Matches::new();
        self.walk(name, &mut matches);
        if !self.hashed.is_empty() {
            self.hashed_matches(name, &mut matches);
        }
        matches
    }

    /// The hashes of all suffixes folded together: what hashing alone costs, for benches.
    #[doc(hidden)]
    pub fn hash_only(&self, name: NameRef<'_>) -> u64 {
        let labels = Labels::of(name);
        let mut state = Hasher::start();
        let mut all = 0;
        for depth in 1..=labels.count {
            let (start, end) = labels.at(depth);
            state = self.hasher.label(state, name.wire(), start, end);
            let key = self.hasher.key(state);
            all ^= key.position ^ key.fingerprint;
        }
        all
    }

    #[inline]
    fn walk(&self, name: NameRef<'_>, matches: &mut Matches) {
        let labels = Labels::of(name);
        let mut state = Hasher::start();
        let shallow = self.file.shallow;
        if shallow & 1 != 0 {
            self.look(self.hasher.key(state), 0, matches);
        }
        for depth in 1..=labels.count {
            let (start, end) = labels.at(depth);
            state = self.hasher.label(state, name.wire(), start, end);
            if depth == 1 && shallow & 2 == 0 {
                continue;
            }
            let key = self.hasher.key(state);
            if depth == 2 && !filter::contains(&self.gate, key) {
                return;
            }
            if filter::contains(&self.filter, key) {
                self.look(key, depth, matches);
            }
        }
    }

    #[inline]
    fn look(&self, key: Key, depth: usize, matches: &mut Matches) {
        if let Some(found) = self.table().get(key) {
            matches.push(self.matched(found, depth, None));
        }
    }

    #[inline]
    fn table(&self) -> Table<'_> {
        Table {
            directory: &self.directory,
            buckets: &self.buckets,
            partitions: self.file.partitions,
        }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // at most 127 labels
    fn matched(&self, found: Found, depth: usize, hashed: Option<u16>) -> Match {
        Match {
            depth: depth as u8,
            set: if found.set == WIDE {
                self.wide_set(found.slot)
            } else {
                u32::from(found.set)
            },
            slot: found.slot,
            hashed,
        }
    }

    fn wide_set(&self, slot: u32) -> u32 {
        let rows = self.wide.as_chunks::<8>().0;
        let field = |row: &[u8; 8], place: usize| {
            row.as_chunks::<4>()
                .0
                .get(place)
                .map_or(u32::MAX, |octets| u32::from_le_bytes(*octets))
        };
        rows.binary_search_by_key(&slot, |row| field(row, 0))
            .ok()
            .and_then(|place| rows.get(place))
            .map_or(u32::MAX, |row| field(row, 1))
    }

    /// Looks the keyed hashes of all suffixes up. The hash is over text, in which a name with other octets than those
    /// of host names has no form; such a label ends the walk.
    fn hashed_matches(&self, name: NameRef<'_>, matches: &mut Matches) {
        let mut text = Canonical::new();
        let Some(starts) = text.write(name) else { return };
        let mut last: Option<(&HashKey, usize, [u8; 16])> = None;
        for (list, key) in &self.hashed {
            for (depth, start) in (1..).zip(starts.iter().rev()) {
                let Some(suffix) = text.suffix(*start) else { break };
                let digest = match last {
                    Some((last, at, digest)) if last == key && at == depth => digest,
                    _ => key.digest(suffix),
                };
                last = Some((key, depth, digest));
                let key = self.hasher.digest(*list, &digest);
                if filter::contains(&self.filter, key)
                    && let Some(found) = self.table().get(key)
                {
                    matches.push(self.matched(found, depth, Some(*list)));
                }
            }
        }
    }

    /// The entries of a set.
    pub(super) fn set(&self, set: u32) -> impl Iterator<Item = Entry> + '_ {
        numbered(&self.sets, set, 4)
            .unwrap_or_default()
            .as_chunks::<4>()
            .0
            .iter()
            .filter_map(|number| {
                let number = u32::from_le_bytes(*number) as usize;
                Entry::read(*self.entries.as_chunks::<ENTRY>().0.get(number)?)
            })
    }

    /// The groups whose lists block or allow with this set.
    pub fn tags_of(&self, set: u32) -> impl Iterator<Item = TagId> + '_ {
        self.set(set)
            .filter(|entry| entry.scope != Scope::NonTerminal)
            .filter_map(|entry| self.meta.lists.get(usize::from(entry.list)))
            .map(|list| list.tag)
    }

    fn action(&self, number: u32) -> Option<Box<Action>> {
        if number == Action::PLAIN {
            return None;
        }
        let octets = numbered(&self.actions, number, 1).unwrap_or_default();
        // What cannot be read blocks: never let a name through because a file is damaged.
        let action = postcard::from_bytes(octets).unwrap_or_else(|_| Action::plain());
        Some(Box::new(action))
    }
}

/// The octets of list number `number` among lists as [`super::layout::offsets`] writes them, of values of `size`.
fn numbered(octets: &[u8], number: u32, size: usize) -> Option<&[u8]> {
    let field = |at: usize| {
        let octets = octets.get(at.checked_mul(4)?..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*octets)).ok()
    };
    let (count, number) = (field(0)?, usize::try_from(number).ok()?);
    if number >= count {
        return None;
    }
    let values = octets.get(count.checked_add(2)?.checked_mul(4)?..)?;
    let from = field(number.checked_add(1)?)?.checked_mul(size)?;
    let until = field(number.checked_add(2)?)?.checked_mul(size)?;
    values.get(from..until)
}

/// A name as text on the stack: lower-case labels with dots between them.
struct Canonical {
    octets: [u8; MAX_WIRE],
    length: usize,
}

impl Canonical {
    fn new() -> Self {
        Self {
            octets: [0; MAX_WIRE],
            length: 0,
        }
    }

    /// Writes a name; gives where each of its labels starts, without those up to the last one that no host name has.
    fn write(&mut self, name: NameRef<'_>) -> Option<SmallVec<[u8; 16]>> {
        let mut starts: SmallVec<[u8; 16]> = SmallVec::new();
        for label in name.labels() {
            if self.length > 0 {
                *self.octets.get_mut(self.length)? = b'.';
                self.length += 1;
            }
            let usual = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
            starts.push(u8::try_from(self.length).ok()?);
            if !label.iter().all(usual) {
                starts.clear();
            }
            let end = self.length.checked_add(label.len())?;
            self.octets.get_mut(self.length..end)?.copy_from_slice(label);
            self.length = end;
        }
        Some(starts)
    }

    fn suffix(&self, start: u8) -> Option<&[u8]> {
        self.octets.get(usize::from(start)..self.length)
    }
}
