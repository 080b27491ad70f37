//! Builds the index from lists: reads each, keeps its last good copy, compiles.
//!
//! This is the part that works on millions of lines, so it runs in a process of its own ([`super::worker`]): memory
//! that it needed is gone when it ends, and a list that breaks it does not break the filter.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use isigurt_blocklists::data::{self, BypassAnswer};
use isigurt_blocklists::index::{Compiler, IndexError, ListInfo, Reading, Seed, Source, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::report::{Rejected, Report};
use isigurt_blocklists::rule::{Answer, Effect, Located, Pattern, Rule};
use serde::{Deserialize, Serialize};

use super::measure::{Measured, measure};

/// Rejected lines that are handed on for the log.
const SHOWN: usize = 20;
/// Octets of the built-in lists' names, roughly: for the size of the gate.
const BUILT_IN: u64 = 128 << 10;

/// What to build.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) seed: Seed,
    /// Seconds since 1970.
    pub(super) built_at: i64,
    pub(super) threads: usize,
    /// Where last good copies lie.
    pub(super) copies: PathBuf,
    /// Whether new good versions are kept there.
    pub(super) keep: bool,
    pub(super) lists: Vec<ListOrder>,
    /// What the last list is compared with, where it is only looked at.
    pub(super) beside: Option<Beside>,
}

/// What a list is compared with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Beside {
    /// The index in force.
    pub(super) index: PathBuf,
    /// Which lists it would decide with.
    pub(super) group: Group,
}

/// One list beside the built-in ones.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ListOrder {
    pub(super) id: String,
    pub(super) file: PathBuf,
    /// Where it comes from, for a person.
    pub(super) origin: String,
    pub(super) reading: (Format, Option<bool>),
    pub(super) group: Group,
    pub(super) kind: Kind,
    /// Hash of the version in force, as far as it is known.
    pub(super) known: Option<String>,
}

/// Which lists a list decides with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Group {
    /// The household's own.
    Own,
    Category(String),
    /// What no profile opens.
    Mandatory,
}

impl Group {
    /// Kind and identifier of its tag.
    pub(super) fn tag(&self) -> (TagKind, &str) {
        match self {
            Self::Category(category) => (TagKind::Category, category),
            Self::Own => (TagKind::Own, "own"),
            Self::Mandatory => (TagKind::Mandatory, "national"),
        }
    }
}

/// Who answers for what stands in a list's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The owner of the gateway, who has to be told when it cannot be read.
    File,
    /// A server: where there is no file, nothing newer than the last good copy was fetched.
    Fetched {
        /// Lines with rules in the version in force.
        before: u64,
        /// The version that may lose half of them.
        accepted: Option<String>,
    },
    /// The national platform, by signatures that were verified: the file holds exactly this.
    Verified { hash: String, version: u64 },
}

/// What was built.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) built_in: Vec<BuiltIn>,
    pub(super) lists: Vec<Delivered>,
    pub(super) warnings: Vec<String>,
    /// How the last list compares.
    pub(super) measured: Option<Measured>,
}

/// A built-in list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BuiltIn {
    pub(super) id: String,
    pub(super) origin: String,
    pub(super) rules: u64,
}

/// A list of the configuration.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delivered {
    pub(super) id: String,
    pub(super) format: Format,
    pub(super) rules: u64,
    pub(super) duplicates: u64,
    pub(super) redundant: u64,
    pub(super) rejected: u64,
    pub(super) rejections: Vec<Rejected>,
    pub(super) hash: String,
    /// Lines with rules.
    pub(super) lines: u64,
    /// Why its last good copy was taken.
    pub(super) error: Option<String>,
    /// Lines with rules in the version that was held back, because it lost half of them.
    pub(super) held: Option<u64>,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub(super) enum BuildError {
    #[error("list {id:?} ({file}): {reason}; correct its url in the configuration, or take the list out", file = file.display())]
    List {
        id: String,
        file: PathBuf,
        reason: String,
    },
    #[error("national list {id:?} ({file}) is damaged: {reason}; it is fetched anew", file = file.display())]
    Damaged {
        id: String,
        file: PathBuf,
        reason: String,
    },
    #[error("lists: {0}")]
    Index(String),
    #[error("built-in lists: {0}; this program is damaged, install it again")]
    BuiltIn(String),
}

impl From<IndexError> for BuildError {
    fn from(error: IndexError) -> Self {
        Self::Index(error.to_string())
    }
}

/// A list's file, which can be read again.
struct ListFile(PathBuf);

impl Source for ListFile {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let file = File::open(&self.0)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(file))
    }
}

/// Builds the index into `out`, and the way back to the lists' lines into `lines`.
pub(super) fn build(
    order: &Order,
    out: impl Write + Seek,
    lines: impl Write + Seek,
) -> Result<Delivery, BuildError> {
    let length = |file: &Path| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let octets = BUILT_IN + order.lists.iter().map(|list| length(&list.file)).sum::<u64>();
    let mut compiler = Compiler::new(order.seed, octets);
    let mut built_in_lists = Vec::new();
    built_in(&mut compiler, &mut built_in_lists)?;
    let (mut read, mut warnings) = (Vec::new(), Vec::new());
    for list in &order.lists {
        read.push(one(order, list, &mut compiler, &mut warnings)?);
    }
    for (id, line) in compiler.refused() {
        for ((list, _), _) in read.iter_mut().filter(|((list, _), _)| list.id == *id) {
            list.rejected += 1;
            if list.rejections.len() < SHOWN {
                list.rejections.push(Rejected {
                    line: *line,
                    reason: "regular expression refused: it needs too much memory".to_owned(),
                    text: String::new(),
                });
            }
        }
    }
    let stats = compiler.finish(order.built_at, order.threads, out, lines)?;
    let mut counts = stats.lists.iter();
    let built_in = built_in_lists
        .into_iter()
        .zip(counts.by_ref())
        .map(|((id, origin), counts)| BuiltIn {
            id,
            origin,
            rules: counts.kept,
        });
    let mut delivery = Delivery {
        built_in: built_in.collect(),
        lists: Vec::new(),
        warnings,
        measured: None,
    };
    for ((mut list, place), staged) in read {
        if let Some(counts) = stats.lists.get(place) {
            list.rules = counts.kept;
            list.duplicates = counts.duplicates;
            list.redundant = counts.redundant;
        }
        if let Some((staged, copy)) = staged
            && let Err(error) = std::fs::rename(&staged, &copy)
        {
            let id = &list.id;
            delivery
                .warnings
                .push(format!("list {id}: its last good copy cannot be kept: {error}"));
        }
        delivery.lists.push(list);
    }
    if let (Some(Beside { index, group }), Some(list)) = (&order.beside, order.lists.last()) {
        let measured = measure(&list.file, list.reading, group, index);
        delivery.measured = Some(measured.map_err(BuildError::Index)?);
    }
    Ok(delivery)
}

/// The built-in lists; notes identifier and origin of each.
fn built_in(compiler: &mut Compiler, lists: &mut Vec<(String, String)>) -> Result<(), BuildError> {
    let data = data::built_in().map_err(|error| BuildError::BuiltIn(error.to_string()))?;
    let mut add = |kind, id: &str, rules: Vec<Located>, file: &str| {
        let tag = compiler.tag(kind, id)?;
        let origin = format!("built in: {file}");
        lists.push((id.to_owned(), origin.clone()));
        let info = ListInfo {
            id: id.to_owned(),
            tag,
            origin,
            format: Format::Domains,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        compiler.add(info, None, rules);
        Ok::<_, IndexError>(())
    };
    let suffixes = |names: &[Name], line| -> Vec<Located> {
        names
            .iter()
            .map(|name| Located {
                rule: Rule::block(Pattern::Suffix(name.clone())),
                line,
            })
            .collect()
    };
    let helplines = data
        .helplines
        .iter()
        .flat_map(|line| suffixes(&line.domains, line.line))
        .collect();
    add(TagKind::Helpline, "helplines", helplines, "helplines.toml")?;
    let mut bypass: Vec<Located> = Vec::new();
    for way in &data.bypass {
        let answer = match way.answer {
            Some(BypassAnswer::NxDomain) => Answer::NxDomain,
            Some(BypassAnswer::NoData) => Answer::NoData,
            None => Answer::Configured,
        };
        for mut located in suffixes(&way.domains, way.line) {
            located.rule.effect = Effect::Block(answer.clone());
            bypass.push(located);
        }
    }
    add(TagKind::Bypass, "bypass", bypass, "bypass.toml")?;
    for category in &data.categories {
        let rules = suffixes(&category.names, category.line);
        add(TagKind::Category, &category.id, rules, "categories.toml")?;
    }
    for service in &data.services {
        let rules = suffixes(&service.domains, service.line);
        add(TagKind::Service, &service.id, rules, "services.toml")?;
    }
    Ok(())
}

/// A list that was read, with its place in the index, and the new copy that becomes the last good one.
type ReadList = ((Delivered, usize), Option<(PathBuf, PathBuf)>);

/// A version of a list that was read.
struct Version {
    format: Format,
    report: Report,
    hash: String,
    staged: Option<(PathBuf, PathBuf)>,
}

/// Why a version is not taken.
struct Refused {
    reason: String,
    held: Option<u64>,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self { reason, held: None }
    }
}

/// Reads one list into the compiler; where it cannot be used, its last good copy.
fn one(
    order: &Order,
    list: &ListOrder,
    compiler: &mut Compiler,
    warnings: &mut Vec<String>,
) -> Result<ReadList, BuildError> {
    let copy = order.copies.join(&list.id);
    let fresh = match &list.kind {
        Kind::File => from_file(order, list, &copy, compiler, warnings),
        Kind::Fetched { before, accepted } => {
            if list.file.exists() {
                from_server(list, &copy, compiler, (*before, accepted.as_deref()))
            } else {
                return Ok(held(list, &copy, compiler, None).unwrap_or_else(|| missing(list)));
            }
        }
        Kind::Verified { hash, .. } => return verified(list, hash, compiler),
    };
    match fresh {
        Ok(version) => {
            let Version {
                format,
                report,
                hash,
                staged,
            } = version;
            let delivered = delivered(list, format, report, hash, None);
            Ok(((delivered, place(compiler)), staged))
        }
        Err(refused) => match (held(list, &copy, compiler, Some(&refused)), &list.kind) {
            (Some(held), _) => Ok(held),
            (None, Kind::Fetched { .. }) => {
                let mut missing = missing(list);
                missing.0.0.error = Some(refused.reason);
                Ok(missing)
            }
            (None, _) => Err(BuildError::List {
                id: list.id.clone(),
                file: list.file.clone(),
                reason: refused.reason,
            }),
        },
    }
}

fn place(compiler: &Compiler) -> usize {
    compiler.lists().saturating_sub(1)
}

/// A file of the owner's, of which a copy is kept.
fn from_file(
    order: &Order,
    list: &ListOrder,
    copy: &Path,
    compiler: &mut Compiler,
    warnings: &mut Vec<String>,
) -> Result<Version, Refused> {
    let (hash, blank) = fingerprint(&list.file)?;
    refuse_blank(blank, copy)?;
    let staged = match stage(order, list, copy, &hash) {
        Ok(staged) => staged,
        Err(error) => {
            warnings.push(format!(
                "list {}: its last good copy cannot be kept: {error}",
                list.id
            ));
            None
        }
    };
    let file = staged.as_ref().unwrap_or(&list.file);
    let (format, report) = add(list, file, &hash, compiler)?;
    Ok(Version {
        format,
        report,
        hash,
        staged: staged.map(|staged| (staged, copy.to_owned())),
    })
}

/// An interrupted download leaves an empty file; a list that had content does not lose it that way.
fn refuse_blank(blank: bool, copy: &Path) -> Result<(), Refused> {
    if blank && std::fs::metadata(copy).is_ok_and(|held| held.len() > 0) {
        return Err("is empty, and was not before".to_owned().into());
    }
    Ok(())
}

/// A new version from a server. One that lost more than half of its rules is held back: somebody has taken the list over, or
/// what came is something else.
fn from_server(
    list: &ListOrder,
    copy: &Path,
    compiler: &mut Compiler,
    (before, accepted): (u64, Option<&str>),
) -> Result<Version, Refused> {
    let (hash, blank) = fingerprint(&list.file)?;
    refuse_blank(blank, copy)?;
    let (format, report) = add(list, &list.file, &hash, compiler)?;
    let lines = report.with_rules;
    if lines.saturating_mul(2) < before && accepted != Some(hash.as_str()) && copy.exists() {
        compiler.discard_last();
        return Err(Refused {
            reason: format!(
                "the new version has {lines} lines with rules, the one before {before}: held back; look at it, then \
                 `isigurtd lists update --accept {}`",
                list.id
            ),
            held: Some(lines),
        });
    }
    Ok(Version {
        format,
        report,
        hash,
        staged: Some((list.file.clone(), copy.to_owned())),
    })
}

/// A list of the platform: exactly what was verified, or nothing is built.
fn verified(list: &ListOrder, hash: &str, compiler: &mut Compiler) -> Result<ReadList, BuildError> {
    let damaged = |reason: String| BuildError::Damaged {
        id: list.id.clone(),
        file: list.file.clone(),
        reason,
    };
    let (found, _) = fingerprint(&list.file).map_err(damaged)?;
    if found != hash {
        return Err(damaged("it is not what was verified".to_owned()));
    }
    let (format, mut report) = add(list, &list.file, hash, compiler).map_err(damaged)?;
    if list.group == Group::Mandatory {
        report.rejected.clear(); // what stands there is not to be read
    }
    let delivered = delivered(list, format, report, found, None);
    Ok(((delivered, place(compiler)), None))
}

/// The last good copy.
fn held(
    list: &ListOrder,
    copy: &Path,
    compiler: &mut Compiler,
    refused: Option<&Refused>,
) -> Option<ReadList> {
    let (hash, _) = fingerprint(copy).ok()?;
    if list.known.as_ref().is_some_and(|known| *known != hash) {
        return None;
    }
    let (format, report) = add(list, copy, &hash, compiler).ok()?;
    let error = refused.map(|refused| refused.reason.clone());
    let mut delivered = delivered(list, format, report, hash, error);
    delivered.held = refused.and_then(|refused| refused.held);
    Some(((delivered, place(compiler)), None))
}

/// A list that nothing is there of yet.
fn missing(list: &ListOrder) -> ReadList {
    let error = "was not fetched yet".to_owned();
    let delivered = delivered(
        list,
        list.reading.0,
        Report::default(),
        String::new(),
        Some(error),
    );
    ((delivered, usize::MAX), None)
}

fn delivered(
    list: &ListOrder,
    format: Format,
    mut report: Report,
    hash: String,
    error: Option<String>,
) -> Delivered {
    let rejected = report.refused();
    report.rejected.truncate(SHOWN);
    Delivered {
        id: list.id.clone(),
        format,
        rules: 0,
        duplicates: 0,
        redundant: 0,
        rejected,
        rejections: report.rejected,
        hash,
        lines: report.with_rules,
        error,
        held: None,
    }
}

/// Reads a file into the compiler; nothing of it stays there where it is no list.
fn add(
    list: &ListOrder,
    file: &Path,
    hash: &str,
    compiler: &mut Compiler,
) -> Result<(Format, Report), String> {
    let (kind, id) = list.group.tag();
    let tag = compiler.tag(kind, id);
    let (format, subdomains) = list.reading;
    let info = ListInfo {
        id: list.id.clone(),
        tag: tag.map_err(|error| error.to_string())?,
        origin: list.origin.clone(),
        format,
        version: match &list.kind {
            Kind::Verified { version, .. } => version.to_string(),
            Kind::File | Kind::Fetched { .. } => hash.to_owned(),
        },
    };
    let source = ListFile(file.to_owned());
    let reading = Reading { format, subdomains };
    let (format, report) = compiler
        .read(info, source, reading)
        .map_err(|error| error.to_string())?;
    if report.with_rules == 0 && report.refused() > 0 {
        compiler.discard_last();
        let first = report.rejected.first().map_or(String::new(), |first| {
            format!("; line {}: {}", first.line, first.reason)
        });
        return Err(format!("no line of it is a rule of format {format}{first}"));
    }
    Ok((format, report))
}

/// BLAKE3 of a file, hexadecimal, and whether there is nothing but white space in it.
fn fingerprint(file: &Path) -> Result<(String, bool), String> {
    let read = || {
        let file = ListFile(file.to_owned());
        let mut input = file.open()?;
        let (mut hasher, mut blank, mut buffer) = (blake3::Hasher::new(), true, vec![0; 64 << 10]);
        loop {
            let length = input.read(&mut buffer)?;
            let octets = buffer.get(..length).unwrap_or_default();
            if octets.is_empty() {
                return Ok((hasher.finalize().to_hex().to_string(), blank));
            }
            hasher.update(octets);
            blank &= octets.iter().all(u8::is_ascii_whitespace);
        }
    };
    read().map_err(|error: io::Error| format!("cannot be read: {error}"))
}

/// Copies a new version of a list beside the last good copy; `None` where that is the same, or none is kept.
fn stage(order: &Order, list: &ListOrder, copy: &Path, hash: &str) -> io::Result<Option<PathBuf>> {
    if !order.keep
        || list.known.as_deref() == Some(hash) && fingerprint(copy).is_ok_and(|(held, _)| held == hash)
    {
        return Ok(None);
    }
    std::fs::create_dir_all(&order.copies)?;
    // No list's id starts with a dot, so that this is no other list's copy.
    let staged = order.copies.join(format!(".{}.next", list.id));
    let mut out = File::create(&staged)?;
    io::copy(&mut File::open(&list.file)?, &mut out)?;
    out.sync_all()?;
    match fingerprint(&staged) {
        Ok((held, _)) if held == hash => Ok(Some(staged)),
        _ => Err(io::Error::other("the list changed while it was read")),
    }
}
