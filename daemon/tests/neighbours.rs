//! The watcher against a real kernel: neighbours that appear, change their hardware address, take IPv6 privacy addresses and
//! vanish, and 20,000 of them at once. In a network namespace of its own, with a second one for the clients.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing
)]

use std::io::{Seek as _, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use isigurtd::clients::{Mac, Network};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn neighbours_are_known_as_they_come_change_and_go() {
    in_a_namespace("inside");
}

#[test]
fn twenty_thousand_neighbours_are_known_within_seconds() {
    in_a_namespace("inside_large");
}

#[tokio::test]
async fn lease_files_are_read_as_they_come_change_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    std::fs::write(&one, "1999999999 aa:bb:cc:00:00:01 198.51.100.1 ana-tab *\n").unwrap();
    let network = Network::start(vec![one.clone(), other.clone()]);
    until(
        &network,
        "198.51.100.1",
        mac("aa:bb:cc:00:00:01"),
        Some("ana-tab"),
    )
    .await;
    std::fs::write(
        &other,
        "# br-lan aabbcc000002 ipv4 besa 1999999999 0 32 198.51.100.2/32\n",
    )
    .unwrap();
    until(&network, "198.51.100.2", mac("aa:bb:cc:00:00:02"), Some("besa")).await;
    // As dnsmasq does it: the same file, overwritten.
    let mut file = std::fs::OpenOptions::new().write(true).open(&one).unwrap();
    file.write_all(b"1999999999 aa:bb:cc:00:00:03 198.51.100.3 tv *\n")
        .unwrap();
    let length = file.stream_position().unwrap();
    file.set_len(length).unwrap();
    until(&network, "198.51.100.3", mac("aa:bb:cc:00:00:03"), Some("tv")).await;
    until_not(&network, "198.51.100.1").await;
    std::fs::remove_file(&other).unwrap();
    until_not(&network, "198.51.100.2").await;
    drop(network);
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm"))
        };
        tasks
            .map(name)
            .filter(|name| name.as_deref().is_ok_and(|name| name.trim() == "clients"))
            .count()
    };
    let started = Instant::now();
    while threads() > 0 {
        assert!(started.elapsed() < PATIENCE, "the thread ends with its owner");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs one of the tests below as root of a network namespace.
fn in_a_namespace(test: &str) {
    // As root, else as the root of a user namespace.
    let ways = [&["--net"][..], &["--user", "--map-root-user", "--net"]];
    let permitted = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .args(["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(permitted) else {
        return eprintln!("skipped: network namespaces are not permitted here, or iproute2 is missing");
    };
    let inside = Command::new("unshare")
        .args(*way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

/// A second network namespace, which lives as long as its process.
struct Clients(std::process::Child);

impl Clients {
    fn start() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "60"])
            .spawn()
            .unwrap();
        let clients = Self(child);
        let of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let started = Instant::now();
        while of(clients.0.id()).is_none_or(|namespace| Some(namespace) == of(std::process::id())) {
            assert!(started.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
        clients
    }

    fn ip(&self, arguments: &str) {
        let done = Command::new("nsenter")
            .args(["--net", "--target", &self.0.id().to_string(), "ip"])
            .args(arguments.split(' '))
            .status()
            .unwrap();
        assert!(done.success(), "clients: ip {arguments}");
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[allow(clippy::unnecessary_wraps)] // as it stands in an identity
fn mac(text: &str) -> Option<Mac> {
    Some(text.parse().unwrap())
}

/// Sends something there, so that the kernel has to know its hardware address.
fn reach(address: &str) {
    let address: IpAddr = address.parse().unwrap();
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    let _ = socket.send_to(b"x", (address, 9));
}

/// Waits until the address has this hardware address and name.
async fn until(network: &Network, address: &str, mac: Option<Mac>, hostname: Option<&str>) {
    let mut changed = network.changed();
    let address: IpAddr = address.parse().unwrap();
    let holds = || {
        let known = network.known();
        let identity = known.get(address);
        identity.is_some_and(|identity| identity.mac == mac && identity.hostname.as_deref() == hostname)
    };
    let wait = async {
        while !holds() {
            changed.changed().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(
        waited.is_ok(),
        "{address}: {mac:?} {hostname:?} expected, {:?} known",
        network.known()
    );
}

#[tokio::test]
#[ignore = "run by a test above, inside a namespace"]
async fn inside() {
    let clients = Clients::start();
    ip("link set lo up");
    ip(&format!(
        "link add v0 type veth peer name c0 netns {}",
        clients.0.id()
    ));
    ip("addr add 10.9.0.1/24 dev v0");
    ip("-6 addr add fd00:9::1/64 dev v0 nodad");
    ip("link set v0 up");
    clients.ip("link set c0 address aa:bb:cc:00:00:01");
    clients.ip("link set c0 up");
    clients.ip("addr add 10.9.0.20/24 dev c0");
    clients.ip("-6 addr add fd00:9::20/64 dev c0 nodad");

    let folder = tempfile::tempdir().unwrap();
    let leases = folder.path().join("dnsmasq.leases");
    let network = Network::start(vec![leases.clone()]);

    // It appears.
    let started = Instant::now();
    reach("10.9.0.20");
    until(&network, "10.9.0.20", mac("aa:bb:cc:00:00:01"), None).await;
    println!("seen after {:?}", started.elapsed());

    // It says its name; the file was not there before.
    let line = |name: &str| format!("1999999999 aa:bb:cc:00:00:01 10.9.0.20 {name} *\n");
    std::fs::write(&leases, line("Ana-Tab")).unwrap();
    until(&network, "10.9.0.20", mac("aa:bb:cc:00:00:01"), Some("ana-tab")).await;

    // It takes a privacy address, which follows its hardware address, name and all.
    clients.ip("-6 addr add fd00:9::5c3a:91ff:fe77:1234/64 dev c0 nodad");
    reach("fd00:9::5c3a:91ff:fe77:1234");
    until(
        &network,
        "fd00:9::5c3a:91ff:fe77:1234",
        mac("aa:bb:cc:00:00:01"),
        Some("ana-tab"),
    )
    .await;

    // The server writes its file anew and puts it in the old one's place.
    let next = folder.path().join("next");
    std::fs::write(&next, line("besa-tab")).unwrap();
    std::fs::rename(&next, &leases).unwrap();
    until(&network, "10.9.0.20", mac("aa:bb:cc:00:00:01"), Some("besa-tab")).await;

    // Another card answers for the address now: it does not inherit the name.
    clients.ip("link set c0 address aa:bb:cc:00:00:02");
    ip("neigh flush dev v0");
    reach("10.9.0.20");
    until(&network, "10.9.0.20", mac("aa:bb:cc:00:00:02"), None).await;

    // It vanishes; its address is remembered with its hardware address.
    clients.ip("link set c0 down");
    ip("neigh flush dev v0");
    reach("10.9.0.20");
    tokio::time::sleep(Duration::from_secs(4)).await; // three requests without an answer: failed
    until(
        &network,
        "fd00:9::5c3a:91ff:fe77:1234",
        mac("aa:bb:cc:00:00:01"),
        Some("besa-tab"),
    )
    .await;
    // As a lease says otherwise, the lease holds again.
    until(&network, "10.9.0.20", mac("aa:bb:cc:00:00:01"), Some("besa-tab")).await;

    // The leases go.
    network.watch_leases(Vec::new());
    until(&network, "10.9.0.20", mac("aa:bb:cc:00:00:02"), None).await;
}

/// Waits until the address is not known.
async fn until_not(network: &Network, address: &str) {
    let mut changed = network.changed();
    let address: IpAddr = address.parse().unwrap();
    while network.known().get(address).is_some() {
        let waited = tokio::time::timeout(PATIENCE, changed.changed()).await;
        assert!(waited.is_ok(), "{address} is still known");
    }
}

/// Pages of this process in memory, KiB.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of this process so far.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

async fn until_known(network: &Network, count: usize) -> Duration {
    let started = Instant::now();
    let mut changed = network.changed();
    while network.known().len() < count {
        let waited = tokio::time::timeout(Duration::from_secs(30), changed.changed()).await;
        assert!(waited.is_ok(), "{} of {count} known", network.known().len());
    }
    started.elapsed()
}

#[tokio::test]
#[ignore = "run by a test above, inside a namespace"]
async fn inside_large() {
    const COUNT: u32 = 20_000;
    for arguments in [
        "link add v0 type veth peer name v1",
        "link set v0 up",
        "link set v1 up",
        "addr add 10.64.0.1/10 dev v0",
    ] {
        ip(arguments);
    }
    let (memory, cpu) = (memory_kib(), cpu_ms());
    let network = Network::start(Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let batch = folder.path().join("batch");
    let write = |from: u32, count: u32| {
        let mut file = std::fs::File::create(&batch).unwrap();
        for number in from..from + count {
            let [_, b, c, d] = (0x0a40_0002 + number).to_be_bytes();
            let mac = format!("52:54:00:{b:02x}:{c:02x}:{d:02x}");
            writeln!(
                file,
                "neigh replace 10.{b}.{c}.{d} lladdr {mac} dev v0 nud permanent"
            )
            .unwrap();
        }
    };
    // Half of them one by one while it watches.
    let started = Instant::now();
    write(0, COUNT / 2);
    let mut adding = Command::new("ip").arg("-batch").arg(&batch).spawn().unwrap();
    until_known(&network, COUNT as usize / 2).await;
    let watched = started.elapsed();
    assert!(adding.wait().unwrap().success());
    let told = *network.changed().borrow();
    println!("watched: {} in {watched:?}, told {told} times", COUNT / 2);
    assert!(u128::from(told) <= watched.as_millis() / 200 + 2);

    // The rest while this process is stopped: more news than the kernel keeps, so the whole table is asked for again.
    write(COUNT / 2, COUNT / 2);
    let script = format!(
        "kill -STOP $PPID; ip -batch {}; kill -CONT $PPID",
        batch.display()
    );
    let overrun = || {
        let text = std::fs::read_to_string("/proc/net/netlink").unwrap();
        let drops = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(8)?.parse::<u32>().ok());
        drops.sum::<u32>()
    };
    assert!(
        Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    println!("{} messages were lost", overrun());
    let again = until_known(&network, COUNT as usize).await;
    println!("the rest is known after {again:?}");
    assert!(overrun() > 0, "the test shows what it says");
    let used = (memory_kib().saturating_sub(memory), cpu_ms() - cpu);
    println!(
        "{COUNT} known: {} KiB more memory, {} ms of CPU in all",
        used.0, used.1
    );
    drop(network);
    let network = Network::start(Vec::new());
    let whole = until_known(&network, COUNT as usize).await;
    println!("a new watcher knows all after {whole:?}");
    assert!(whole < Duration::from_secs(3));
    let known = network.known();
    for (address, identity) in known.iter().filter(|(address, _)| address.is_ipv4()) {
        let IpAddr::V4(address) = address else { continue };
        let [_, b, c, d] = address.octets();
        assert_eq!(identity.mac, Some(Mac([0x52, 0x54, 0, b, c, d])));
    }
    assert!(used.0 < 32 * 1024, "memory");
}
