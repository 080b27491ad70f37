//! The administrator's commands, and what is said when something is wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use isigurt_tests::{Authority, Gateway, ask_udp, free_address, program, query, wait_for};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program("isigurtd"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Runs `isigurtd run` with this configuration, which must fail with one line on standard error that has `expected`.
fn refused(config: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let config = config.replace("{dir}", &folder.path().display().to_string());
    std::fs::write(folder.path().join("g.toml"), config).unwrap();
    let output = run(folder.path(), &["run", "--config", "g.toml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("isigurtd: ") && !said.contains("panicked"),
        "{said}"
    );
    for word in expected {
        assert!(last.contains(word), "{last:?} does not say {word:?}");
    }
}

#[test]
fn what_stops_a_start_is_said_in_one_line_with_what_to_do() {
    let listen = free_address();
    let dns = format!("[dns]\nlisten = [\"{listen}\"]\n[web]\nlisten = []\n");
    refused(
        &format!("state_dir = \"{{dir}}/s\"\n{dns}[[lists]]\nid = \"gone\"\nurl = \"{{dir}}/gone.txt\"\n"),
        &["gone", "gone.txt", "No such file", "url"],
    );
    refused(
        &format!("state_dir = \"{{dir}}/g.toml\"\n{dns}"),
        &["g.toml", "--state"],
    );
    refused(
        "state_dir = \"/proc/isigurt\"\n[dns]\nlisten = [\"127.0.0.1:0\"]\n",
        &["/proc/isigurt", "--state"],
    );
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    refused(
        &format!("state_dir = \"{{dir}}/s\"\n[dns]\nlisten = [\"{address}\"]\n"),
        &[&address.to_string(), "another program"],
    );
    refused(
        "[dns]\nlisten = [\"203.0.113.1:5353\"]\nbloc_ttl = 1\n",
        &["g.toml:3:1", "block_ttl"],
    );
    refused(
        "state_dir = \"{dir}/s\"\n[dns]\nlisten = [\"203.0.113.1:5353\"]\n",
        &["203.0.113.1:5353", "no such address"],
    );
}

#[test]
fn two_daemons_do_not_share_a_state_folder() {
    let authority = Authority::start();
    let gateway = Gateway::start(authority.address, "", "", &[]);
    let other = free_address();
    let config = format!(
        "state_dir = \"{}/state\"\n[dns]\nlisten = [\"{other}\"]\n[web]\nlisten = []\n",
        gateway.folder.path().display()
    );
    refused(&config, &["in use by another isigurtd"]);
}

#[test]
fn a_dead_upstream_and_an_unreadable_list_after_a_good_start_do_not_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("l.txt");
    std::fs::write(&list, "blocked.example\n").unwrap();
    let rest = format!("[[lists]]\nid = \"l\"\nurl = \"{}\"\n", list.display());
    let dead = free_address();
    let mut gateway = Gateway::start(dead, "", &rest, &[]);
    assert!(gateway.dig(&["other.example", "A"]).contains("SERVFAIL"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    // The list goes away while the gateway is down: its last good copy is enforced.
    std::fs::remove_file(&list).unwrap();
    let mut again = Command::new(program("isigurtd"))
        .args(["run", "--config"])
        .arg(&gateway.config)
        .spawn()
        .unwrap();
    wait_for("the restart", || {
        ask_udp(
            gateway.address,
            &query("localhost", 1),
            Duration::from_millis(200),
        )
        .is_some()
    });
    assert_eq!(gateway.dig(&["+short", "blocked.example", "A"]).trim(), "0.0.0.0");
    let stopped = Command::new("kill").arg(again.id().to_string()).status().unwrap();
    assert!(stopped.success() && again.wait().unwrap().success());
}

#[test]
fn check_accepts_and_refuses_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("good.toml"),
        "[dns]\nblock_ttl = 5\n[upstream]\ndnssec = \"validate\"\n",
    )
    .unwrap();
    let good = run(folder.path(), &["check", "--config", "good.toml"]);
    assert!(good.status.success() && text(&good.stdout).contains("ok"));
    assert!(
        text(&good.stderr).contains("good.toml:4: warning: dnssec"),
        "{good:?}"
    );
    std::fs::write(folder.path().join("bad.toml"), "[upstream]\nserver = []\n").unwrap();
    let bad = run(folder.path(), &["check", "--config", "bad.toml"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        text(&bad.stderr).contains("bad.toml:2:1") && text(&bad.stderr).contains("\"servers\""),
        "{bad:?}"
    );
    assert_eq!(
        run(folder.path(), &["check", "--config", "missing.toml"])
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn why_names_rule_list_and_line_with_and_without_the_daemon() {
    let authority = Authority::start();
    let rest = "[[lists]]\nid = \"mine\"\nurl = \"{dir}/l.txt\"\ncategory = \"gambling\"\n";
    let gateway = Gateway::start(
        authority.address,
        "",
        rest,
        &[("l.txt", "# mine\n||casino.example^\n@@||ok.casino.example^\n")],
    );
    for offline in [&["--offline"][..], &[]] {
        let why = |name: &str| {
            let output = gateway.command(&[&["why", name, "--json"][..], offline].concat());
            serde_json::from_slice::<serde_json::Value>(&output.stdout)
                .unwrap_or_else(|_| panic!("{output:?}"))
        };
        let blocked = why("www.CASINO.example");
        assert_eq!(blocked["verdict"], "blocked");
        assert_eq!(
            (
                &blocked["rule"]["list"],
                &blocked["rule"]["line"],
                &blocked["rule"]["category"]
            ),
            (&"mine".into(), &2.into(), &"gambling".into())
        );
        assert_eq!(why("ok.casino.example")["lifted_by"][0]["line"], 3);
        assert_eq!(why("good.example")["verdict"], "allowed");
        let pasted = why("https://www.casino.example:8443/roulette?a=b");
        assert_eq!(
            (&pasted["name"], &pasted["verdict"]),
            (&"www.casino.example".into(), &"blocked".into())
        );
        assert_eq!(why("x.onion")["verdict"], "special");
        assert_eq!(why("childline.org.uk")["verdict"], "helpline");
    }
    let shown = text(&gateway.command(&["why", "casino.example"]).stdout);
    assert!(
        shown.contains("blocked") && shown.contains("line 2") && shown.contains("gambling"),
        "{shown}"
    );
    let wrong = gateway.command(&["why", "casino.example", "--type", "BOGUS"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn status_tells_how_the_daemon_stands_and_what_to_do_where_there_is_none() {
    let authority = Authority::start();
    let gateway = Gateway::start(authority.address, "", "", &[]);
    gateway.dig(&["pass.example"]);
    gateway.dig(&["pass.example"]);
    let output = gateway.command(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["state"], "ok");
    assert_eq!(
        (&status["counts"]["forwarded"], &status["counts"]["cached"]),
        (&1.into(), &1.into())
    );
    let folder = tempfile::tempdir().unwrap();
    let none = run(folder.path(), &["status", "--state", "nowhere"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("isigurtd run"), "{none:?}");
}

#[test]
fn lists_are_compiled_with_a_report_and_tested_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("l.txt"),
        "||a.example^\n||a.example^\n||b.example^$nosuch\na.example##.ad\n",
    )
    .unwrap();
    let compiled = run(
        folder.path(),
        &["lists", "compile", "l.txt", "-o", "l.bin", "--json"],
    );
    let report: serde_json::Value = serde_json::from_slice(&compiled.stdout).unwrap();
    let line = &report["inputs"][0];
    assert_eq!(
        (
            &line["read"],
            &line["kept"],
            &line["duplicate"],
            &line["rejected"],
            &line["not_dns"]
        ),
        (&2.into(), &1.into(), &1.into(), &1.into(), &1.into())
    );
    assert!(
        line["rejections"][0]
            .as_str()
            .unwrap()
            .starts_with("l.txt:3: unknown modifier"),
        "{line}"
    );
    for file in ["l.bin", "l.txt"] {
        let tested = text(&run(folder.path(), &["lists", "test", file, "www.a.example"]).stdout);
        assert!(
            tested.contains("blocked") && tested.contains("line 1"),
            "{tested}"
        );
        assert!(
            text(&run(folder.path(), &["lists", "test", file, "c.example"]).stdout)
                .contains("not on the list")
        );
    }
    let mut damaged = std::fs::read(folder.path().join("l.bin")).unwrap();
    damaged[20] ^= 1;
    std::fs::write(folder.path().join("l.bin"), damaged).unwrap();
    let refused = run(folder.path(), &["lists", "test", "l.bin", "a.example"]);
    assert!(
        refused.status.code() == Some(1) && text(&refused.stderr).contains("damaged"),
        "{refused:?}"
    );
}

#[test]
fn wildcard_addresses_answer_from_the_one_that_was_asked_and_the_page_is_served() {
    let authority = Authority::start();
    let web = free_address();
    let folder = tempfile::tempdir().unwrap();
    let dns = free_address();
    let config = folder.path().join("g.toml");
    let body = format!(
        "state_dir = \"{}\"\n[dns]\nlisten = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\n[web]\nlisten = [\"{web}\"]\n[upstream]\nservers = [\"udp://{}\"]\n",
        folder.path().join("s").display(),
        authority.address,
        port = dns.port(),
    );
    std::fs::write(&config, body).unwrap();
    let started = Instant::now();
    let mut child = Command::new(program("isigurtd"))
        .args(["run", "--config"])
        .arg(&config)
        .spawn()
        .unwrap();
    wait_for("the gateway", || {
        ask_udp(dns, &query("localhost", 1), Duration::from_millis(20)).is_some()
    });
    eprintln!(
        "process start to first answer, test build: {:?}",
        started.elapsed()
    );
    // A connected socket takes an answer only from the address that it asked.
    let other = SocketAddr::from(([127, 0, 0, 5], dns.port()));
    assert!(ask_udp(other, &query("localhost", 1), Duration::from_secs(1)).is_some());
    let over_v6 = isigurt_tests::dig(
        SocketAddr::from((Ipv6Addr::LOCALHOST, dns.port())),
        &["+short", "pass.example", "A"],
    );
    assert_eq!(over_v6.trim(), "192.0.2.1");
    let get = |path: &str| {
        text(&isigurt_tests::ask_tcp(
            web,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
            Duration::from_secs(3),
        ))
    };
    let page = get("/");
    assert!(
        page.contains("200 OK") && page.contains("116 111") && page.contains("content-security-policy"),
        "{page}"
    );
    assert!(
        get("/healthz").ends_with("ok\n")
            && get("/readyz").contains("200 OK")
            && get("/nothing.css").contains("404") // what could be a page is the app's, which says that there is none
    );
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_signal_that_comes_with_the_first_answer_finds_its_handler() {
    for _ in 0..10 {
        let mut gateway = Gateway::start(free_address(), "", "", &[]);
        gateway.signal("TERM");
        assert_eq!(gateway.wait(), Some(0));
    }
}

#[test]
fn an_emptied_list_and_a_damaged_copy_never_open_what_was_blocked() {
    let rest = "[[lists]]\nid = \"l\"\nurl = \"{dir}/l.txt\"\n";
    let mut gateway = Gateway::start(free_address(), "", rest, &[("l.txt", "blocked.example\n")]);
    let list = gateway.folder.path().join("l.txt");
    std::fs::write(&list, "").unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("last good version stays in force", 1);
    assert_eq!(gateway.dig(&["+short", "blocked.example", "A"]).trim(), "0.0.0.0");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    std::fs::remove_file(&list).unwrap();
    std::fs::write(gateway.folder.path().join("state/lists/l"), "other.example\n").unwrap();
    let start = gateway.command(&["run"]);
    assert_eq!(
        start.status.code(),
        Some(1),
        "a copy that is not what was kept is not enforced"
    );
}
