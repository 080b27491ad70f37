//! `isigurt-platform`: the reference national platform's commands.
//!
//! The first of them is where every deployment starts: the keys that sign the lists.
#![forbid(unsafe_code)]

mod confirmations;
mod keygen;
mod publish;
mod publisher;

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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Keygen { out, roles } => {
            keygen::run(out, roles).and_then(|keys| keygen::print(&keys, cli.json))
        }
        Command::Publisher(command) => publisher::run(command, cli.json),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "isigurt-platform: {error:#}");
            ExitCode::FAILURE
        }
    }
}
