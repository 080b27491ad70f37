//! The query log on the disk: files of compressed blocks, only ever appended to.
//!
//! A file starts with magic and version. A block: length of its records, length compressed, CRC-32 of the compressed octets
//! (4 octets each, little-endian), then these (LZ4). A block that a power cut left torn ends its file; every start of the
//! daemon begins a new one. Old files go by age and by the room that all may take.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::record::{self, Record};

const MAGIC: &[u8; 8] = b"ISGTQLOG";
pub(super) const VERSION: u32 = 2;
/// A file that is larger is followed by another, octets.
const LARGE: u64 = 8 << 20;
/// No block holds more, octets.
const BLOCK: u32 = 16 << 20;

/// The folder of the files.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("log")
}

/// Appends blocks.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    file: Option<(File, u64)>,
    keep_ms: u64,
    most: u64,
}

impl Writer {
    /// Appends in `folder`; files older than `keep_ms` and more than `most` octets go.
    pub(super) fn new(folder: PathBuf, keep_ms: u64, most: u64) -> Self {
        Self {
            folder,
            file: None,
            keep_ms,
            most,
        }
    }

    /// Appends one block of records.
    pub(super) fn append(&mut self, records: &[u8], now_ms: u64) -> io::Result<()> {
        if self.file.as_ref().is_none_or(|(_, size)| *size > LARGE) {
            self.next_file(now_ms)?;
        }
        let Some((file, size)) = &mut self.file else {
            return Ok(());
        };
        let block = block(records);
        file.write_all(&block)?;
        *size += block.len() as u64;
        Ok(())
    }

    fn next_file(&mut self, now_ms: u64) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        self.sync();
        std::fs::create_dir_all(&self.folder)?;
        self.clear(now_ms)?;
        let path = self.folder.join(format!("{now_ms:015}.log"));
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&start())?;
        self.file = Some((file, 12));
        Ok(())
    }

    /// Removes what is too old, and the oldest beyond the room.
    pub(super) fn clear(&self, now_ms: u64) -> io::Result<()> {
        let mut room = 0;
        let mut newer_began = u64::MAX;
        for (began, path) in files(&self.folder)?.into_iter().rev() {
            room += std::fs::metadata(&path)?.len();
            // A file ends where the next begins.
            if newer_began.saturating_add(self.keep_ms) < now_ms || room > self.most {
                std::fs::remove_file(&path)?;
            }
            newer_began = began;
        }
        Ok(())
    }

    /// Has the disk hold what was written.
    pub(super) fn sync(&self) {
        if let Some((file, _)) = &self.file {
            let _ = file.sync_data();
        }
    }
}

/// What a file begins with.
pub(super) fn start() -> [u8; 12] {
    let mut start = [0; 12];
    for (octet, from) in start
        .iter_mut()
        .zip(MAGIC.iter().copied().chain(VERSION.to_le_bytes()))
    {
        *octet = from;
    }
    start
}

/// A block of records.
pub(super) fn block(records: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::block::compress(records);
    let mut block = Vec::with_capacity(compressed.len() + 12);
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    block.extend_from_slice(&length(records.len()));
    block.extend_from_slice(&length(compressed.len()));
    block.extend_from_slice(&crc32fast::hash(&compressed).to_le_bytes());
    block.extend_from_slice(&compressed);
    block
}

/// The files with the time that they begin at, the oldest first.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let began = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(began) = began.filter(|_| path.extension().is_some_and(|end| end == "log")) {
            files.push((began, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Hands every record since a time to `each`, the oldest first. What is damaged is left out.
pub fn read(folder: &Path, since_ms: u64, mut each: impl FnMut(Record)) -> io::Result<()> {
    let files = files(folder)?;
    for (place, (_, path)) in files.iter().enumerate() {
        let ended = files.get(place + 1).map_or(u64::MAX, |(began, _)| *began);
        if ended < since_ms {
            continue;
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // cleared meanwhile
            Err(error) => return Err(error),
        };
        blocks(io::BufReader::new(file), |octets, version| {
            for record in record::read(octets, version) {
                if record.at_ms >= since_ms {
                    each(record);
                }
            }
        })?;
    }
    Ok(())
}

/// Octets in front of the first block: magic and version.
pub(super) const START: u64 = 12;
/// Octets in front of a block's records.
pub(super) const HEAD: u64 = 12;

/// The version of a file that starts so; `None` where it is no log, or one of a later program.
pub(super) fn version(start: &[u8]) -> Option<u32> {
    let version = start.strip_prefix(MAGIC)?.first_chunk()?;
    let version = u32::from_le_bytes(*version);
    (1..=VERSION).contains(&version).then_some(version)
}

/// What stands in front of a block's records, and where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    at: u64,
    length: u32,
    compressed: u32,
    sum: u32,
}

impl Head {
    /// The head in these octets, whose records lie at `at` + [`HEAD`] of the file.
    pub(super) fn parse(octets: &[u8], at: u64) -> Option<Self> {
        let [length, compressed, sum] = octets.as_chunks::<4>().0 else {
            return None;
        };
        let head = Self {
            at,
            length: u32::from_le_bytes(*length),
            compressed: u32::from_le_bytes(*compressed),
            sum: u32::from_le_bytes(*sum),
        };
        (head.length <= BLOCK && head.compressed <= BLOCK).then_some(head)
    }

    /// Where the next block begins.
    pub(super) fn end(&self) -> u64 {
        self.at + HEAD + u64::from(self.compressed)
    }

    /// The block's records; `None` where they are not as they were written.
    pub(super) fn read(&self, file: &mut File) -> io::Result<Option<Vec<u8>>> {
        use std::io::Seek as _;
        file.seek(io::SeekFrom::Start(self.at + HEAD))?;
        self.take(file)
    }

    /// The same where the file stands at them.
    fn take(&self, file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let mut octets = Vec::new();
        file.take(u64::from(self.compressed)).read_to_end(&mut octets)?;
        if octets.len() != self.compressed as usize || crc32fast::hash(&octets) != self.sum {
            return Ok(None);
        }
        Ok(lz4_flex::block::decompress(&octets, self.length as usize).ok())
    }
}

/// Hands the records' octets of each whole block on, with the file's version.
pub(super) fn blocks(mut file: impl Read, mut each: impl FnMut(&[u8], u32)) -> io::Result<()> {
    let mut octets = [0; 12];
    let whole = |outcome: io::Result<()>| match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    if !whole(file.read_exact(&mut octets))? {
        return Ok(());
    }
    let Some(version) = version(&octets) else {
        return Ok(());
    };
    while whole(file.read_exact(&mut octets))? {
        let records = match Head::parse(&octets, 0) {
            Some(head) => head.take(&mut file)?,
            None => None,
        };
        let Some(records) = records else { break };
        each(&records, version);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use isigurt_core::step::Kind;
    use proptest::prelude::*;

    fn block(at_ms: u64, names: &[&str]) -> Vec<u8> {
        let mut octets = record::marker(at_ms).to_vec();
        for name in names {
            let mut question = isigurt_blocklists::name::Name::parse(name)
                .unwrap()
                .as_ref()
                .wire()
                .to_vec();
            question.extend([0, 28, 0, 1]);
            let parts = record::Parts {
                kind: Kind::Blocked,
                client: Some([10, 0, 0, 7].into()),
                device: "Ana's tablet",
                profile: "child",
                reason: "adult",
                question: &question,
            };
            record::write(&mut octets, &parts);
        }
        octets
    }

    #[test]
    fn files_of_the_first_version_are_read_on() {
        // As the first version wrote it: no device.
        let mut octets = record::marker(7).to_vec();
        octets.extend(b"\x04\x04\x0a\x00\x00\x07\x05child\x05adult\x0b\x01a\x07example\x00\x00\x1c");
        let records = record::read(&octets, 1);
        let read: Vec<(&str, &str, &str)> = records
            .iter()
            .map(|record| {
                (
                    record.device.as_str(),
                    record.profile.as_str(),
                    record.name.as_str(),
                )
            })
            .collect();
        assert_eq!(read, [("", "child", "a.example")]);
    }

    fn names(folder: &Path, since_ms: u64) -> Vec<String> {
        let mut names = Vec::new();
        read(folder, since_ms, |record| names.push(record.name)).unwrap();
        names
    }

    #[test]
    fn what_is_written_is_read_again_and_a_torn_block_ends_only_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path().to_owned(), 1_000_000, 1 << 30);
        writer
            .append(&block(5_000, &["a.example", "B.example"]), 5_000)
            .unwrap();
        writer.append(&block(6_000, &["c.example"]), 6_000).unwrap();
        let mut again = Writer::new(folder.path().to_owned(), 1_000_000, 1 << 30);
        again.append(&block(7_000, &["d.example"]), 7_000).unwrap();
        assert_eq!(
            names(folder.path(), 0),
            ["a.example", "b.example", "c.example", "d.example"]
        );
        assert_eq!(names(folder.path(), 6_000), ["c.example", "d.example"]);
        let first = folder.path().join("000000000005000.log");
        let octets = std::fs::read(&first).unwrap();
        std::fs::write(&first, &octets[..octets.len() - 3]).unwrap();
        assert_eq!(names(folder.path(), 0), ["a.example", "b.example", "d.example"]);
        let mut one = None;
        read(folder.path(), 0, |record| one = one.take().or(Some(record))).unwrap();
        assert_eq!(
            one.unwrap(),
            Record {
                at_ms: 5_000,
                client: Some([10, 0, 0, 7].into()),
                device: "Ana's tablet".into(),
                profile: "child".into(),
                name: "a.example".into(),
                qtype: "AAAA".into(),
                verdict: "blocked",
                reason: "adult".into(),
            }
        );
    }

    #[test]
    fn what_is_too_old_or_too_much_goes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |at_ms: u64, most: u64| {
            let mut writer = Writer::new(folder.path().to_owned(), 1_000, most);
            writer.append(&block(at_ms, &["x.example"]), at_ms).unwrap();
        };
        let count = || files(folder.path()).unwrap().len();
        write(1_000, 1 << 30);
        write(1_500, 1 << 30);
        assert_eq!(count(), 2);
        write(2_600, 1 << 30);
        assert_eq!(count(), 2, "the first ended at 1,500, more than a second ago");
        write(2_700, 90);
        assert_eq!(count(), 2, "room for one of the older and the new one");
        std::fs::write(folder.path().join("notes.txt"), b"kept").unwrap();
        write(9_000, 1);
        assert_eq!(count(), 1);
        assert!(folder.path().join("notes.txt").exists());
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            for version in 0..3 {
                let _ = record::read(&octets, version);
            }
            let _ = blocks(octets.as_slice(), |_, _| {});
            let mut file = MAGIC.to_vec();
            file.extend(VERSION.to_le_bytes());
            file.extend(octets);
            let _ = blocks(file.as_slice(), |records, version| { record::read(records, version); });
        }
    }
}
