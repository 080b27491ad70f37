//! A household whose gateway syncs with a platform that takes reports, with its owner, its metrics, and its clock.
#![allow(dead_code)] // each test file uses its part

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Command;

use isigurt_tests::{Browser, PASSWORD, Reply, Repository, free_address, program, wait_for};
use serde_json::{Value, json};

use crate::synced::{Synced, ban, get};

/// A gateway with an owner, its metrics, and a platform that publishes and takes reports until the network is gone.
pub(crate) struct Household {
    pub(crate) synced: Synced,
    pub(crate) web: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) ana: Browser,
    pub(crate) repository: Repository,
    /// What gives the gateway and its commands another clock.
    clock: Vec<String>,
}

impl Household {
    pub(crate) fn new() -> Self {
        let mut repository = Repository::new();
        repository.take_reports(None);
        ban(&mut repository, &["banned.example"]);
        let (web, metrics) = (free_address(), free_address());
        let rest = format!("[web]\nlisten = [\"{web}\"]\n[metrics]\nlisten = \"{metrics}\"\n");
        let synced = Synced::with(&repository, &rest);
        synced.blocks("banned.example");
        let log = synced.gateway.log();
        let code = log
            .split("code=")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap();
        let mut ana = Browser::new(web, "127.0.0.1");
        let claim = json!({ "code": code, "name": "Ana", "password": PASSWORD, "language": "en" });
        let answer = ana.ask("POST", "/setup", &claim);
        assert_eq!(answer.status, 201, "{answer:?}");
        ana.keep_csrf(&answer);
        Self {
            synced,
            web,
            metrics,
            ana,
            repository,
            clock: Vec::new(),
        }
    }

    /// The network is gone, and the gateway starts again when it is so much later, such as `+26h`.
    pub(crate) fn later(&mut self, later: &str) {
        self.synced.mirror.lie(|_| Some(Reply::Page(503, Vec::new())));
        self.stop();
        self.clock = vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", clock().display()),
            format!("FAKETIME={later}"),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(), // waiting takes as long as ever
        ];
        let words: Vec<&str> = self.clock.iter().map(String::as_str).collect();
        self.synced.gateway.restart_under(&words);
        self.sign_in();
    }

    /// Ends the gateway as a service manager does.
    pub(crate) fn stop(&mut self) {
        self.synced.gateway.signal("TERM");
        assert_eq!(self.synced.gateway.wait(), Some(0));
    }

    /// Signs the owner in, once a gateway that was started again serves.
    pub(crate) fn sign_in(&mut self) {
        self.synced.gateway.wait_for_log("serving", 1);
        wait_for("the web", || std::net::TcpStream::connect(self.web).is_ok());
        let session = json!({ "name": "Ana", "password": PASSWORD });
        let mut ana = Browser::new(self.web, "127.0.0.1");
        let answer = ana.ask("POST", "/session", &session);
        assert_eq!(answer.status, 200, "{answer:?}");
        ana.keep_csrf(&answer);
        self.ana = ana;
    }

    pub(crate) fn status(&mut self) -> Value {
        self.ana.ask("GET", "/status", &Value::Null).body
    }

    /// The number of a metric; `None` where it is not there.
    pub(crate) fn metric(&self, row: &str) -> Option<f64> {
        let text = get(self.metrics, "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(row))?;
        line.trim().parse().ok()
    }

    /// What `doctor` finds out about something.
    pub(crate) fn found(&self, check: &str) -> String {
        let (config, program) = (&self.synced.gateway.config, program("isigurtd"));
        let words: Vec<&OsStr> = self.clock.iter().map(AsRef::as_ref).collect();
        let tail = [
            program.as_os_str(),
            "--config".as_ref(),
            config.as_os_str(),
            "doctor".as_ref(),
        ];
        let words = [words, tail.into()].concat();
        let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(&format!(" {check}: ")))
            .collect();
        lines.join("\n")
    }
}

/// What gives a program another clock.
fn clock() -> std::path::PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|file| file.is_file())
        .expect("libfaketime is missing: run cargo xtask test, which installs it")
}
