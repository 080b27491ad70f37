//! The whole circle on loopback: a platform with its database, publisher and analysts, two gateways that know its root, and a
//! name server behind them. What somebody reports on one gateway is confirmed, published, and blocked on the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::platform::wait_long;
use crate::publisher::Watching;
use crate::{Authority, Gateway, Platform, Publisher, free_address};

/// How long one way round may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything, running.
#[derive(Debug)]
pub struct Circle {
    /// Two homes: what is reported on the first is blocked on the second.
    pub gateways: [Gateway; 2],
    /// Where the pages of the gateways are.
    pub pages: [std::net::SocketAddr; 2],
    /// Takes reports, and serves the lists.
    pub platform: Arc<Platform>,
    /// Signs the lists.
    pub publisher: Arc<Publisher>,
    _watching: Watching,
    _exporting: Exporting,
    _authority: Authority,
}

/// One way round, as it went.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// From the analyst's last word to the block on the other gateway.
    pub confirmed_to_blocked: Duration,
    /// From the report to the block.
    pub reported_to_blocked: Duration,
}

/// The lists, fed by triage alone; `{analysts}` stands for the keys of those who count.
const LISTS: &str = r#"
[decisions]
key = "keys/decision.key"
analysts = [{analysts}]
[[list]]
id = "gambling"
publisher = "categories"
category = "gambling"
[[list.source]]
kind = "decisions"
path = "decisions"
[[list]]
id = "abuse"
publisher = "mandatory"
tier = "hashed"
[[list.source]]
kind = "decisions"
path = "decisions"
"#;

impl Circle {
    /// Starts everything. Analysts are "ana" and "ben".
    pub fn start() -> Self {
        let publisher = Arc::new(Publisher::with_keys());
        std::fs::create_dir(publisher.path("decisions")).unwrap();
        let platform = Arc::new(Platform::start(&format!(
            "repository = \"{}\"\nconfirmations = \"{}\"",
            publisher.repository().display(),
            publisher.path("state").display()
        )));
        platform.add_analyst("ben");
        // Triage made the report key and the decision key; the publisher tells of the one and holds the other.
        publisher.put("keys/report.pub", &platform.report_key.to_hex());
        std::fs::copy(
            platform.keep_key("decision.key", &platform.decision_key),
            publisher.path("keys/decision.key"),
        )
        .unwrap();
        let listed = platform.says("ana", &["analyst", "list"], true);
        let keys: Vec<String> = listed
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .map(|key| format!("{key:?}"))
            .collect();
        publisher.configure(&LISTS.replace("{analysts}", &keys.join(", ")));
        publisher.init();
        publisher.publish();
        let exporting = Exporting::start(Arc::clone(&platform), Arc::clone(&publisher));
        let watching = publisher.watch();
        let authority = Authority::start();
        let pages = [free_address(), free_address()];
        let gateway = |page| {
            let rest = format!(
                "[web]\nlisten = [\"{page}\"]\n[platform]\nurl = \"http://{}/\"\nroot = \"{}\"\npoll = \"2s\"\n",
                platform.address,
                publisher.root().display()
            );
            Gateway::start(authority.address, "", &rest, &[])
        };
        let gateways = pages.map(gateway);
        Self {
            gateways,
            pages,
            platform,
            publisher,
            _watching: watching,
            _exporting: exporting,
            _authority: authority,
        }
    }

    /// Somebody reports `name` on the first gateway; as many analysts as the list needs confirm it; the second gateway
    /// blocks it. `list` is `gambling` or `abuse`.
    pub fn round(&self, name: &str, kind: &str, list: &str) -> Round {
        let [first, second] = &self.gateways;
        assert!(second.gets("127.0.0.1", name), "{name} is blocked already");
        let mut said = String::new();
        wait_long("the platform's key on the gateway", || {
            let output = first.command(&["report", name, "--kind", kind, "--yes"]);
            said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            output.status.success()
        });
        let reported = Instant::now();
        let case = self.platform.case_of(name);
        self.platform
            .says("ana", &["confirm", &case, "--list", list], true);
        if list == "abuse" {
            self.platform
                .says("ben", &["confirm", &case, "--list", list], true);
        }
        let confirmed = Instant::now();
        while second.gets("127.0.0.1", name) {
            assert!(
                confirmed.elapsed() < PATIENCE,
                "not blocked: {}",
                second.says(&["lists", "status"], true)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Round {
            confirmed_to_blocked: confirmed.elapsed(),
            reported_to_blocked: reported.elapsed(),
        }
    }
}

/// Brings decisions from the database to the publisher, as a timer would.
#[derive(Debug)]
struct Exporting {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporting {
    fn start(platform: Arc<Platform>, publisher: Arc<Publisher>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let out = publisher.path("decisions/triage.jsonl");
            let out = out.to_str().unwrap_or_default().to_owned();
            while !over.load(Ordering::Relaxed) {
                platform.command(&["decisions", "export", "--out", &out]);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        Self {
            end,
            thread: Some(thread),
        }
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
