//! The cache over a restart: a file in the state folder, written when the daemon ends, read when it starts.
//!
//! Names that a household asked for stand in it, so it is the owner's to read alone, helplines and names of the national list
//! are left out, and it is not written at all where no queries are to be logged. A file that is damaged, too old or from the
//! future is left alone: an empty cache is no fault.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use isigurt_core::cache::{Cache, Damaged};
use isigurt_core::policy;
use isigurt_core::snapshot::Snapshot;

/// Octets of the checksum at the file's end (BLAKE3).
const CHECKSUM: usize = blake3::OUT_LEN;

/// The file's place in a state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("cache.bin")
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its octets are not those that were written.
    #[error("damaged")]
    Checksum,
    /// It is no cache that can be used.
    #[error(transparent)]
    Content(#[from] Damaged),
}

/// What passes through is hashed.
struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(octets)?;
        self.hasher.update(octets.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the cache; gives the number of answers. `now_ms` is the engine's clock, `wall_s` seconds since 1970.
pub fn save(
    file: &Path,
    cache: &Cache,
    snapshot: &Snapshot,
    wall_s: u64,
    now_ms: u64,
) -> Result<usize, KeepError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let next = file.with_extension("next");
    let out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    let mut out = Hashing {
        inner: BufWriter::new(out),
        hasher: blake3::Hasher::new(),
    };
    let private =
        |name: isigurt_blocklists::name::NameRef<'_>| policy::begins_unspoken(&snapshot.index, name);
    let saved = cache.save(&mut out, wall_s, now_ms, private)?;
    let sum = out.hasher.finalize();
    out.inner.write_all(sum.as_bytes())?;
    out.inner.flush()?;
    std::fs::rename(&next, file)?;
    Ok(saved)
}

/// Reads the cache back; gives the number of answers, 0 where there is no file.
pub fn restore(
    file: &Path,
    cache: &Cache,
    snapshot: &Snapshot,
    wall_s: u64,
    now_ms: u64,
) -> Result<usize, KeepError> {
    let mut opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let length = opened
        .metadata()?
        .len()
        .checked_sub(CHECKSUM as u64)
        .ok_or(KeepError::Checksum)?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut (&opened).take(length), &mut hasher)?;
    let mut sum = [0; CHECKSUM];
    opened.read_exact(&mut sum)?;
    if hasher.finalize().as_bytes() != &sum {
        return Err(KeepError::Checksum);
    }
    opened.rewind()?;
    let mut content = BufReader::new(opened.take(length));
    let restored = cache.restore(&mut content, wall_s, now_ms, snapshot.answers.ttl)?;
    Ok(restored.entries)
}
