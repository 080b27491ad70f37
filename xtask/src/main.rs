//! Developer commands: `cargo xtask test`, `ci`, `bench`, `demo`, `arrows`, `licenses`, `oui`.
#![forbid(unsafe_code)]
// A program for a terminal; a wrong shape of cargo's own output is a failed run.
#![allow(clippy::print_stdout, clippy::indexing_slicing)]

mod arrows;
mod bench;
mod licenses;
mod oui;
mod tests_all;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Parser;

/// Developer commands of iSigurt Gateway
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// All tests; installs the system programs that they need and that are missing
    Test {
        /// Handed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Formatting, lints, documentation, licences and all tests
    Ci,
    /// Measurements against the project's bars, printed as a table
    #[command(subcommand)]
    Bench(Bench),
    /// The whole circle on loopback: PostgreSQL, platform, two gateways, devices; a report on one blocks on the other
    Demo {
        /// End after both rounds
        #[arg(long)]
        once: bool,
    },
    /// Do imports and dependencies run along the arrows of ARCHITECTURE.md?
    Arrows,
    /// Are all dependencies' licences among those of deny.toml?
    Licenses,
    /// Makes the table of makers of network cards from the IEEE's registries as JSON
    Oui {
        /// The JSON file, such as `index.json` of the npm package `oui-data`
        json: PathBuf,
        /// Where it is from, with its date and licence: one line that goes into the table
        #[arg(long)]
        source: String,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// The index: size, look-ups, compiling, start, update and swap (some 10 minutes)
    Index,
    /// The line: CPU a query beside the floor and other servers, latency, memory (some 10 minutes; needs nsd and dnsperf)
    Line,
    /// The policy: verdicts and changes with 64 profiles and 20,000 devices (a minute)
    Policy,
    /// The national platform: releases of 1 M entries, their sizes; reports a second (a few minutes; needs postgresql)
    Platform,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Test { rest } => tests_all::run(&rest),
        Task::Bench(Bench::Index) => bench::index(),
        Task::Bench(Bench::Line) => bench::line(),
        Task::Bench(Bench::Policy) => bench::policy(),
        Task::Bench(Bench::Platform) => bench::platform(),
        Task::Demo { once } => {
            let mut demo = cargo(&[
                "run",
                "--quiet",
                "--locked",
                "-p",
                "isigurt-tests",
                "--example",
                "demo",
            ]);
            if once {
                demo.args(["--", "--once"]);
            }
            step("demo", demo)
        }
        Task::Arrows => arrows::check(),
        Task::Licenses => licenses::check(),
        Task::Oui { json, source } => oui::make(&json, &source),
        Task::Ci => {
            step("formatting", cargo(&["fmt", "--all", "--check"]))?;
            step(
                "lints",
                cargo(&[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--locked",
                    "--",
                    "-D",
                    "warnings",
                ]),
            )?;
            let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
            doc.env("RUSTDOCFLAGS", "-D warnings");
            step("documentation", doc)?;
            arrows::check()?;
            licenses::check()?;
            tests_all::run(&[])
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command and says how long it took.
fn step(what: &str, mut command: Command) -> anyhow::Result<()> {
    println!("==> {what}");
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("{what}: cannot start {command:?}"))?;
    if !status.success() {
        bail!("{what} failed");
    }
    println!("==> {what}: {:.0} s", started.elapsed().as_secs_f32());
    Ok(())
}

/// What `cargo metadata` says.
fn metadata() -> anyhow::Result<serde_json::Value> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
