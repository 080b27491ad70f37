//! What somebody reports leaves no trace: neither in the memory of the running gateway once it is sealed, nor in a core file
//! of a program that crashes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use isigurt_tests::{
    Browser, Gateway, Mirror, Platform, Repository, Scripted, Trust, free_address, program, terminate,
    wait_for,
};
use isigurt_wire::report::Kind;
use serde_json::{Value, json};

/// What stands in the name, the note and the contact of each report.
const MARKERS: [&str; 3] = ["quetzalbird", "marmotsong", "pangolinpost"];

/// A gateway that seals reports to a platform that nobody answers for.
struct Sealing {
    gateway: Gateway,
    web: SocketAddr,
    https: SocketAddr,
    _mirror: Mirror,
    _repository: Repository,
    _upstream: Scripted,
}

impl Sealing {
    fn start() -> Self {
        let mut repository = Repository::new();
        repository.take_reports(Some(format!("http://{}/reports", free_address())));
        repository.publish();
        let mirror = Mirror::of(repository.path());
        let (web, https) = (free_address(), free_address());
        let rest = format!(
            "[web]\nlisten = [\"{web}\"]\nhttps = [\"{https}\"]\n[platform]\nurl = \"{}\"\n\
             root = \"{{dir}}/root.json\"\npoll = \"1s\"\n",
            mirror.url()
        );
        let upstream = Scripted::start(|_| Vec::new());
        let gateway = Gateway::start(upstream.address, "", &rest, &[("root.json", &repository.root(1))]);
        gateway.wait_for_log("serving", 1);
        let sealing = Self {
            gateway,
            web,
            https,
            _mirror: mirror,
            _repository: repository,
            _upstream: upstream,
        };
        wait_for("the platform's key", || {
            sealing.child().ask("GET", "/report", &Value::Null).body["open"] == json!(true)
        });
        sealing
    }

    fn child(&self) -> Browser {
        Browser::new(self.web, "127.0.0.1").with("accept-language", "en")
    }

    /// The same over HTTPS, with the gateway's own certificate.
    fn encrypted(&self) -> Browser {
        let kept = std::fs::read_to_string(self.gateway.folder.path().join("state/tls/own.pem")).unwrap();
        let pem = kept.split("-----BEGIN PRIVATE").next().unwrap();
        let mut browser = self.child();
        browser.to = self.https;
        browser.trust = Some(Trust::new(pem, "127.0.0.1"));
        browser
    }
}

/// A report with all markers in it.
fn draft() -> Value {
    let [name, note, contact] = MARKERS;
    json!({
        "name": format!("https://www.{name}.example/path"), "kind": "grooming", "language": "en",
        "note": format!("he says \"{note}\"\nevery day"), "contact": format!("{contact}@mail.example"),
    })
}

/// Places in memory that a process may write to where one of `texts` stands: a few octets round each.
fn places(process: u32, texts: &[&str]) -> std::io::Result<Vec<String>> {
    const PAGE: usize = 4096;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    // Pieces overlap, so that nothing is missed at their seam.
    let more = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let (mut piece, nothing) = (vec![0; PAGE + more], vec![0; PAGE + more]);
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|digits| u64::from_str_radix(digits, 16).unwrap());
        for at in (from..to).step_by(PAGE) {
            let read = memory.read_at(&mut piece, at).unwrap_or(0);
            let piece = &piece[..read];
            if *piece == nothing[..read] {
                continue; // most of it
            }
            for text in texts {
                let places = piece.windows(text.len()).take(PAGE).enumerate();
                for (place, _) in places.filter(|(_, window)| *window == text.as_bytes()) {
                    let round = &piece[place.saturating_sub(40)..(place + 60).min(read)];
                    let area = line.split_whitespace().nth(5).unwrap_or("allocated");
                    found.push(format!(
                        "{area} {:x}: {}",
                        at + place as u64,
                        round.escape_ascii()
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// Waits until no marker stands in the memory of the process.
fn forgets(process: u32, after: &str) {
    let mut found = Vec::new();
    for _ in 0..50 {
        found = places(process, &MARKERS).unwrap();
        if found.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{} places after {after}:\n{}", found.len(), found.join("\n"));
}

/// The head of a POST of a report that leaves the connection open.
fn head(web: SocketAddr, body: &str) -> String {
    format!(
        "POST /api/v1/reports HTTP/1.1\r\nhost: {web}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
}

#[test]
fn once_a_report_is_sealed_its_words_stand_nowhere_in_the_memory_of_the_gateway() {
    let sealing = Sealing::start();
    let process = sealing.gateway.id();
    if let Err(error) = places(process, &MARKERS) {
        return eprintln!("skipped: the memory of another process is not to be read here: {error}");
    }
    forgets(process, "nothing");

    // A request that is still under way does stand there, so that looking finds what there is. The client would keep the
    // connection; the gateway ends it with its buffers.
    let body = draft().to_string();
    let (first, last) = body.split_at(body.len() - 5);
    let mut stream = TcpStream::connect(sealing.web).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let begin = head(sealing.web, &body) + first;
    stream.write_all(begin.as_bytes()).unwrap();
    for marker in MARKERS {
        wait_for("a request under way", || {
            !places(process, &[marker]).unwrap().is_empty()
        });
    }
    stream.write_all(last.as_bytes()).unwrap();
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the gateway ends the connection");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    forgets(process, "a report over a connection that its client keeps");

    let mut child = sealing.child();
    assert_eq!(child.ask("POST", "/report/preview", &draft()).status, 200);
    assert_eq!(child.ask("POST", "/reports", &draft()).status, 201);
    forgets(process, "a report over the API");

    assert_eq!(sealing.encrypted().ask("POST", "/reports", &draft()).status, 201);
    forgets(process, "a report over HTTPS");

    let mut wrong = draft();
    wrong["kind"] = json!("nonsense");
    assert_eq!(child.ask("POST", "/reports", &wrong).status, 422);
    wrong["note"] = json!(MARKERS[1].repeat(10_000));
    assert!(child.ask("POST", "/reports", &wrong).status >= 400);
    forgets(process, "a report that is not taken");

    let [name, note, contact] = MARKERS;
    let fields = format!(
        "name=https%3A%2F%2F{name}.example%2Fa&kind=grooming&note=say+{note}%0D%0Atwice&contact={contact}%40mail.example"
    );
    let mut form = child.with("content-type", "application/x-www-form-urlencoded");
    let check = form.send("POST", "/report", &format!("{fields}&step=check"));
    assert!(check.status == 200 && check.raw.contains(note), "{}", check.raw);
    assert_eq!(
        form.send("POST", "/report", &format!("{fields}&step=send"))
            .status,
        201
    );
    forgets(process, "a report by form");

    let site = format!("{name}.example");
    let words = [
        "report",
        &site,
        "--kind",
        "grooming",
        "--note",
        note,
        "--contact",
        contact,
        "--yes",
    ];
    sealing.gateway.says(&words, true);
    forgets(process, "a report at the console");
    let listed = sealing.gateway.says(&["report", "list"], true);
    assert!(listed.contains("on its way"), "{listed}");
}

/// What runs a program in `folder` without a bound on core files.
fn unbounded(folder: &Path) -> Vec<String> {
    let script = format!("ulimit -c unlimited; cd '{}' && exec \"$@\"", folder.display());
    ["sh", "-c", &script, "sh"].map(str::to_owned).into()
}

/// Whether a program that crashes leaves a core file in `folder` on this system.
fn leaves_cores(folder: &Path) -> bool {
    let words = unbounded(folder);
    let mut other = Command::new(&words[0])
        .args(&words[1..])
        .args(["sleep", "60"])
        .spawn()
        .unwrap();
    wait_for("sleep", || {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap_or_default();
        name.trim() == "sleep"
    });
    crash(other.id(), "SEGV", || other.try_wait().unwrap().is_some());
    let left = std::fs::read_dir(folder).unwrap().flatten().next();
    left.is_some_and(|core| std::fs::remove_file(core.path()).is_ok())
}

/// Ends a program as a crash would. Rust's handler of SIGSEGV takes the first one for its own.
fn crash(process: u32, signal: &str, mut ended: impl FnMut() -> bool) {
    wait_for("the crash", || {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &process.to_string()])
            .stderr(Stdio::null())
            .status();
        sent.unwrap(); // it may have ended
        std::thread::sleep(Duration::from_millis(100));
        ended()
    });
}

fn nothing_left(folder: &Path, of: &str) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().collect();
    assert!(left.is_empty(), "{of} leaves {left:?}");
}

#[test]
fn a_gateway_that_crashes_with_a_report_just_made_leaves_no_core_file() {
    let cores = tempfile::tempdir().unwrap();
    if !leaves_cores(cores.path()) {
        return eprintln!("skipped: no program leaves a core file in its folder on this system");
    }
    let mut sealing = Sealing::start();
    for signal in ["SEGV", "ABRT"] {
        sealing.gateway.signal("TERM");
        sealing.gateway.wait();
        let words = unbounded(cores.path());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        sealing.gateway.restart_under(&words);
        sealing.gateway.wait_for_log("serving", 1);
        assert_eq!(sealing.child().ask("POST", "/reports", &draft()).status, 201);
        let process = sealing.gateway.id();
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
        crash(process, signal, || sealing.gateway.ended());
        nothing_left(cores.path(), &format!("SIG{signal}"));
        sealing.gateway.restart(); // what a crash leaves of the state opens again
    }
}

#[test]
fn a_platform_that_crashes_with_a_report_just_taken_leaves_no_core_file() {
    let cores = tempfile::tempdir().unwrap();
    if !leaves_cores(cores.path()) {
        return eprintln!("skipped: no program leaves a core file in its folder on this system");
    }
    let mut platform = Platform::start("");
    platform.stop();
    for signal in ["SEGV", "ABRT"] {
        let words = unbounded(cores.path());
        let mut served = Command::new(&words[0])
            .args(&words[1..])
            .arg(program("isigurt-platform"))
            .arg("serve")
            .arg("--config")
            .arg(platform.file("platform.toml"))
            .spawn()
            .unwrap();
        wait_for("the platform", || TcpStream::connect(platform.address).is_ok());
        platform.report(Kind::Fraud, "bad.example", Some(MARKERS[1]));
        crash(served.id(), signal, || served.try_wait().unwrap().is_some());
        nothing_left(cores.path(), &format!("SIG{signal}"));
        terminate(&mut served);
    }
}
