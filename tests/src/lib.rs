//! What the black-box tests share: the built programs, a gateway on free loopback ports, and a real name server behind
//! it. Everything ends with the test that started it, by its own process id.
#![forbid(unsafe_code)]
// Test support: a failure here is a failed test, and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

pub mod browser;
mod certificate;
pub mod chromium;
pub mod circle;
pub mod country;
pub mod house;
pub mod mirror;
pub mod namespace;
pub mod platform;
pub mod postgres;
pub mod provider;
pub mod publisher;
pub mod repository;
pub mod upstream;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use browser::{Answer, Browser, Events, Trust};
pub use certificate::self_signed;
pub use chromium::Chromium;
pub use country::Country;
pub use house::{House, PASSWORD};
pub use mirror::{Mirror, Reply};
pub use platform::Platform;
pub use postgres::Postgres;
pub use provider::Provider;
pub use publisher::Publisher;
pub use repository::{Repository, Role};
pub use upstream::{Authority, Scripted};

/// A built program of the workspace; builds it first, unless `ISIGURT_BIN_DIR` names a folder of built ones.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("ISIGURT_BIN_DIR") {
            return folder.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            // The whole workspace, as `cargo xtask test` does: with another choice of crates cargo joins their
            // features otherwise, and builds every dependency once more.
            .args(["build", "--bins", "--workspace"])
            .status();
        assert!(
            built.expect("cargo starts").success(),
            "the programs do not build"
        );
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().to_owned() // target/<profile>/deps/<test>
    });
    folder.join(name)
}

/// A program of the system; names what installs it where it is missing.
pub fn system(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: run cargo xtask test, which installs it"))
}

/// A loopback address whose port is free for UDP and TCP.
pub fn free_address() -> SocketAddr {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}

/// The folder of real lists and case tables, where there is one: `ISIGURT_SHARED`, else beside the workspace.
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("ISIGURT_SHARED").map_or(beside, PathBuf::from);
    folder.join("data").is_dir().then_some(folder)
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where it serves DNS.
    pub address: SocketAddr,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its folder: configuration, lists, state and log.
    pub folder: TempDir,
}

impl Gateway {
    /// Starts one: `dns` goes into `[dns]`, `rest` behind it; `{dir}` stands for its folder. Each of `files` is written
    /// there first.
    pub fn start(upstream: SocketAddr, dns: &str, rest: &str, files: &[(&str, &str)]) -> Self {
        Self::with_upstreams(&[upstream], dns, rest, files)
    }

    /// The same with several upstream servers, asked in this order.
    pub fn with_upstreams(upstreams: &[SocketAddr], dns: &str, rest: &str, files: &[(&str, &str)]) -> Self {
        let servers: Vec<String> = upstreams
            .iter()
            .map(|server| format!("\"udp://{server}\""))
            .collect();
        let servers = servers.join(", ");
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let own = folder.path().display();
        let web = if rest.contains("[web]") {
            "" // the test serves it
        } else {
            "[web]\nlisten = []\n"
        };
        let text = format!(
            "state_dir = \"{own}/state\"\n[dns]\nlisten = [\"{address}\"]\n{dns}\n{web}[upstream]\n\
             servers = [{servers}]\nstrategy = \"sequential\"\ntimeout_ms = 400\n\
             dnssec = \"off\"\n{}",
            rest.replace("{dir}", &own.to_string())
        );
        let config = folder.path().join("gateway.toml");
        std::fs::write(&config, text).unwrap();
        let child = launch(&config, folder.path(), address);
        Self {
            child,
            address,
            config,
            folder,
        }
    }

    /// Starts the program again after it ended, with a new log.
    pub fn restart(&mut self) {
        self.child = launch(&self.config, self.folder.path(), self.address);
    }

    /// The same with a program in front of it, such as `env NAME=VALUE`.
    pub fn restart_under(&mut self, wrapper: &[&str]) {
        self.child = launch_under(wrapper, &self.config, self.folder.path(), self.address);
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What a command says; `well`: whether it must succeed.
    pub fn says(&self, arguments: &[&str], well: bool) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.success(), well, "{arguments:?}: {said}");
        said
    }

    /// The answer to a client with this address.
    pub fn ask(&self, client: &str, name: &str, qtype: u16) -> Vec<u8> {
        let socket = UdpSocket::bind((client, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.send_to(&query(name, qtype), self.address).unwrap();
        let mut answer = [0; 1232];
        let (length, _) = socket.recv_from(&mut answer).expect("an answer");
        answer[..length].to_vec()
    }

    /// Whether a client with this address gets the name: the [`Authority`]'s address, not the one for what is blocked.
    pub fn gets(&self, client: &str, name: &str) -> bool {
        let answer = self.ask(client, name, 1);
        let blocked = has_address(&answer, [0; 4]);
        assert!(
            blocked || has_address(&answer, [192, 0, 2, 53]),
            "{client} {name}: {answer:02x?}"
        );
        !blocked
    }

    /// A command of the same gateway.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(program("isigurtd"))
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// `dig` at this gateway: the whole output.
    pub fn dig(&self, arguments: &[&str]) -> String {
        dig(self.address, arguments)
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end and gives the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        wait_for("the end", || self.ended());
        self.child.wait().unwrap().code()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log has `text` so many times.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        wait_for(text, || self.log().matches(text).count() >= times);
    }
}

/// Starts the program and waits until it answers.
fn launch(config: &Path, folder: &Path, address: SocketAddr) -> Child {
    launch_under(&[], config, folder, address)
}

fn launch_under(wrapper: &[&str], config: &Path, folder: &Path, address: SocketAddr) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = match wrapper {
        [] => Command::new(program("isigurtd")),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program("isigurtd"));
            command
        }
    };
    let mut child = command
        .args(["run", "--config"])
        .arg(config)
        .stderr(log)
        .spawn()
        .unwrap();
    let up = || {
        assert!(
            child.try_wait().unwrap().is_none(),
            "{}",
            std::fs::read_to_string(folder.join("log")).unwrap()
        );
        ask_udp(address, &query("localhost", 1), Duration::from_millis(200)).is_some()
    };
    wait_for("isigurtd", up);
    child
}

impl Drop for Gateway {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Ends a program that a test started, and waits for it.
pub fn terminate(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let started = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits up to ten seconds.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `dig` with one try at `address`: the whole output.
pub fn dig(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(system("dig"))
        .args([
            &format!("@{}", address.ip()),
            "-p",
            &address.port().to_string(),
            "+tries=1",
            "+time=4",
        ])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A plain query in wire format: RD set, one question, class IN.
pub fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(qtype.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The first datagram that comes back.
pub fn ask_udp(to: SocketAddr, packet: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.connect(to).unwrap();
    socket.send(packet).ok()?;
    let mut answer = vec![0; 65_535];
    let length = socket.recv(&mut answer).ok()?;
    answer.truncate(length);
    Some(answer)
}

/// Sends octets over TCP and gives what comes back until the other side closes or `patience` is over.
pub fn ask_tcp(to: SocketAddr, octets: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let _ = stream.write_all(octets);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Response code of a message.
pub fn rcode(answer: &[u8]) -> u8 {
    answer[3] & 15
}

/// Whether a message has an A record with this address, in whatever section.
pub fn has_address(answer: &[u8], address: [u8; 4]) -> bool {
    let rdata = [&[0, 4][..], &address].concat();
    answer.windows(6).any(|window| window == rdata)
}

/// Numbers that look random, from a printed seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeds from `ISIGURT_SEED`, else from the clock, and prints the seed.
    pub fn seeded() -> Self {
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .subsec_nanos();
        let seed = std::env::var("ISIGURT_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(u64::from(clock) | 1);
        eprintln!("ISIGURT_SEED={seed}");
        Self(seed)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed).unwrap() % bound
    }
}
