//! The daemon with large lists: start, memory, an update in little memory, a swap under load.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::load::{Load, lost, packet, percentile};
use super::{Lists, Table, gateway, memory, names};

/// Queries a second while something happens.
const RATE: u32 = 2000;
/// Memory of the small box.
const SMALL: u64 = 96 << 20;

/// A running gateway with one list.
pub(super) struct Running {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Running {
    /// Starts one on the state in `folder`, inside a control group if one is named.
    pub(super) fn start(folder: &Path, group: Option<&Group>) -> anyhow::Result<Self> {
        let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let list = folder.join("list.txt");
        let config = folder.join("gateway.toml");
        std::fs::write(
            &config,
            format!(
                "state_dir = \"{}/state\"\n[dns]\nlisten = [\"{address}\"]\n[web]\nlisten = []\n[upstream]\n\
                 servers = [\"udp://127.0.0.1:9\"]\ndnssec = \"off\"\n[[lists]]\nid = \"l\"\nurl = \"file://{}\"\n",
                folder.display(),
                list.display()
            ),
        )?;
        let log = std::fs::File::create(folder.join("log"))?;
        // The shell puts itself into the group before it becomes the gateway, so that every octet counts.
        let entry = group.map_or(String::new(), |group| {
            format!("echo $$ > {}/cgroup.procs && ", group.0.display())
        });
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!("{entry}exec \"$0\" run --config \"$1\""))
            .arg(gateway())
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self {
            child,
            address,
            folder: folder.to_owned(),
        })
    }

    /// Waits for the first answer.
    pub(super) fn first_answer(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        let query = packet("localhost");
        let mut answer = [0; 512];
        while started.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait()? {
                bail!("isigurtd ended: {status}: {}", self.log());
            }
            let _ = socket.send_to(&query, self.address);
            if socket.recv(&mut answer).is_ok() {
                return Ok(started.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("isigurtd does not answer: {}", self.log())
    }

    /// Where it serves DNS.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Puts another list in and waits until it is in force.
    fn update(&mut self, list: &Path) -> anyhow::Result<Duration> {
        put(list, &self.folder)?;
        let started = Instant::now();
        let before = self.log().matches("reload").count();
        let sent = Command::new("kill")
            .args(["-HUP", &self.child.id().to_string()])
            .status()?;
        if !sent.success() {
            bail!("no signal sent");
        }
        while self.log().matches("reload").count() == before {
            if let Some(status) = self.child.try_wait()? {
                bail!("isigurtd ended: {status}");
            }
            if started.elapsed() > Duration::from_secs(50) {
                bail!("no reload: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let log = self.log();
        if log.contains("reload failed") {
            bail!("{log}");
        }
        Ok(started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}

/// Puts a list where the gateway reads it, as a download would: under another name first.
fn put(list: &Path, folder: &Path) -> anyhow::Result<()> {
    let next = folder.join("list.next");
    std::fs::copy(list, &next)?;
    Ok(std::fs::rename(&next, folder.join("list.txt"))?)
}

fn fresh(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = folder.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Names on the lists, to be asked for.
fn asked() -> Vec<String> {
    names::domains(&mut names::Random(20_261_123), 10_000)
}

pub(super) fn measure(table: &mut Table, folder: &Path, lists: &Lists) -> anyhow::Result<()> {
    start(table, folder, lists)?;
    small_box(table, folder, lists)?;
    swap(table, folder, lists)
}

fn start(table: &mut Table, folder: &Path, lists: &Lists) -> anyhow::Result<()> {
    println!("==> start with 1 M rules");
    let folder = fresh(folder, "start")?;
    put(&lists.one, &folder)?;
    let mut first = Running::start(&folder, None)?;
    let took = first.first_answer()?;
    table.note(
        "first start ever with 1 M rules, list compiled",
        format!("{:.0} ms", took.as_secs_f64() * 1000.0),
    );
    note_memory(table, "memory after that start", first.child.id());
    drop(first);
    let mut again = Running::start(&folder, None)?;
    let took = again.first_answer()?;
    table.at_most(
        "first answer with 1 M rules",
        100.0,
        took.as_secs_f64() * 1000.0,
        "ms",
    );
    let resident = memory(again.child.id(), "VmRSS:").context("no memory figure")?;
    #[allow(clippy::cast_precision_loss)] // kibibytes
    table.at_most(
        "resident memory with 1 M rules, before traffic",
        25.0,
        resident as f64 / 1024.0,
        "MiB",
    );
    note_memory(
        table,
        "of which, as mapped file and as own memory",
        again.child.id(),
    );
    Ok(())
}

fn note_memory(table: &mut Table, what: &str, pid: u32) {
    let mib = |what: &str| memory(pid, what).unwrap_or(0) / 1024;
    table.note(
        what,
        format!(
            "{} MiB ({} mapped, {} own)",
            mib("VmRSS:"),
            mib("RssFile:"),
            mib("RssAnon:")
        ),
    );
}

/// A control group with a limit of memory, removed at the end.
pub(super) struct Group(PathBuf);

impl Group {
    fn make(limit: u64) -> Option<Self> {
        let name = format!("isigurt-bench-{}", std::process::id());
        let roots = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        roots.into_iter().find_map(|(root, file)| {
            let folder = Path::new(root).join(&name);
            std::fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            std::fs::write(group.0.join(file), limit.to_string()).ok()?;
            // No way round the limit.
            let _ = std::fs::write(group.0.join("memory.memsw.limit_in_bytes"), limit.to_string());
            let _ = std::fs::write(group.0.join("memory.swap.max"), "0");
            Some(group)
        })
    }

    fn read(&self, files: &[&str]) -> String {
        files
            .iter()
            .find_map(|file| std::fs::read_to_string(self.0.join(file)).ok())
            .unwrap_or_default()
    }

    /// Processes that the kernel ended for want of memory.
    fn killed(&self) -> u64 {
        self.read(&["memory.oom_control", "memory.events"])
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if std::fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn small_box(table: &mut Table, folder: &Path, lists: &Lists) -> anyhow::Result<()> {
    println!("==> update to 2 M rules in 96 MiB");
    let what = "update to 2 M rules while serving, in a control group of 96 MiB";
    let Some(group) = Group::make(SMALL) else {
        table.note(what, "not measured: no right to make a control group".to_owned());
        return Ok(());
    };
    let folder = fresh(folder, "small")?;
    put(&lists.one, &folder)?;
    let mut running = Running::start(&folder, Some(&group))?;
    running.first_answer()?;
    let load = Load::start(running.address, asked(), RATE)?;
    std::thread::sleep(Duration::from_secs(1));
    let took = running.update(&lists.two)?;
    std::thread::sleep(Duration::from_secs(1));
    let answers = load.stop()?;
    let (lost, killed) = (lost(&answers), group.killed());
    table.holds(
        what,
        "never killed, no query lost",
        format!(
            "{killed} killed, {lost} of {} queries lost, {:.1} s",
            answers.len(),
            took.as_secs_f64()
        ),
        killed == 0 && lost == 0,
    );
    note_memory(table, "memory after that update", running.child.id());
    let most = group.read(&["memory.max_usage_in_bytes", "memory.peak"]);
    let most: u64 = most.trim().parse().unwrap_or(0);
    table.note(
        "most memory of the group, file cache included",
        format!("{} MiB", most >> 20),
    );
    drop(running);
    Ok(())
}

fn swap(table: &mut Table, folder: &Path, lists: &Lists) -> anyhow::Result<()> {
    println!("==> swap of 5 M rules under load");
    let folder = fresh(folder, "swap")?;
    put(&lists.five, &folder)?;
    let mut running = Running::start(&folder, None)?;
    running.first_answer()?;
    // Another version of the same size, so that the old mapping and the new one are both large.
    let other = folder.join("other.txt");
    let text = std::fs::read_to_string(&lists.five)?;
    std::fs::write(&other, text + "0.0.0.0 one-more.example\n")?;
    let load = Load::start(running.address, asked(), RATE)?;
    std::thread::sleep(Duration::from_secs(8));
    let begun = load.started.elapsed();
    running.update(&other)?;
    let swapped = load.started.elapsed();
    std::thread::sleep(Duration::from_secs(8));
    let answers = load.stop()?;
    let before = percentile(answers.iter().filter(|answer| answer.at < begun), 0.999);
    let near = |answer: &&super::load::Answer| {
        answer.at + Duration::from_secs(1) > swapped && answer.at < swapped + Duration::from_secs(7)
    };
    let during = percentile(answers.iter().filter(near), 0.999);
    let building = percentile(
        answers
            .iter()
            .filter(|answer| answer.at > begun && answer.at < swapped),
        0.999,
    );
    table.holds(
        "swap of a 5 M-rule index under load",
        "no query lost",
        format!("{} of {} lost", lost(&answers), answers.len()),
        lost(&answers) == 0,
    );
    table.at_most(
        "added to the 99.9th percentile around the swap",
        1.0,
        (during - before).max(0.0),
        "ms",
    );
    table.note(
        "99.9th percentile before, while the new index is built, and from 1 s before to 7 s after the swap",
        format!("{before:.2} ms, {building:.2} ms, {during:.2} ms"),
    );
    Ok(())
}
