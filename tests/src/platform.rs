//! The national platform on loopback, with a real PostgreSQL behind it, and the analysts who work there.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use isigurt_wire::report::{BLOCK, Envelope, FORMAT, Id, Kind, Report};
use isigurt_wire::seal::{PrivateKey, PublicKey, REPORT, seal};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Browser, Postgres, free_address, program, terminate, wait_for};

/// A running platform whose first analyst is "ana".
#[derive(Debug)]
pub struct Platform {
    child: Child,
    /// Where it takes reports.
    pub address: SocketAddr,
    /// Its folder: configuration, keys, log.
    pub folder: TempDir,
    /// Its database.
    pub postgres: Postgres,
    /// The key that reports are sealed to.
    pub report_key: PublicKey,
    /// The private key that decisions are sealed to.
    pub decision_key: PrivateKey,
}

impl Platform {
    /// Starts one with these lists; `rest` goes behind the database and the address in `platform.toml`.
    pub fn start(rest: &str) -> Self {
        let postgres = Postgres::start(&[]);
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let decision_key = PrivateKey::generate().unwrap();
        let text = format!(
            "database = \"{}\"\nlisten = [\"{address}\"]\n{rest}\n[triage]\ndomain = \"platform.isigurt.example\"\ndecision_key = \"{}\"\n\
             [[triage.list]]\nid = \"abuse\"\nmandatory = true\n[[triage.list]]\nid = \"gambling\"\n",
            postgres.url(),
            decision_key.public().unwrap().to_hex()
        );
        std::fs::write(folder.path().join("platform.toml"), text).unwrap();
        let report_key = PrivateKey::generate().unwrap();
        let mut platform = Self {
            child: Command::new("true").spawn().unwrap(),
            address,
            report_key: report_key.public().unwrap(),
            folder,
            postgres,
            decision_key,
        };
        let file = platform.keep_key("report.key", &report_key);
        platform.new_analyst("ana");
        platform.says("ana", &["begin", "--report-key", file.to_str().unwrap()], true);
        platform.restart();
        platform
    }

    /// Starts the server, again if it was ended before.
    pub fn restart(&mut self) {
        terminate(&mut self.child);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        self.child = Command::new(program("isigurt-platform"))
            .arg("serve")
            .arg("--config")
            .arg(self.folder.path().join("platform.toml"))
            .env("RUST_LOG", "debug") // what a log could tell at all
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("the platform", || {
            std::net::TcpStream::connect(self.address).is_ok()
        });
    }

    /// Ends the server as a service manager would; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        wait_for("the end", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a private X25519 key as `keygen` does.
    pub fn keep_key(&self, name: &str, key: &PrivateKey) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let digits = data_encoding::HEXLOWER.encode(key.octets());
        let file = self.file(name);
        std::fs::write(&file, digits).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// Makes an analyst's key; the three words that another analyst adds.
    pub fn new_analyst(&self, name: &str) -> Vec<String> {
        let line = self.says(name, &["analyst", "new", name], true);
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Makes an analyst and has "ana" add them.
    pub fn add_analyst(&self, name: &str) {
        let words = self.new_analyst(name);
        self.says("ana", &["analyst", "add", &words[0], &words[1], &words[2]], true);
    }

    /// A command of the platform, with its configuration.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(program("isigurt-platform"))
            .args(arguments)
            .arg("--config")
            .arg(self.file("platform.toml"))
            .output()
            .unwrap()
    }

    /// What `triage …` says to an analyst; `well`: whether it must succeed.
    pub fn says(&self, analyst: &str, arguments: &[&str], well: bool) -> String {
        let key = self.file(&format!("{analyst}.key"));
        let words = [&["triage", "--key", key.to_str().unwrap()][..], arguments].concat();
        let output = self.command(&words);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.success(), well, "{arguments:?}: {said}");
        said
    }

    /// What `triage … --json` says.
    pub fn data(&self, analyst: &str, arguments: &[&str]) -> Value {
        let said = self.says(analyst, &[arguments, &["--json"]].concat(), true);
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
    }

    /// The case of a name, as soon as its report is there.
    pub fn case_of(&self, name: &str) -> String {
        let mut found = String::new();
        wait_long("the report at the platform", || {
            let cases = self.data("ana", &["list", "--names"]);
            let mut cases = cases.as_array().into_iter().flatten();
            let case = cases.find(|case| case["name"] == name);
            case.and_then(|case| case["case"].as_str())
                .unwrap_or_default()
                .clone_into(&mut found);
            !found.is_empty()
        });
        found
    }

    /// The desk of an analyst as a page; ends when dropped.
    pub fn desk(&self, analyst: &str) -> Desk {
        let address = free_address();
        let said = self.file(&format!("{analyst}.desk"));
        let child = Command::new(program("isigurt-platform"))
            .args(["triage", "web", "--listen", &address.to_string(), "--key"])
            .arg(self.file(&format!("{analyst}.key")))
            .arg("--config")
            .arg(self.file("platform.toml"))
            .stdout(File::create(&said).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let read = || std::fs::read_to_string(&said).unwrap();
        wait_for("the desk", || read().contains("/enter?key="));
        let line = read();
        let at = line.find("/enter").unwrap();
        Desk {
            child,
            address,
            entry: line[at..].trim().to_owned(),
        }
    }

    /// A report of a name, sealed and ready to be sent.
    pub fn envelope(&self, kind: Kind, name: &str, note: Option<&str>) -> Envelope {
        envelope(&self.report_key, kind, name, note)
    }

    /// Sends an envelope from 127.0.0.1; status and body.
    pub fn deliver(&self, envelope: &Envelope) -> (u16, Value) {
        let body = serde_json::to_value(envelope).unwrap();
        let answer = Browser::new(self.address, "127.0.0.1").ask("POST", "/reports", &body);
        (answer.status, answer.body)
    }

    /// Reports a name; the receipt.
    pub fn report(&self, kind: Kind, name: &str, note: Option<&str>) -> String {
        let (status, body) = self.deliver(&self.envelope(kind, name, note));
        assert_eq!(status, 201, "{body}");
        body["receipt"].as_str().unwrap().to_owned()
    }

    /// How the report with this receipt stands.
    pub fn state(&self, receipt: &str) -> String {
        let answer =
            Browser::new(self.address, "127.0.0.1").ask("GET", &format!("/reports/{receipt}"), &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("state").to_owned()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// A report sealed to a key.
pub fn envelope(key: &PublicKey, kind: Kind, name: &str, note: Option<&str>) -> Envelope {
    let report = Report {
        format: FORMAT,
        kind,
        name: name.into(),
        note: note.map(Into::into),
        contact: None,
        language: "sq".to_owned(),
        blocked_by: None,
    };
    let id = Id::random().unwrap();
    let plain = serde_json::to_vec(&report).unwrap();
    let sealed = seal(key, REPORT, &id.0, &plain, BLOCK).unwrap();
    Envelope {
        format: FORMAT,
        id,
        key: key.id(),
        sealed: data_encoding::BASE64URL_NOPAD.encode(&sealed),
    }
}

/// The page of one analyst.
#[derive(Debug)]
pub struct Desk {
    child: Child,
    /// Where it is.
    pub address: SocketAddr,
    /// The printed path with the key.
    pub entry: String,
}

impl Desk {
    /// A browser that has entered.
    pub fn browser(&self) -> Browser {
        let mut browser = Browser::new(self.address, "127.0.0.1");
        let answer = browser.send("GET", &self.entry, "");
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Waits longer than [`wait_for`] does: for what a loaded machine does in its own time.
pub fn wait_long(what: &str, mut done: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
