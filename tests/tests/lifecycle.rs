//! What happens while it runs: the first start, a reload, the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isigurt_tests::{
    Authority, Gateway, Scripted, ask_tcp, ask_udp, has_address, program, query, rcode, wait_for,
};

const LIST: &str = "[[lists]]\nid = \"hosts\"\nurl = \"{dir}/hosts\"\ncategory = \"adult\"\n";

fn gateway(authority: &Authority, hosts: &str) -> Gateway {
    Gateway::start(authority.address, "", LIST, &[("hosts", hosts)])
}

#[test]
fn with_no_configuration_it_serves_on_high_loopback_ports_and_says_what_to_try() {
    let dns = SocketAddr::from(([127, 0, 0, 1], 5353));
    let web = SocketAddr::from(([127, 0, 0, 1], 8080));
    let free =
        UdpSocket::bind(dns).is_ok() && TcpListener::bind(dns).is_ok() && TcpListener::bind(web).is_ok();
    if !free || Path::new("/etc/isigurt/isigurtd.toml").exists() {
        return eprintln!("skipped: ports 5353 and 8080 are in use, or a gateway is installed here");
    }
    let folder = tempfile::tempdir().unwrap();
    let said = std::fs::File::create(folder.path().join("said")).unwrap();
    let isigurtd = program("isigurtd");
    let started = Instant::now();
    let mut child = Command::new(isigurtd)
        .arg("run")
        .current_dir(folder.path())
        .stdout(said)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A name on a built-in list: nothing leaves this machine.
    let packet = query("bet365.com", 1);
    wait_for("the first answer", || {
        ask_udp(dns, &packet, Duration::from_millis(20)).is_some()
    });
    let taken = started.elapsed();
    eprintln!("process start to first answer, no configuration, this build: {taken:?}");
    let answer = ask_udp(dns, &packet, Duration::from_secs(1)).unwrap();
    assert!(has_address(&answer, [0; 4]), "{answer:02x?}");
    let framed = [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], &packet].concat();
    let over_tcp = ask_tcp(dns, &framed, Duration::from_millis(300));
    assert_eq!(over_tcp[2..], answer, "UDP and TCP say the same");
    let get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(ask_tcp(web, get, Duration::from_secs(2)).starts_with(b"HTTP/1.1 200"));
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
    assert!(
        said.contains("dig @127.0.0.1 -p 5353") && said.contains("http://127.0.0.1:8080"),
        "{said}"
    );
    assert!(folder.path().join("var").is_dir(), "state beside the caller");
    let ended = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(ended.success() && child.wait().unwrap().success());
}

#[test]
fn a_changed_list_is_in_force_after_sighup_and_a_broken_one_changes_nothing() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "0.0.0.0 first.example\n");
    let file = gateway.folder.path().join("hosts");
    assert_eq!(
        gateway.dig(&["+short", "later.example", "A"]).trim(),
        "192.0.2.53"
    );
    std::fs::write(&file, "0.0.0.0 later.example\n").unwrap();
    gateway.signal("HUP");
    wait_for("the new list", || {
        gateway.dig(&["+short", "later.example", "A"]).trim() == "0.0.0.0"
    });
    for (place, broken) in ["<!DOCTYPE html><html>", "\u{0}\u{1}\u{2}"].iter().enumerate() {
        std::fs::write(&file, broken).unwrap();
        gateway.signal("HUP");
        gateway.wait_for_log("last good version stays in force", place + 1);
        assert_eq!(gateway.dig(&["+short", "later.example", "A"]).trim(), "0.0.0.0");
    }
    std::fs::remove_file(&file).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("last good version stays in force", 3);
    assert_eq!(gateway.dig(&["+short", "later.example", "A"]).trim(), "0.0.0.0");
    let status = gateway.command(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["state"], "degraded");
    assert!(
        status["problems"][0].as_str().unwrap().contains("hosts"),
        "{status}"
    );
    // A configuration that cannot be read leaves everything as it is.
    std::fs::write(&gateway.config, "[dsn]\n").unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("reload failed", 1);
    assert_eq!(gateway.dig(&["+short", "later.example", "A"]).trim(), "0.0.0.0");
}

#[test]
fn reloading_loses_no_query_and_lets_none_through() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "0.0.0.0 always.example\n");
    let file = gateway.folder.path().join("hosts");
    let ended = Arc::new(AtomicBool::new(false));
    let (end, to) = (ended.clone(), gateway.address);
    let asking = std::thread::spawn(move || {
        let (mut asked, blocked, open) = (0_u32, query("always.example", 1), query("pass.example", 1));
        while !end.load(Ordering::Relaxed) {
            let answer = ask_udp(to, &blocked, Duration::from_secs(2)).expect("an answer");
            assert!(has_address(&answer, [0; 4]), "{answer:02x?}");
            let answer = ask_udp(to, &open, Duration::from_secs(2)).expect("an answer");
            assert!(has_address(&answer, [192, 0, 2, 1]), "{answer:02x?}");
            asked += 2;
        }
        asked
    });
    for round in 1..=8 {
        let lines = format!("0.0.0.0 always.example\n0.0.0.0 round{round}.example\n");
        // As a careful downloader does it: no reader ever sees half of a list.
        std::fs::write(file.with_extension("new"), lines).unwrap();
        std::fs::rename(file.with_extension("new"), &file).unwrap();
        gateway.signal("HUP");
        let name = format!("round{round}.example");
        wait_for("the round's list", || {
            gateway.dig(&["+short", &name, "A"]).trim() == "0.0.0.0"
        });
    }
    ended.store(true, Ordering::Relaxed);
    let asked = asking.join().unwrap();
    eprintln!("{asked} queries answered during 8 reloads");
    assert!(asked > 100, "{asked}");
}

#[test]
fn sigterm_answers_what_is_under_way_and_ends_with_zero() {
    let authority = Authority::start();
    let slow = Scripted::before(authority.address, Duration::from_millis(200));
    let mut gateway = Gateway::start(slow.address, "", "", &[]);
    let to = gateway.address;
    let waiting = std::thread::spawn(move || ask_udp(to, &query("slow.example", 1), Duration::from_secs(3)));
    wait_for("the query at the upstream", || !slow.seen().is_empty());
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert_eq!(rcode(&waiting.join().unwrap().expect("an answer")), 0);
    assert!(!gateway.folder.path().join("state/control.sock").exists());
}

#[test]
fn the_cache_survives_a_restart_without_helplines_and_is_flushed_by_name() {
    let upstream = Scripted::start(|query| {
        // One address for whatever is asked.
        let mut answer = query.to_vec();
        answer.truncate(
            answer
                .windows(5)
                .position(|tail| tail == [0, 0, 1, 0, 1])
                .unwrap()
                + 5,
        );
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        answer.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x07");
        vec![answer]
    });
    let mut gateway = Gateway::start(upstream.address, "", "", &[]);
    let names = ["one.example", "a.two.example", "two.example", "alo116.al"];
    for name in names {
        assert_eq!(gateway.dig(&["+short", name, "A"]).trim(), "192.0.2.7", "{name}");
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let file = gateway.folder.path().join("state/cache.bin");
    let kept = std::fs::read(&file).unwrap();
    let holds = |what: &[u8]| kept.windows(what.len()).any(|window| window == what);
    assert!(
        holds(b"\x03one\x07example") && !holds(b"alo116"),
        "a helpline leaves no trace"
    );
    let asked = || upstream.seen().len();
    let before = asked();
    gateway.restart();
    for name in &names[..3] {
        assert_eq!(gateway.dig(&["+short", name, "A"]).trim(), "192.0.2.7");
    }
    assert_eq!(asked(), before, "answered from what was kept");
    let flushed = gateway.command(&["cache", "flush", "two.example"]);
    assert_eq!(
        String::from_utf8_lossy(&flushed.stdout).trim(),
        "2 answer(s) let go"
    );
    for name in &names[..3] {
        gateway.dig(&["+short", name, "A"]);
    }
    assert_eq!(asked(), before + 2, "only what was flushed is asked for again");
    // A damaged file is no fault.
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let mut octets = std::fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(&file, octets).unwrap();
    gateway.restart();
    assert!(
        gateway.log().contains("the cache begins empty"),
        "{}",
        gateway.log()
    );
    assert_eq!(gateway.dig(&["+short", names[0], "A"]).trim(), "192.0.2.7");
}
