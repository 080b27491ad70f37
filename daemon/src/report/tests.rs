//! The desk and the way to the platform, over a real store and real HTTP on loopback; the clock is in the test's hand.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use isigurt_wire::release::{ReportKey, Service};
use isigurt_wire::report::{Envelope, Kind, Progress, Report, State};
use isigurt_wire::seal::{self, PrivateKey};

use super::deliver::Courier;
use super::*;

const NOW: i64 = 1_780_000_000;
const MARKER: &str = "zebra-with-seven-stripes";

fn draft() -> Draft {
    Draft {
        name: format!("https://{MARKER}.example/path").into(),
        kind: "grooming".to_owned(),
        note: Some(format!("note {MARKER}").into()),
        contact: Some(format!("{MARKER}@example.org").into()),
        language: Some("en".to_owned()),
        blocked_by: None,
    }
}

fn service(key: &PrivateKey) -> Arc<Service> {
    let public = key.public().unwrap();
    Arc::new(Service {
        format: 1,
        report_keys: vec![ReportKey {
            id: public.id(),
            suite: seal::SUITE.to_owned(),
            public: public.to_hex(),
        }],
        intake: None,
        confirm: None,
        confirm_keys: Vec::new(),
        software: None,
    })
}

/// A platform that follows a script: one answer a request, and every request as it came.
struct Platform {
    base: String,
    seen: Receiver<String>,
    script: Arc<Mutex<VecDeque<String>>>,
}

impl Platform {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let (tell, seen) = channel();
        let script: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let answers = script.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = String::new();
                let mut part = [0; 4096];
                loop {
                    let length = stream.read(&mut part).unwrap();
                    request += &String::from_utf8_lossy(&part[..length]);
                    let Some((head, body)) = request.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let announced = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() >= announced.map_or(0, |length| length.parse().unwrap()) || length == 0 {
                        break;
                    }
                }
                let answer = answers.lock().unwrap().pop_front();
                let answer = answer.map(|answer| match envelope(&request) {
                    Some(envelope) => answer.replace("RECEIPT", &envelope.id.receipt()),
                    None => answer.replace("RECEIPT", request.split([' ', '/']).nth(5).unwrap_or("")),
                });
                if tell.send(request).is_err() {
                    return; // the test has ended
                }
                let _ = stream.write_all(answer.unwrap_or_default().as_bytes());
            }
        });
        Self { base, seen, script }
    }

    fn then(&self, head: &str, body: &str) {
        let text = format!(
            "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A receipt is four octets longer twice than the word for it: the length is given by the end.
        let text = text.replace(&format!("content-length: {}\r\n", body.len()), "");
        self.script.lock().unwrap().push_back(text);
    }

    fn says(&self, head: &str, state: State) {
        let progress = Progress {
            receipt: "RECEIPT".to_owned(),
            state,
            since: NOW,
        };
        self.then(head, &serde_json::to_string(&progress).unwrap());
    }
}

fn envelope(request: &str) -> Option<Envelope> {
    serde_json::from_str(request.split_once("\r\n\r\n")?.1).ok()
}

struct Bench {
    key: PrivateKey,
    platform: Platform,
    desk: Arc<Desk>,
    tell: watch::Sender<Option<Arc<Service>>>,
    courier: Courier,
    runtime: tokio::runtime::Runtime,
}

fn bench() -> Bench {
    bench_over(Store::in_memory(Path::new(".")))
}

fn bench_over(store: Store) -> Bench {
    let (key, platform) = (PrivateKey::generate().unwrap(), Platform::start());
    let (tell, known) = watch::channel(Some(service(&key)));
    let desk = Desk::new(store, known, Some(platform.base.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let courier = Courier::new(desk.clone(), http(), Pace::default());
    Bench {
        key,
        platform,
        desk,
        tell,
        courier,
        runtime,
    }
}

fn http() -> crate::http::Client {
    let lookup: Arc<dyn crate::http::Lookup> = Arc::new(crate::http::SystemLookup);
    crate::http::Client::new(&crate::http::Settings::default(), &lookup).unwrap()
}

impl Bench {
    fn take(&self) -> String {
        let taken = self.desk.take(&draft(), &From::default(), NOW).unwrap();
        assert!(taken.danger);
        taken.receipt
    }

    fn round(&self, now_s: i64) -> i64 {
        self.runtime.block_on(self.courier.round(now_s)).unwrap()
    }

    fn state(&self, receipt: &str) -> (Where, Option<String>) {
        let shown = self.desk.one(receipt, NOW).unwrap().unwrap();
        (shown.state, shown.trouble)
    }

    fn kept(&self) -> String {
        format!("{:?}", self.desk.store.all(&kept::TABLE).unwrap())
    }
}

#[test]
fn a_report_is_what_was_shown_and_only_the_platform_reads_it() {
    let bench = bench();
    let preview = bench.desk.preview(&draft()).unwrap();
    assert_eq!(preview.to, format!("{}api/v1/reports", bench.platform.base));
    let receipt = bench.take();
    let kept = bench.kept();
    assert!(
        !kept.contains(MARKER) && !kept.contains("grooming"),
        "in clear: {kept}"
    );
    bench.platform.says("201 Created", State::Received);
    bench.round(NOW);
    let request = bench.platform.seen.recv().unwrap();
    assert!(
        !request.contains(MARKER) && request.contains("isigurt-gateway: "),
        "{request}"
    );
    let body = request.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), preview.octets);
    let envelope = envelope(&request).unwrap();
    let sealed = data_encoding::BASE64URL_NOPAD
        .decode(envelope.sealed.as_bytes())
        .unwrap();
    let plain = seal::open(&bench.key, seal::REPORT, &envelope.id.0, &sealed).unwrap();
    let report: Report = serde_json::from_slice(&plain).unwrap();
    assert_eq!(report, preview.report);
    assert_eq!(
        (report.kind, report.name),
        (Kind::Grooming, format!("{MARKER}.example").into())
    );
    assert_eq!(bench.state(&receipt).0, Where::Received);
    assert!(
        !bench.kept().contains(&envelope.sealed),
        "the sealed body is still here"
    );
}

#[test]
fn a_platform_that_is_down_for_days_gets_it_once_when_it_is_back() {
    let bench = bench();
    let (first, second) = (bench.take(), bench.take());
    let mut now = NOW;
    let mut tries = 0;
    while now < NOW + 3 * 86_400 {
        bench.platform.then("503 Service Unavailable", "");
        let next = bench.round(now);
        assert!(next > now, "no rest between tries");
        assert!(bench.platform.seen.try_recv().is_ok(), "a try");
        assert!(
            bench.platform.seen.try_recv().is_err(),
            "one report tries for all"
        );
        assert_eq!(bench.round(next - 1), next, "nothing before it is due");
        (now, tries) = (next, tries + 1);
    }
    assert!((15..40).contains(&tries), "{tries} tries in three days");
    let queue = bench.desk.queue().unwrap();
    assert_eq!(
        (queue.waiting, queue.age_s(now), queue.counted().as_deref()),
        (2, now - NOW, Some("2 reports wait for the national platform"))
    );
    assert_eq!(queue.next_try, jiff::Timestamp::from_second(now).ok());
    assert!(queue.last_error.unwrap().contains("503"));
    let (state, trouble) = bench.state(&first);
    assert!(state == Where::Waiting && trouble.unwrap().contains("503"));
    bench.platform.says("201 Created", State::Received);
    bench.platform.says("200 OK", State::Received); // it had that one already
    bench.round(now);
    for receipt in [&first, &second] {
        assert_eq!(bench.state(receipt).0, Where::Received);
    }
    assert_eq!(bench.desk.queue().unwrap(), Queue::default());
    let sent: Vec<_> = bench
        .platform
        .seen
        .try_iter()
        .filter_map(|request| envelope(&request))
        .collect();
    assert_eq!(sent.len(), 2);
}

#[test]
fn what_the_platform_asks_for_is_done_and_what_it_does_not_take_is_said() {
    let bench = bench();
    let receipt = bench.take();
    bench
        .platform
        .then("429 Too Many Requests\r\nretry-after: 7200", "");
    let next = bench.round(NOW);
    assert_eq!(next, NOW + 7_200);
    bench.platform.then("413 Content Too Large", "");
    bench.round(next);
    let (state, trouble) = bench.state(&receipt);
    assert!(state == Where::Refused && trouble.unwrap().contains("shorter note"));

    let receipt = bench.take();
    bench.platform.then("422 Unprocessable Content", "");
    bench.round(next);
    let (state, trouble) = bench.state(&receipt);
    assert!(state == Where::Refused && trouble.unwrap().contains("make the report anew"));

    // Whoever answers without being the platform does not take a report from us.
    let receipt = bench.take();
    bench.platform.then("200 OK", "<html>Welcome to our hotel</html>");
    let next = bench.round(next);
    assert_eq!(bench.state(&receipt).0, Where::Waiting);
    bench.platform.then(
        "201 Created",
        "{\"receipt\":\"AAAA-AAAA-AAAA-AAAA\",\"state\":\"received\",\"since\":1}",
    );
    let next = bench.round(next);
    assert_eq!(bench.state(&receipt).0, Where::Waiting);
    bench.platform.then("201 Created", &"x".repeat(100_000));
    bench.round(next);
    assert_eq!(bench.state(&receipt).0, Where::Waiting);
    bench.platform.then("503 Service Unavailable", "");
    bench.round(NOW + 31 * 86_400);
    let (state, trouble) = bench.state(&receipt);
    assert!(state == Where::Refused && trouble.unwrap().contains("30 days"));
}

#[test]
fn a_clock_that_was_wrong_holds_no_report_up_and_gives_none_up() {
    // In the future while it was tried, then set right.
    let bench = bench();
    let receipt = bench.take();
    bench.platform.then("503 Service Unavailable", "");
    bench.round(NOW + 20 * 86_400);
    bench.platform.says("201 Created", State::Received);
    bench.round(NOW + 60);
    assert_eq!(bench.state(&receipt).0, Where::Received);
    // In 1970 while it was made, as on a box that starts without a clock.
    let bench = self::bench();
    let taken = bench.desk.take(&draft(), &From::default(), 40).unwrap();
    for now in [40, NOW] {
        bench.platform.then("503 Service Unavailable", "");
        bench.round(now);
        assert_eq!(bench.state(&taken.receipt).0, Where::Waiting, "{now}");
    }
    bench.platform.says("201 Created", State::Received);
    bench.round(NOW + 3_600);
    assert_eq!(bench.state(&taken.receipt).0, Where::Received);
}

#[test]
fn how_it_stands_is_asked_until_it_is_done_with() {
    let bench = bench();
    let receipt = bench.take();
    bench.platform.says("201 Created", State::Received);
    let next = bench.round(NOW);
    assert!((NOW + 45..=NOW + 75).contains(&next), "{}", next - NOW);
    bench.platform.says("200 OK", State::UnderReview);
    let next = bench.round(next);
    assert_eq!(bench.state(&receipt).0, Where::UnderReview);
    bench.platform.then("503 Service Unavailable", "");
    let later = bench.round(next);
    assert!(later > next + 60);
    bench.platform.says("200 OK", State::NotIllegal);
    bench.round(later);
    assert_eq!(bench.state(&receipt).0, Where::NotIllegal);
    assert_eq!(bench.platform.seen.try_iter().count(), 4);
    assert_eq!(
        bench.round(later + 86_400),
        later + 86_400 + 3_600,
        "nothing more to ask"
    );
}

#[test]
fn without_a_key_that_was_verified_nothing_is_taken_and_help_is_named() {
    let bench = bench();
    let mut other = Service::clone(&service(&bench.key));
    other.report_keys[0].id = "0000000000000000".to_owned();
    for service in [None, Some(Arc::new(other))] {
        bench.tell.send_replace(service);
        let error = bench.desk.take(&draft(), &From::default(), NOW).unwrap_err();
        assert!(matches!(error, ReportError::NoKey) && error.to_string().contains("116 111"));
    }
    let (_tell, known) = watch::channel(Some(service(&bench.key)));
    let desk = Desk::new(Store::in_memory(Path::new(".")), known, None);
    let error = desk.preview(&draft()).unwrap_err();
    assert!(matches!(error, ReportError::NoPlatform) && error.to_string().contains("116 111"));
}

#[test]
fn what_a_device_reports_without_an_account_stands_in_no_list() {
    let bench = bench();
    let own = bench.take();
    let from = From {
        address: None,
        account: Some("Ana".to_owned()),
    };
    let hers = bench.desk.take(&draft(), &from, NOW).unwrap().receipt;
    let listed = |who| -> Vec<String> {
        let list = bench.desk.list(who, NOW).unwrap();
        list.into_iter().map(|shown| shown.receipt).collect()
    };
    assert_eq!(listed(None), std::slice::from_ref(&hers));
    assert_eq!(listed(Some("Ana")), [hers]);
    assert!(listed(Some("Ben")).is_empty());
    assert_eq!(bench.state(&own).0, Where::Waiting);
    assert!(bench.desk.one("AAAA-AAAA-AAAA-AAAA", NOW).unwrap().is_none());
}

/// Files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else {
            let octets = std::fs::read(&path).unwrap();
            let there = octets.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(there.then_some(path));
        }
    }
    found
}

#[test]
fn a_report_survives_on_the_disk_and_nothing_there_says_what_was_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (receipt, sealed) = {
        let bench = bench_over(Store::open(folder.path()).unwrap());
        let receipt = bench.take();
        bench.platform.then("503 Service Unavailable", "");
        bench.round(NOW);
        bench.desk.store.export().unwrap();
        let sealed = envelope(&bench.platform.seen.recv().unwrap()).unwrap().sealed;
        assert!(!holding(folder.path(), &receipt).is_empty(), "it is kept");
        (receipt, sealed)
    };
    for text in [MARKER, "grooming"] {
        let found = holding(folder.path(), text);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
    let bench = bench_over(Store::open(folder.path()).unwrap());
    assert_eq!(bench.state(&receipt).0, Where::Waiting);
    bench.platform.says("201 Created", State::Received);
    bench.round(NOW + 86_400);
    let again = envelope(&bench.platform.seen.recv().unwrap()).unwrap();
    assert_eq!(
        (again.sealed, again.id.receipt()),
        (sealed, receipt.clone()),
        "the same report"
    );
    assert_eq!(bench.state(&receipt).0, Where::Received);
    assert!(holding(folder.path(), MARKER).is_empty());
}
