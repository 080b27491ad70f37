//! One list: deltas where they cost less, else all of it; from file to file, so that memory does not grow with the list.
//!
//! What comes out counts only if its hash and length are the signed ones and each of its lines is a rule.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use isigurt_blocklists::delta;
use isigurt_blocklists::read::hashed::is_hashed;
use isigurt_blocklists::read::report::Visitor;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::Rule;
use isigurt_wire::release::{Target, Tier};
use sha2::{Digest as _, Sha256};

use super::NationalError;
use super::state::{Kept, id};
use super::trust::{Released, Signature};
use crate::http::{Client, Download, Url, download};

/// Most octets of a packed list, and of one that is unpacked: beyond that a platform that lost its keys cannot fill the disk.
const PACKED: u64 = 512 << 20;
const UNPACKED: u64 = 2 << 30;
/// Window of the compression, as a power of two: what unpacking takes of memory.
const WINDOW: u32 = 23;

/// Where lists come from and go to.
#[derive(Debug, Clone)]
pub(super) struct Fetching {
    pub(super) client: Client,
    /// The repository.
    pub(super) base: Url,
    /// Of finished lists.
    pub(super) lists: PathBuf,
    /// Of unfinished ones.
    pub(super) work: PathBuf,
}

impl Fetching {
    /// Brings in the version that is `wanted`; on return it is on the disk.
    pub(super) async fn list(
        &self,
        kept: Option<&Kept>,
        wanted: &Released,
        all: &[Released],
        now: i64,
    ) -> Result<Kept, NationalError> {
        if let Some(kept) = kept
            && let Some(chain) = chain(kept.target.version, wanted, all)
        {
            match self.by_deltas(kept, &chain, wanted).await {
                Ok(file) => return self.settle(wanted, &file, now).await,
                Err(error) => {
                    tracing::warn!(list = id(&wanted.target), %error, "deltas do not lead to the new version; fetching all of it");
                }
            }
        }
        let packed = self.target(&wanted.signature).await?;
        let (out, about) = (self.work.join("full.next"), wanted.target.clone());
        let (from, to) = (packed.clone(), out.clone());
        blocking(&out, move || unpack(&from, &to, &about)).await?;
        let _ = std::fs::remove_file(packed);
        self.settle(wanted, &out, now).await
    }

    /// Applies one delta after the other; gives the file of the last result.
    async fn by_deltas(
        &self,
        kept: &Kept,
        chain: &[&Released],
        wanted: &Released,
    ) -> Result<PathBuf, NationalError> {
        let mut at = self.lists.join(&kept.file);
        for (step, released) in chain.iter().enumerate() {
            let packed = self.target(&released.signature).await?;
            let out = self.work.join(format!("step-{step}.next"));
            let (old, to, from) = (at.clone(), out.clone(), packed.clone());
            let unpacked = released.target.unpacked;
            blocking(&out, move || apply(&old, &from, &to, unpacked)).await?;
            let _ = std::fs::remove_file(packed);
            if step > 0 {
                let _ = std::fs::remove_file(&at);
            }
            at = out;
        }
        let (file, about) = (at.clone(), wanted.target.clone());
        blocking(&at, move || hashed(&file, &about)).await?;
        Ok(at)
    }

    /// Reads every line, and gives the file its place.
    async fn settle(&self, wanted: &Released, file: &Path, now: i64) -> Result<Kept, NationalError> {
        let (from, about) = (file.to_owned(), wanted.target.clone());
        let read = blocking(file, move || whole(&from, &about)).await;
        if let Err(error) = read {
            let _ = std::fs::remove_file(file);
            return Err(error);
        }
        let Target {
            publisher,
            list,
            version,
            blake3,
            ..
        } = &wanted.target;
        // The hash in the name: whatever stands under a name never changes.
        let sum = blake3.get(..12).unwrap_or_default();
        let name = format!("{}.{list}.{version}.{sum}", publisher.role());
        let place = self.lists.join(&name);
        let failed = |error| NationalError::Io(place.clone(), error);
        std::fs::create_dir_all(&self.lists).map_err(failed)?;
        std::fs::rename(file, &place).map_err(failed)?;
        File::open(&self.lists)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(Kept {
            target: wanted.target.clone(),
            file: name,
            since: now,
        })
    }

    /// Fetches a target and checks it against what is signed; goes on with what an earlier try left.
    pub(super) async fn target(&self, signed: &Signature) -> Result<PathBuf, NationalError> {
        let refused = |what: &str| NationalError::Target(signed.name.clone(), what.to_owned());
        if signed.length > PACKED {
            return Err(refused("is larger than any list may be"));
        }
        let sum = data_encoding::HEXLOWER.encode(&signed.sha256);
        let file = self.work.join(format!("{sum}.part"));
        let url = self
            .base
            .join(&format!("targets/{sum}.{}", signed.name))
            .map_err(|_| refused("has a name that is no address"))?;
        let at_hand = std::fs::metadata(&file).map_or(0, |at_hand| at_hand.len());
        if at_hand != signed.length {
            let asked = Download {
                url: &url,
                file: &file,
                known: None,
                immutable: true,
                limits: self.client.large(signed.length),
            };
            download(&self.client, asked).await?;
        }
        let (of, expected) = (file.clone(), signed.clone());
        let right = blocking(&file, move || right(&of, &expected)).await?;
        if !right {
            let _ = std::fs::remove_file(&file);
            return Err(refused("is not what was signed (length or hash)"));
        }
        Ok(file)
    }
}

/// The deltas from version `from` to the one that is wanted that cost least, where they cost less than the full list.
fn chain<'r>(from: u64, wanted: &Released, all: &'r [Released]) -> Option<Vec<&'r Released>> {
    let of_list = |released: &&Released| id(&released.target) == id(&wanted.target);
    let mut deltas: Vec<(u64, &Released)> = all
        .iter()
        .filter(of_list)
        .filter_map(|released| Some((released.target.from?, released)))
        .filter(|(from, released)| *from < released.target.version)
        .collect();
    deltas.sort_by_key(|(from, _)| *from);
    // In the order of where they start, each version's best way is known before a delta leads on from it.
    let mut best: BTreeMap<u64, (u64, Vec<&Released>)> = BTreeMap::from([(from, (0, Vec::new()))]);
    for (start, released) in deltas {
        let Some((cost, way)) = best.get(&start) else {
            continue;
        };
        let (cost, mut way) = (cost.saturating_add(released.signature.length), way.clone());
        if best
            .get(&released.target.version)
            .is_none_or(|(known, _)| cost < *known)
        {
            way.push(released);
            best.insert(released.target.version, (cost, way));
        }
    }
    let (cost, way) = best.remove(&wanted.target.version)?;
    (!way.is_empty() && cost < wanted.signature.length).then_some(way)
}

/// Does work on files where nobody waits for it.
async fn blocking<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, NationalError> {
    let done = tokio::task::spawn_blocking(work).await;
    match done.unwrap_or_else(|error| Err(Trouble::Io(io::Error::other(error)))) {
        Ok(done) => Ok(done),
        Err(Trouble::Io(error)) => {
            let _ = std::fs::remove_file(file);
            Err(NationalError::Io(file.to_owned(), error))
        }
        Err(Trouble::Wrong(list, what)) => {
            let _ = std::fs::remove_file(file);
            Err(NationalError::List(list, what))
        }
    }
}

/// What went wrong with files.
enum Trouble {
    Io(io::Error),
    Wrong(String, String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether a file has the signed length and hash.
fn right(file: &Path, signed: &Signature) -> Result<bool, Trouble> {
    let mut file = File::open(file)?;
    if file.metadata()?.len() != signed.length {
        return Ok(false);
    }
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let length = file.read(&mut buffer)?;
        let octets = buffer.get(..length).unwrap_or_default();
        if octets.is_empty() {
            return Ok(hasher.finalize().as_slice() == signed.sha256);
        }
        hasher.update(octets);
    }
}

/// Unpacks a full list and holds it against its hash.
fn unpack(packed: &Path, out: &Path, about: &Target) -> Result<(), Trouble> {
    let wrong = |what: &str| Trouble::Wrong(id(about), what.to_owned());
    if about.octets > UNPACKED || about.unpacked != about.octets {
        return Err(wrong("is larger than any list may be"));
    }
    let input = decoder(packed)?.take(about.octets + 1);
    let mut out = Hashing::new(File::create(out)?);
    let octets = io::copy(&mut BufReader::new(input), &mut out).map_err(|error| torn(error, about))?;
    let sum = out.finish()?;
    if octets != about.octets || sum != about.blake3 {
        return Err(wrong("does not have the hash that was signed"));
    }
    Ok(())
}

/// Applies a packed delta. The delta itself holds the hashes of what it starts from and leads to.
fn apply(old: &Path, packed: &Path, out: &Path, unpacked: u64) -> Result<(), Trouble> {
    let wrong = |what: String| Trouble::Wrong("of a delta".to_owned(), what);
    if unpacked > UNPACKED {
        return Err(wrong("is larger than any list may be".to_owned()));
    }
    let old = BufReader::with_capacity(64 << 10, File::open(old)?);
    let input = decoder(packed)?.take(unpacked);
    let file = File::create(out)?;
    let mut writer = BufWriter::with_capacity(64 << 10, &file);
    let applied = delta::apply(old, input, &mut writer);
    applied.map_err(|error| match error {
        delta::DeltaError::Io(error) if is_of_the_disk(&error) => Trouble::Io(error),
        other => wrong(other.to_string()),
    })?;
    writer.flush()?;
    drop(writer);
    file.sync_all()?;
    Ok(())
}

/// Holds a file against the signed hash.
fn hashed(file: &Path, about: &Target) -> Result<(), Trouble> {
    let mut hasher = blake3::Hasher::new();
    let octets = io::copy(&mut File::open(file)?, &mut hasher)?;
    if octets == about.octets && hasher.finalize().to_hex().as_str() == about.blake3 {
        Ok(())
    } else {
        let what = "does not have the hash that was signed".to_owned();
        Err(Trouble::Wrong(id(about), what))
    }
}

fn decoder(packed: &Path) -> io::Result<impl Read> {
    let mut decoder = zstd::Decoder::new(File::open(packed)?)?;
    decoder.window_log_max(WINDOW)?;
    Ok(decoder.single_frame())
}

/// Whether an error is the disk's, and not the data's.
fn is_of_the_disk(error: &io::Error) -> bool {
    error.raw_os_error().is_some()
}

fn torn(error: io::Error, about: &Target) -> Trouble {
    if is_of_the_disk(&error) {
        Trouble::Io(error)
    } else {
        Trouble::Wrong(id(about), format!("cannot be unpacked: {error}"))
    }
}

/// Reads every line of a list: it must hold as many rules as was signed, all of them rules, in the form that was signed.
fn whole(file: &Path, about: &Target) -> Result<(), Trouble> {
    struct Counted(u64);
    impl Visitor for Counted {
        fn rule(&mut self, _: u32, _: Rule) {
            self.0 += 1;
        }
        fn void(&mut self, _: Rule) {}
    }
    let wrong = |what: String| Trouble::Wrong(id(about), what);
    let mut head = [0; 64];
    let length = File::open(file)?.read(&mut head)?;
    let format = match (is_hashed(head.get(..length).unwrap_or_default()), about.tier) {
        (true, Tier::Hashed | Tier::Prefix) => Format::Hashed,
        (false, Tier::Clear) => Format::Adblock,
        (hashed, tier) => {
            return Err(wrong(format!(
                "holds hashes: {hashed}, though it is signed as {tier:?}"
            )));
        }
    };
    let mut counted = Counted(0);
    let read = read::stream(File::open(file)?, format, None, &mut counted);
    let summary = read.map_err(|error| wrong(error.to_string()))?;
    if let Some(first) = summary.report.rejected.first() {
        // The line itself may be what must not be shown.
        return Err(wrong(format!("line {}: {}", first.line, first.reason)));
    }
    if counted.0 != about.entries {
        return Err(wrong(format!(
            "holds {} rules, {} are signed",
            counted.0, about.entries
        )));
    }
    let prefix = summary.hash_key.is_some_and(|key| key.is_prefix());
    if prefix != (about.tier == Tier::Prefix) {
        return Err(wrong(format!(
            "holds prefixes: {prefix}, though it is signed as {:?}",
            about.tier
        )));
    }
    Ok(())
}

/// A file that is hashed while it is written.
struct Hashing {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(64 << 10, file),
            hasher: blake3::Hasher::new(),
        }
    }

    /// Puts the file on the disk; gives the hash, hexadecimal.
    fn finish(self) -> io::Result<String> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.hasher.finalize().to_hex().to_string())
    }
}

impl Write for Hashing {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.file.write(octets)?;
        self.hasher.update(octets.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isigurt_wire::release::Publisher;

    fn released(from: Option<u64>, version: u64, length: u64) -> Released {
        let target = Target {
            format: 1,
            publisher: Publisher::Mandatory,
            list: "abuse".to_owned(),
            version,
            from,
            category: None,
            tier: Tier::Hashed,
            entries: 1,
            octets: 1,
            unpacked: 1,
            blake3: String::new(),
        };
        let signature = Signature {
            name: target.name(),
            length,
            sha256: Vec::new(),
        };
        Released { target, signature }
    }

    #[test]
    fn the_cheapest_way_to_a_version_is_taken_and_none_that_costs_more_than_all_of_it() {
        let wanted = released(None, 4, 1000);
        let way = |from, all: &[Released]| {
            chain(from, &wanted, all).map(|way| {
                let steps = way
                    .iter()
                    .map(|step| (step.target.from.unwrap(), step.target.version));
                steps.collect::<Vec<_>>()
            })
        };
        let steps = [
            released(Some(3), 4, 10),
            released(Some(1), 2, 10),
            released(Some(2), 3, 10),
        ];
        assert_eq!(way(1, &steps), Some(vec![(1, 2), (2, 3), (3, 4)]));
        assert_eq!(way(3, &steps), Some(vec![(3, 4)]));
        assert_eq!(way(0, &steps), None, "nothing starts there");
        let direct = [steps.as_slice(), &[released(Some(1), 4, 25)]].concat();
        assert_eq!(way(1, &direct), Some(vec![(1, 4)]));
        let dear = [released(Some(1), 4, 1000)];
        assert_eq!(way(1, &dear), None);
        let backwards = [released(Some(4), 1, 1), released(Some(1), 1, 1)];
        assert_eq!(way(1, &backwards), None, "nothing leads back or nowhere");
        let beyond = [released(Some(1), 2, u64::MAX), released(Some(2), 4, u64::MAX)];
        assert_eq!(way(1, &beyond), None, "lengths that no number holds");
    }
}
