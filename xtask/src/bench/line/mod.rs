//! `cargo xtask bench line`: what a query costs, beside the floor and beside the peers that are installed, as a table.
//!
//! Each server runs on core 0, the load on core 1. All run at once and are measured in turn, round after round, so that
//! what the machine does otherwise meets them alike. CPU time is the servers' own accounting (`/proc/PID/stat`).

mod peers;
mod trials;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::load::{Load, lost, packet, percentile};
use super::{Table, machine, memory, names};
use crate::{cargo, root, step};
use peers::{Kind, Server, Setting};

/// Rules of the list.
const RULES: usize = 1_000_000;
/// Names that are allowed and asked for.
const ALLOWED: usize = 20_000;
/// Queries in the file.
const QUERIES: usize = 200_000;
/// Rounds, and seconds that a server is loaded in each.
const ROUNDS: usize = 5;
const SECONDS: u32 = 4;
/// Queries a second when latency is measured.
const RATE: u32 = 20_000;
const SEED: u64 = 20_261_123;

/// Measures and prints.
pub(crate) fn line() -> anyhow::Result<()> {
    step(
        "release build",
        cargo(&["build", "--release", "--locked", "-p", "isigurtd"]),
    )?;
    step(
        "the floor",
        cargo(&[
            "build",
            "--release",
            "--locked",
            "-p",
            "isigurt-udp",
            "--example",
            "echo",
        ]),
    )?;
    let folder = root().join("target/bench/line");
    std::fs::create_dir_all(&folder)?;
    println!("==> list and queries from seed {SEED}");
    let list = names::domains(&mut names::Random(SEED), RULES);
    std::fs::write(folder.join("domains.txt"), list.join("\n") + "\n")?;
    let queries = queries(&list);
    let text: String = queries.iter().fold(String::new(), |mut text, (name, qtype)| {
        let _ = writeln!(text, "{name} {qtype}");
        text
    });
    std::fs::write(folder.join("queries.txt"), text)?;

    let port = peers::free_port()?;
    let mut nsd =
        peers::upstream(&folder, port)?.context("nsd is not installed: it is the upstream of all")?;
    let _upstream = Running(nsd.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let setting = Setting {
        folder: &folder,
        list: &list,
        upstream: port,
    };
    pin(1)?;
    let mut under_test = start(&setting)?;
    drop(list);
    rounds(&folder, &mut under_test)?;
    latencies(&queries, &mut under_test)?;
    let mut table = Table::default();
    compare(&mut table, &under_test);
    let own = under_test
        .iter()
        .find(|server| server.server.kind == Kind::Gateway);
    trials::run(&mut table, &folder, own.context("no gateway")?, &queries)?;
    println!("\n{}\n{}\n{}", machine(), figures(&under_test), table.text());
    table.end()
}

/// This program, and what it starts, on one core.
fn pin(core: u32) -> anyhow::Result<()> {
    let pinned = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("taskset")?;
    if !pinned.success() {
        bail!("two cores are needed: one for the server, one for the load");
    }
    Ok(())
}

/// 80 % names that are allowed, the popular ones more often (Zipf), one in three for AAAA; 20 % blocked, half of them
/// below a rule.
fn queries(list: &[String]) -> Vec<(String, &'static str)> {
    let mut random = names::Random(SEED ^ 1);
    let listed: HashSet<&str> = list.iter().map(String::as_str).collect();
    let mut allowed = HashSet::new();
    let mut popular = Vec::with_capacity(ALLOWED);
    while popular.len() < ALLOWED {
        let name = format!("ok-{}", names::domain(&mut random));
        let mut suffixes = name
            .match_indices('.')
            .map(|(at, _)| name.get(at + 1..).unwrap_or(""));
        if !listed.contains(name.as_str())
            && !suffixes.any(|suffix| listed.contains(suffix))
            && allowed.insert(name.clone())
        {
            popular.push(name);
        }
    }
    let mut sums = Vec::with_capacity(ALLOWED);
    let mut sum = 0_u64;
    for rank in 1..=ALLOWED as u64 {
        sum += 1_000_000_000 / rank;
        sums.push(sum);
    }
    let mut queries = Vec::with_capacity(QUERIES);
    for number in 0..QUERIES {
        if random.below(5) == 0 {
            let name = pick(list, &mut random);
            let name = if number % 2 == 0 {
                name.to_owned()
            } else {
                format!("x{}.{name}", 1 + random.below(50))
            };
            queries.push((name, "A"));
        } else {
            let at = random.below(sum);
            let place = sums.partition_point(|&upto| upto <= at);
            let qtype = if random.below(10) < 3 { "AAAA" } else { "A" };
            queries.push((popular.get(place).cloned().unwrap_or_default(), qtype));
        }
    }
    queries
}

fn pick<'l>(list: &'l [String], random: &mut names::Random) -> &'l str {
    // Of the first part, so that what is asked for stays warm in all servers alike.
    let place = random.below(100_000.min(list.len() as u64));
    list.get(usize::try_from(place).unwrap_or(0))
        .map_or("", String::as_str)
}

/// A process that is ended when it is let go.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-TERM", &self.0.id().to_string()])
            .status();
        let _ = self.0.wait();
    }
}

/// A server with what was measured of it.
struct UnderTest {
    server: Server,
    running: Running,
    start: Duration,
    /// MiB before the load.
    idle: f64,
    /// MiB under load.
    loaded: f64,
    rounds: Vec<Round>,
    /// Percentiles 50, 99 and 99.9 at [`RATE`], milliseconds, and queries lost.
    latency: [f64; 3],
    lost: usize,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    qps: f64,
    /// CPU a query, µs.
    user: f64,
    system: f64,
}

impl Round {
    fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

impl UnderTest {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.port))
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn start(setting: &Setting<'_>) -> anyhow::Result<Vec<UnderTest>> {
    println!("==> starting");
    let mut all = Vec::new();
    let policy = peers::policy(setting.folder)?;
    for server in peers::servers(setting)? {
        let log = File::create(setting.folder.join(format!("{}.log", server.name)))?;
        let started = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(&server.program)
            .args(&server.arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .current_dir(setting.folder)
            .spawn()
            .with_context(|| server.name.to_owned())?;
        let mut running = Running(child);
        let address = SocketAddr::from(([127, 0, 0, 1], server.port));
        let start = match first_answer(&mut running.0, address, started) {
            Ok(start) => start,
            Err(error) if server.kind == Kind::Peer => {
                println!("    {}: left out: {error}", server.name);
                continue;
            }
            Err(error) => return Err(error.context(server.name)),
        };
        if server.kind == Kind::Gateway {
            apply(&server, &policy)?;
        }
        let idle = resident(running.0.id());
        println!("    {}: {:.2} s, {idle:.0} MiB", server.name, start.as_secs_f64());
        all.push(UnderTest {
            server,
            running,
            start,
            idle,
            loaded: f64::NAN,
            rounds: Vec::new(),
            latency: [f64::NAN; 3],
            lost: 0,
        });
    }
    Ok(all)
}

/// Has a gateway enforce a policy.
fn apply(server: &Server, policy: &Path) -> anyhow::Result<()> {
    let applied = Command::new(&server.program)
        .args(["policy", "apply"])
        .arg(policy)
        .args(server.arguments.iter().skip(1)) // --config FILE
        .stdout(Stdio::null())
        .status()?;
    if !applied.success() {
        bail!("the policy is not applied");
    }
    Ok(())
}

fn first_answer(child: &mut Child, address: SocketAddr, started: Instant) -> anyhow::Result<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let query = packet("ok.first.example");
    let mut answer = [0; 512];
    while started.elapsed() < Duration::from_secs(120) {
        if let Some(status) = child.try_wait()? {
            bail!("ended: {status}");
        }
        let _ = socket.send_to(&query, address);
        if socket.recv(&mut answer).is_ok() {
            return Ok(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("no answer")
}

fn resident(pid: u32) -> f64 {
    #[allow(clippy::cast_precision_loss)] // kibibytes
    memory(pid, "VmRSS:").map_or(f64::NAN, |kib| kib as f64 / 1024.0)
}

/// Loads every server in turn, round after round.
fn rounds(folder: &Path, all: &mut [UnderTest]) -> anyhow::Result<()> {
    println!("==> {ROUNDS} rounds of {SECONDS} s for each");
    for server in all.iter() {
        dnsperf(folder, server.server.port)?; // the names into its cache
    }
    for round in 1..=ROUNDS {
        for server in all.iter_mut() {
            let pid = server.running.0.id();
            let before = cpu(pid)?;
            let (queries, qps) = dnsperf(folder, server.server.port)?;
            let after = cpu(pid)?;
            let each = |before: f64, after: f64| (after - before) * 1e6 / queries;
            let measured = Round {
                qps,
                user: each(before.0, after.0),
                system: each(before.1, after.1),
            };
            println!(
                "    round {round}: {}: {:.2} µs, {qps:.0} q/s",
                server.server.name,
                measured.cpu()
            );
            server.rounds.push(measured);
            server.loaded = resident(pid);
        }
    }
    Ok(())
}

/// Queries that were answered, and how many a second.
fn dnsperf(folder: &Path, port: u16) -> anyhow::Result<(f64, f64)> {
    let seconds = SECONDS.to_string();
    dnsperf_file(
        &folder.join("queries.txt"),
        port,
        &["-l", &seconds, "-c", "8", "-q", "400", "-T", "1"],
    )
}

fn dnsperf_file(queries: &Path, port: u16, more: &[&str]) -> anyhow::Result<(f64, f64)> {
    let output = Command::new("dnsperf")
        .args(["-s", "127.0.0.1", "-p", &port.to_string(), "-d"])
        .arg(queries)
        .args(more)
        .output()
        .context("dnsperf")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |what: &str| -> anyhow::Result<f64> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(what));
        let figure = line.and_then(|rest| rest.split_whitespace().next());
        figure
            .and_then(|figure| figure.parse().ok())
            .with_context(|| format!("dnsperf printed no {what:?}: {text}"))
    };
    Ok((figure("Queries completed:")?, figure("Queries per second:")?))
}

/// Seconds of user and system time of all threads (proc(5), fields 14 and 15).
fn cpu(pid: u32) -> anyhow::Result<(f64, f64)> {
    const TICKS: f64 = 100.0; // USER_HZ, the same on every Linux
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<f64>);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user / TICKS, system / TICKS)),
        _ => bail!("cannot read the CPU time of {pid}"),
    }
}

fn latencies(queries: &[(String, &str)], all: &mut [UnderTest]) -> anyhow::Result<()> {
    println!("==> latency at {RATE} queries a second");
    let names: Vec<String> = queries.iter().map(|(name, _)| name.clone()).collect();
    let mut rounds = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for (server, rounds) in all.iter_mut().zip(&mut rounds) {
            let load = Load::start(server.address(), names.clone(), RATE)?;
            std::thread::sleep(Duration::from_secs(4));
            let answers = load.stop()?;
            let settled = || {
                answers
                    .iter()
                    .filter(|answer| answer.at > Duration::from_millis(500))
            };
            rounds.push([0.5, 0.99, 0.999].map(|share| percentile(settled(), share)));
            server.lost += lost(&answers);
        }
    }
    for (server, rounds) in all.iter_mut().zip(&rounds) {
        let of = |place: usize| {
            median(
                rounds
                    .iter()
                    .filter_map(|round| round.get(place).copied())
                    .collect(),
            )
        };
        server.latency = [of(0), of(1), of(2)];
        let [half, most, nearly] = server.latency;
        println!(
            "    {}: {half:.3} / {most:.3} / {nearly:.3} ms, {} lost",
            server.server.name, server.lost
        );
    }
    Ok(())
}

/// Medians of the ratios of one round each, so that what changes from round to round falls out.
fn ratio(one: &UnderTest, other: &UnderTest) -> f64 {
    median(
        one.rounds
            .iter()
            .zip(&other.rounds)
            .map(|(one, other)| one.cpu() / other.cpu())
            .collect(),
    )
}

fn compare(table: &mut Table, all: &[UnderTest]) {
    let of = |kind: Kind| all.iter().filter(move |server| server.server.kind == kind);
    let (Some(floor), Some(own)) = (of(Kind::Floor).next(), of(Kind::Gateway).next()) else {
        return;
    };
    table.at_most("CPU a query, times the floor", 1.20, ratio(own, floor), "×");
    let best =
        of(Kind::Peer).min_by(|one, other| one.median(Round::cpu).total_cmp(&other.median(Round::cpu)));
    if let Some(best) = best {
        let name = best.server.name;
        table.at_most(
            &format!("CPU a query, times the best peer ({name})"),
            0.67,
            ratio(own, best),
            "×",
        );
    }
    let qps = |server: &UnderTest| server.median(|round| round.qps);
    let fastest = of(Kind::Peer).map(qps).fold(0.0, f64::max);
    table.holds(
        "queries a second on one core",
        "≥ every peer",
        format!("{:.0}, the best peer {fastest:.0}", qps(own)),
        qps(own) >= fastest,
    );
    let quickest = of(Kind::Peer)
        .map(|server| server.latency[1])
        .fold(f64::INFINITY, f64::min);
    table.holds(
        &format!("99th percentile at {RATE} queries a second"),
        "≤ the best peer's",
        format!("{:.3} ms, the best peer {quickest:.3} ms", own.latency[1]),
        own.latency[1] <= quickest,
    );
    if let Some(silent) = of(Kind::Gateway).nth(1) {
        table.at_most(
            "CPU a query with the query log, times without",
            1.05,
            ratio(own, silent),
            "×",
        );
    }
}

fn figures(all: &[UnderTest]) -> String {
    let mut text = format!(
        "| server | queries/s | CPU µs a query (user + system) | times the floor | p50 / p99 / p99.9 ms at {RATE} q/s | lost | \
         resident MiB, idle → loaded | start s |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for server in all {
        let [half, most, nearly] = server.latency;
        let over = all.first().map_or(f64::NAN, |floor| ratio(server, floor));
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} ({:.2} + {:.2}) | {over:.2} | {half:.3} / {most:.3} / {nearly:.3} | {} | {:.0} → {:.0} | {:.2} |",
            server.server.name,
            server.median(|round| round.qps),
            server.median(Round::cpu),
            server.median(|round| round.user),
            server.median(|round| round.system),
            server.lost,
            server.idle,
            server.loaded,
            server.start.as_secs_f64(),
        );
    }
    text
}
