//! The counts on the disk: a file a day, to which differences are appended; a day that is over is written anew in one piece.
//!
//! A file starts with magic and version. A part: length and CRC-32 of its octets (4 octets each, little-endian), then these
//! (postcard, LZ4). A part that a power cut left torn ends its file, and is cut away before the next one is appended.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DayNumber;
use super::day::{Day, Part};

const MAGIC: &[u8; 8] = b"ISGTSTAT";
const VERSION: u32 = 1;
/// Octets in front of the first part.
const START: usize = 12;
/// No part is larger when it is unpacked, octets.
const LARGEST: usize = 64 << 20;

/// The files of a folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    keep_days: u64,
}

impl Files {
    pub(super) fn new(folder: PathBuf, keep: Duration) -> Self {
        Self {
            folder,
            keep_days: keep.as_secs().div_ceil(86_400),
        }
    }

    fn path(&self, day: DayNumber) -> PathBuf {
        self.folder.join(format!("{day:06}.day"))
    }

    /// The days that there are files of, in order.
    pub(super) fn days(&self) -> io::Result<Vec<DayNumber>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut days = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let day: Option<DayNumber> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            days.extend(day.filter(|_| path.extension().is_some_and(|end| end == "day")));
        }
        days.sort_unstable();
        Ok(days)
    }

    /// The counts of a day; what is damaged is left out.
    pub(super) fn read(&self, day: DayNumber) -> io::Result<Day> {
        let mut counts = Day::default();
        parts(&octets(&self.path(day))?, |part| counts.add(part));
        Ok(counts)
    }

    /// Appends what was counted.
    pub(super) fn append(&self, day: DayNumber, part: &Part) -> io::Result<()> {
        let path = self.path(day);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        let whole = parts(&octets(&path)?, |_| {});
        let mut out = if whole == 0 { start() } else { Vec::new() };
        out.extend_from_slice(&encode(part)?);
        file.set_len(whole as u64)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        file.write_all(&out)?;
        file.sync_data()
    }

    /// Writes a day that is over in one piece.
    pub(super) fn finish(&self, day: DayNumber) -> io::Result<()> {
        let path = self.path(day);
        let mut several = 0;
        parts(&octets(&path)?, |_| several += 1);
        if several < 2 {
            return Ok(());
        }
        let mut whole = start();
        whole.extend_from_slice(&encode(&self.read(day)?.whole())?);
        let next = path.with_extension("next");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(&whole)?;
        file.sync_all()?;
        std::fs::rename(next, path)
    }

    /// Removes days that are too old.
    pub(super) fn clear(&self, today: DayNumber) -> io::Result<()> {
        for day in self.days()? {
            if day + self.keep_days < today {
                std::fs::remove_file(self.path(day))?;
            }
        }
        Ok(())
    }
}

/// A file's octets; none where there is no file.
fn octets(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

pub(super) fn start() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes()].concat()
}

fn encode(part: &Part) -> io::Result<Vec<u8>> {
    packed(&postcard::to_allocvec(part).map_err(io::Error::other)?)
}

/// A part as it is appended, with these octets for counts.
pub(super) fn packed(plain: &[u8]) -> io::Result<Vec<u8>> {
    let packed = lz4_flex::block::compress_prepend_size(plain);
    let length = u32::try_from(packed.len()).map_err(io::Error::other)?;
    let head = [length.to_le_bytes(), crc32fast::hash(&packed).to_le_bytes()].concat();
    Ok([head, packed].concat())
}

/// Hands on each whole part; gives how many octets are whole.
pub(super) fn parts(octets: &[u8], mut each: impl FnMut(Part)) -> usize {
    if !octets.starts_with(&start()) {
        return 0;
    }
    let mut whole = START;
    while let Some((part, length)) = octets.get(whole..).and_then(part) {
        whole += length;
        each(part);
    }
    whole
}

/// The part at the beginning of these octets, and its length.
fn part(octets: &[u8]) -> Option<(Part, usize)> {
    let (length, rest) = octets.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let packed = rest.get(..length)?;
    let (unpacked, _) = packed.split_first_chunk()?;
    if crc32fast::hash(packed) != u32::from_le_bytes(*sum)
        || usize::try_from(u32::from_le_bytes(*unpacked)).ok()? > LARGEST
    {
        return None;
    }
    let plain = lz4_flex::block::decompress_size_prepended(packed).ok()?;
    Some((postcard::from_bytes(&plain).ok()?, length + 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::day::Outcome;
    use proptest::prelude::*;

    fn counted(day: &mut Day, times: usize) -> Part {
        for _ in 0..times {
            let who = (day.number(b"Ana's tablet"), day.number(b"child"));
            let reason = day.number(b"gambling");
            day.count(who, reason, Outcome::Blocked, 7);
            let site = day.number(b"bet.example");
            day.count_site(who, site, true);
        }
        day.take_fresh().unwrap()
    }

    fn total(day: &Day) -> u32 {
        day.cells().map(|cell| cell.count).sum()
    }

    #[test]
    fn differences_add_up_and_a_torn_one_is_cut_away_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().join("stats"), Duration::from_secs(86_400));
        let mut day = Day::default();
        files.append(5, &counted(&mut day, 3)).unwrap();
        files.append(5, &counted(&mut day, 4)).unwrap();
        let path = files.path(5);
        let octets = std::fs::read(&path).unwrap();
        for cut in 1..10 {
            std::fs::write(&path, &octets[..octets.len() - cut]).unwrap();
            assert_eq!(total(&files.read(5).unwrap()), 3, "the last part is torn");
        }
        let mut again = files.read(5).unwrap();
        files.append(5, &counted(&mut again, 2)).unwrap();
        let read = files.read(5).unwrap();
        let cells: Vec<_> = read.cells().collect();
        assert_eq!(
            (
                cells.len(),
                cells[0].count,
                cells[0].device,
                cells[0].reason,
                cells[0].hour
            ),
            (1, 5, "Ana's tablet", "gambling", 7)
        );
        files.finish(5).unwrap();
        assert_eq!(total(&files.read(5).unwrap()), 5, "in one piece it is the same");
        let sites: Vec<_> = read
            .sites()
            .map(|(_, _, site, seen)| (site, seen.blocked))
            .collect();
        assert_eq!(sites, [("bet.example", 5)]);
    }

    #[test]
    fn days_go_when_they_are_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().to_owned(), Duration::from_secs(2 * 86_400));
        for day in [10, 11, 12, 13] {
            files.append(day, &counted(&mut Day::default(), 1)).unwrap();
        }
        files.clear(14).unwrap();
        assert_eq!(files.days().unwrap(), [12, 13]);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut octets = start();
            octets.extend_from_slice(&noise);
            parts(&octets, |_| {});
            let mut sealed = start();
            sealed.extend(u32::try_from(noise.len()).unwrap().to_le_bytes());
            sealed.extend(crc32fast::hash(&noise).to_le_bytes());
            sealed.extend_from_slice(&noise);
            parts(&sealed, |_| {});
        }
    }
}
