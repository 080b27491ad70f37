//! From a list's sources to its entries: read, checked one by one, and written as canonical lines.
//!
//! What a published list cannot say (regular expressions, rewrites; in hashed lists also exceptions and modifiers) is counted,
//! never guessed. Decisions of triage come last and have the last word.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use isigurt_blocklists::delta::canonical;
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::read::hashed::HashKey;
use isigurt_blocklists::read::report::Visitor;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::{Answer, Effect, Pattern, Rule};
use isigurt_wire::decision::{Act, Decision, Sealed};
use isigurt_wire::release::Publisher;
use isigurt_wire::seal::PrivateKey;

use super::checks::{Guard, Harm};
use super::config::{self, Kind, List, Source};
use super::keys::private_x25519;

/// Analysts that a decision needs.
const fn analysts(publisher: Publisher) -> usize {
    match publisher {
        Publisher::Mandatory => 2,
        Publisher::Categories => 1,
    }
}

/// What opens decisions, and whose count.
pub(crate) struct Opener {
    key: PrivateKey,
    /// Public keys as votes name them.
    analysts: Vec<String>,
}

impl Opener {
    /// Reads the keys.
    pub(crate) fn read(decisions: &config::Decisions) -> anyhow::Result<Self> {
        Ok(Self {
            key: private_x25519(&decisions.key)?,
            analysts: decisions.analysts.clone(),
        })
    }
}

/// What the sources of a list come to.
pub(crate) struct Entries {
    /// Canonical lines.
    pub(crate) lines: BTreeSet<String>,
    /// In a list of prefixes: the full hashes, lines as they stand in a hashed list of 128 bits.
    pub(crate) full: Vec<String>,
    /// Entries that need an approval or are refused, by name as written.
    pub(crate) harms: BTreeMap<String, (Name, Harm)>,
    /// Rules that a published list of this tier cannot say, and lines that are no rules.
    pub(crate) unusable: u64,
    /// Lines with rules, and unusable ones.
    pub(crate) counted: u64,
}

/// Reads the sources of `list`; `key` makes a list of hashes.
pub(crate) fn entries(
    list: &List,
    key: Option<&HashKey>,
    guard: &Guard,
    opener: Option<&Opener>,
) -> anyhow::Result<Entries> {
    let mut decisions = HashMap::new();
    for source in list
        .sources
        .iter()
        .filter(|source| source.kind == Kind::Decisions)
    {
        for file in files(&source.path)? {
            let opener = opener.context("no key opens decisions")?;
            read_decisions(list, &file, opener, &mut decisions)
                .with_context(|| file.display().to_string())?;
        }
    }
    let except = list.except.iter().map(|name| (name.clone(), true));
    let released = decisions
        .values()
        .filter(|(decision, _)| decision.act == Act::Release)
        .map(|(decision, name)| (name.clone(), decision.subdomains));
    let mut collector = Collector {
        key,
        guard,
        left_out: except.chain(released).collect(),
        lines: Vec::new(),
        full: Vec::new(),
        harms: BTreeMap::new(),
        void: Vec::new(),
        unusable: 0,
    };
    let mut counted = 0;
    for source in list.sources.iter().filter(|source| source.kind == Kind::List) {
        for file in files(&source.path)? {
            counted +=
                read_list(source, &file, &mut collector).with_context(|| file.display().to_string())?;
        }
    }
    for (decision, name) in decisions.values() {
        if decision.act == Act::Block {
            counted += 1;
            let pattern = if decision.subdomains {
                Pattern::Suffix
            } else {
                Pattern::Exact
            };
            collector.rule(0, Rule::block(pattern(name.clone())));
        }
    }
    Ok(collector.finish(counted))
}

/// The file itself, or the files of the folder by name; hidden ones are left out.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let said = || path.display().to_string();
    if !std::fs::metadata(path).with_context(said)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(said)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn read_list(source: &Source, file: &Path, collector: &mut Collector<'_>) -> anyhow::Result<u64> {
    let summary = read::stream(File::open(file)?, source.format, source.subdomains, collector)?;
    if summary.format == Format::Hashed {
        bail!(
            "hashes made with another key cannot be published; bring the names, or have gateways read that list by URL"
        );
    }
    let rejected = summary.report.rejected.len() as u64 + summary.report.rejected_more;
    collector.unusable += rejected;
    Ok(summary.report.with_rules + rejected)
}

/// Opens the decisions of a file; of several on one name the latest counts.
fn read_decisions(
    list: &List,
    file: &Path,
    opener: &Opener,
    decisions: &mut HashMap<String, (Decision, Name)>,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    for (place, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let at = || format!("line {}", place + 1);
        let sealed = Sealed::parse(line).with_context(at)?;
        let decision = sealed.open(&opener.key).with_context(at)?;
        if decision.list != list.id {
            continue;
        }
        let voters = decision.voters(opener.analysts.iter().map(String::as_str)).len();
        if voters < analysts(list.publisher) {
            bail!(
                "line {}: decision {} is signed by {voters} known analysts, this list needs {}; look at [decisions] analysts",
                place + 1,
                sealed.id,
                analysts(list.publisher)
            );
        }
        let name = Name::parse(&decision.name).with_context(at)?;
        let later = decisions
            .get(&decision.name)
            .is_none_or(|(other, _)| other.decided <= decision.decided);
        if later {
            decisions.insert(decision.name.clone(), (decision, name));
        }
    }
    Ok(())
}

struct Collector<'a> {
    key: Option<&'a HashKey>,
    guard: &'a Guard,
    /// Names that are left out, with all names below them or alone.
    left_out: HashMap<Name, bool>,
    lines: Vec<String>,
    full: Vec<String>,
    harms: BTreeMap<String, (Name, Harm)>,
    void: Vec<String>,
    unusable: u64,
}

impl Visitor for Collector<'_> {
    fn rule(&mut self, _line: u32, rule: Rule) {
        let (Pattern::Exact(name) | Pattern::Suffix(name)) = &rule.pattern else {
            self.unusable += 1;
            return;
        };
        if self.is_left_out(name) {
            return;
        }
        let Some(line) = self.line(&rule, name) else {
            self.unusable += 1;
            return;
        };
        let below = matches!(rule.pattern, Pattern::Suffix(_));
        if matches!(rule.effect, Effect::Block(_))
            && let Some(harm) = self.guard.harm(name.as_ref(), below)
        {
            self.harms.insert(line.clone(), (name.clone(), harm));
        }
        if let Some(key) = self.key.filter(|key| key.is_prefix()) {
            let full = HashKey { bits: 128, ..*key };
            self.full.push(full.line(name.to_string().as_bytes(), !below));
        }
        self.lines.push(line);
    }

    fn void(&mut self, rule: Rule) {
        if let Pattern::Exact(name) | Pattern::Suffix(name) = &rule.pattern {
            self.void.extend(self.line(&rule, name));
        }
    }
}

impl Collector<'_> {
    fn is_left_out(&self, name: &Name) -> bool {
        if self.left_out.is_empty() {
            return false;
        }
        let mut above = name.as_ref().suffixes().map(NameRef::to_name);
        above.any(|suffix| {
            self.left_out
                .get(&suffix)
                .is_some_and(|&below| below || suffix == *name)
        })
    }

    /// The canonical line of a rule; none where the list cannot say it.
    fn line(&self, rule: &Rule, name: &Name) -> Option<String> {
        let Some(key) = self.key else {
            return canonical::line(rule, None);
        };
        let plain = rule.effect == Effect::Block(Answer::Configured)
            && !rule.important
            && rule.types.is_none()
            && rule.except.is_empty();
        let exact = matches!(rule.pattern, Pattern::Exact(_));
        plain.then(|| key.line(name.to_string().as_bytes(), exact))
    }

    fn finish(self, counted: u64) -> Entries {
        let mut lines: BTreeSet<String> = self.lines.into_iter().collect();
        let mut harms = self.harms;
        for line in &self.void {
            lines.remove(line);
            harms.remove(line);
        }
        if self.key.is_none() {
            open_left_out(&self.left_out, &mut lines);
        }
        Entries {
            lines,
            full: self.full,
            harms,
            unusable: self.unusable,
            counted,
        }
    }
}

/// A name that was left out below one that stays blocked is opened by an exception, where the list can say one.
fn open_left_out(left_out: &HashMap<Name, bool>, lines: &mut BTreeSet<String>) {
    for (name, &below) in left_out {
        let blocked = name.as_ref().suffixes().skip(1).any(|above| {
            let rule = Rule::block(Pattern::Suffix(above.to_name()));
            canonical::line(&rule, None).is_some_and(|line| lines.contains(&line))
        });
        if blocked {
            let pattern = if below { Pattern::Suffix } else { Pattern::Exact };
            let mut exception = Rule::block(pattern(name.clone()));
            exception.effect = Effect::Allow;
            lines.extend(canonical::line(&exception, None));
        }
    }
}
