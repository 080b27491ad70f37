//! What must not be felt: a policy change and a cache flush while 20,000 queries a second come in, and a full cache.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::super::load::{Answer, Load, lost, percentile};
use super::super::{Table, names};
use super::{SEED, UnderTest, dnsperf_file, median, peers, resident};

/// Times that each is tried; the median counts.
const TRIES: usize = 7;
/// Queries a second meanwhile: upstream and load share a core, and must both have room.
const MEANWHILE: u32 = 5_000;
/// Names that fill the cache.
const NAMES: usize = 250_000;

/// A command of the gateway under test.
fn command(server: &UnderTest, arguments: &[&str]) -> Command {
    let mut command = Command::new(&server.server.program);
    command
        .args(arguments)
        .args(server.server.arguments.iter().skip(1)) // --config FILE
        .stdout(Stdio::null());
    command
}

pub(super) fn run(
    table: &mut Table,
    folder: &Path,
    server: &UnderTest,
    queries: &[(String, &str)],
) -> anyhow::Result<()> {
    println!("==> changes at {MEANWHILE} queries a second");
    let names: Vec<String> = queries.iter().map(|(name, _)| name.clone()).collect();
    let popular = names
        .iter()
        .find(|name| name.starts_with("ok-"))
        .context("no name")?;
    let policy = peers::policy(folder)?.display().to_string();
    let export = command(server, &["policy", "export"])
        .stdout(Stdio::piped())
        .output()?;
    let other = folder.join("other-policy.toml");
    let text = String::from_utf8_lossy(&export.stdout).replace("chat7.example", "talk7.example");
    std::fs::write(&other, text)?;
    let other = other.display().to_string();
    let changes: [(&str, Vec<Vec<&str>>); 3] = [
        (
            "a policy change",
            vec![vec!["policy", "apply", &other], vec!["policy", "apply", &policy]],
        ),
        ("a flush of one name", vec![vec!["cache", "flush", popular]]),
        ("a flush of the whole cache", vec![vec!["cache", "flush", "."]]),
    ];
    for (what, commands) in changes {
        let mut added = Vec::new();
        let mut gone = 0;
        for attempt in 0..TRIES {
            let arguments = commands.get(attempt % commands.len()).context("no command")?;
            let (more, lost) = trial(server, &names, arguments)?;
            added.push(more);
            gone += lost;
        }
        table.holds(what, "no query lost", format!("{gone} lost"), gone == 0);
        table.at_most(
            &format!("{what}: added to the 99.9th percentile"),
            1.0,
            median(added),
            "ms",
        );
    }
    full_cache(table, folder, server)
}

/// Milliseconds added to the 99.9th percentile of the two seconds before a command by it, and queries lost.
fn trial(server: &UnderTest, names: &[String], arguments: &[&str]) -> anyhow::Result<(f64, usize)> {
    let load = Load::start(server.address(), names.to_vec(), MEANWHILE)?;
    std::thread::sleep(Duration::from_secs(3));
    let begun = load.started.elapsed();
    if !command(server, arguments).status()?.success() {
        bail!("{arguments:?} failed");
    }
    std::thread::sleep(Duration::from_secs(3));
    let answers = load.stop()?;
    let part = |from: Duration, to: Duration| {
        let within = move |answer: &&Answer| answer.at >= from && answer.at < to;
        percentile(answers.iter().filter(within), 0.999)
    };
    let before = part(Duration::from_secs(1), begun);
    let after = part(begun, begun + Duration::from_secs(2));
    Ok(((after - before).max(0.0), lost(&answers)))
}

/// Memory once the cache is full.
fn full_cache(table: &mut Table, folder: &Path, server: &UnderTest) -> anyhow::Result<()> {
    println!("==> a full cache");
    let mut random = names::Random(SEED ^ 2);
    let mut text = String::new();
    for number in 0..NAMES {
        let _ = writeln!(text, "full-{number}.{} A", names::domain(&mut random));
    }
    let file = folder.join("fill.txt");
    std::fs::write(&file, text)?;
    dnsperf_file(&file, server.server.port, &["-n", "1", "-q", "200"])?;
    let status = command(server, &["--json", "status"])
        .stdout(Stdio::piped())
        .output()?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    let kept = status["cache_octets"].as_f64().unwrap_or(0.0) / 1_048_576.0;
    table.note(
        "cache, as it counts itself",
        format!("{kept:.1} MiB, {} answers", status["cache_entries"]),
    );
    table.note(
        "queries that the query log had no room for, in the whole run",
        status["log_lost"].to_string(),
    );
    table.at_most(
        "resident memory with 1 M rules and a full 32 MiB cache",
        75.0,
        resident(server.running.0.id()) * 1.048_576,
        "MB",
    );
    Ok(())
}
