//! What leaves triage: decisions for the publisher, and confirmed names in the field's exchange forms.
//!
//! ```text
//!   decisions (sealed) ─▶ a file of lines ─▶ publish          nobody on the way can read them
//!   confirmed names ─▶ stix | iodef | csv | json ─▶ a file    an analyst opens them; mandatory ones only when told to
//! ```
//!
//! Names of a mandatory list go into a new file that its owner alone can read, with a warning, and never to a terminal.

mod form;
mod iodef;
mod stix;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::database::{self, now};
use crate::triage::desk::Which;
use crate::triage::trail::{self, What, written};
use crate::triage::{Desk, runtime};

/// Decisions for the publisher
#[derive(Debug, Subcommand)]
pub(crate) enum Decisions {
    /// Write all decisions, sealed, one a line: a source of `publish`
    Export {
        /// Where the database is
        #[arg(long, value_name = "FILE", default_value = "/etc/isigurt/platform.toml")]
        config: PathBuf,
        /// The file, replaced whole
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Confirmed names in an exchange form
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Where the database is, and which lists there are
    #[arg(long, value_name = "FILE", default_value = "/etc/isigurt/platform.toml")]
    config: PathBuf,
    /// The analyst's key
    #[arg(long, value_name = "FILE", default_value = "analyst.key")]
    key: PathBuf,
    /// The form
    #[arg(long, value_enum)]
    form: Form,
    /// Of this list only
    #[arg(long, value_name = "LIST")]
    list: Option<String>,
    /// Names of mandatory lists too
    #[arg(long)]
    mandatory: bool,
    /// A new file; `-` is standard output, never for mandatory lists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// STIX 2.1 indicators
    Stix,
    /// IODEF version 2 (RFC 7970)
    Iodef,
    /// A table
    Csv,
    /// The same table as JSON
    Json,
}

/// A confirmed name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    /// The case, which names the item without naming the name.
    case: String,
    name: String,
    list: String,
    mandatory: bool,
    /// Seconds since 1970.
    first: i64,
    confirmed: i64,
    reports: i64,
}

/// Writes the decisions.
pub(crate) fn decisions(command: &Decisions) -> anyhow::Result<String> {
    let Decisions::Export { config, out } = command;
    let config = Config::read(config)?;
    runtime()?.block_on(async {
        let database = database::open(&config.database, 2, Duration::from_secs(10)).await?;
        let lines: Vec<String> = sqlx::query_scalar("SELECT sealed FROM decision ORDER BY at, seq")
            .fetch_all(&database)
            .await
            .context("the database")?;
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        replace(out, text.as_bytes()).with_context(|| format!("--out {}", out.display()))?;
        Ok(format!("{} decisions\n", lines.len()))
    })
}

/// Replaces a file whole, so that nobody reads half of it.
fn replace(file: &Path, octets: &[u8]) -> std::io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut out = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    out.write_all(octets)?;
    out.sync_all()?;
    std::fs::rename(&beside, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes confirmed names.
pub(crate) fn export(export: &Export) -> anyhow::Result<String> {
    let config = Config::read(&export.config)?;
    runtime()?.block_on(async {
        let desk = Desk::at(&config, &export.key).await?;
        let items = items(&desk, export).await?;
        let sensitive = items.iter().any(|item| item.mandatory);
        let terminal = export.out == Path::new("-");
        if sensitive && terminal {
            bail!("names of a mandatory list are never printed; name a new file with --out");
        }
        let text = match export.form {
            Form::Stix => stix::text(&items),
            Form::Iodef => {
                let domain = config.triage.domain.as_deref().with_context(|| {
                    format!(
                        "{}: IODEF names its maker by a domain of its own (RFC 7970, section 3.4); set [triage] domain, such as \"lists.isigurt.example\"",
                        export.config.display()
                    )
                })?;
                iodef::text(&items, domain, now())
            }
            Form::Csv => Ok(form::csv(&items)),
            Form::Json => form::json(&items),
        }?;
        if !terminal {
            write_new(&export.out, text.as_bytes())?;
        }
        let mut transaction = desk.database.begin().await?;
        let what = What::Export {
            form: format!("{:?}", export.form).to_lowercase(),
            names: i64::try_from(items.len()).unwrap_or(i64::MAX),
            mandatory: sensitive,
        };
        trail::add(&mut transaction, &desk.analyst, what).await?;
        transaction.commit().await?;
        if terminal {
            return Ok(text);
        }
        let warning = if sensitive {
            "WARNING: the file names sites of a mandatory list. It is a directory of abuse in whoever's hands it falls: \
             encrypt it for whom it is meant, and delete it after.\n"
        } else {
            ""
        };
        Ok(format!("{warning}{} names in {}\n", items.len(), export.out.display()))
    })
}

async fn items(desk: &Desk, export: &Export) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for case in desk.every(Which::Decided).await? {
        let Some(list) = case.list.filter(|_| case.state == "confirmed") else {
            continue;
        };
        // A list that is configured no more may have been a mandatory one.
        let known = desk.lists.iter().find(|known| known.id == list);
        let mandatory = known.is_none_or(|known| known.mandatory);
        if export.list.as_ref().is_some_and(|wanted| *wanted != list) || (mandatory && !export.mandatory) {
            continue;
        }
        items.push(Item {
            case: written(&case.tag),
            name: case.name,
            list,
            mandatory,
            first: case.first,
            confirmed: case.since,
            reports: case.reports,
        });
    }
    items.sort_by(|one, other| (one.confirmed, &one.case).cmp(&(other.confirmed, &other.case)));
    Ok(items)
}

fn write_new(file: &Path, octets: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut out = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)?;
        out.write_all(octets)?;
        out.sync_all()
    };
    write().with_context(|| format!("cannot write {}; name a new file with --out", file.display()))
}

/// Seconds since 1970 as the forms write them (RFC 3339, UTC).
fn time(seconds: i64) -> String {
    let known = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    known.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
