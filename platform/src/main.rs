//! `isigurt-platform`: the reference national platform's commands.
//!
//! The first of them is where every deployment starts: the keys that sign the lists.
#![forbid(unsafe_code)]

mod config;
mod confirmations;
mod database;
mod export;
mod keygen;
mod publish;
mod publisher;
mod serve;
mod triage;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Reference national platform for iSigurt Gateway
#[derive(Debug, Parser)]
#[command(name = "isigurt-platform", version)]
struct Cli {
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make one key for each role: Ed25519 to sign, X25519 to seal to
    Keygen {
        /// Folder that the keys are written to; made if it is missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Roles, separated by commas; with a holder's name where a role has several, such as root-ana
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "root,targets,mandatory,categories,snapshot,timestamp,confirm,report,decision"
        )]
        roles: Vec<String>,
    },
    #[command(flatten)]
    Publisher(publisher::Command),
    /// Take reports, say how they stand, and serve the lists
    Serve {
        /// What to serve, and where: see docs/platform.md
        #[arg(long, value_name = "FILE", default_value = "/etc/isigurt/platform.toml")]
        config: PathBuf,
    },
    /// Open reports, group them by name, and decide
    Triage(triage::Triage),
    /// Decisions of triage, for the publisher
    #[command(subcommand)]
    Decisions(export::Decisions),
    /// Confirmed names as STIX, IODEF, CSV or JSON
    Export(export::Export),
}

fn main() -> ExitCode {
    // Before anything is read that may be a report or a key.
    if let Err(error) = isigurt_memory::keep_in() {
        let _ = writeln!(
            std::io::stderr(),
            "isigurt-platform: a crash may write memory to the disk: {error}"
        );
    }
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Keygen { out, roles } => {
            keygen::run(out, roles).and_then(|keys| keygen::print(&keys, cli.json))
        }
        Command::Publisher(command) => publisher::run(command, cli.json),
        Command::Serve { config } => serve::run(config).map(|()| ExitCode::SUCCESS),
        Command::Triage(triage) => triage::run(triage, cli.json).map(|text| said(&text)),
        Command::Decisions(command) => export::decisions(command).map(|text| said(&text)),
        Command::Export(export) => export::export(export).map(|text| said(&text)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "isigurt-platform: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what a command said.
fn said(text: &str) -> ExitCode {
    let _ = write!(std::io::stdout(), "{text}"); // whoever reads may have gone
    ExitCode::SUCCESS
}
