//! Syncing: what a gateway with 1 M national entries takes of memory while a day's delta comes in, and what a poll costs on the wire.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::publish::{self, DAILY, ENTRIES, run};
use crate::bench::{Table, gateway, memory, names};

/// Memory beside the index that a sync may take, MiB.
const BESIDE: f64 = 20.0;

pub(super) fn measure(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    let all = names::domains(&mut names::Random(20_261_127), ENTRIES + DAILY);
    let folder = folder.join("sync");
    publish::prepare(&folder, "hashed")?;
    publish_from(&folder, &all, 0)?;
    let server = Server::start(folder.join("public"))?;
    let mut running = Running::start(&folder, server.address)?;
    running.wait_for_version(1)?;
    std::thread::sleep(Duration::from_secs(3)); // what was built is settled
    poll(table, &server);
    let before = running.memory("VmRSS:")?;
    running.forget_peak()?;
    publish_from(&folder, &all, 1)?;
    let started = Instant::now();
    running.wait_for_version(2)?;
    let seconds = started.elapsed().as_secs_f64();
    let (peak, anonymous) = (running.memory("VmHWM:")?, running.memory("RssAnon:")?);
    let index = std::fs::metadata(folder.join("gateway/index/rules.idx"))?.len();
    #[allow(clippy::cast_precision_loss)] // octets
    let index = index as f64 / f64::from(1 << 20);
    // While two indexes are mapped, the old one is still in use by queries under way.
    let beside = (peak - 2.0 * index).max(peak - before - index);
    table.note("index of 1 M national hashes, MiB", format!("{index:.1}"));
    table.note(
        "memory before the sync, at its peak, without mapped files after it, MiB",
        format!("{before:.1}, {peak:.1}, {anonymous:.1}"),
    );
    table.at_most(
        "memory beside the index while a delta of 0.5 % of 1 M entries comes in, more than before",
        BESIDE,
        (peak - before - index).max(0.0),
        "MiB",
    );
    table.note(
        "the same beside both indexes, everything else included, MiB",
        format!("{beside:.1}"),
    );
    table.note(
        "from publishing to enforced, 1 M entries, poll of 2 s, s",
        format!("{seconds:.1}"),
    );
    Ok(())
}

fn publish_from(folder: &Path, all: &[String], release: usize) -> anyhow::Result<()> {
    let start = release * DAILY;
    let entries = all.get(start..start + ENTRIES).context("too few names")?;
    std::fs::write(folder.join("large.txt"), entries.join("\n") + "\n")?;
    run(folder, &["--json", "publish", "--config", "publish.toml"])?;
    Ok(())
}

/// What a poll with nothing new costs.
fn poll(table: &mut Table, server: &Server) {
    let (octets, asked) = (server.octets(), server.asked());
    std::thread::sleep(Duration::from_secs(9));
    let (octets, asked) = (server.octets() - octets, server.asked() - asked);
    #[allow(clippy::cast_precision_loss)] // octets
    let each = octets as f64 / asked.max(1) as f64;
    table.at_most(
        "a poll with nothing new, octets on the wire",
        1024.0,
        each,
        "octets",
    );
}

/// A gateway that syncs.
struct Running {
    child: Child,
    state: PathBuf,
    config: PathBuf,
}

impl Running {
    fn start(folder: &Path, platform: SocketAddr) -> anyhow::Result<Self> {
        let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let (config, state) = (folder.join("gateway.toml"), folder.join("gateway"));
        let root = folder.join("public/metadata/1.root.json");
        let text = format!(
            "state_dir = \"{}\"\n[dns]\nlisten = [\"{address}\"]\n[web]\nlisten = []\n[upstream]\n\
             servers = [\"udp://127.0.0.1:9\"]\ndnssec = \"off\"\n[platform]\nurl = \"http://{platform}/\"\n\
             root = \"{}\"\npoll = \"2s\"\n",
            state.display(),
            root.display()
        );
        std::fs::write(&config, text)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(gateway())
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { child, state, config })
    }

    fn wait_for_version(&mut self, version: u64) -> anyhow::Result<()> {
        let started = Instant::now();
        let wanted = format!("version {version},");
        while started.elapsed() < Duration::from_secs(120) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "isigurtd ended: {status}; see the log beside {}",
                    self.state.display()
                );
            }
            let shown = Command::new(gateway())
                .args(["lists", "status", "--config"])
                .arg(&self.config)
                .output()?;
            if String::from_utf8_lossy(&shown.stdout).contains(&wanted) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("version {version} of the list does not come in")
    }

    /// A line of the kernel's account of its memory, MiB.
    fn memory(&self, field: &str) -> anyhow::Result<f64> {
        let kib = memory(self.child.id(), field).with_context(|| format!("no {field}"))?;
        #[allow(clippy::cast_precision_loss)] // KiB
        let kib = kib as f64;
        Ok(kib / 1024.0)
    }

    /// Has the kernel count the peak from now on.
    fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(
            format!("/proc/{}/clear_refs", self.child.id()),
            "5",
        )?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A web server for static files, as a mirror is: with tags, over connections that stay open.
struct Server {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    octets: AtomicU64,
    asked: AtomicU64,
}

impl Server {
    fn start(folder: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, counts) = (folder.clone(), counted.clone());
                std::thread::spawn(move || serve(stream, &folder, &counts));
            }
        });
        Ok(Self { address, counts })
    }

    fn octets(&self) -> u64 {
        self.counts.octets.load(Ordering::Relaxed)
    }

    fn asked(&self) -> u64 {
        self.counts.asked.load(Ordering::Relaxed)
    }
}

/// Answers until the connection ends, as nginx would in the heads it sends.
fn serve(stream: TcpStream, folder: &Path, counts: &Counts) -> std::io::Result<()> {
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
        let common = "Server: nginx\r\nDate: Thu, 26 Nov 2026 02:00:00 GMT\r\nConnection: keep-alive\r\n";
        let answer = match std::fs::read(folder.join(path)) {
            Ok(file) => {
                let mut hasher = DefaultHasher::new();
                file.hash(&mut hasher);
                let tag = format!("\"{:017x}\"", hasher.finish());
                let last = "Last-Modified: Thu, 26 Nov 2026 01:00:00 GMT\r\n";
                if head.contains(&tag) {
                    format!("HTTP/1.1 304 Not Modified\r\n{common}{last}ETag: {tag}\r\n\r\n").into_bytes()
                } else {
                    let length = file.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\n{common}{last}ETag: {tag}\r\nContent-Length: {length}\r\n\r\n"
                    );
                    [head.as_bytes(), &file].concat()
                }
            }
            Err(_) => format!("HTTP/1.1 404 Not Found\r\n{common}Content-Length: 0\r\n\r\n").into_bytes(),
        };
        counts
            .octets
            .fetch_add((head.len() + answer.len()) as u64, Ordering::Relaxed);
        counts.asked.fetch_add(1, Ordering::Relaxed);
        to.write_all(&answer)?;
    }
}
