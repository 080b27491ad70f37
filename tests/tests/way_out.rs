//! The way out, over real connections: a proxy, an authority of one's own, a bound on the bandwidth, downloads that break off.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/synced.rs"]
mod synced;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use isigurt_tests::mirror::header;
use isigurt_tests::{Mirror, Reply, Repository, free_address, system, terminate, wait_for};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use synced::{Synced, ban, eventually};
use tempfile::TempDir;

/// A program that serves on loopback and ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// Starts `program` with a configuration made for its folder and address.
    fn start(
        program: &str,
        words: &[&str],
        address: SocketAddr,
        configuration: impl Fn(&Path) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("conf");
        std::fs::write(&file, configuration(folder.path())).unwrap();
        let child = Command::new(system(program))
            .args(words)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(program, || TcpStream::connect(address).is_ok());
        Self {
            child,
            address,
            folder,
        }
    }

    /// tinyproxy: forwards requests in clear, and opens tunnels for encrypted ones.
    fn proxy(address: SocketAddr) -> Self {
        Self::start("tinyproxy", &["-d", "-c"], address, |own| {
            format!(
                "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 30\nMaxClients 50\nLogLevel Connect\n\
                 LogFile \"{}/log\"\n",
                address.port(),
                own.display()
            )
        })
    }

    /// nginx over HTTPS with this certificate and key.
    fn https(address: SocketAddr, serves: &Path, (certificate, key): (String, String)) -> Self {
        Self::start("nginx", &["-c"], address, |own| {
            std::fs::write(own.join("cert.pem"), &certificate).unwrap();
            std::fs::write(own.join("key.pem"), &key).unwrap();
            let mut temporary = String::new();
            for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                let _ = writeln!(temporary, "{kind}_temp_path {}/{kind};", own.display());
            }
            format!(
                "daemon off;\nmaster_process off;\npid {own}/pid;\nerror_log {own}/error.log;\nevents {{}}\n\
                 http {{\n{temporary}access_log {own}/access.log;\nserver {{\nlisten {address} ssl;\n\
                 ssl_certificate {own}/cert.pem;\nssl_certificate_key {own}/key.pem;\nroot {};\n}}\n}}\n",
                serves.display(),
                own = own.display()
            )
        })
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// A school's own authority.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// A certificate for `name` that runs out with this year: certificate and key, PEM.
    fn issues(&self, name: &str, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn good(&self) -> (String, String) {
        self.issues("127.0.0.1", 2090)
    }
}

/// `[http]` keys that trust the authority, whose file stands in the gateway's folder.
const TRUSTED: &str = "authorities = \"{dir}/school.pem\"";

/// A gateway that syncs with `url`, with these keys in `[http]`.
fn from(repository: &Repository, url: &str, authority: &Authority, http: &str) -> Synced {
    let files = [
        ("root.json", &*repository.root(1)),
        ("school.pem", &*authority.pem),
    ];
    Synced::from_url(Mirror::of(repository.path()), url, http, &files)
}

#[test]
fn a_server_behind_an_authority_of_ones_own_is_trusted_where_that_is_named_and_never_with_a_wrong_certificate()
 {
    let mut repository = Repository::new();
    ban(&mut repository, &["banned.example"]);
    let (authority, address) = (Authority::new(), free_address());
    let url = format!("https://{address}/");
    let mut server = Server::https(address, repository.path(), authority.good());
    let stranger = from(&repository, &url, &authority, "");
    stranger.says("is not trusted");
    stranger.says("[http] authorities for a certificate of your own");
    assert!(stranger.opens_now("banned.example") && stranger.blocks_now("bet365.com"));
    assert!(
        !server.file("access.log").contains("GET"),
        "nothing was asked of it"
    );

    let synced = from(&repository, &url, &authority, TRUSTED);
    synced.blocks("banned.example");
    ban(&mut repository, &["banned.example", "second.example"]);
    synced.blocks("second.example");
    for (certificate, reason) in [
        (authority.issues("127.0.0.1", 2025), "expired"),
        (authority.issues("lists.other.example", 2090), "not valid for"),
        (Authority::new().good(), "is not trusted"),
    ] {
        drop(server);
        server = Server::https(address, repository.path(), certificate);
        synced.says(reason);
        synced.says("is not trusted");
        assert!(synced.blocks_now("banned.example") && synced.blocks_now("second.example"));
    }
    ban(
        &mut repository,
        &["banned.example", "second.example", "third.example"],
    );
    drop(server);
    let _server = Server::https(address, repository.path(), authority.good());
    synced.blocks("third.example");
}

#[test]
fn lists_come_through_a_proxys_tunnel_and_while_it_is_down_the_last_good_ones_hold() {
    let mut repository = Repository::new();
    ban(&mut repository, &["banned.example"]);
    let (authority, address) = (Authority::new(), free_address());
    let server = Server::https(address, repository.path(), authority.good());
    let proxy = Server::proxy(free_address());
    let http = format!("{TRUSTED}\nproxy = \"http://{}\"", proxy.address);
    let synced = from(&repository, &format!("https://{address}/"), &authority, &http);
    synced.blocks("banned.example");
    let log = proxy.file("log");
    assert!(log.contains(&format!("CONNECT {address}")), "{log}");
    let access = server.file("access.log");
    assert!(access.contains("GET /metadata/timestamp.json"), "{access}");

    let at = proxy.address;
    drop(proxy);
    // nginx tells two releases apart by second and length. The publisher's differ in that; these here may not.
    std::thread::sleep(Duration::from_millis(1100));
    ban(&mut repository, &["banned.example", "second.example"]);
    synced.says("cannot be reached");
    synced.says("check network, name and proxy");
    synced.says("the lists that were verified last are in force");
    assert!(synced.blocks_now("banned.example"));
    assert!(
        synced.opens_now("second.example"),
        "there is no way round a proxy"
    );
    let _proxy = Server::proxy(at);
    synced.blocks("second.example");
}

#[test]
fn a_list_in_clear_comes_through_a_forwarding_proxy_where_clear_text_may_leave() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("list.txt"), "ads.example\n").unwrap();
    let mirror = Mirror::of(folder.path());
    let proxy = Server::proxy(free_address());
    let url = format!("{}list.txt", mirror.url());
    let lists = |every: &str| {
        format!("[[lists]]\nid = \"own\"\nurl = \"{url}\"\nformat = \"domains\"\nevery = \"{every}\"\n")
    };
    let http = format!("plain = true\nproxy = \"http://{}\"", proxy.address);
    let synced = Synced::over(mirror, &lists("1s"), &http);
    synced.blocks("ads.example");
    let log = proxy.file("log");
    assert!(log.contains(&format!("GET {url}")), "{log}");
    let at = proxy.address;
    drop(proxy);
    std::fs::write(folder.path().join("list.txt"), "ads.example\nnew.example\n").unwrap();
    synced.says("cannot be reached");
    assert!(synced.blocks_now("ads.example") && synced.opens_now("new.example"));
    let _proxy = Server::proxy(at);
    synced.blocks("new.example");
}

/// A list of about `kib` KiB whose last name is `last`.
fn large(kib: usize, last: &str) -> String {
    let mut text = String::new();
    let mut number = 0;
    while text.len() < kib << 10 {
        let _ = writeln!(text, "name{number}.{}.example", "x".repeat(40));
        number += 1;
    }
    text + last + "\n"
}

fn by_url(mirror: &Mirror) -> String {
    format!(
        "[[lists]]\nid = \"own\"\nurl = \"{}list.txt\"\nformat = \"domains\"\nevery = \"1s\"\n",
        mirror.url()
    )
}

#[test]
fn a_download_takes_no_more_bandwidth_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let text = large(320, "last.example");
    let octets = text.len();
    std::fs::write(folder.path().join("list.txt"), text).unwrap();
    let mirror = Mirror::of(folder.path());
    let lists = by_url(&mirror);
    let began = Instant::now();
    let synced = Synced::over(mirror, &lists, "bandwidth_kib = 64");
    eventually("the list", || synced.blocks_now("last.example"));
    let took = began.elapsed();
    println!("{octets} octets at 64 KiB a second took {took:?}");
    // 5.0 seconds, of which the first half is granted at once.
    let least = Duration::from_millis(octets as u64 * 1000 / (64 << 10) - 500);
    assert!(took >= least, "{took:?}");
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let text = large(3 << 10, "last.example");
    let whole = text.len() as u64;
    std::fs::write(folder.path().join("list.txt"), text).unwrap();
    let mirror = Mirror::of(folder.path());
    let asked = AtomicUsize::new(0);
    mirror.lie(move |_| {
        let breaks = asked.fetch_add(1, Ordering::Relaxed) < 2;
        breaks.then_some(Reply::Broken(1_200_000))
    });
    let lists = by_url(&mirror);
    let synced = Synced::over(mirror, &lists, "");
    synced.blocks("last.example");
    let heads = synced.mirror.heads();
    let ranges: Vec<Option<&str>> = heads.iter().take(3).map(|head| header(head, "range")).collect();
    assert_eq!(ranges[0], None);
    for (before, after) in [(0, 1), (1, 2)] {
        let start = |at: usize| {
            let range = ranges[at].unwrap_or("bytes=0-");
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse::<u64>()
                .unwrap()
        };
        assert!(start(after) > start(before), "{ranges:?}");
        assert!(header(&heads[after], "if-range").is_some(), "{}", heads[after]);
    }
    let octets = synced.mirror.octets();
    println!("a list of {whole} octets that broke off twice: {octets} octets on the wire");
    assert!(octets < 2 * whole, "{octets} octets for {whole}");
}

#[test]
fn a_download_that_breaks_off_begins_anew_where_the_list_has_changed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.txt");
    std::fs::write(&file, large(2 << 10, "old.example")).unwrap();
    let mirror = Mirror::of(folder.path());
    let asked = AtomicUsize::new(0);
    mirror.lie(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Some(Reply::Broken(1_200_000)),
        1 => {
            std::fs::write(&file, large(1 << 10, "new.example")).unwrap();
            None
        }
        _ => None,
    });
    let lists = by_url(&mirror);
    let synced = Synced::over(mirror, &lists, "");
    synced.blocks("new.example");
    assert!(synced.opens_now("old.example"), "no mixture of two versions");
    let heads = synced.mirror.heads();
    assert!(header(&heads[1], "range").is_some(), "{}", heads[1]);
}
