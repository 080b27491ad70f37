//! From sorted records to slots: which entries stand at each name, how often each set of them occurs, where each name
//! lies. Groups of records are independent of each other, so two threads can work on them; what they give is put
//! together in order, so that it does not show how many there were.

use std::io::{self, Seek, Write};

use super::filter::Filter;
use super::key::Key;
use super::records::{Groups, Record};
use super::sets::{Entry, Scope, SetCounts, Sets, WIDE};
use super::table::{self, SLOTS};
use super::{IndexError, file, lines};

/// Bits of the filter for each name in it.
const FILTER_BITS: u64 = 8;

/// What is known about entries.
pub(super) struct Context<'c> {
    pub(super) entries: &'c [Entry],
    /// Lists that were taken back.
    pub(super) dead: &'c [bool],
}

/// Rules of one list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) kept: u64,
    pub(super) duplicates: u64,
}

/// What the whole table will look like.
pub(super) struct Plan {
    pub(super) sets: Sets,
    pub(super) lists: Vec<Counts>,
    /// Different names.
    pub(super) names: u64,
    pub(super) partitions: u32,
}

/// Applies `work` to every item, on two threads if there are two; results in order.
fn each<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
    mut take: impl FnMut(R),
) {
    let mut items = items.into_iter();
    while let Some(one) = items.next() {
        let other = if threads > 1 { items.next() } else { None };
        let Some(other) = other else {
            take(work(one));
            continue;
        };
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| work(other));
            (work(one), second.join())
        });
        take(first);
        match second {
            Ok(second) => take(second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

pub(super) fn sort(groups: &mut Groups, threads: usize) {
    each(groups.slices_mut(), threads, <[Record]>::sort_unstable, |()| {});
}

impl Context<'_> {
    fn entry(&self, record: &Record) -> Option<Entry> {
        self.entries.get(record.entry() as usize).copied()
    }

    fn is_dead(&self, list: u16) -> bool {
        self.dead.get(usize::from(list)).is_none_or(|dead| *dead)
    }

    /// The entries that the records of one name come to, with their lines, in the order of lists and lines.
    fn settle(&self, records: &[Record], counts: &mut [Counts], out: &mut Vec<(u32, u32)>) {
        out.clear();
        let mut duplicate = |list: u16| {
            if let Some(counts) = counts.get_mut(usize::from(list)) {
                counts.duplicates += 1;
            }
        };
        for (place, record) in records.iter().enumerate() {
            let Some(entry) = self.entry(record) else { continue };
            if record.is_redundant() || entry.void || self.is_dead(entry.list) {
                continue;
            }
            let others = records.len() > 1;
            if others {
                let same = |other: &Record| other.entry() == record.entry();
                // Equal entries lie together, their lowest line first.
                if place > 0 && records.get(place - 1).is_some_and(same) {
                    if entry.scope != Scope::NonTerminal {
                        duplicate(entry.list);
                    }
                    continue;
                }
                let of_list = || records.iter().filter_map(|other| self.entry(other));
                let void = of_list().any(|other| other.void && Entry { void: false, ..other } == entry);
                let needless = entry.scope == Scope::NonTerminal
                    && of_list().any(|other| other.list == entry.list && other.scope != Scope::NonTerminal);
                if void || needless {
                    continue;
                }
            }
            out.push((record.entry(), record.line));
        }
        if out.len() > 1 {
            out.sort_by_key(|&(entry, line)| {
                let list = self.entries.get(entry as usize).map(|entry| entry.list);
                (list, line)
            });
        }
    }
}

/// Counts names and sets.
pub(super) fn plan(groups: &Groups, context: &Context<'_>, threads: usize) -> Plan {
    struct Part {
        sets: SetCounts,
        lists: Vec<Counts>,
        names: u64,
    }
    let empty = || Part {
        sets: SetCounts::default(),
        lists: vec![Counts::default(); context.dead.len()],
        names: 0,
    };
    let count = |group: &[Record]| {
        let mut part = empty();
        let (mut settled, mut set) = (Vec::new(), Vec::new());
        for records in group.chunk_by(|one, other| one.key() == other.key()) {
            context.settle(records, &mut part.lists, &mut settled);
            if settled.is_empty() {
                continue;
            }
            set.clear();
            set.extend(settled.iter().map(|&(entry, _)| entry));
            part.sets.count(&set);
            part.names += 1;
            for entry in set
                .iter()
                .filter_map(|&entry| context.entries.get(entry as usize))
            {
                if entry.scope != Scope::NonTerminal
                    && let Some(counts) = part.lists.get_mut(usize::from(entry.list))
                {
                    counts.kept += 1;
                }
            }
        }
        part
    };
    let mut all = empty();
    each(groups.slices(), threads, count, |part: Part| {
        all.sets.merge(part.sets);
        all.names += part.names;
        for (counts, more) in all.lists.iter_mut().zip(part.lists) {
            counts.kept += more.kept;
            counts.duplicates += more.duplicates;
        }
    });
    // As many partitions in each group, so that none lies in two.
    let per_group = table::partitions(all.names.div_ceil(groups.len().max(1) as u64));
    Plan {
        partitions: per_group * u32::try_from(groups.len().max(1)).unwrap_or(1),
        sets: all.sets.rank(),
        lists: all.lists,
        names: all.names,
    }
}

/// The parts of the file that are known when all buckets are written.
pub(super) struct Layout {
    pub(super) directory: Vec<u8>,
    pub(super) filter: Filter,
    /// Slot and set of those whose set does not fit an octet.
    pub(super) wide: Vec<u8>,
    /// Lines of further entries.
    pub(super) rows: lines::Rows,
}

/// One group laid out; slots count from its first.
#[derive(Default)]
struct Part {
    buckets: Vec<u8>,
    lines: Vec<u8>,
    /// Buckets of each partition.
    partitions: Vec<u32>,
    keys: Vec<Key>,
    wide: Vec<(u32, u32)>,
    rows: Vec<(u32, u32, u32)>,
}

/// One name of a partition.
struct Named {
    key: Key,
    set: u32,
    line: u32,
    /// Lines of further entries, in [`Part`]'s pool.
    more: std::ops::Range<usize>,
}

/// Lays all groups out and writes their buckets and lines.
pub(super) fn write<W: Write + Seek, L: Write + Seek>(
    groups: &Groups,
    context: &Context<'_>,
    plan: &Plan,
    threads: usize,
    file: &mut file::Writer<W>,
    lines: &mut lines::Writer<L>,
) -> Result<Layout, IndexError> {
    let mut layout = Layout {
        directory: 0_u32.to_le_bytes().to_vec(),
        filter: Filter::new(plan.names, FILTER_BITS),
        wide: Vec::new(),
        rows: lines::Rows::default(),
    };
    let per_group = plan.partitions / u32::try_from(groups.len().max(1)).unwrap_or(1);
    let numbered: Vec<(u32, &[Record])> = (0..).step_by(per_group as usize).zip(groups.slices()).collect();
    let (mut buckets, mut failed) = (0_u32, None);
    file.start(file::Section::Buckets);
    let place = |(first, group): (u32, &[Record])| lay_out(group, context, plan, first, per_group);
    each(numbered, threads, place, |part| {
        for key in &part.keys {
            layout.filter.insert(*key);
        }
        let slots = buckets.wrapping_mul(table::SLOTS_U32);
        for count in &part.partitions {
            buckets = buckets.wrapping_add(*count);
            layout.directory.extend_from_slice(&buckets.to_le_bytes());
        }
        for (slot, set) in part.wide {
            layout.wide.extend_from_slice(&(slots + slot).to_le_bytes());
            layout.wide.extend_from_slice(&set.to_le_bytes());
        }
        for (slot, entry, line) in part.rows {
            layout.rows.push(slots + slot, entry, line);
        }
        let written = file.write(&part.buckets).and_then(|()| lines.slots(&part.lines));
        failed = failed.take().or(written.err());
    });
    file.end()?;
    failed.map_or(Ok(layout), |error: io::Error| Err(error.into()))
}

fn lay_out(group: &[Record], context: &Context<'_>, plan: &Plan, first: u32, partitions: u32) -> Part {
    let mut part = Part::default();
    let mut counts = vec![Counts::default(); context.dead.len()];
    let (mut settled, mut set) = (Vec::new(), Vec::new());
    let mut names = group.chunk_by(|one, other| one.key() == other.key()).peekable();
    for number in first..first.saturating_add(partitions) {
        let (mut named, mut more): (Vec<Named>, Vec<u32>) = (Vec::new(), Vec::new());
        while let Some(records) = names.next_if(|records| {
            let key = records.first().map(Record::key);
            key.is_some_and(|key| table::partition(key.position, plan.partitions).0 == number)
        }) {
            context.settle(records, &mut counts, &mut settled);
            let (Some(&(_, line)), Some(record)) = (settled.first(), records.first()) else {
                continue;
            };
            set.clear();
            set.extend(settled.iter().map(|&(entry, _)| entry));
            let from = more.len();
            more.extend(settled.iter().skip(1).map(|&(_, line)| line));
            named.push(Named {
                key: record.key(),
                set: plan.sets.number(&set),
                line,
                more: from..more.len(),
            });
        }
        part.partition(plan, &named, &more);
    }
    part
}

impl Part {
    fn partition(&mut self, plan: &Plan, named: &[Named], more: &[u32]) {
        let keys: Vec<Key> = named.iter().map(|name| name.key).collect();
        let placed = table::place(&keys, plan.partitions);
        self.partitions
            .push(u32::try_from(placed.len()).unwrap_or(u32::MAX));
        for bucket in placed {
            let first = u32::try_from(self.lines.len() / 4).unwrap_or(u32::MAX);
            let mut slots = Vec::with_capacity(SLOTS);
            for (place, slot) in bucket.into_iter().zip(first..) {
                let Some(name) = named.get(place as usize) else {
                    continue;
                };
                let set = u8::try_from(name.set).unwrap_or(WIDE);
                if set == WIDE {
                    self.wide.push((slot, name.set));
                }
                self.keys.push(name.key);
                slots.push((name.key.fingerprint, set));
                self.lines.extend_from_slice(&name.line.to_le_bytes());
                let lines = more.get(name.more.clone()).unwrap_or_default();
                for (entry, &line) in (1..).zip(lines) {
                    if name.line.checked_add(entry) != Some(line) {
                        self.rows.push((slot, entry, line));
                    }
                }
            }
            self.lines.resize(self.lines.len() + (SLOTS - slots.len()) * 4, 0);
            self.buckets.extend_from_slice(&table::octets(&slots));
        }
    }
}

/// Lists of values, each found by its number: how many lists (u32), where each begins and where the last one ends
/// (u32, in values), then the values.
pub(super) fn offsets<T, const N: usize>(
    lists: &[impl AsRef<[T]>],
    octets: impl Fn(&T) -> [u8; N],
) -> Vec<u8> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(lists.len()).to_vec();
    let mut end = 0;
    out.extend_from_slice(&number(end));
    for list in lists {
        end += list.as_ref().len();
        out.extend_from_slice(&number(end));
    }
    for value in lists.iter().flat_map(AsRef::as_ref) {
        out.extend_from_slice(&octets(value));
    }
    out
}
