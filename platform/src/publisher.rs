//! The publisher's commands: what they take, and what they print.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use isigurt_blocklists::name::Name;

use crate::publish::approval::{self, Subject};
use crate::publish::config::{Config, Span};
use crate::publish::{self, Report, ceremony, inspect, keys, watch};

const CONFIG: &str = "/etc/isigurt/publish.toml";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Draft the first root and its targets; signs and installs them where all keys are here
    Init {
        /// The publisher's configuration
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Draft a new root or its targets where they differ from the configuration or are past half of their time
    Rotate {
        /// The publisher's configuration
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// Draft both anew in any case
        #[arg(long)]
        renew: bool,
    },
    /// Add a holder's signature to a draft, in its place
    Sign {
        /// The draft
        draft: PathBuf,
        /// The holder's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Put a draft that enough holders have signed into the repository
    Install {
        /// The draft
        draft: PathBuf,
        /// The publisher's configuration
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Publish what changed in the lists; exit 1 where something was held or waits
    Publish {
        /// The publisher's configuration
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// Give no version below this: for a repository restored from before versions that gateways have seen
        #[arg(long, default_value_t = 0)]
        floor: u64,
        /// Stay, and publish whenever a source changes or something would expire
        #[arg(long)]
        watch: bool,
        /// How often to look, with --watch
        #[arg(long, value_name = "SPAN", default_value = "2s", requires = "watch")]
        every: Span,
    },
    /// Sign again what would expire before half of its time is left, and leave the lists as they are
    Refresh {
        /// The publisher's configuration
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Approve, as an editor, what publish holds back
    Approve {
        /// The publisher's configuration
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// The editor's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The list
        #[arg(long, value_name = "ID")]
        list: String,
        /// The name that the list may block
        #[arg(long, required_unless_present = "release", conflicts_with = "release")]
        name: Option<Name>,
        /// The hash of the release that may shrink or grow, as publish told it
        #[arg(long, value_name = "BLAKE3")]
        release: Option<String>,
        /// Why, on one line
        #[arg(long)]
        reason: String,
        /// How long the approval holds
        #[arg(long, value_name = "SPAN", default_value = "90d")]
        r#for: Span,
    },
    /// Look at a repository: roles, lists, sizes; every signature and octet is checked. Exit 1 where something is wrong
    Inspect {
        /// The folder that is served
        repository: PathBuf,
    },
}

pub(crate) fn run(command: &Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init { config } => drafts(config, false, json),
        Command::Rotate { config, renew } => drafts(config, *renew, json),
        Command::Sign { draft, key } => {
            let count = ceremony::sign(draft, key)?;
            let text = format!("{} has {count} signatures", draft.display());
            print(
                json,
                &text,
                &serde_json::json!({ "file": draft, "signatures": count }),
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Install { draft, config } => told(&ceremony::install(config, draft, publish::now()?)?, json),
        Command::Publish {
            config,
            floor,
            watch: true,
            every,
        } => {
            let every = Duration::from_secs(every.0.unsigned_abs());
            watch::watch(config, *floor, every, &|report| match report {
                Ok(report) => told(report, json).map(|_| ()),
                Err(error) => Ok(writeln!(std::io::stderr(), "isigurt-platform: {error:#}")?),
            })
            .map(|never| match never {})
        }
        Command::Publish { config, floor, .. } => {
            told(&publish::publish(config, *floor, publish::now()?, None)?, json)
        }
        Command::Refresh { config } => told(&publish::refresh(config, publish::now()?)?, json),
        Command::Approve {
            config,
            key,
            list,
            name,
            release,
            reason,
            r#for,
        } => {
            let subject = match (name, release) {
                (Some(name), _) => Subject::Name(name.clone()),
                (None, Some(hash)) => Subject::Release(hash.clone()),
                (None, None) => bail!("approve a --name or a --release"),
            };
            approve(config, key, list, subject, reason, *r#for, json)
        }
        Command::Inspect { repository } => {
            let inspection = inspect::inspect(repository)?;
            print(json, inspection.text().trim_end(), &inspection)?;
            Ok(code(inspection.is_sound()))
        }
    }
}

fn code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn drafts(config: &Path, renew: bool, json: bool) -> anyhow::Result<ExitCode> {
    let drafts = ceremony::draft(config, renew, publish::now()?)?;
    let mut text = Vec::new();
    for draft in &drafts {
        let (file, count) = (draft.file.display(), draft.signatures);
        text.push(if draft.installed {
            format!("{file}: signed by {count}, installed")
        } else {
            format!("{file}: signed by {count}, needs more: have its holders `sign` it, then `install` it")
        });
    }
    if drafts.is_empty() {
        text.push("nothing differs from the configuration".to_owned());
    }
    print(json, &text.join("\n"), &drafts)?;
    Ok(code(drafts.iter().all(|draft| draft.installed)))
}

fn approve(
    config: &Path,
    key: &Path,
    list: &str,
    subject: Subject,
    reason: &str,
    span: Span,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let config = Config::read(config)?;
    if !config.lists.iter().any(|known| known.id == list) {
        bail!("no list {list:?} is configured");
    }
    let folder = config
        .checks
        .approvals
        .context("name the folder of approvals in [checks] approvals")?;
    let key = keys::private(key)?;
    let until = publish::now()? + span.0;
    let file = approval::approve(&folder, &key, list, subject, reason, until)?;
    print(
        json,
        &format!("{}", file.display()),
        &serde_json::json!({ "file": file }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what a run did; exit 1 where something has to be looked at.
fn told(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    for list in &report.lists {
        let deltas: Vec<String> = list
            .deltas
            .iter()
            .map(|(from, octets)| format!("{from} ({octets})"))
            .collect();
        let mut line = format!(
            "{}: {}, version {}, {} entries",
            list.list, list.state, list.version, list.entries
        );
        if list.packed > 0 {
            let _ = write!(line, ", {} octets", list.packed);
        }
        if !deltas.is_empty() {
            let _ = write!(line, ", deltas from {}", deltas.join(", "));
        }
        if list.unusable > 0 {
            let _ = write!(line, ", {} rules not usable", list.unusable);
        }
        text.push(line);
        text.extend(list.why.iter().map(|why| format!("{}: held: {why}", list.list)));
    }
    text.extend(report.waiting.iter().map(|waiting| format!("waiting: {waiting}")));
    let state = if report.changed {
        "published"
    } else {
        "nothing new"
    };
    text.push(format!("{state}, timestamp {}", report.timestamp));
    print(json, &text.join("\n"), report)?;
    Ok(code(report.is_whole()))
}

fn print(json: bool, text: &str, data: &impl serde::Serialize) -> anyhow::Result<()> {
    let json = json.then(|| serde_json::to_string_pretty(data)).transpose()?;
    writeln!(std::io::stdout(), "{}", json.as_deref().unwrap_or(text))?;
    Ok(())
}
