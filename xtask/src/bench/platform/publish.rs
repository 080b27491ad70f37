//! Publishing: how long a release of 1 M entries takes, how large lists, deltas and metadata are.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::program;
use crate::bench::{Table, names};

pub(super) const ENTRIES: usize = 1_000_000;
/// What goes in a day, and what comes in its place: 0.5 % of the list each.
pub(super) const DAILY: usize = ENTRIES / 200;
/// Versions that deltas are made from.
const BACK: usize = 8;

pub(super) fn measure(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    let all = names::domains(&mut names::Random(20_261_126), ENTRIES + BACK * DAILY);
    for tier in ["clear", "hashed"] {
        println!("==> {ENTRIES} entries, {tier}");
        let folder = folder.join(tier);
        prepare(&folder, tier)?;
        releases(table, &folder, tier, &all)?;
    }
    Ok(())
}

/// An empty folder with keys, a configuration and the first root.
pub(super) fn prepare(folder: &Path, tier: &str) -> anyhow::Result<()> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    run(folder, &["keygen", "--out", "keys"])?;
    std::fs::write(folder.join("publish.toml"), configuration(tier))?;
    run(folder, &["init", "--config", "publish.toml"])?;
    Ok(())
}

fn configuration(tier: &str) -> String {
    let mut text = String::from("repository = \"public\"\nstate = \"state\"\nkeys = [\"keys\"]\n[roles]\n");
    for role in [
        "root",
        "targets",
        "mandatory",
        "categories",
        "snapshot",
        "timestamp",
    ] {
        let _ = writeln!(
            text,
            "{role} = {{ keys = [\"keys/{role}.pub\"], expires = \"30d\" }}"
        );
    }
    let _ = write!(
        text,
        "[service]\nreport_keys = [\"keys/report.pub\"]\nconfirm_keys = [\"keys/confirm.pub\"]\n\
         [[list]]\nid = \"large\"\npublisher = \"mandatory\"\ntier = \"{tier}\"\ndeltas = {BACK}\n\
         [[list.source]]\npath = \"large.txt\"\nformat = \"domains\"\n"
    );
    text
}

fn releases(table: &mut Table, folder: &Path, tier: &str, all: &[String]) -> anyhow::Result<()> {
    let mut slowest = 0.0_f64;
    let mut share = 0.0_f64;
    let mut sizes = (0, 0, 0);
    for release in 0..=BACK {
        let start = release * DAILY;
        let entries = all.get(start..start + ENTRIES).context("too few names")?;
        std::fs::write(folder.join("large.txt"), entries.join("\n") + "\n")?;
        let started = Instant::now();
        let report = run(folder, &["--json", "publish", "--config", "publish.toml"])?;
        let seconds = started.elapsed().as_secs_f64();
        slowest = slowest.max(seconds);
        if release == 0 {
            table.at_most(
                &format!("first release of 1 M entries, {tier}"),
                10.0,
                seconds,
                "s",
            );
        }
        let list = &report["lists"][0];
        let full = list["packed"].as_u64().context("no size")?;
        let daily = list["deltas"][release.to_string()].as_u64();
        if let Some(daily) = daily {
            #[allow(clippy::cast_precision_loss)] // octets
            let of_full = daily as f64 * 100.0 / full as f64;
            share = share.max(of_full);
            let oldest = list["deltas"]["1"].as_u64().unwrap_or(0);
            sizes = (full, daily, oldest);
        }
    }
    table.at_most(
        &format!("release of 1 M entries with deltas from {BACK} versions, {tier}, slowest"),
        10.0,
        slowest,
        "s",
    );
    table.at_most(
        &format!("delta of 0.5 % of 1 M entries, {tier}, share of the full list"),
        2.0,
        share,
        "%",
    );
    let (full, daily, oldest) = sizes;
    table.note(
        &format!("octets fetched, {tier}: full list, delta of a day, delta of {BACK} days"),
        format!("{full}, {daily}, {oldest}"),
    );
    let inspection = run(folder, &["--json", "inspect", "public"])?;
    let roles = inspection["roles"].as_array().context("no roles")?;
    let roles: Vec<String> = roles
        .iter()
        .map(|role| format!("{} {}", role["role"].as_str().unwrap_or_default(), role["octets"]))
        .collect();
    table.note(&format!("octets of metadata, {tier}"), roles.join(", "));
    Ok(())
}

/// Runs the platform in `folder`; gives what it printed as JSON, if it did.
pub(super) fn run(folder: &Path, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .output()?;
    if !output.status.success() {
        bail!(
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}
