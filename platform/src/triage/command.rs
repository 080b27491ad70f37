//! The command line of triage. It masks names unless it is told to show them: a terminal keeps what it showed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use isigurt_wire::decision::Act;

use super::analyst::{Analyst, Public, report_key};
use super::desk::{Desk, Which};
use super::show::{case_json, counted, line, shown, time};
use super::trail;
use super::verdict::{Proposal, Reason, Voted};
use super::{staff, web};
use crate::config::Config;
use crate::database;

/// How long the database may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of one analyst.
const CONNECTIONS: u32 = 4;

/// Analysts' work
#[derive(Debug, Args)]
pub(crate) struct Triage {
    /// Where the database is, and which lists there are: see docs/triage.md
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/isigurt/platform.toml"
    )]
    config: PathBuf,
    /// The analyst's key
    #[arg(long, global = true, value_name = "FILE", default_value = "analyst.key")]
    key: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Become the first analyst, with the private key that reports are sealed to
    Begin {
        /// The private report key, of `keygen --roles report`
        #[arg(long, value_name = "FILE")]
        report_key: PathBuf,
    },
    /// Who works here
    #[command(subcommand)]
    Analyst(AnalystCommand),
    /// Keys that reports are sealed to
    #[command(subcommand)]
    Key(KeyCommand),
    /// How much there is
    Status,
    /// Cases; names are masked
    List {
        /// Which of them
        #[arg(long, value_enum, default_value = "open")]
        which: Which,
        /// Show names: a terminal keeps them
        #[arg(long)]
        names: bool,
    },
    /// Take up the most urgent case that nobody has
    Next {
        /// Show names and notes: a terminal keeps them
        #[arg(long)]
        names: bool,
    },
    /// Take up a case
    Show {
        /// The first column of `list`, or its beginning
        case: String,
        /// Show names and notes: a terminal keeps them
        #[arg(long)]
        names: bool,
    },
    /// The name goes into a list; a mandatory one needs another analyst's word too
    Confirm(VoteCommand),
    /// The name is blocked and should not be: it goes out of a list
    OverBlock(VoteCommand),
    /// Nothing is to be done
    Reject {
        case: String,
        #[arg(long, value_enum)]
        reason: Reason,
    },
    /// The case is part of another
    Merge {
        case: String,
        #[arg(long, value_name = "CASE")]
        into: String,
    },
    /// Every act of every analyst, checked
    Audit {
        /// The newest hash that you wrote down: an error where the trail does not contain it
        #[arg(long, value_name = "HASH")]
        contains: Option<String>,
    },
    /// The desk as a page, on this machine only
    Web {
        #[arg(long, default_value = "127.0.0.1:8600")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct VoteCommand {
    case: String,
    /// The list, one of [[triage.list]]
    #[arg(long)]
    list: String,
    /// A name above that of the case, such as the whole site
    #[arg(long, value_name = "NAME")]
    above: Option<String>,
    /// The name alone, not those below it
    #[arg(long)]
    alone: bool,
}

#[derive(Debug, Subcommand)]
enum AnalystCommand {
    /// Make a key (`--key`) on this machine, and print the line that another analyst adds
    New { name: String },
    /// Add an analyst by the line that `new` printed
    Add {
        name: String,
        sign: String,
        open: String,
    },
    /// Remove an analyst
    Remove { name: String },
    /// Who works here
    List,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Give a private report key to all analysts; reports that are sealed to it are taken from then on
    Add { file: PathBuf },
}

/// A runtime for one command.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// Does what is asked and gives what is to be printed.
pub(crate) fn run(triage: &Triage, json: bool) -> anyhow::Result<String> {
    if let What::Analyst(AnalystCommand::New { name }) = &triage.what {
        let public = Analyst::make(name, &triage.key)?.public()?;
        return Ok(format!("{public}\n"));
    }
    let config = Config::read(&triage.config)?;
    runtime()?.block_on(act(triage, &config, json))
}

impl Desk {
    /// The desk of whoever holds the key in `file`.
    pub(crate) async fn at(config: &Config, file: &Path) -> anyhow::Result<Self> {
        let analyst = Analyst::read(file)?;
        let database = database::open(&config.database, CONNECTIONS, PATIENCE).await?;
        Ok(Self::open(database, analyst, &config.triage).await?)
    }
}

async fn act(triage: &Triage, config: &Config, json: bool) -> anyhow::Result<String> {
    if let What::Begin { report_key: file } = &triage.what {
        let analyst = Analyst::read(&triage.key)?;
        let database = database::open(&config.database, CONNECTIONS, PATIENCE).await?;
        staff::begin(&database, &analyst, report_key(file)?).await?;
        return Ok(format!("{} is the first analyst\n", analyst.name));
    }
    let desk = Desk::at(config, &triage.key).await?;
    match &triage.what {
        What::Begin { .. } | What::Analyst(AnalystCommand::New { .. }) => Ok(String::new()), // done above
        What::Analyst(command) => staff_command(&desk, command).await,
        What::Key(KeyCommand::Add { file }) => {
            let id = desk.add_key(&report_key(file)?).await?;
            Ok(format!(
                "reports sealed to {id} are taken; publish it in platform/service.json\n"
            ))
        }
        What::Status => Ok(counted(&desk.counts().await?, json)),
        What::List { which, names } => {
            desk.sort().await?;
            let cases = desk.cases(*which).await?;
            if json {
                let cases: Vec<_> = cases.iter().map(|case| case_json(case, *names)).collect();
                return Ok(format!("{}\n", serde_json::to_string_pretty(&cases)?));
            }
            Ok(cases.iter().map(|case| line(case, *names)).collect())
        }
        What::Next { names } => {
            desk.sort().await?;
            match desk.next().await? {
                None => Ok("nothing is left to do\n".to_owned()),
                Some(tag) => Ok(shown(&desk.whole(&tag).await?, *names, json)),
            }
        }
        What::Show { case, names } => {
            desk.sort().await?;
            let tag = desk.find(case).await?;
            desk.review(&tag).await?;
            Ok(shown(&desk.whole(&tag).await?, *names, json))
        }
        What::Confirm(vote) => voted(&desk, vote, Act::Block).await,
        What::OverBlock(vote) => voted(&desk, vote, Act::Release).await,
        What::Reject { case, reason } => {
            desk.reject(&desk.find(case).await?, *reason).await?;
            Ok("rejected\n".to_owned())
        }
        What::Merge { case, into } => {
            desk.merge(&desk.find(case).await?, &desk.find(into).await?)
                .await?;
            Ok("merged\n".to_owned())
        }
        What::Audit { contains } => audit(&desk, contains.as_deref(), json).await,
        What::Web { listen } => {
            web::serve(desk, *listen).await?;
            Ok(String::new())
        }
    }
}

async fn staff_command(desk: &Desk, command: &AnalystCommand) -> anyhow::Result<String> {
    match command {
        AnalystCommand::New { .. } => Ok(String::new()), // needs no desk
        AnalystCommand::Add { name, sign, open } => {
            desk.add_analyst(&Public::parse(name, sign, open)?).await?;
            Ok(format!(
                "{name} is an analyst; tell the publisher the key {sign}\n"
            ))
        }
        AnalystCommand::Remove { name } => {
            desk.remove_analyst(name).await?;
            Ok(format!(
                "{name} is no analyst any more; if they may have kept the report key, make a new one: `triage key add`\n"
            ))
        }
        AnalystCommand::List => {
            let mut connection = desk.database.acquire().await?;
            let analysts = staff::analysts(&mut connection).await?;
            Ok(lines(analysts.iter()))
        }
    }
}

async fn voted(desk: &Desk, vote: &VoteCommand, act: Act) -> anyhow::Result<String> {
    let proposal = Proposal {
        act,
        list: vote.list.clone(),
        above: vote.above.clone(),
        subdomains: !vote.alone,
    };
    let voted = desk.vote(&desk.find(&vote.case).await?, &proposal).await?;
    Ok(match voted {
        Voted::Decided => "decided; the next release of the list has it\n",
        Voted::Second => "your word is kept; another analyst's is needed for this list\n",
    }
    .to_owned())
}

async fn audit(desk: &Desk, contains: Option<&str>, json: bool) -> anyhow::Result<String> {
    let checked = trail::check(&desk.database).await?;
    if let Some(hash) = contains
        && !checked.hashes.iter().any(|known| known == hash)
    {
        anyhow::bail!("the trail holds, but does not contain {hash}: acts were cut off its end");
    }
    if json {
        let acts = serde_json::json!({ "head": checked.head, "acts": checked.acts });
        return Ok(format!("{}\n", serde_json::to_string_pretty(&acts)?));
    }
    let mut text = String::new();
    for act in &checked.acts {
        let what = serde_json::to_string(&act.what)?;
        let _ = writeln!(
            text,
            "{:>6}  {}  {:<12} {what}",
            act.seq,
            time(act.at),
            act.analyst
        );
    }
    let _ = writeln!(
        text,
        "the trail holds: {} acts, newest hash {}",
        checked.acts.len(),
        checked.head
    );
    Ok(text)
}

/// Each on a line.
fn lines(things: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let mut text = String::new();
    for thing in things {
        let _ = writeln!(text, "{thing}");
    }
    text
}
