//! `cargo xtask bench`: measurements against the project's bars. Here: `index`, the index measured against its bars, as a table.
//!
//! Look-ups come from the Criterion bench of `isigurt-blocklists`; compiling, starting, updating and swapping are done by
//! the release build of `isigurtd` as a user would. All times are of this machine and of this run.

mod daemon;
mod line;
mod load;
#[path = "../../../blocklists/benches/support/names.rs"]
mod names;
mod platform;
mod policy;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::{cargo, root, step};
pub(crate) use line::line;
pub(crate) use platform::platform;
pub(crate) use policy::policy;

/// One row of the table.
struct Row {
    what: String,
    bar: String,
    figure: String,
    met: Option<bool>,
}

/// The table while it is filled.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// A figure that has to be at most `bar`.
    fn at_most(&mut self, what: &str, bar: f64, figure: f64, unit: &str) {
        self.0.push(Row {
            what: what.to_owned(),
            bar: format!("≤ {bar} {unit}"),
            figure: format!("{figure:.2} {unit}"),
            met: Some(figure <= bar),
        });
        self.say();
    }

    /// Something that is either so or not.
    fn holds(&mut self, what: &str, bar: &str, figure: String, met: bool) {
        self.0.push(Row {
            what: what.to_owned(),
            bar: bar.to_owned(),
            figure,
            met: Some(met),
        });
        self.say();
    }

    /// A figure beside the bars.
    fn note(&mut self, what: &str, figure: String) {
        self.0.push(Row {
            what: what.to_owned(),
            bar: String::new(),
            figure,
            met: None,
        });
        self.say();
    }

    fn say(&self) {
        if let Some(row) = self.0.last() {
            println!("    {}: {}", row.what, row.figure);
        }
    }

    /// An error where a bar is missed.
    fn end(&self) -> anyhow::Result<()> {
        let missed = self.0.iter().filter(|row| row.met == Some(false)).count();
        if missed > 0 {
            bail!("{missed} bars missed");
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::from("| what | bar | figure | |\n| --- | --- | --- | --- |\n");
        for row in &self.0 {
            let met = row.met.map_or("", |met| if met { "met" } else { "**missed**" });
            let _ = writeln!(text, "| {} | {} | {} | {met} |", row.what, row.bar, row.figure);
        }
        text
    }
}

/// Measures and prints.
pub(crate) fn index() -> anyhow::Result<()> {
    step(
        "release build",
        cargo(&["build", "--release", "--locked", "-p", "isigurtd"]),
    )?;
    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let lists = Lists::make(&folder)?;
    let mut table = Table::default();
    look_ups(&mut table)?;
    compiling(&mut table, &folder, &lists)?;
    daemon::measure(&mut table, &folder, &lists)?;
    println!("\n{}\n{}", machine(), table.text());
    table.end()
}

/// Made-up lists in hosts format.
struct Lists {
    one: PathBuf,
    two: PathBuf,
    five: PathBuf,
}

impl Lists {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let file = |millions: u32| folder.join(format!("hosts-{millions}m.txt"));
        let lists = Self {
            one: file(1),
            two: file(2),
            five: file(5),
        };
        let seed = 20_261_123;
        println!("==> lists from seed {seed}");
        for (path, count) in [
            (&lists.one, 1_000_000),
            (&lists.two, 2_000_000),
            (&lists.five, 5_000_000),
        ] {
            let lines = std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
            if lines != count {
                let mut text = String::new();
                for domain in names::domains(&mut names::Random(seed), count) {
                    let _ = writeln!(text, "0.0.0.0 {domain}");
                }
                std::fs::write(path, text)?;
            }
        }
        Ok(lists)
    }
}

fn look_ups(table: &mut Table) -> anyhow::Result<()> {
    let mut bench = cargo(&[
        "bench",
        "--locked",
        "-p",
        "isigurt-blocklists",
        "--bench",
        "index",
    ]);
    bench.stderr(Stdio::inherit());
    println!("==> look-ups");
    let output = bench.output().context("cargo bench")?;
    if !output.status.success() {
        bail!("cargo bench failed");
    }
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    for (rules, hit, miss) in [(1_000_000, Some(150.0), 80.0), (5_000_000, None, 120.0)] {
        let median = |what: &str| -> anyhow::Result<f64> {
            let file = root().join(format!("target/criterion/{rules}/{what}/new/estimates.json"));
            let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let estimates: serde_json::Value = serde_json::from_slice(&text)?;
            let nanoseconds = estimates["median"]["point_estimate"].as_f64();
            Ok(nanoseconds.context("no median")? / 20_000.0)
        };
        let of = format!("{} M rules", rules / 1_000_000);
        let sizes = output
            .lines()
            .find_map(|line| line.strip_prefix(&format!("sizes {rules} ")))
            .context("the bench printed no sizes")?;
        let sizes: serde_json::Value = serde_json::from_str(sizes)?;
        let size = |what: &str| sizes[what].as_f64().unwrap_or(f64::NAN);
        table.at_most(
            &format!("octets a rule, {of}"),
            10.0,
            size("index") / size("rules"),
            "B",
        );
        table.note(
            &format!("hash map of the same, {of}"),
            format!("{:.1} times the memory", size("map") / size("index")),
        );
        table.at_most(&format!("miss, {of}"), miss, median("index miss")?, "ns");
        match hit {
            Some(hit) => table.at_most(&format!("hit, {of}"), hit, median("index hit")?, "ns"),
            None => table.note(&format!("hit, {of}"), format!("{:.2} ns", median("index hit")?)),
        }
        for what in ["miss beside a rule", "cold miss", "cold hit"] {
            table.note(
                &format!("{what}, {of}"),
                format!("{:.0} ns", median(&format!("index {what}"))?),
            );
        }
        table.note(
            &format!("hash of all suffixes alone, {of}"),
            format!("{:.0} ns", median("hash of all suffixes")?),
        );
        for what in ["miss", "hit", "miss beside a rule"] {
            let map = median(&format!("hash map {what}"))?;
            table.note(
                &format!("hash map of names, {what}, {of}"),
                format!(
                    "{map:.0} ns, {:.1} times the index's",
                    map / median(&format!("index {what}"))?
                ),
            );
        }
    }
    Ok(())
}

/// The release build of the gateway.
fn gateway() -> PathBuf {
    root().join("target/release/isigurtd")
}

fn compiling(table: &mut Table, folder: &Path, lists: &Lists) -> anyhow::Result<()> {
    println!("==> compiling");
    let out = folder.join("out.idx");
    let mut one_core = f64::MAX;
    for _ in 0..3 {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(gateway());
        one_core = one_core.min(compile(command, &lists.one, &out)?.0);
    }
    table.at_most("compile 1 M hosts lines, one core, best of 3", 1.0, one_core, "s");
    for (what, list, rules) in [("1 M", &lists.one, 1e6), ("5 M", &lists.five, 5e6)] {
        let (seconds, peak) = compile(Command::new(gateway()), list, &out)?;
        table.note(
            &format!("compile {what} hosts lines, all cores"),
            format!("{seconds:.2} s"),
        );
        #[allow(clippy::cast_precision_loss)] // kibibytes
        let beyond = (peak as f64 * 1024.0 - 8.0 * 1024.0 * 1024.0) / rules;
        table.at_most(
            &format!("peak memory of compiling {what} rules, beyond 8 MiB"),
            24.0,
            beyond,
            "B/rule",
        );
    }
    // Opening and checking happen when a name is tried; measured inside the program by its own clock.
    let index = std::fs::read(&out)?;
    let (mut open, mut verify) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        let octets = index.clone();
        let started = Instant::now();
        let index = isigurt_blocklists::index::Index::open(octets)?;
        open = open.min(started.elapsed().as_secs_f64() * 1000.0);
        let started = Instant::now();
        index.verify()?;
        verify = verify.min(started.elapsed().as_secs_f64() * 1000.0);
    }
    table.at_most("open and check the header, 5 M rules", 1.0, open, "ms");
    table.at_most("verify every octet, 5 M rules", 100.0, verify, "ms");
    Ok(())
}

/// Seconds, and the most memory that was resident (KiB, read a thousand times a second).
fn compile(mut command: Command, list: &Path, out: &Path) -> anyhow::Result<(f64, u64)> {
    let started = Instant::now();
    let mut child = command
        .args(["lists", "compile"])
        .arg(list)
        .arg("-o")
        .arg(out)
        .stdout(Stdio::null())
        .spawn()
        .context("isigurtd lists compile")?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(child.id(), "VmHWM:").unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if !status.success() {
        bail!("isigurtd lists compile failed");
    }
    Ok((started.elapsed().as_secs_f64(), peak))
}

/// A line of `/proc/PID/status`, KiB.
fn memory(pid: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor, cores, kernel and compiler.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches(['\t', ' ', ':'])
        });
    // Of the machine, not those that this program is bound to.
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    format!(
        "{model}, {cores} cores, {}, Linux {}, {rustc}",
        std::env::consts::ARCH,
        kernel.trim()
    )
}
