//! The query log read from its end: a page costs as much as it shows, however much there is.
//!
//! A place in the log is a file, a block of it and a record of that: it stays what it is while the log grows, so that the next
//! page begins exactly where the last ended. Blocks are found by their heads alone; only those are unpacked that are looked
//! through, and a search that finds little stops after some blocks and says where to go on.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use super::record::{self, Raw, Record};
use super::segment::{self, Head};

/// Blocks that one page looks through.
const PATIENCE: usize = 256;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the file began, milliseconds since 1970: its name.
    file: u64,
    /// The block's number in its file.
    block: u32,
    /// The record's number in its block, by time.
    row: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}-{}", self.file, self.block, self.row)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is no place in the log; take `next` of the page before";
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(wrong);
        let place = Self {
            file: part()?.parse().map_err(|_| wrong)?,
            block: part()?.parse().map_err(|_| wrong)?,
            row: part()?.parse().map_err(|_| wrong)?,
        };
        parts.next().is_none().then_some(place).ok_or(wrong)
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Only what lies before this place.
    pub from: Option<Place>,
    /// Only what was asked at this time or later, milliseconds since 1970.
    pub since_ms: u64,
    /// Only what was asked before this time.
    pub before_ms: u64,
    /// How many records.
    pub limit: usize,
}

/// Part of the log, the newest first.
#[derive(Debug, Default)]
pub struct Page {
    /// The records, each with its place.
    pub records: Vec<(Place, Record)>,
    /// Where to go on, if there may be more.
    pub next: Option<Place>,
    /// How far back was looked, milliseconds since 1970; 0 where nothing was.
    pub back_to_ms: u64,
}

/// A page of those records that are `wanted`.
pub fn page(folder: &Path, span: Span, wanted: impl Fn(&Raw<'_>) -> bool) -> io::Result<Page> {
    let mut search = Search {
        span,
        wanted,
        page: Page::default(),
        patience: PATIENCE,
    };
    let mut newer_began = u64::MAX;
    for (began, path) in segment::files(folder)?.into_iter().rev() {
        // A file ends where the next begins.
        if newer_began < span.since_ms {
            break;
        }
        newer_began = began;
        let behind = span.from.is_some_and(|from| began > from.file);
        if behind || began >= span.before_ms {
            continue;
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // cleared meanwhile
            Err(error) => return Err(error),
        };
        if search.file(began, file)? {
            break;
        }
    }
    Ok(search.page)
}

struct Search<W> {
    span: Span,
    wanted: W,
    page: Page,
    patience: usize,
}

impl<W: Fn(&Raw<'_>) -> bool> Search<W> {
    /// Looks through a file from its end; whether the page is full or ends here.
    fn file(&mut self, began: u64, mut file: File) -> io::Result<bool> {
        let (heads, version) = heads(&mut file)?;
        let mut last = heads.len();
        let from = self.span.from.filter(|from| from.file == began);
        if let Some(from) = from {
            last = last.min(
                usize::try_from(from.block)
                    .unwrap_or(usize::MAX)
                    .saturating_add(1),
            );
        }
        last = self.until(&mut file, heads.get(..last).unwrap_or(&heads), version)?;
        for (number, head) in heads.iter().enumerate().take(last).rev() {
            let block = u32::try_from(number).unwrap_or(u32::MAX);
            if self.patience == 0 {
                let row = u32::MAX;
                self.page.next = Some(Place {
                    file: began,
                    block,
                    row,
                });
                return Ok(true);
            }
            self.patience -= 1;
            let Some(octets) = head.read(&mut file)? else {
                continue; // damaged: the others are not
            };
            let row = match from {
                Some(from) if from.block == block => from.row,
                _ => u32::MAX,
            };
            let first = Place {
                file: began,
                block,
                row,
            };
            if self.block(first, &octets, version) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many blocks to look through: those that begin before the time asked for.
    fn until(&self, file: &mut File, heads: &[Head], version: u32) -> io::Result<usize> {
        if self.span.before_ms == u64::MAX {
            return Ok(heads.len());
        }
        let (mut low, mut high) = (0, heads.len());
        while low < high {
            let middle = low.midpoint(high);
            let octets = match heads.get(middle) {
                Some(head) => head.read(file)?.unwrap_or_default(),
                None => Vec::new(),
            };
            let begins = record::raws(&octets, version).next().map_or(0, |raw| raw.at_ms);
            if begins < self.span.before_ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((low + 1).min(heads.len())) // blocks overlap a little
    }

    /// Takes what is wanted of a block, before `first`; whether the page is full or ends here.
    fn block(&mut self, first: Place, octets: &[u8], version: u32) -> bool {
        let Span {
            since_ms,
            before_ms,
            limit,
            ..
        } = self.span;
        let mut raws: Vec<Raw<'_>> = record::raws(octets, version).collect();
        raws.sort_by_key(|raw| raw.at_ms); // workers hand over in turn
        let newest = raws.last().map_or(0, |raw| raw.at_ms);
        if let Some(oldest) = raws.first() {
            self.page.back_to_ms = oldest.at_ms;
        }
        for (row, raw) in raws.iter().enumerate().rev() {
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            let inside = row < first.row && (since_ms..before_ms).contains(&raw.at_ms);
            if !inside || !(self.wanted)(raw) {
                continue;
            }
            let place = Place { row, ..first };
            if let Some(record) = raw.record() {
                self.page.records.push((place, record));
            }
            if self.page.records.len() >= limit {
                self.page.next = Some(place);
                return true;
            }
        }
        newest < since_ms // and all before it are older still
    }
}

/// The heads of a file's whole blocks, and its version.
fn heads(file: &mut File) -> io::Result<(Vec<Head>, u32)> {
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    file.by_ref().take(segment::START).read_to_end(&mut start)?;
    let Some(version) = segment::version(&start) else {
        return Ok((Vec::new(), 0));
    };
    let mut heads = Vec::new();
    let mut at = segment::START;
    loop {
        let mut octets = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        file.by_ref().take(segment::HEAD).read_to_end(&mut octets)?;
        let Some(head) = Head::parse(&octets, at) else {
            return Ok((heads, version));
        };
        at = head.end();
        if at > length {
            return Ok((heads, version)); // torn
        }
        heads.push(head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isigurt_blocklists::name::Name;
    use isigurt_core::step::Kind;

    fn block(rows: &[(u64, &str)]) -> Vec<u8> {
        let mut octets = Vec::new();
        for (at_ms, name) in rows {
            octets.extend(record::marker(*at_ms));
            let mut question = Name::parse(name).unwrap().as_ref().wire().to_vec();
            question.extend([0, 1, 0, 1]);
            let parts = record::Parts {
                kind: Kind::Forwarded,
                client: None,
                device: "",
                profile: "child",
                reason: "",
                question: &question,
            };
            record::write(&mut octets, &parts);
        }
        octets
    }

    /// Three files of blocks of ten, a record a millisecond from 1,000 on; within a block the order is another.
    fn log() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..3 {
            let mut writer = segment::Writer::new(folder.path().to_owned(), u64::from(u32::MAX), 1 << 30);
            for part in 0..4 {
                let begins = 1_000 + file * 40 + part * 10;
                let mut rows: Vec<(u64, String)> = (begins..begins + 10)
                    .map(|at| (at, format!("n{at}.example")))
                    .collect();
                rows.rotate_left(3);
                let rows: Vec<(u64, &str)> = rows.iter().map(|(at, name)| (*at, name.as_str())).collect();
                writer.append(&block(&rows), begins).unwrap();
            }
        }
        folder
    }

    fn all() -> Span {
        Span {
            from: None,
            since_ms: 0,
            before_ms: u64::MAX,
            limit: 7,
        }
    }

    fn names(page: &Page) -> Vec<&str> {
        page.records
            .iter()
            .map(|(_, record)| record.name.as_str())
            .collect()
    }

    #[test]
    fn pages_follow_each_other_from_the_newest_to_the_oldest_without_gap_or_repetition() {
        let folder = log();
        let mut span = all();
        let mut seen = Vec::new();
        loop {
            let page = page(folder.path(), span, |_| true).unwrap();
            seen.extend(page.records.iter().map(|(_, record)| record.at_ms));
            span.from = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let expected: Vec<u64> = (1_000..1_120).rev().collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_place_stays_while_the_log_grows() {
        let folder = log();
        let first = page(folder.path(), all(), |_| true).unwrap();
        let mut writer = segment::Writer::new(folder.path().to_owned(), u64::from(u32::MAX), 1 << 30);
        writer.append(&block(&[(2_000, "new.example")]), 2_000).unwrap();
        let span = Span {
            from: Some(first.next.unwrap().to_string().parse().unwrap()),
            ..all()
        };
        let second = page(folder.path(), span, |_| true).unwrap();
        assert_eq!(names(&second)[0], "n1112.example");
    }

    #[test]
    fn times_bound_what_is_found() {
        let folder = log();
        for (since_ms, before_ms) in [(1_037, 1_044), (1_000, 1_001), (1_119, 9_999), (1_050, 1_050)] {
            let span = Span {
                since_ms,
                before_ms,
                limit: 1_000,
                ..all()
            };
            let found = page(folder.path(), span, |_| true).unwrap();
            let found: Vec<u64> = found.records.iter().map(|(_, record)| record.at_ms).collect();
            let expected: Vec<u64> = (since_ms..before_ms.min(1_120)).rev().collect();
            assert_eq!(found, expected, "{since_ms} to {before_ms}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_passed_over_and_a_damaged_block_hides_no_other() {
        let folder = log();
        let ones = |raw: &Raw<'_>| raw.at_ms.is_multiple_of(40);
        let found = page(folder.path(), all(), ones).unwrap();
        assert_eq!(names(&found), ["n1080.example", "n1040.example", "n1000.example"]);
        assert_eq!((found.next, found.back_to_ms), (None, 1_000));
        let (_, path) = segment::files(folder.path()).unwrap().remove(1);
        let mut octets = std::fs::read(&path).unwrap();
        octets[30] ^= 1; // in the first block
        std::fs::write(&path, octets).unwrap();
        let found = page(
            folder.path(),
            Span {
                limit: 1_000,
                ..all()
            },
            |_| true,
        )
        .unwrap();
        assert_eq!(found.records.len(), 110);
    }

    #[test]
    fn a_page_of_a_million_records_looks_at_little_more_than_it_shows() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = segment::Writer::new(folder.path().to_owned(), u64::MAX, 1 << 30);
        for part in 0..500_u64 {
            let rows: Vec<(u64, String)> = (0..2_000)
                .map(|row| (part * 2_000 + row, format!("n{row}.site{part}.example")))
                .collect();
            let rows: Vec<(u64, &str)> = rows.iter().map(|(at, name)| (*at, name.as_str())).collect();
            writer.append(&block(&rows), part * 2_000).unwrap();
        }
        let looked = std::cell::Cell::new(0);
        let any = |_: &Raw<'_>| {
            looked.set(looked.get() + 1);
            true
        };
        for (what, before_ms) in [("newest", u64::MAX), ("middle", 500_000)] {
            looked.set(0);
            let started = std::time::Instant::now();
            let span = Span {
                before_ms,
                limit: 100,
                ..all()
            };
            let found = page(folder.path(), span, any).unwrap();
            eprintln!("the {what} 100 of 1,000,000 records: {:?}", started.elapsed());
            assert_eq!((found.records.len(), looked.get()), (100, 100));
            assert_eq!(found.records[0].1.at_ms + 1, before_ms.min(1_000_000));
        }
        let started = std::time::Instant::now();
        let mut span = all();
        let mut pages = 0;
        loop {
            let found = page(folder.path(), span, |_| false).unwrap();
            pages += 1;
            span.from = found.next;
            if found.next.is_none() {
                break;
            }
        }
        eprintln!(
            "a search of all that finds nothing, in {pages} parts: {:?}",
            started.elapsed()
        );
        assert_eq!(pages, 2, "a search without end is cut into parts");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "1", "1-2", "1-2-3-4", "-1-2-3", "1-2-x", "1-2-4294967296"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
