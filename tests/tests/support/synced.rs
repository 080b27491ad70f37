//! A gateway that syncs with a mirror, asked by queries.
#![allow(dead_code)] // each test file uses its part

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use isigurt_tests::{Gateway, Mirror, Repository, Role, Scripted, ask_tcp, ask_udp, has_address, query};
use isigurt_wire::release::Tier;

/// A gateway, the mirror that it syncs with, and a name server that knows every name.
pub(crate) struct Synced {
    pub(crate) gateway: Gateway,
    pub(crate) mirror: Mirror,
    _upstream: Scripted,
}

/// A list in canonical form that blocks these names and all below them.
pub(crate) fn list(names: &[&str]) -> String {
    let mut lines: Vec<String> = names.iter().map(|name| format!("||{name}^\n")).collect();
    lines.sort();
    format!("# isigurt-list 1\n{}", lines.concat())
}

/// Publishes a mandatory list in clear that blocks these names.
pub(crate) fn ban(repository: &mut Repository, names: &[&str]) {
    repository.list(Role::Mandatory, "abuse", None, Tier::Clear, &list(names));
    repository.publish();
}

/// Waits up to a minute: the index is built by a process of its own, on a machine that does other things too.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a web server says to a GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let answer = ask_tcp(address, request.as_bytes(), Duration::from_secs(10));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Answers every query with one address; a name whose first label is `alias` is an alias of `listed.example`.
fn everything(packet: &[u8]) -> Vec<Vec<u8>> {
    let end = 12 + packet[12..].iter().position(|&octet| octet == 0).unwrap() + 5;
    let mut answer = packet[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    if packet[12..].to_ascii_lowercase().starts_with(b"\x05alias") {
        answer[7] = 2;
        answer.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x10\x06listed\x07example\x00");
        answer.extend(b"\x06listed\x07example\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x35");
        return vec![answer];
    }
    if packet[end - 3] == 1 {
        answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\xc0\x00\x02\x35");
    } else {
        answer[7] = 0;
    }
    vec![answer]
}

impl Synced {
    /// Syncs with a mirror of this repository every second, starting from its first root.
    pub(crate) fn with(repository: &Repository, rest: &str) -> Self {
        Self::from_root(repository, 1, rest)
    }

    /// The same from another root.
    pub(crate) fn from_root(repository: &Repository, root: u64, rest: &str) -> Self {
        let mirror = Mirror::of(repository.path());
        let platform = format!(
            "[platform]\nurl = \"{}\"\nroot = \"{{dir}}/root.json\"\npoll = \"1s\"\n{rest}",
            mirror.url()
        );
        Self::start(mirror, &platform, "", &[("root.json", &repository.root(root))])
    }

    /// Syncs with a platform at `url`, whose root is the file `root.json`; `http` goes into `[http]`.
    pub(crate) fn from_url(mirror: Mirror, url: &str, http: &str, files: &[(&str, &str)]) -> Self {
        let platform = format!("[platform]\nurl = \"{url}\"\nroot = \"{{dir}}/root.json\"\npoll = \"1s\"\n");
        Self::start(mirror, &platform, http, files)
    }

    /// Without a platform.
    pub(crate) fn plain(mirror: Mirror, rest: &str) -> Self {
        Self::over(mirror, rest, "")
    }

    /// The same with these keys in `[http]`.
    pub(crate) fn over(mirror: Mirror, rest: &str, http: &str) -> Self {
        Self::start(mirror, rest, http, &[])
    }

    /// With this in the configuration, these keys in `[http]`, and these files beside it.
    pub(crate) fn start(mirror: Mirror, rest: &str, http: &str, files: &[(&str, &str)]) -> Self {
        let upstream = Scripted::start(everything);
        let patience = if http.contains("patience") {
            ""
        } else {
            "patience = \"2s\"\n"
        };
        let rest = format!("{rest}\n[http]\n{patience}{http}\n");
        let gateway = Gateway::start(upstream.address, "", &rest, files);
        Self {
            gateway,
            mirror,
            _upstream: upstream,
        }
    }

    fn answer(&self, name: &str) -> Vec<u8> {
        let patience = Duration::from_secs(5);
        ask_udp(self.gateway.address, &query(name, 1), patience).expect("an answer")
    }

    /// Whether the name is blocked now.
    pub(crate) fn blocks_now(&self, name: &str) -> bool {
        has_address(&self.answer(name), [0; 4])
    }

    /// Whether the name opens now.
    pub(crate) fn opens_now(&self, name: &str) -> bool {
        has_address(&self.answer(name), [192, 0, 2, 53])
    }

    /// Waits until the name is blocked.
    pub(crate) fn blocks(&self, name: &str) {
        let started = Instant::now();
        while !self.blocks_now(name) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{name} is not blocked: {}\n{}",
                self.gateway.says(&["lists", "status"], true),
                self.gateway.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the name opens.
    pub(crate) fn opens(&self, name: &str) {
        eventually(&format!("{name} to open"), || self.opens_now(name));
    }

    /// Waits until the lists' status says this.
    pub(crate) fn says(&self, text: &str) {
        let started = Instant::now();
        loop {
            let shown = self.gateway.says(&["lists", "status"], true);
            if shown.contains(text) {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "status does not say {text:?}: {shown}\n{}",
                self.gateway.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
