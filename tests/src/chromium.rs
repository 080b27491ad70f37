//! A page in a real Chromium, spoken with over its debugging protocol: what only a browser has, such as passkeys.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{system, terminate};

/// What keeps Chromium from asking anybody but the page's server.
const QUIET: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A page.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    asked: u64,
    _profile: TempDir,
}

impl Chromium {
    /// Opens a page.
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken over descriptors 3 and 4, which the shell makes of the program's input and output.
        let mut child = Command::new("timeout")
            .args([
                "180",
                "sh",
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 >/dev/null 2>&1 </dev/null",
            ])
            .arg(system("chromium"))
            .args(QUIET)
            .args(["--remote-debugging-pipe", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut page = Self {
            child,
            to,
            from: BufReader::new(from),
            session: String::new(),
            asked: 0,
            _profile: profile,
        };
        let target = page.ask("Target.createTarget", &json!({ "url": url }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.ask("Target.attachToTarget", &attach);
        page.session = attached["sessionId"].as_str().map(str::to_owned).unwrap();
        let there = format!(
            "location.href === {} && document.readyState === 'complete'",
            json!(url)
        );
        for _ in 0..200 {
            if page.runs(&there) == json!(true) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{url} is not shown");
    }

    /// Gives a command of the protocol and waits for its result.
    pub fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut octets = message.to_string().into_bytes();
        octets.push(0);
        self.to.write_all(&octets).unwrap();
        self.to.flush().unwrap();
        loop {
            let mut octets = Vec::new();
            self.from.read_until(0, &mut octets).unwrap();
            assert_eq!(octets.pop(), Some(0), "Chromium has ended");
            let mut heard: Value = serde_json::from_slice(&octets).unwrap();
            if heard["id"] == json!(self.asked) {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].take();
            }
        }
    }

    /// Runs an expression in the page; a promise is waited for.
    pub fn runs(&mut self, expression: &str) -> Value {
        let evaluate = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.ask("Runtime.evaluate", &evaluate);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}
