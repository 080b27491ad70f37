//! The compiler: from lists, read as streams, to an index file.
//!
//! ```text
//! lists ─▶ read ─▶ records of 20 octets, by upper bits of the key ─▶ sort ─▶ read again: what a parent covers
//!                  │                                                        │
//!                  └▶ gate, actions, regular expressions                    └▶ layout ─▶ file
//! ```
//!
//! Memory: 20 octets a rule, up to 2.5 for two filters, and a fixed part; never a list, never the finished index.
//! Lists are read twice where they have rules for whole domains, because then a rule below another one of the same
//! category is left out, and the names to see that with are not kept. The same lists in the same order with the same
//! seed and time give the same octets, with any number of threads.

mod redundant;

use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use regex::bytes::RegexBuilder;

use super::file::{self, Section};
use super::filter::Filter;
use super::key::{Hasher, Key, Labels, Seed};
use super::layout::{self, Context, Layout, Plan};
use super::records::{Record, Records};
use super::sets::{Action, Entry, MAX_ACTIONS, Numbered, Scope};
use super::{
    FileError, Index, IndexError, Lines, ListFacts, ListInfo, Meta, REGEX_LIMIT, RegexRule, Tag, TagId,
    TagKind, lines,
};
use crate::address::is_address;
use crate::name::NameRef;
use crate::read::hashed::HashKey;
use crate::read::report::{Report, Visitor};
use crate::read::{self, Format, ListError};
use crate::rule::{Located, Pattern, Rule};

/// Bits of the gate for each expected rule, while it is filled.
const GATE_BITS: u64 = 10;
/// Most bits of the gate for each of its names, in the file.
const GATE_KEPT: f64 = 12.0;
/// Octets of a list's file for each rule that is expected in it.
const LINE: u64 = 16;
/// Most octets that the regular expressions of all lists may have as text.
const REGEX_TEXT: usize = 4 << 20;

/// Where a list can be read from, more than once.
pub trait Source: Send + Sync {
    /// Starts to read at the beginning.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl Source for Arc<[u8]> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.as_ref()))
    }
}

/// How to read a source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Its format.
    pub format: Format,
    /// Whether a bare name means all names below it too; see [`crate::read::stream`].
    pub subdomains: Option<bool>,
}

/// What became of one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListStats {
    /// Rules of the list that are in the index.
    pub kept: u64,
    /// Rules that say what an earlier one of the same list said.
    pub duplicates: u64,
    /// Rules that a parent's rule of the same category makes unnecessary.
    pub redundant: u64,
}

/// What was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Each list, in the order in which they were added.
    pub lists: Vec<ListStats>,
    /// Rules in the index, those of all lists together.
    pub rules: u64,
    /// Different names in it.
    pub names: u64,
    /// Octets of the index file.
    pub octets: u64,
}

struct List {
    info: ListInfo,
    zone: bool,
    /// Taken back, because it could not be read to its end.
    dead: bool,
    hash: Option<HashKey>,
    source: Option<(Box<dyn Source>, Reading)>,
}

/// Collects lists.
pub struct Compiler {
    seed: Seed,
    hasher: Hasher,
    tags: Vec<Tag>,
    lists: Vec<List>,
    records: Records,
    gate: Filter,
    /// Names whose rules cover all names below them; made when the first one comes.
    parents: Option<Filter>,
    expected: u64,
    entries: Numbered<Entry>,
    last_entry: Option<(Entry, u32)>,
    actions: Numbered<Action>,
    regexes: Vec<RegexRule>,
    regex_text: usize,
    refused: Vec<(String, u32)>,
    /// Bit 0: the root has rules, bit 1: top-level domains have.
    shallow: u32,
    /// Parents of an RPZ list's names that were seen last, so that `com` is not noted a million times.
    non_terminals: Vec<Option<(u16, Key)>>,
    overflow: Option<IndexError>,
}

impl Compiler {
    /// Starts an index with this seed. `octets`: length of all lists to come; a good guess keeps the gate small.
    pub fn new(seed: Seed, octets: u64) -> Self {
        let expected = octets / LINE + 64;
        Self {
            hasher: Hasher::new(&seed),
            seed,
            tags: Vec::new(),
            lists: Vec::new(),
            records: Records::new(),
            gate: Filter::new(expected, GATE_BITS),
            parents: None,
            expected,
            entries: Numbered::new([]),
            last_entry: None,
            actions: Numbered::new([Action::plain()]),
            regexes: Vec::new(),
            regex_text: 0,
            refused: Vec::new(),
            shallow: 0,
            non_terminals: Vec::new(),
            overflow: None,
        }
    }

    /// The group with this kind and identifier, made if it is new.
    pub fn tag(&mut self, kind: TagKind, id: &str) -> Result<TagId, IndexError> {
        let place = if let Some(place) = self.tags.iter().position(|tag| tag.kind == kind && tag.id == id) {
            place
        } else {
            self.tags.push(Tag {
                id: id.to_owned(),
                kind,
            });
            self.tags.len() - 1
        };
        u8::try_from(place)
            .map(TagId)
            .map_err(|_| IndexError::TooManyTags)
    }

    /// Adds a list whose rules are at hand. `hash_key`: that of a hashed list.
    pub fn add(
        &mut self,
        info: ListInfo,
        hash_key: Option<HashKey>,
        rules: impl IntoIterator<Item = Located>,
    ) {
        let Some(list) = self.list(info) else { return };
        self.set_hash_key(list, hash_key);
        for Located { rule, line } in rules {
            self.rule(list, line, rule, false);
        }
    }

    /// Reads a list. On an error nothing of it stays in the index, and the caller may read another version of it.
    pub fn read(
        &mut self,
        mut info: ListInfo,
        source: impl Source + 'static,
        reading: Reading,
    ) -> Result<(Format, Report), ListError> {
        info.format = reading.format;
        let Some(list) = self.list(info) else {
            return Ok((reading.format, Report::default())); // finishing tells
        };
        let regexes = self.regexes.len();
        let mut visitor = Adding { compiler: self, list };
        let outcome = source
            .open()
            .map_err(ListError::from)
            .and_then(|input| read::stream(input, reading.format, reading.subdomains, &mut visitor));
        match outcome {
            Ok(summary) => {
                self.set_hash_key(list, summary.hash_key);
                if let Some(list) = self.lists.get_mut(usize::from(list)) {
                    let reading = Reading {
                        format: summary.format,
                        ..reading
                    };
                    list.source = Some((Box::new(source), reading));
                }
                Ok((summary.format, summary.report))
            }
            Err(error) => {
                self.regexes.truncate(regexes);
                self.discard(list);
                Err(error)
            }
        }
    }

    /// Takes the list that was added last back out.
    pub fn discard_last(&mut self) {
        if let Some(last) = self
            .lists
            .len()
            .checked_sub(1)
            .and_then(|last| u16::try_from(last).ok())
        {
            self.regexes.retain(|rule| rule.list != last);
            self.discard(last);
        }
    }

    fn discard(&mut self, list: u16) {
        if let Some(list) = self.lists.get_mut(usize::from(list)) {
            list.dead = true;
            list.source = None;
        }
    }

    fn list(&mut self, info: ListInfo) -> Option<u16> {
        let Ok(list) = u16::try_from(self.lists.len()) else {
            self.overflow = Some(IndexError::TooManyLists);
            return None;
        };
        self.lists.push(List {
            zone: info.format == Format::Rpz,
            info,
            dead: false,
            hash: None,
            source: None,
        });
        Some(list)
    }

    fn set_hash_key(&mut self, list: u16, key: Option<HashKey>) {
        if let Some(list) = self.lists.get_mut(usize::from(list)) {
            list.hash = key;
        }
    }

    /// Rules whose regular expression is refused: list and line.
    pub fn refused(&self) -> &[(String, u32)] {
        &self.refused
    }

    /// Rules that came in so far, duplicates included.
    pub fn len(&self) -> usize {
        self.records.len() + self.regexes.len()
    }

    /// Lists that came in so far, those taken back included: the place of the next one in [`Stats::lists`].
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    /// Whether no rule came in so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn rule(&mut self, list: u16, line: u32, rule: Rule, void: bool) {
        let (scope, name) = match &rule.pattern {
            Pattern::Regex(_) => return self.regex(list, line, rule, void),
            Pattern::Hashed { digest, exact } => {
                let key = self.hasher.digest(list, digest);
                let scope = if *exact { Scope::Exact } else { Scope::Suffix };
                return self.keyed(list, line, scope, key, &rule, void);
            }
            Pattern::Exact(name) => (Scope::Exact, name.as_ref()),
            Pattern::Suffix(name) => (Scope::Suffix, name.as_ref()),
            Pattern::Below(name) => (Scope::Below, name.as_ref()),
        };
        let (key, second, labels) = self.hasher.name(name);
        match second {
            Some(second) => self.gate.insert(second),
            None => self.shallow |= 1 << labels.min(1),
        }
        let zone = self.lists.get(usize::from(list)).is_some_and(|list| list.zone);
        if !zone && !void && matches!(scope, Scope::Suffix | Scope::Below) && Action::is_plain(&rule) {
            let expected = self.expected;
            self.parents
                .get_or_insert_with(|| Filter::new(expected, 8))
                .insert(key);
        }
        if zone {
            self.non_terminals(list, line, name);
        }
        self.keyed(list, line, scope, key, &rule, void);
    }

    fn keyed(&mut self, list: u16, line: u32, scope: Scope, key: Key, rule: &Rule, void: bool) {
        let action = if Action::is_plain(rule) {
            Action::PLAIN
        } else if self.actions.all.len() < MAX_ACTIONS {
            self.actions.number(Action {
                effect: rule.effect.clone(),
                important: rule.important,
                types: rule.types.clone(),
                except: rule.except.clone(),
            })
        } else {
            self.overflow = Some(IndexError::TooManyActions);
            return;
        };
        let entry = self.entry(Entry {
            list,
            scope,
            void,
            action,
        });
        self.records.push(Record::new(key, entry, line));
    }

    fn entry(&mut self, entry: Entry) -> u32 {
        match self.last_entry {
            Some((last, number)) if last == entry => number,
            _ => {
                let number = self.entries.number(entry);
                self.last_entry = Some((entry, number));
                number
            }
        }
    }

    /// Notes the names above an RPZ owner name, which exist because it does.
    fn non_terminals(&mut self, list: u16, line: u32, name: NameRef<'_>) {
        const SEEN: usize = 1 << 14;
        if is_address(name) {
            return; // a network is no encloser of its neighbours
        }
        self.non_terminals.resize(SEEN, None);
        let labels = Labels::of(name);
        let mut state = Hasher::start();
        for depth in 1..labels.count {
            let (start, end) = labels.at(depth);
            state = self.hasher.label(state, name.wire(), start, end);
            let key = self.hasher.key(state);
            let place = usize::try_from(key.fingerprint).unwrap_or(0) % SEEN;
            if let Some(seen) = self.non_terminals.get_mut(place) {
                if *seen == Some((list, key)) {
                    continue;
                }
                *seen = Some((list, key));
            }
            if depth == 1 {
                self.shallow |= 2;
            }
            let entry = self.entry(Entry {
                list,
                scope: Scope::NonTerminal,
                void: false,
                action: Action::PLAIN,
            });
            self.records.push(Record::new(key, entry, line));
        }
    }

    fn regex(&mut self, list: u16, line: u32, rule: Rule, void: bool) {
        let Pattern::Regex(regex) = &rule.pattern else {
            return;
        };
        if void {
            // Stands for itself until the list is complete.
            return self.regexes.push(RegexRule { line: 0, rule, list });
        }
        // Its reader has compiled it before; a rule made elsewhere may still be too large.
        let compiles = RegexBuilder::new(regex)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(REGEX_LIMIT)
            .build()
            .is_ok();
        if compiles && self.regex_text + regex.len() <= REGEX_TEXT {
            self.regex_text += regex.len();
            self.regexes.push(RegexRule { line, rule, list });
        } else if let Some(list) = self.lists.get(usize::from(list)) {
            self.refused.push((list.info.id.clone(), line));
        }
    }

    /// Takes void and repeated regular expressions out; what is void has line 0.
    fn settle_regexes(&mut self) {
        let void: Vec<(u16, Rule)> = self
            .regexes
            .iter()
            .filter(|rule| rule.line == 0)
            .map(|rule| (rule.list, rule.rule.clone()))
            .collect();
        let mut seen = std::collections::HashSet::new();
        self.regexes.retain(|rule| {
            let this = (rule.list, rule.rule.clone());
            rule.line != 0 && !void.contains(&this) && seen.insert(this)
        });
    }

    /// Writes the index to `out` and the way back to the lines to `lines_out`. `built_at`: seconds since 1970, for
    /// the header; `threads`: 1 or 2.
    pub fn finish(
        mut self,
        built_at: i64,
        threads: usize,
        out: impl Write + Seek,
        lines_out: impl Write + Seek,
    ) -> Result<Stats, IndexError> {
        if let Some(error) = self.overflow {
            return Err(error);
        }
        self.settle_regexes();
        let records = std::mem::replace(&mut self.records, Records::new());
        let mut groups = records.into_groups();
        layout::sort(&mut groups, threads);
        let redundant = self.mark_redundant(&mut groups);
        drop(self.parents.take());
        self.gate.fold(GATE_KEPT);
        let dead: Vec<bool> = self.lists.iter().map(|list| list.dead).collect();
        let context = Context {
            entries: &self.entries.all,
            dead: &dead,
        };
        let plan = layout::plan(&groups, &context, threads);
        let stats = self.stats(&plan, &redundant);
        let mut file = file::Writer::new(out)?;
        let mut lines = lines::Writer::new(lines_out)?;
        let layout = layout::write(&groups, &context, &plan, threads, &mut file, &mut lines)?;
        drop(groups);
        let rules = stats.iter().map(|list| list.kept).sum();
        self.write_rest(&mut file, &plan, &layout)?;
        let meta = self.meta(built_at, rules, plan.names, &stats);
        file.section(
            Section::Meta,
            &postcard::to_stdvec(&meta).map_err(io::Error::other)?,
        )?;
        let (octets, identity) = file.finish(&self.seed, plan.partitions, self.shallow)?;
        lines.finish(&layout.rows, identity)?;
        Ok(Stats {
            lists: stats,
            rules,
            names: plan.names,
            octets,
        })
    }

    fn stats(&self, plan: &Plan, redundant: &[u64]) -> Vec<ListStats> {
        let mut stats: Vec<ListStats> = plan
            .lists
            .iter()
            .zip(redundant)
            .map(|(counts, &redundant)| ListStats {
                kept: counts.kept,
                duplicates: counts.duplicates,
                redundant,
            })
            .collect();
        for rule in &self.regexes {
            if let Some(stats) = stats.get_mut(usize::from(rule.list)) {
                stats.kept += 1;
            }
        }
        stats
    }

    /// Writes the sections between the buckets and what the file says about itself.
    fn write_rest<W: Write + Seek>(
        &self,
        file: &mut file::Writer<W>,
        plan: &Plan,
        layout: &Layout,
    ) -> io::Result<()> {
        file.section(Section::Directory, &layout.directory)?;
        for (section, filter) in [(Section::Gate, &self.gate), (Section::Filter, &layout.filter)] {
            file.start(section);
            for octets in filter.octets() {
                file.write(&octets)?;
            }
            file.end()?;
        }
        file.section(Section::Wide, &layout.wide)?;
        let sets = layout::offsets(&plan.sets.all, |entry| entry.to_le_bytes());
        file.section(Section::Sets, &sets)?;
        let entries: Vec<u8> = self.entries.all.iter().flat_map(|entry| entry.octets()).collect();
        file.section(Section::Entries, &entries)?;
        let actions = self
            .actions
            .all
            .iter()
            .map(postcard::to_stdvec)
            .collect::<Result<Vec<Vec<u8>>, _>>()
            .map_err(io::Error::other)?;
        file.section(Section::Actions, &layout::offsets(&actions, |octet| [*octet]))
    }

    /// Compiles into memory: for small lists and for tests.
    pub fn into_index(self, threads: usize) -> Result<(Index, Lines), IndexError> {
        let (mut index, mut lines) = (io::Cursor::new(Vec::new()), io::Cursor::new(Vec::new()));
        self.finish(0, threads, &mut index, &mut lines)?;
        let broken = |error: FileError| IndexError::Io(io::Error::other(error));
        let index = Index::open(index.into_inner()).map_err(broken)?;
        index.verify().map_err(broken)?;
        let lines = Lines::open(&lines.into_inner().into()).map_err(broken)?;
        Ok((index, lines))
    }

    fn meta(&self, built_at: i64, rules: u64, names: u64, stats: &[ListStats]) -> Meta {
        let facts = self.lists.iter().zip(stats).map(|(list, stats)| ListFacts {
            rules: stats.kept,
            hash_key: list.hash,
        });
        Meta {
            tags: self.tags.clone(),
            lists: self.lists.iter().map(|list| list.info.clone()).collect(),
            facts: facts.collect(),
            regexes: self.regexes.clone(),
            built_at,
            rules,
            names,
        }
    }
}

/// Puts the rules of a list that is being read into the compiler.
struct Adding<'c> {
    compiler: &'c mut Compiler,
    list: u16,
}

impl Visitor for Adding<'_> {
    fn start(&mut self, format: Format) {
        if let Some(list) = self.compiler.lists.get_mut(usize::from(self.list)) {
            list.info.format = format;
            list.zone = format == Format::Rpz;
        }
    }

    fn rule(&mut self, line: u32, rule: Rule) {
        self.compiler.rule(self.list, line, rule, false);
    }

    fn void(&mut self, rule: Rule) {
        self.compiler.rule(self.list, 0, rule, true);
    }
}
