//! The publisher's configuration: one TOML file that says what the repository is to be.
//!
//! It is declarative: roles and their keys as they should be, lists as they should be. `rotate` and `publish` find out what
//! differs from what is there. Paths are relative to the file. Unknown keys are errors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use isigurt_blocklists::data;
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::hashed::Offline;
use isigurt_wire::release::{Publisher, Software, Tier};
use serde::Deserialize;

use super::keys::Public;

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder that a web server serves: `metadata/` and `targets/` are made in it.
    pub(crate) repository: PathBuf,
    /// What only the publisher reads and, of it, `confirm/` the service.
    pub(crate) state: PathBuf,
    /// Folders with private keys (`*.pk8`) that this machine signs with.
    #[serde(default)]
    pub(crate) keys: Vec<PathBuf>,
    /// Who signs what.
    pub(crate) roles: Roles,
    /// What `platform/service.json` says.
    #[serde(default)]
    pub(crate) service: ServiceKeys,
    /// What a release is held against.
    #[serde(default)]
    pub(crate) checks: Checks,
    /// How decisions of triage are opened, and whose count.
    #[serde(default)]
    pub(crate) decisions: Option<Decisions>,
    /// How long files that nothing names any more stay, for whoever still reads the metadata before.
    #[serde(default = "week")]
    pub(crate) keep: Span,
    /// Ids of lists that were published and are not any more.
    #[serde(default)]
    pub(crate) withdrawn: BTreeSet<String>,
    /// The lists.
    #[serde(default, rename = "list")]
    pub(crate) lists: Vec<List>,
}

/// The roles of the repository.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Roles {
    pub(crate) root: Role,
    pub(crate) targets: Role,
    pub(crate) mandatory: Role,
    pub(crate) categories: Role,
    pub(crate) snapshot: Role,
    pub(crate) timestamp: Role,
}

impl Roles {
    /// The role that signs a publisher's lists.
    pub(crate) fn of(&self, publisher: Publisher) -> &Role {
        match publisher {
            Publisher::Mandatory => &self.mandatory,
            Publisher::Categories => &self.categories,
        }
    }
}

/// Keys of a role, how many of them have to sign, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    /// Files with public keys, as `keygen` writes them.
    keys: Vec<PathBuf>,
    #[serde(default = "one")]
    pub(crate) threshold: std::num::NonZeroU64,
    pub(crate) expires: Span,
    /// The keys themselves, read with the file.
    #[serde(skip)]
    pub(crate) public: Vec<Public>,
}

/// Keys and addresses that gateways learn from `platform/service.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceKeys {
    /// Public keys that reports are sealed to; the first is the one to use.
    #[serde(default)]
    pub(crate) report_keys: Vec<PathBuf>,
    /// Public keys that confirmations of prefix lists are signed with.
    #[serde(default)]
    pub(crate) confirm_keys: Vec<PathBuf>,
    #[serde(default)]
    pub(crate) intake: Option<String>,
    #[serde(default)]
    pub(crate) confirm: Option<String>,
    /// The newest version of the gateway's program.
    #[serde(default)]
    pub(crate) software: Option<Software>,
}

/// What a release is held against before it goes out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checks {
    /// Files with popular names, one a line, or `rank,name`.
    #[serde(default)]
    pub(crate) popular: Vec<PathBuf>,
    /// Public keys of the editors who may approve.
    #[serde(default)]
    pub(crate) editors: Vec<PathBuf>,
    /// The folder with their approvals.
    #[serde(default)]
    pub(crate) approvals: Option<PathBuf>,
}

/// How decisions of triage are opened, and whose count.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decisions {
    /// The private key that they are sealed to.
    pub(crate) key: PathBuf,
    /// Public keys of the analysts, as `triage analyst new` prints them: 64 hexadecimal digits.
    pub(crate) analysts: Vec<String>,
}

/// One list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) id: String,
    pub(crate) publisher: Publisher,
    #[serde(default)]
    pub(crate) category: Option<String>,
    #[serde(default)]
    pub(crate) tier: Tier,
    /// Of prefixes: 16 to 120, a multiple of 8.
    #[serde(default = "prefix_bits")]
    pub(crate) bits: u8,
    /// What a candidate gets while nobody can be asked.
    #[serde(default)]
    pub(crate) offline: Offline,
    /// How long a key of hashes is used: until then there are deltas.
    #[serde(default = "quarter")]
    pub(crate) rekey: Span,
    /// How many versions back there are deltas from.
    #[serde(default = "eight")]
    pub(crate) deltas: usize,
    /// Share that a release may lose, percent.
    #[serde(default = "ten")]
    pub(crate) shrink: f64,
    /// Share that a release may gain, percent.
    #[serde(default = "fifty")]
    pub(crate) grow: f64,
    /// Entries that a release may always gain or lose.
    #[serde(default = "always")]
    pub(crate) always: u64,
    /// Share of a source's lines that may be of no use, percent.
    #[serde(default = "ten")]
    pub(crate) refused: f64,
    /// Names whose entries are left out, whichever source they come from.
    #[serde(default)]
    pub(crate) except: Vec<Name>,
    #[serde(default, rename = "source")]
    pub(crate) sources: Vec<Source>,
}

/// Where a list's entries come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    #[serde(default)]
    pub(crate) kind: Kind,
    /// A file, or a folder whose files are read in the order of their names.
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) format: Format,
    /// Whether a bare name means all names below it too; as the gateway's `subdomains`.
    #[serde(default)]
    pub(crate) subdomains: Option<bool>,
}

/// What a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A list in a format that the gateway reads too.
    #[default]
    List,
    /// Sealed decisions of triage, those of this list.
    Decisions,
}

/// Refuses a version that gateways could not read.
fn check(software: &Software) -> anyhow::Result<()> {
    let Software {
        version,
        released,
        security: _,
        about,
        url,
    } = software;
    semver::Version::parse(version).with_context(|| format!("version {version:?} is none, such as 1.4.0"))?;
    let day: jiff::civil::Date = released
        .parse()
        .with_context(|| format!("released {released:?} is no day, such as 2026-11-26"))?;
    if day.to_string() != *released {
        bail!("released {released:?} is no day, such as {day}");
    }
    for (language, text) in about {
        if text.trim().is_empty() || text.chars().count() > 300 {
            bail!("about.{language}: expected one to 300 characters");
        }
    }
    if url.as_ref().is_some_and(|url| !url.starts_with("https://")) {
        bail!("url: expected one that begins with https://");
    }
    Ok(())
}

/// A length of time: `30s`, `10m`, `12h`, `365d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) i64);

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time; expected such as 30s, 10m, 12h, 14d");
        let (place, unit) = text.char_indices().next_back().ok_or_else(wrong)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count = text.get(..place).and_then(|digits| digits.parse::<u32>().ok());
        let count = count
            .filter(|&count| count > 0 && count <= 36_500)
            .ok_or_else(wrong)?;
        Ok(Self(i64::from(count) * seconds))
    }
}

fn one() -> std::num::NonZeroU64 {
    std::num::NonZeroU64::MIN
}
fn week() -> Span {
    Span(7 * 86_400)
}
fn quarter() -> Span {
    Span(90 * 86_400)
}
fn prefix_bits() -> u8 {
    24
}
fn eight() -> usize {
    8
}
fn ten() -> f64 {
    10.0
}
fn fifty() -> f64 {
    50.0
}
fn always() -> u64 {
    50
}

impl Config {
    /// Reads the file, and the public keys that it names.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let said = || file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(said)?;
        let mut config: Self = toml::from_str(&text).with_context(said)?;
        config.resolve(file.parent().unwrap_or(Path::new(".")));
        config.check().with_context(said)?;
        for (name, role) in config.roles.each_mut() {
            let read = |key: &PathBuf| Public::read(key);
            role.public = role.keys.iter().map(read).collect::<anyhow::Result<_>>()?;
            let distinct: BTreeSet<&str> = role.public.iter().map(|key| key.id.as_str()).collect();
            if (distinct.len() as u64) < role.threshold.get() {
                bail!(
                    "{}: role {name} has {} keys and asks for {} signatures; name more keys or lower its threshold",
                    file.display(),
                    distinct.len(),
                    role.threshold
                );
            }
        }
        if let Some(software) = &config.service.software {
            check(software).with_context(|| format!("{}: [service.software]", file.display()))?;
        }
        Ok(config)
    }

    /// Makes paths of the file's folder.
    fn resolve(&mut self, folder: &Path) {
        let mut paths: Vec<&mut PathBuf> = vec![&mut self.repository, &mut self.state];
        paths.extend(self.keys.iter_mut());
        paths.extend(self.service.report_keys.iter_mut());
        paths.extend(self.service.confirm_keys.iter_mut());
        paths.extend(self.checks.popular.iter_mut());
        paths.extend(self.checks.editors.iter_mut());
        paths.extend(self.checks.approvals.iter_mut());
        if let Some(decisions) = &mut self.decisions {
            paths.push(&mut decisions.key);
        }
        paths.extend(
            self.lists
                .iter_mut()
                .flat_map(|list| &mut list.sources)
                .map(|source| &mut source.path),
        );
        paths.extend(
            self.roles
                .each_mut()
                .into_iter()
                .flat_map(|(_, role)| &mut role.keys),
        );
        for path in paths {
            *path = folder.join(&*path);
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        for key in self.decisions.iter().flat_map(|decisions| &decisions.analysts) {
            let octets = data_encoding::HEXLOWER.decode(key.as_bytes());
            if octets.is_ok_and(|octets| octets.len() != 32)
                || !key.bytes().all(|digit| digit.is_ascii_hexdigit())
            {
                bail!(
                    "[decisions] analysts: {key:?} is no key; expected 64 hexadecimal digits, as `triage analyst new` prints"
                );
            }
        }
        let categories = data::built_in()?.categories;
        let mut seen = BTreeSet::new();
        for list in &self.lists {
            let id = &list.id;
            let kebab = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
            if id.is_empty() || id.len() > 64 || !id.bytes().all(kebab) {
                bail!("list {id:?}: an id is of lower-case letters, digits and hyphens, 64 at most");
            }
            if !seen.insert(id) || self.withdrawn.contains(id) {
                bail!("list {id:?} stands twice, or is also in `withdrawn`");
            }
            let known = |category: &String| categories.iter().any(|known| known.id == *category);
            match (list.publisher, &list.category) {
                (Publisher::Categories, Some(category)) if known(category) => {}
                (Publisher::Categories, Some(category)) => {
                    bail!("list {id:?}: category {category:?} is none of blocklists/data/categories.toml");
                }
                (Publisher::Categories, None) => bail!("list {id:?}: lists of the editors have a `category`"),
                (Publisher::Mandatory, Some(_)) => bail!("list {id:?}: a mandatory list has no `category`"),
                (Publisher::Mandatory, None) => {}
            }
            if !(16..128).contains(&list.bits) || !list.bits.is_multiple_of(8) {
                bail!("list {id:?}: `bits` is a multiple of 8 from 16 to 120");
            }
            if list.sources.is_empty() {
                bail!("list {id:?} has no [[list.source]]");
            }
            let sealed = list.sources.iter().any(|source| source.kind == Kind::Decisions);
            if sealed && self.decisions.is_none() {
                bail!("list {id:?} takes decisions; say in [decisions] which key opens them and whose count");
            }
        }
        Ok(())
    }
}

impl Roles {
    fn each_mut(&mut self) -> [(&'static str, &mut Role); 6] {
        [
            ("root", &mut self.root),
            ("targets", &mut self.targets),
            ("mandatory", &mut self.mandatory),
            ("categories", &mut self.categories),
            ("snapshot", &mut self.snapshot),
            ("timestamp", &mut self.timestamp),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_a_number_and_a_unit() {
        assert_eq!("14d".parse(), Ok(Span(14 * 86_400)));
        assert_eq!("90s".parse(), Ok(Span(90)));
        for wrong in ["", "d", "0d", "14", "-1h", "1w", "99999999999d", "é"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong:?}");
        }
    }
}
