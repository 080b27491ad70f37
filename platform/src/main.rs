//! `isigurt-platform`: the reference national platform's commands.
//!
//! The first of them is where every deployment starts: the keys that sign the lists.
#![forbid(unsafe_code)]

mod keygen;

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
    /// Make one Ed25519 key for each role of a TUF repository
    Keygen {
        /// Folder that the keys are written to; made if it is missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Roles, separated by commas
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "root,targets,snapshot,timestamp"
        )]
        roles: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Command::Keygen { out, roles } = &cli.command;
    match keygen::run(out, roles) {
        Ok(keys) => {
            let text = if cli.json {
                serde_json::to_string_pretty(&keys.iter().map(keygen::Key::json).collect::<Vec<_>>())
                    .unwrap_or_default()
            } else {
                keys.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "isigurt-platform: {error:#}");
            ExitCode::FAILURE
        }
    }
}
