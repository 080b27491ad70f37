//! A list's next version: built, held against the checks, packed, and told apart from the versions before it.
//!
//! ```text
//! sources ─▶ entries ─▶ canonical octets ─┬─ as published ─▶ Unchanged
//!                                         ├─ against a check ─▶ Held: the version before stays in force
//!                                         └─ otherwise ─▶ New: full list, deltas from the last versions, answers for prefixes
//! ```
//!
//! **Keys of hashes.** A fresh key for each release would make every line another one, and every release a full download. It
//! would buy nothing: the key stands in the list, and all registered names can be hashed with it in minutes. So a list keeps its
//! key for `rekey`; the release after that is the one without deltas.

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use isigurt_blocklists::delta::{self, canonical};
use isigurt_blocklists::read::hashed::HashKey;
use isigurt_wire::confirm::{Confirmation, Question};
use isigurt_wire::release::{CUSTOM, FORMAT, Target, Tier};

use super::approval::{Approvals, Subject};
use super::checks::{Guard, Harm};
use super::config::List;
use super::metadata;
use super::repository::write;
use super::sources::{self, Entries, Opener};
use crate::confirmations;

/// How hard full lists are packed: the level from which on more time brings little.
const LEVEL: i32 = 9;
/// How hard deltas are packed: they are small.
const DELTA_LEVEL: i32 = 19;
/// Most names that a held release tells one by one.
const TOLD: usize = 20;

/// What a build needs beside the list itself.
pub(crate) struct Bench<'a> {
    pub(crate) state: &'a Path,
    pub(crate) guard: &'a Guard,
    pub(crate) approvals: &'a Approvals,
    pub(crate) opener: Option<&'a Opener>,
    pub(crate) confirm_key: Option<&'a SigningKey>,
    /// Until when confirmations that are made now may be used, seconds since 1970.
    pub(crate) confirm_until: i64,
    pub(crate) now: i64,
    /// No version is below this.
    pub(crate) floor: u64,
}

/// What became of a list.
pub(crate) enum Outcome {
    /// As it is published.
    Unchanged,
    /// There is a new version.
    New(Box<Release>),
    /// Something has to be looked at first; the published version stays.
    Held(Vec<String>),
}

/// A new version.
pub(crate) struct Release {
    pub(crate) custom: Target,
    /// Name, octets and metadata of each target.
    pub(crate) targets: Vec<(String, Vec<u8>, tough::schema::Target)>,
    /// The packed list, which later deltas start from.
    pub(crate) kept: PathBuf,
    pub(crate) unusable: u64,
}

/// Builds the list; `published` is its newest full target.
pub(crate) fn build(list: &List, published: Option<&Target>, bench: &Bench<'_>) -> anyhow::Result<Outcome> {
    let key = match list.tier {
        Tier::Clear => None,
        Tier::Hashed => Some(hash_key(list, 128, bench)?),
        Tier::Prefix => Some(hash_key(list, list.bits, bench)?),
    };
    let entries = sources::entries(list, key.as_ref(), bench.guard, bench.opener)?;
    let mut octets = Vec::new();
    let count = entries.lines.len() as u64;
    let held = |entries: &Entries| held_entries(list, entries, bench.approvals);
    let mut held = held(&entries);
    let full = entries.full;
    canonical::write(entries.lines, key.as_ref(), &mut octets)?;
    let hash = blake3::hash(&octets).to_hex().to_string();
    let same = |published: &&Target| {
        published.blake3 == hash
            && published.category == list.category
            && published.tier == list.tier
            && published.version >= bench.floor
    };
    if let Some(published) = published.filter(same) {
        confirm(list, published.version, key.as_ref(), full, bench, false)?;
        return Ok(Outcome::Unchanged);
    }
    held.extend(held_size(list, published, count, &hash, bench.approvals));
    if !held.is_empty() {
        return Ok(Outcome::Held(held));
    }
    let custom = Target {
        format: FORMAT,
        publisher: list.publisher,
        list: list.id.clone(),
        version: (published.map_or(0, |published| published.version) + 1).max(bench.floor),
        from: None,
        category: list.category.clone(),
        tier: list.tier,
        entries: count,
        octets: octets.len() as u64,
        unpacked: octets.len() as u64,
        blake3: hash,
    };
    confirm(list, custom.version, key.as_ref(), full, bench, true)?;
    let targets = packed(list, &custom, &octets, bench)?;
    Ok(Outcome::New(Box::new(Release {
        kept: version_file(bench.state, &list.id, custom.version),
        custom,
        targets,
        unusable: entries.unusable,
    })))
}

/// The file of a version that deltas may start from.
fn version_file(state: &Path, list: &str, version: u64) -> PathBuf {
    state.join("lists").join(list).join(format!("{version}.list.zst"))
}

/// The key of a list's hashes: the one in use, or a new one where there is none or its time is over.
fn hash_key(list: &List, bits: u8, bench: &Bench<'_>) -> anyhow::Result<HashKey> {
    let file = bench.state.join("lists").join(&list.id).join("hash-key");
    let kept = std::fs::read_to_string(&file).ok().and_then(|text| {
        let (since, key) = text.trim().split_once(' ')?;
        let since: i64 = since.parse().ok()?;
        let key = blake3::Hash::from_hex(key).ok()?;
        (since + list.rekey.0 > bench.now).then_some(*key.as_bytes())
    });
    let key = if let Some(key) = kept {
        key
    } else {
        let mut key = [0; 32];
        getrandom::fill(&mut key).context("the system gives no random octets")?;
        let text = format!("{} {}\n", bench.now, blake3::Hash::from_bytes(key).to_hex());
        write(&file, text.as_bytes())?;
        key
    };
    Ok(HashKey {
        key,
        bits,
        offline: list.offline,
    })
}

/// Why entries of the list hold it back.
fn held_entries(list: &List, entries: &Entries, approvals: &Approvals) -> Vec<String> {
    let mut held = Vec::new();
    for (name, harm) in entries.harms.values() {
        let why = match harm {
            Harm::Helpline => {
                format!("blocks {name}, a helpline: leave it out with `except`; nobody can approve this")
            }
            Harm::Popular | Harm::PublicSuffix if approvals.hold(&list.id, Subject::Name(name.clone())) => {
                continue;
            }
            Harm::Popular => format!(
                "blocks {name}, a popular name or one above it: two editors have to `approve` the name"
            ),
            Harm::PublicSuffix => {
                format!("blocks {name}, a public suffix: two editors have to `approve` the name")
            }
        };
        if held.len() == TOLD {
            held.push(format!("and {} more", entries.harms.len() - TOLD));
            break;
        }
        held.push(why);
    }
    #[allow(clippy::cast_precision_loss)] // a share
    let share = entries.unusable as f64 * 100.0 / entries.counted.max(1) as f64;
    if share > list.refused {
        held.push(format!(
            "{} of {} rules of its sources cannot be used ({share:.0} %, at most {} %): look at the sources",
            entries.unusable, entries.counted, list.refused
        ));
    }
    held
}

/// Why the size of the list holds it back.
fn held_size(
    list: &List,
    published: Option<&Target>,
    count: u64,
    hash: &str,
    approvals: &Approvals,
) -> Option<String> {
    if count == 0 && published.is_some() {
        return Some("would be empty: withdraw a list with `withdrawn`".to_owned());
    }
    let before = published?.entries;
    #[allow(clippy::cast_precision_loss)] // a share
    let share = (count as f64 - before as f64) * 100.0 / before.max(1) as f64;
    let small = count.abs_diff(before) <= list.always;
    let usual = share >= -list.shrink && share <= list.grow;
    if small || usual || approvals.hold(&list.id, Subject::Release(hash.to_owned())) {
        return None;
    }
    Some(format!(
        "goes from {before} to {count} entries ({share:+.0} %, set are -{} and +{} %): two editors have to `approve` release {hash}",
        list.shrink, list.grow
    ))
}

/// Packs the list and the deltas to it, on all cores.
fn packed(
    list: &List,
    custom: &Target,
    octets: &[u8],
    bench: &Bench<'_>,
) -> anyhow::Result<Vec<(String, Vec<u8>, tough::schema::Target)>> {
    let back = u64::try_from(list.deltas).unwrap_or(u64::MAX);
    let bases = (custom.version.saturating_sub(back).max(1)..custom.version)
        .filter(|&base| version_file(bench.state, &list.id, base).exists());
    let jobs: Vec<Option<u64>> = std::iter::once(None).chain(bases.map(Some)).collect();
    let done = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&base) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let target = match base {
                None => full(octets).map(Some),
                Some(base) => difference(&version_file(bench.state, &list.id, base), octets),
            };
            if let Ok(mut done) = done.lock() {
                done.push((base, target));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let done = done
        .into_inner()
        .map_err(|_| anyhow::anyhow!("packing {} failed", list.id))?;
    let whole = done.iter().find_map(|(base, target)| match (base, target) {
        (None, Ok(Some((packed, _)))) => Some(packed.len()),
        _ => None,
    });
    let mut targets = Vec::new();
    for (from, target) in done {
        let Some((packed, unpacked)) = target.with_context(|| format!("packing {}", list.id))? else {
            continue;
        };
        // A delta that saves less than half is not worth a second way to fail.
        if from.is_some() && whole.is_some_and(|whole| packed.len() * 2 > whole) {
            continue;
        }
        let custom = Target {
            from,
            unpacked,
            ..custom.clone()
        };
        let said = HashMap::from([(CUSTOM.to_owned(), serde_json::to_value(&custom)?)]);
        let target = metadata::target(&packed, said);
        targets.push((custom.name(), packed, target));
    }
    Ok(targets)
}

/// The list packed, and its octets unpacked.
fn full(octets: &[u8]) -> anyhow::Result<(Vec<u8>, u64)> {
    Ok((pack(octets, LEVEL)?, octets.len() as u64))
}

/// The delta from a kept version, packed; none where that version cannot be read any more.
fn difference(base: &Path, octets: &[u8]) -> anyhow::Result<Option<(Vec<u8>, u64)>> {
    let Ok(base) = zstd::stream::decode_all(BufReader::new(std::fs::File::open(base)?)) else {
        return Ok(None);
    };
    let mut out = Vec::new();
    match delta::diff(Cursor::new(base), Cursor::new(octets), &mut out) {
        Ok(_) => Ok(Some((pack(&out, DELTA_LEVEL)?, out.len() as u64))),
        Err(delta::DeltaError::Canonical(..)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn pack(octets: &[u8], level: i32) -> anyhow::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(octets.len() as u64))?;
    encoder.write_all(octets)?;
    Ok(encoder.finish()?)
}

/// Writes the signed answers for a version of a list of prefixes. Those of an unchanged version are written again where they
/// would expire before half of their time is left.
fn confirm(
    list: &List,
    version: u64,
    key: Option<&HashKey>,
    full: Vec<String>,
    bench: &Bench<'_>,
    new: bool,
) -> anyhow::Result<()> {
    let Some(key) = key.filter(|key| key.is_prefix()) else {
        return Ok(());
    };
    let file = confirmations::file(bench.state, &list.id, version);
    if !new && fresh(&file, bench) {
        return Ok(());
    }
    let signer = bench.confirm_key.with_context(|| {
        format!(
            "list {} is of prefixes; name a public key in [service] confirm_keys, with its private key in a folder of `keys`",
            list.id
        )
    })?;
    let mut under: HashMap<String, Vec<String>> = HashMap::new();
    for line in full {
        let digits = line.trim_start_matches('=');
        let prefix = digits
            .get(..usize::from(key.bits) / 4)
            .unwrap_or_default()
            .to_owned();
        under.entry(prefix).or_default().push(line);
    }
    let answers = under.into_iter().map(|(prefix, hashes)| {
        let question = Question {
            list: list.id.clone(),
            version,
            prefix,
        };
        Confirmation::signed(&question, hashes, bench.confirm_until, signer)
    });
    write(&file, &confirmations::octets(answers.collect())?)
}

/// Whether the answers of a file have half of their time left.
fn fresh(file: &Path, bench: &Bench<'_>) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else {
        return false;
    };
    let first = text.lines().next().and_then(|line| line.split_once(' '));
    let first = first.and_then(|(_, json)| serde_json::from_str::<Confirmation>(json).ok());
    let whole = bench.confirm_until - bench.now;
    first.is_some_and(|first| first.expires - bench.now > whole / 2)
}
