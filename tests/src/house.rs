//! A gateway with its web server and accounts.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::json;

use crate::{Authority, Browser, Gateway, free_address, program};

/// The password of every account.
pub const PASSWORD: &str = "three green apples";
/// Where its owner signs in from.
const MOTHER: &str = "127.0.0.1";

/// A gateway with its web server.
#[derive(Debug)]
pub struct House {
    /// The gateway.
    pub gateway: Gateway,
    /// Its web server.
    pub web: SocketAddr,
    _authority: Authority,
}

impl House {
    /// One that nobody has claimed; `web_keys` goes into `[web]` and behind it, see [`Gateway::start`].
    pub fn new(web_keys: &str) -> Self {
        Self::with_files(web_keys, &[])
    }

    /// The same with files in its folder.
    pub fn with_files(web_keys: &str, files: &[(&str, &str)]) -> Self {
        let authority = Authority::start();
        let web = free_address();
        let rest = format!("[web]\nlisten = [\"{web}\"]\n{web_keys}\n");
        let gateway = Gateway::start(authority.address, "", &rest, files);
        gateway.wait_for_log("serving", 1); // DNS is served a moment before the web
        Self {
            gateway,
            web,
            _authority: authority,
        }
    }

    /// With an owner "Ana", who has signed in.
    pub fn claimed(web_keys: &str) -> (Self, Browser) {
        Self::new(web_keys).claim()
    }

    /// Makes the owner "Ana", and signs her in.
    pub fn claim(self) -> (Self, Browser) {
        let house = self;
        let mut ana = house.browser(MOTHER);
        let claim = json!({ "code": house.code(), "name": "Ana", "password": PASSWORD, "language": "sq" });
        let answer = ana.ask("POST", "/setup", &claim);
        assert_eq!(answer.status, 201, "{answer:?}");
        ana.keep_csrf(&answer);
        (house, ana)
    }

    /// A browser without cookies.
    pub fn browser(&self, from: &str) -> Browser {
        Browser::new(self.web, from)
    }

    /// The claim code of the log.
    pub fn code(&self) -> String {
        let log = self.gateway.log();
        let at = log.find("code=").expect("a claim code in the log");
        log[at + 5..].split_whitespace().next().unwrap().to_owned()
    }

    /// `isigurtd user …` with a password on standard input: whether it succeeded, and what it said.
    pub fn user(&self, arguments: &[&str], password: &str) -> (bool, String) {
        let mut child = std::process::Command::new(program("isigurtd"))
            .args(["--config", self.gateway.config.to_str().unwrap(), "user"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses its arguments reads no password.
        let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Adds a user at the console and signs it in.
    pub fn add(&self, name: &str, role: &str, more: &[&str]) -> Browser {
        let (done, said) = self.user(&[&["add", name, "--role", role][..], more].concat(), PASSWORD);
        assert!(done, "{said}");
        let mut browser = self.browser(MOTHER);
        let answer = browser.ask("POST", "/session", &json!({ "name": name, "password": PASSWORD }));
        assert_eq!(answer.status, 200, "{answer:?}");
        browser.keep_csrf(&answer);
        browser
    }
}
