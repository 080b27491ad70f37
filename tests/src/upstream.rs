//! The servers behind the gateway: a real one (NSD), and one that follows a script and notes what it is asked.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use crate::{ask_udp, free_address, query, system, terminate, wait_for};

/// A real authoritative server (NSD) that serves `tests/data/upstream.zone` as the root.
#[derive(Debug)]
pub struct Authority {
    child: Child,
    /// Where it serves.
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Authority {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        Self::with_zone(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/upstream.zone"))
    }

    /// The same with another root zone.
    pub fn with_zone(zone: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let own = folder.path().display();
        let mut text = format!(
            "server:\n  ip-address: {}@{}\n  username: \"\"\n  chroot: \"\"\n",
            address.ip(),
            address.port()
        );
        let _ = writeln!(
            text,
            "  zonesdir: \"{own}\"\n  pidfile: \"{own}/pid\"\n  xfrdfile: \"\"\n  zonelistfile: \"{own}/zones\""
        );
        let _ = writeln!(
            text,
            "  database: \"\"\n  server-count: 1\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no"
        );
        let _ = writeln!(text, "zone:\n  name: \".\"\n  zonefile: \"{}\"", zone.display());
        let file = folder.path().join("nsd.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(system("nsd"))
            .args(["-d", "-c"])
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let authority = Self {
            child,
            address,
            _folder: folder,
        };
        wait_for("nsd", || {
            ask_udp(address, &query("up.example", 1), Duration::from_millis(200)).is_some()
        });
        authority
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// A UDP server that follows a script.
#[derive(Debug)]
pub struct Scripted {
    /// Where it serves.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A query as it came, and the port that it came from.
type Seen = (u16, Vec<u8>);

impl Scripted {
    /// Sends back each datagram that `script` makes of a query, in order. One query at a time.
    pub fn start(mut script: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (notes, end) = (seen.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else {
                    continue; // nothing yet
                };
                notes
                    .lock()
                    .unwrap()
                    .push((from.port(), packet[..length].to_vec()));
                for answer in script(&packet[..length]) {
                    let _ = socket.send_to(&answer, from); // who asked may be gone
                }
            }
        });
        Self {
            address,
            seen,
            ended,
            thread: Some(thread),
        }
    }

    /// One that never answers.
    pub fn silent() -> Self {
        Self::start(|_| Vec::new())
    }

    /// One that passes every query on to `server` and holds each answer back for `delay`.
    pub fn before(server: SocketAddr, delay: Duration) -> Self {
        Self::start(move |packet| {
            let answer = ask_udp(server, packet, Duration::from_secs(2));
            std::thread::sleep(delay);
            answer.into_iter().collect()
        })
    }

    /// Every query that came, as it came.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, packet)| packet.clone()).collect()
    }

    /// The ports that they came from.
    pub fn ports(&self) -> Vec<u16> {
        self.seen.lock().unwrap().iter().map(|(port, _)| *port).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
