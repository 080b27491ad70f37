//! The command line: parses, runs one command, turns its outcome into an exit code.

mod devices;
mod lists;
mod log;
mod moment;
mod policy;
mod report;
mod run;
mod system;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use isigurt_blocklists::read::rdata;
use jiff::Timestamp;

use crate::config::{Config, Loaded};
use crate::control::{self, Request, Response};
use crate::explain::{Asking, Whom};
use crate::sync::worker::{self, Worker};
use crate::sync::{Files, Loading, added};
use crate::web::api;
use crate::{app, explain, tls};

/// A DNS filter that keeps children safe on a home router or a school gateway.
#[derive(Debug, Parser)]
#[command(name = "isigurtd", version)]
pub struct Cli {
    /// Configuration file [default: /etc/isigurt/isigurtd.toml; without it, built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State folder, instead of the configuration's
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve in the foreground (the default)
    Run,
    /// Validate the configuration
    Check,
    /// Explain why a name is blocked or not
    Why {
        /// The name
        name: String,
        /// Query type
        #[arg(long = "type", value_name = "TYPE", default_value = "A")]
        qtype: String,
        /// For the device of this name or address
        #[arg(long, value_name = "WHO", conflicts_with = "profile")]
        device: Option<String>,
        /// For this profile
        #[arg(long, value_name = "PROFILE")]
        profile: Option<String>,
        /// At another time than now, such as 2026-11-24T22:00:00+01:00
        #[arg(long, value_name = "RFC3339")]
        at: Option<Timestamp>,
        /// Read configuration and lists instead of asking the running daemon
        #[arg(long)]
        offline: bool,
    },
    /// Show or replace the policy: profiles, and which devices have them
    #[command(subcommand)]
    Policy(policy::Command),
    /// Show and add devices
    #[command(subcommand)]
    Device(devices::Device),
    /// Show profiles
    #[command(subcommand)]
    Profile(devices::Profile),
    /// Days that schedules keep to
    #[command(subcommand)]
    Calendar(devices::Calendar),
    /// Pause the internet for a device, a profile or all; without WHO: show who is paused
    Pause(moment::Pause),
    /// Open a name, service or category for a while; without WHO: show what is open
    Grant(moment::Grant),
    /// Give minutes of today on top of a budget
    Bonus(moment::Bonus),
    /// Work with lists
    #[command(subcommand)]
    Lists(lists::Command),
    /// Work with the cache of answers
    #[command(subcommand)]
    Cache(Cache),
    /// Show answered queries
    Log(log::Options),
    /// Show what was asked for most
    Top(log::Top),
    /// Report a site to the national platform, sealed; `report list` and `report show RECEIPT` say how reports stand
    Report(report::Options),
    /// Work with accounts, at the console of the gateway
    #[command(subcommand)]
    User(user::Command),
    /// Show how the running daemon stands
    Status,
    /// Print the description of the HTTP API (OpenAPI 3.1)
    #[command(hide = true)]
    Openapi,
    /// Look at everything, and say what to do where something is wrong
    Doctor,
    /// Write everything that is kept, accounts and secrets included, into a file
    Backup(system::File),
    /// Restore a backup, at the next start
    Restore(system::File),
    /// Build an index as the daemon asks for it on standard input
    #[command(name = worker::COMMAND, hide = true)]
    BuildIndex,
}

#[derive(Debug, Subcommand)]
enum Cache {
    /// Let go of the answers for a name and all below it
    Flush {
        /// The name; `.` for everything
        name: String,
    },
}

/// Runs the command; errors go to standard error as one line.
pub fn run(cli: &Cli) -> ExitCode {
    // Before anything is read that may be a report, a password or a key.
    if let Err(error) = isigurt_memory::keep_in() {
        eprintln_line(&format!(
            "isigurtd: a crash may write memory to the disk: {error}"
        ));
    }
    let outcome = match &cli.command {
        None | Some(Command::Run) => run::run(cli),
        Some(Command::Check) => check(cli),
        Some(Command::Why {
            name,
            qtype,
            device,
            profile,
            at,
            offline,
        }) => {
            let whom = match (device, profile) {
                (Some(device), _) => Whom::Device(device.clone()),
                (None, Some(profile)) => Whom::Profile(profile.clone()),
                (None, None) => Whom::Default,
            };
            why(cli, name, qtype, whom, (*at, *offline))
        }
        Some(Command::Policy(command)) => policy::run(cli, command),
        Some(Command::Device(command)) => devices::device(cli, command),
        Some(Command::Profile(devices::Profile::List)) => devices::profiles(cli),
        Some(Command::Calendar(command)) => devices::calendar(cli, command),
        Some(Command::Pause(options)) => moment::pause(cli, options),
        Some(Command::Grant(options)) => moment::grant(cli, options),
        Some(Command::Bonus(options)) => moment::bonus(cli, options),
        Some(Command::Lists(command)) => lists::run(cli, command),
        Some(Command::Cache(Cache::Flush { name })) => flush(cli, name),
        Some(Command::Log(options)) => log::show(cli, options),
        Some(Command::Top(options)) => log::top(cli, options),
        Some(Command::Report(options)) => report::run(cli, options),
        Some(Command::User(command)) => user::run(cli, command),
        Some(Command::Status) => status(cli),
        Some(Command::Openapi) => {
            println_line(&api::description());
            Ok(())
        }
        Some(Command::Doctor) => system::doctor(cli),
        Some(Command::Backup(file)) => system::backup(cli, file),
        Some(Command::Restore(file)) => system::restore(cli, file),
        Some(Command::BuildIndex) => worker::serve(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln_line(&format!("isigurtd: {reason}"));
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn load(&self) -> Result<Loaded, String> {
        let mut loaded = Config::load(self.config.as_deref()).map_err(|problem| problem.to_string())?;
        if let Some(state) = &self.state {
            loaded.config.state_dir.clone_from(state);
        }
        Ok(loaded)
    }

    /// Asks the running daemon.
    fn ask(&self, request: &Request) -> Result<Response, String> {
        let state_dir = self.load()?.config.state_dir;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(control::ask(&state_dir, request)).map_err(|error| {
            format!(
                "no daemon answers at {}: {error}; start it with `isigurtd run`, or name its state folder with --state",
                control::path(&state_dir).display()
            )
        })
    }

    fn print<T: serde::Serialize + std::fmt::Display>(&self, value: &T) -> Result<(), String> {
        let text = if self.json {
            serde_json::to_string_pretty(value).map_err(|error| error.to_string())?
        } else {
            value.to_string()
        };
        println_line(&text);
        Ok(())
    }
}

fn check(cli: &Cli) -> Result<(), String> {
    let loaded = cli.load()?;
    let place = loaded.file.as_ref().map_or_else(
        || "built-in defaults".to_owned(),
        |file| file.display().to_string(),
    );
    for warning in &loaded.warnings {
        eprintln_line(&format!("{place}:{}: warning: {}", warning.line, warning.what));
    }
    let certificate = tls::check(&loaded.config, app::now()).map_err(|error| format!("{place}: {error}"))?;
    if let Some(oidc) = &loaded.config.web.oidc {
        oidc.secret().map_err(|error| format!("{place}: {error}"))?;
    }
    for warning in certificate.into_iter().chain(category_warnings(&loaded.config)) {
        eprintln_line(&format!("{place}: warning: {warning}"));
    }
    println_line(&format!(
        "{place}: ok, {} list(s) of its own",
        loaded.config.lists.len()
    ));
    Ok(())
}

/// Categories of lists that no built-in one bears: legal, and often a slip.
fn category_warnings(config: &Config) -> Vec<String> {
    let Ok(data) = isigurt_blocklists::data::built_in() else {
        return Vec::new();
    };
    let known: Vec<String> = data.categories.into_iter().map(|category| category.id).collect();
    let unknown = config
        .lists
        .iter()
        .filter_map(|list| Some((list.id.as_str(), list.category.as_ref()?)));
    unknown
        .filter(|(_, category)| !known.contains(category))
        .map(|(id, category)| {
            let near = crate::config::nearest(category, &known)
                .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            format!("list \"{id}\": category \"{category}\" is new{near}")
        })
        .collect()
}

fn why(
    cli: &Cli,
    name: &str,
    qtype: &str,
    whom: Whom,
    (at, offline): (Option<Timestamp>, bool),
) -> Result<(), String> {
    let qtype = rdata::rtype(qtype).ok_or(format!(
        "unknown record type {qtype:?}; try A, AAAA, HTTPS or TXT"
    ))?;
    let name = host(name);
    if offline {
        let mut config = cli.load()?.config;
        added::join_copy(&mut config)?;
        let loading = Loading {
            config: &config,
            store: None,
            worker: &Worker::Here,
            threads: 2,
            now: app::now(),
            first: true,
        };
        let mut rules = loading.load().map_err(|error| error.to_string())?;
        let lines = rules
            .lines
            .take()
            .or_else(|| Files::in_state(&config.state_dir).lines(&rules.index));
        let time = at.unwrap_or_else(Timestamp::now);
        let parts = crate::policy::offline(&config, &rules.index, time)?;
        let snapshot = app::snapshot(&config, rules, parts, &app::Run::default());
        let asking = Asking {
            snapshot: &snapshot,
            present: &snapshot.present,
            minute: u32::try_from(time.as_second() / 60).unwrap_or(0),
            lines: lines.as_ref(),
            whom: &whom,
        };
        return cli.print(&explain::explain(&asking, &name, qtype)?);
    }
    match cli.ask(&Request::Why {
        name,
        qtype,
        whom,
        at,
    })? {
        Response::Why(explanation) => cli.print(&*explanation),
        other => Err(unexpected(other)),
    }
}

/// The name in what was typed: a name, or an address as a browser shows it.
fn host(typed: &str) -> String {
    let after = typed.split_once("://").map_or(typed, |(_, rest)| rest);
    let name = after.split(['/', '?', '#']).next().unwrap_or_default();
    name.split(':').next().unwrap_or_default().to_owned()
}

/// What is said where the daemon does not answer what it was asked.
fn unexpected(response: Response) -> String {
    match response {
        Response::Error { reason } => reason,
        _ => "the daemon answered something else; is it of another version?".to_owned(),
    }
}

fn flush(cli: &Cli, name: &str) -> Result<(), String> {
    match cli.ask(&Request::Flush {
        name: name.to_owned(),
    })? {
        Response::Flushed { answers } => {
            println_line(&format!("{answers} answer(s) let go"));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

fn status(cli: &Cli) -> Result<(), String> {
    match cli.ask(&Request::Status)? {
        Response::Status(status) => cli.print(&*status),
        other => Err(unexpected(other)),
    }
}

/// A closed pipe (`isigurtd status | head`) is no error.
fn println_line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn eprintln_line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
