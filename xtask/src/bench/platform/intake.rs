//! How many reports a second the platform takes, with PostgreSQL beside it on the same machine, and how long each waits.
//!
//! The load is open: a report is due at its time whether or not those before were answered, and its time counts from then.
//! Each comes over a connection of its own with a full TLS handshake, as from a gateway that reports once in a while.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use isigurt_wire::report::{BLOCK, Envelope, FORMAT, Id, Kind, Report};
use isigurt_wire::seal::{PrivateKey, PublicKey, REPORT, seal};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::postgres::Postgres;
use super::{Table, program};

/// Reports a second, and for how long.
const RATE: u32 = 600;
const SECONDS: u32 = 30;
/// Reports that may be on their way at a time.
const WORKERS: usize = 128;
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn measure(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    println!("==> intake: {RATE} reports a second for {SECONDS} s");
    let postgres = Postgres::start(&[]);
    let folder = folder.join("intake");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let report = PrivateKey::generate()?;
    let mut serve = Serve::start(&folder, &postgres, &report)?;
    let octets = |postgres: &Postgres| -> anyhow::Result<f64> {
        Ok(postgres.query("SELECT pg_database_size('isigurt')").parse()?)
    };
    let before = octets(&postgres)?;
    let total = usize::try_from(RATE * SECONDS)?;
    let requests = requests(&report.public()?, total, serve.address)?;
    let begun = Instant::now();
    let answers = load(&serve, &requests)?;
    let seconds = begun.elapsed().as_secs_f64();
    let kept: usize = postgres.query("SELECT count(*) FROM report").parse()?;
    let accepted = answers.iter().filter(|answer| answer.status == 201).count();
    if accepted > kept {
        bail!("{accepted} reports were acknowledged, {kept} are kept");
    }
    #[allow(clippy::cast_precision_loss)] // counts
    let (rate, each) = (
        accepted as f64 / seconds,
        (octets(&postgres)? - before) / kept as f64,
    );
    table.holds(
        "reports taken a second, each over a TLS connection of its own",
        "≥ 500 a second",
        format!("{rate:.0} a second, {accepted} of {total}"),
        rate >= 500.0 && accepted == total,
    );
    let mut times: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    times.sort_unstable();
    let percentile = |share: usize| {
        let place = (times.len() * share / 1_000).min(times.len().saturating_sub(1));
        times
            .get(place)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
    };
    table.note("report to receipt, median", format!("{:.1} ms", percentile(500)));
    table.at_most("report to receipt, 99th percentile", 100.0, percentile(990), "ms");
    table.note(
        "report to receipt, 99.9th percentile",
        format!("{:.1} ms", percentile(999)),
    );
    table.note(
        "octets of a report in the database, indexes with it",
        format!("{each:.0} B"),
    );
    let processor = |pid| processor_seconds(pid).map(|used| used / f64::from(RATE * SECONDS) * 1_000.0);
    if let Some(used) = processor(serve.child.id()) {
        table.note("processor time of the server a report", format!("{used:.2} ms"));
    }
    serve.end();
    Ok(())
}

/// A server with a certificate of its own.
struct Serve {
    child: Child,
    address: SocketAddr,
    client: Arc<ClientConfig>,
}

impl Serve {
    fn start(folder: &Path, postgres: &Postgres, report: &PrivateKey) -> anyhow::Result<Self> {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(folder.join("cert.pem"), certificate.cert.pem())?;
        std::fs::write(folder.join("key.pem"), certificate.signing_key.serialize_pem())?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let own = folder.display();
        let config = folder.join("platform.toml");
        std::fs::write(
            &config,
            format!(
                "database = \"{}\"\nlisten = [\"{address}\"]\ncertificate = \"{own}/cert.pem\"\nkey = \"{own}/key.pem\"\n\
                 [intake]\nper_network = 1000000000\n",
                postgres.url()
            ),
        )?;
        let digits = data_encoding::HEXLOWER.encode(report.octets());
        let key = folder.join("report.key");
        std::fs::write(&key, digits)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        let analyst = folder.join("analyst.key");
        for words in [
            &["analyst", "new", "ana"][..],
            &["begin", "--report-key", &key.display().to_string()],
        ] {
            let done = Command::new(program())
                .arg("triage")
                .args(words)
                .arg("--config")
                .arg(&config)
                .arg("--key")
                .arg(&analyst)
                .stdout(Stdio::null())
                .status()?;
            if !done.success() {
                bail!("triage {words:?} failed");
            }
        }
        let child = Command::new(program())
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .spawn()?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = rustls::client::Resumption::disabled();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("the platform does not start");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            child,
            address,
            client: Arc::new(client),
        })
    }

    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return; // it has ended
        }
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sealed reports as requests, made before the clock runs.
fn requests(key: &PublicKey, count: usize, to: SocketAddr) -> anyhow::Result<Vec<String>> {
    let one = |number: usize| -> anyhow::Result<String> {
        let report = Report {
            format: FORMAT,
            kind: Kind::Gambling,
            name: format!("name-{number}.test").into(),
            note: Some("a note of an ordinary length, as people write it on a small screen".into()),
            contact: None,
            language: "sq".to_owned(),
            blocked_by: None,
        };
        let id = Id::random()?;
        let sealed = seal(key, REPORT, &id.0, &serde_json::to_vec(&report)?, BLOCK)?;
        let body = serde_json::to_string(&Envelope {
            format: FORMAT,
            id,
            key: key.id(),
            sealed: data_encoding::BASE64URL_NOPAD.encode(&sealed),
        })?;
        Ok(format!(
            "POST /api/v1/reports HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    (0..count).map(one).collect()
}

/// What became of a report.
struct Answer {
    status: u16,
    took: Duration,
}

fn load(serve: &Serve, requests: &[String]) -> anyhow::Result<Vec<Answer>> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(requests.len()));
    let failed = Mutex::new(None);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(place) else {
                        return;
                    };
                    let due =
                        begun + Duration::from_secs(1) * u32::try_from(place).unwrap_or(u32::MAX) / RATE;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    match send(serve, request) {
                        Ok(status) => {
                            let took = due.elapsed();
                            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                            answers.push(Answer { status, took });
                        }
                        Err(error) => {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error.context("a report could not be sent"));
    }
    Ok(answers.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn send(serve: &Serve, request: &str) -> anyhow::Result<u16> {
    let connection = ClientConnection::new(serve.client.clone(), ServerName::try_from("localhost")?)?;
    let stream = TcpStream::connect(serve.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut head = [0; 12]; // HTTP/1.1 201
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head)?
        .rsplit(' ')
        .next()
        .context("a status")?
        .parse()?;
    Ok(status)
}

/// User and system time of a process (proc(5), fields 14 and 15, in hundredths of a second).
fn processor_seconds(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(") ").next()?.split(' ').collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
