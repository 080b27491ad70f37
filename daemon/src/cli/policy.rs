//! `isigurtd policy export` and `apply`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Cli, println_line, unexpected};
use crate::control::{Request, Response};

/// How long the smallest difference is looked for; after that a larger one does.
const DIFFERENCE: std::time::Duration = std::time::Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the policy in force as TOML
    Export,
    /// Replace the policy with that of a file, all or nothing, and print what changes
    Apply {
        /// The file, `-` for standard input
        file: PathBuf,
        /// Only print what would change
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(cli: &Cli, command: &Command) -> Result<(), String> {
    match command {
        Command::Export => match cli.ask(&Request::Export)? {
            Response::Policy { text } => {
                println_line(text.trim_end());
                Ok(())
            }
            other => Err(unexpected(other)),
        },
        Command::Apply { file, dry_run } => {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(file)
            };
            let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
            let request = Request::Apply {
                text,
                dry_run: *dry_run,
            };
            match cli.ask(&request)? {
                Response::Applied(applied) => cli.print(&Change {
                    difference: similar::TextDiff::configure()
                        .timeout(DIFFERENCE)
                        .diff_lines(&applied.before, &applied.after)
                        .unified_diff()
                        .context_radius(2)
                        .to_string(),
                    in_force: applied.in_force,
                }),
                Response::Error { reason } => Err(format!("{}: {reason}", file.display())),
                other => Err(unexpected(other)),
            }
        }
    }
}

/// What an applied policy changed.
#[derive(serde::Serialize)]
struct Change {
    /// Lines that went and came, as `diff -u` shows them; empty where nothing changed.
    difference: String,
    in_force: bool,
}

impl std::fmt::Display for Change {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.difference.is_empty(), self.in_force) {
            (true, _) => out.write_str("nothing changes"),
            (false, true) => write!(out, "{}in force", self.difference),
            (false, false) => write!(out, "{}not applied (dry run)", self.difference),
        }
    }
}
