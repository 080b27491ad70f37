//! `isigurtd`: the gateway and its administrator's commands.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    isigurtd::cli::run(&isigurtd::cli::Cli::parse())
}
