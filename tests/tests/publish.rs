//! The national platform publishes: the commands as an operator types them, and the repository behind a real web server.
// Test support beside the tests: a failure there is a failed test.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::format_collect
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use isigurt_tests::publisher::{CASINO, Publisher};
use isigurt_tests::{free_address, system};

#[test]
fn an_operator_makes_keys_publishes_and_looks_at_what_is_served() {
    let publisher = Publisher::new(CASINO);
    publisher.put("casino.txt", "one.test\ntwo.test\n");
    let said = publisher.run(&["publish", "--config", "publish.toml"]);
    assert!(said.contains("casino: new, version 1, 2 entries"), "{said}");
    let said = publisher.run(&["publish", "--config", "publish.toml"]);
    assert!(said.contains("nothing new, timestamp 1"), "{said}");
    let said = publisher.run(&["inspect", "public"]);
    assert!(
        said.contains("categories/casino") && said.contains("1 of 1"),
        "{said}"
    );
    let said = publisher.run(&["--json", "inspect", "public"]);
    let inspection: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(inspection["lists"][0]["entries"], 2);
    assert_eq!(inspection["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_to_do() {
    let publisher = Publisher::new(CASINO);
    let wrong = |arguments: &[&str], expected: &str| {
        let output = publisher.output(arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            !output.status.success() && said.contains(expected),
            "{arguments:?}: {said}"
        );
    };
    wrong(&["publish", "--config", "nowhere.toml"], "nowhere.toml");
    wrong(&["inspect", "public"], "nothing is published yet");
    wrong(&["publish", "--config", "publish.toml"], "casino: held: ");
    publisher.put("casino.txt", "one.test\nalo116.al\n");
    wrong(
        &["publish", "--config", "publish.toml"],
        "blocks alo116.al, a helpline",
    );
    publisher.put("casino.txt", "one.test\ncom.fj\n");
    wrong(
        &["publish", "--config", "publish.toml"],
        "two editors have to `approve` the name",
    );
    for editor in ["ana", "ben"] {
        let key = format!("keys/editor-{editor}.pk8");
        publisher.run(&[
            "approve",
            "--config",
            "publish.toml",
            "--key",
            &key,
            "--list",
            "casino",
            "--name",
            "com.fj",
            "--reason",
            "a test",
        ]);
    }
    assert_eq!(publisher.publish()["lists"][0]["state"], "new");
    // A damaged target is found.
    let folder = publisher.path("public/targets");
    let damaged = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("casino/1.list.zst"));
    let damaged: Vec<PathBuf> = damaged.filter(|file| file.exists()).collect();
    assert_eq!(damaged.len(), 1);
    std::fs::write(&damaged[0], "x").unwrap();
    wrong(&["inspect", "public"], "is missing or damaged");
    publisher.configure(&CASINO.replace("\"gambling\"", "\"gamblin\""));
    wrong(
        &["publish", "--config", "publish.toml"],
        "category \"gamblin\" is none of",
    );
    publisher.configure(&CASINO.replace("category", "categori"));
    wrong(
        &["publish", "--config", "publish.toml"],
        "unknown field `categori`",
    );
}

#[test]
fn a_changed_source_is_published_by_itself() {
    let publisher = Publisher::new(CASINO);
    publisher.put("casino.txt", "one.test\n");
    let _watching = publisher.watch();
    let version = |wanted: u64| {
        let started = Instant::now();
        loop {
            let output = publisher.output(&["--json", "inspect", "public"]);
            let inspection: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if inspection["lists"][0]["version"] == wanted {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{inspection}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    version(1);
    publisher.put("casino.txt", "one.test\ntwo.test\n");
    version(2);
}

/// A real nginx with the documented configuration.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    /// The documented file without TLS, on a free port.
    fn start(folder: &Path, repository: &Path) -> Self {
        let address = free_address();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../platform/deploy/nginx.conf");
        let mut server = String::new();
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let word = line.split_whitespace().next().unwrap_or_default();
            match word {
                "listen" => server += &format!("listen {address};\n"),
                "root" => server += &format!("root {};\n", repository.display()),
                "ssl_certificate" | "ssl_certificate_key" => {}
                _ => server = server + line + "\n",
            }
        }
        let own = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {own}/{kind};\n"))
            .collect();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {own}/nginx.pid;\nerror_log {own}/error.log;\n\
             events {{}}\nhttp {{\n{temporary}{server}}}\n"
        );
        let config = folder.join("nginx.conf");
        std::fs::write(&config, text).unwrap();
        let child = Command::new(system("nginx"))
            .arg("-c")
            .arg(&config)
            .arg("-p")
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "nginx does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    /// The whole answer to a GET, head and body; and how many octets went over the wire in both directions.
    fn get(&self, path: &str, headers: &str) -> (String, usize) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: lists.isigurt.example\r\n{headers}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let octets = request.len() + answer.len();
        (String::from_utf8_lossy(&answer).into_owned(), octets)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let lines = answer.split("\r\n\r\n").next().unwrap_or_default().lines();
    let mut values = lines.filter_map(|line| {
        line.split_once(": ")
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
    });
    values.next().map_or("", |(_, value)| value)
}

#[test]
fn the_documented_nginx_serves_the_repository_as_gateways_and_caches_need_it() {
    let publisher = Publisher::new(CASINO);
    publisher.put("casino.txt", "one.test\n");
    publisher.publish();
    let folder = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(folder.path(), &publisher.repository());
    let (timestamp, _) = nginx.get("/metadata/timestamp.json", "");
    assert!(timestamp.starts_with("HTTP/1.1 200"), "{timestamp}");
    assert_eq!(
        header(&timestamp, "cache-control"),
        "public, max-age=10, must-revalidate"
    );
    // A poll with nothing new.
    let same = format!("If-None-Match: {}\r\n", header(&timestamp, "etag"));
    let (answer, octets) = nginx.get("/metadata/timestamp.json", &same);
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    eprintln!("a poll with nothing new: {octets} octets of HTTP in both directions");
    assert!(octets <= 1_000, "{octets}");
    let (answer, _) = nginx.get("/metadata/2.root.json", "");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(header(&answer, "cache-control"), "public, max-age=60");
    for path in ["/metadata/1.snapshot.json", "/metadata/1.categories.json"] {
        let (answer, _) = nginx.get(path, "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(
            header(&answer, "cache-control"),
            "public, max-age=31536000, immutable"
        );
    }
    // A broken download goes on where it broke off.
    let snapshot: serde_json::Value =
        serde_json::from_slice(&std::fs::read(publisher.path("public/metadata/1.categories.json")).unwrap())
            .unwrap();
    let target = &snapshot["signed"]["targets"]["categories/casino/1.list.zst"];
    let path = format!(
        "/targets/{}.categories/casino/1.list.zst",
        target["hashes"]["sha256"].as_str().unwrap()
    );
    let (answer, _) = nginx.get(&path, "Range: bytes=5-\r\n");
    assert!(answer.starts_with("HTTP/1.1 206"), "{answer}");
    assert_eq!(
        header(&answer, "content-length"),
        (target["length"].as_u64().unwrap() - 5).to_string()
    );
    for path in ["/", "/state/lock", "/../state/lock"] {
        assert!(!nginx.get(path, "").0.starts_with("HTTP/1.1 200"), "{path}");
    }
    // A new release is another timestamp.
    publisher.put("casino.txt", "one.test\ntwo.test\n");
    publisher.publish();
    assert!(
        nginx
            .get("/metadata/timestamp.json", &same)
            .0
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn a_publisher_killed_at_any_moment_leaves_a_whole_repository_and_goes_on() {
    let publisher = Publisher::new(CASINO);
    publisher.put("casino.txt", "one.test\n");
    publisher.publish();
    let mut killed = 0;
    for round in 0..40_u64 {
        publisher.put("casino.txt", &format!("one.test\nn{round}.test\n"));
        let mut child = Command::new(isigurt_tests::program("isigurt-platform"))
            .args(["publish", "--config"])
            .arg(publisher.path("publish.toml"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 3));
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        publisher.run(&["inspect", "public"]);
    }
    assert!(killed > 0, "none was killed under way");
    publisher.put("casino.txt", "one.test\nlast.test\n");
    let report = publisher.publish();
    assert_eq!(report["lists"][0]["state"], "new", "{report}");
    publisher.run(&["inspect", "public"]);
}
