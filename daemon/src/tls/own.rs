//! A certificate of the gateway's own, where none is configured: made at the first start, kept, renewed.
//!
//! Nobody vouches for it, so a browser asks its user once; it protects against listeners all the same. Certificate and key
//! stand in one file, which only its owner may read, so that a power cut never leaves two that do not belong together. It
//! is made anew only when it must be: each time browsers ask again.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use nix::ifaddrs::getifaddrs;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::sign::CertifiedKey;

use super::TlsError;
use super::files::{self, About};

/// For how long it is made, days: longer ones are refused by some systems.
const DAYS: i64 = 397;
/// It is renewed so long before it expires, seconds.
const RENEWED_BEFORE_S: i64 = 30 * 86_400;

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("tls/own.pem")
}

/// What it is to be for: names, and the addresses that are served. An unspecified address stands for those that the machine
/// has now; IPv6 ones are left out of that, because they change by the day.
pub(super) fn names(names: Vec<String>, listen: &[SocketAddr]) -> Vec<String> {
    let mut all: Vec<String> = names
        .into_iter()
        .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
        .filter(|name| {
            let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
            !name.is_empty() && name.len() < 254 && name.chars().all(legal)
        })
        .collect();
    all.push("localhost".to_owned());
    let addresses = listen.iter().map(SocketAddr::ip);
    all.extend(
        addresses
            .filter(|address| !address.is_unspecified())
            .map(|address| address.to_string()),
    );
    if listen.iter().any(|address| address.ip().is_unspecified()) {
        all.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
        all.extend(machine().map(|address| address.to_string()));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// IPv4 addresses of the machine.
fn machine() -> impl Iterator<Item = IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    interfaces
        .filter_map(|interface| Some(IpAddr::from(interface.address?.as_sockaddr_in()?.ip())))
        .filter(|address| !address.is_loopback())
}

/// Whether it is to be made anew.
pub(super) fn due(about: &About, now: i64) -> bool {
    !about.valid(now) || about.until - now < RENEWED_BEFORE_S
}

/// Reads the one that is kept; makes one where there is none, or where it is due, damaged, or not for all these names.
pub(super) fn open(state_dir: &Path, names: &[String], now: i64) -> Result<(CertifiedKey, About), TlsError> {
    let file = path(state_dir);
    if let Ok(kept) = std::fs::read(&file) {
        match files::pair(&kept, &kept) {
            Ok((key, about)) => {
                let covered = names.iter().all(|name| about.names.contains(name));
                if covered && !due(&about, now) {
                    return Ok((key, about));
                }
            }
            Err((_, what)) => {
                tracing::warn!(file = %file.display(), what, "the own certificate is damaged and made anew");
            }
        }
    }
    make(state_dir, names, now)
}

/// Makes one and keeps it.
pub(super) fn make(state_dir: &Path, names: &[String], now: i64) -> Result<(CertifiedKey, About), TlsError> {
    let file = path(state_dir);
    let failed = |what: String| TlsError::Own {
        file: file.clone(),
        what,
    };
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = params(names, now)
        .and_then(|params| params.self_signed(&key))
        .map_err(|error| failed(error.to_string()))?;
    let text = [certificate.pem(), key.serialize_pem()].concat();
    let pair = files::pair(text.as_bytes(), text.as_bytes()).map_err(|(_, what)| failed(what))?;
    write(&file, &text).map_err(|error| failed(error.to_string()))?;
    Ok(pair)
}

fn params(names: &[String], now: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "iSigurt Gateway");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (year, month, day) = date(now - 86_400); // clocks of devices differ
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now + DAYS * 86_400);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(params)
}

/// Year, month and day.
fn date(at: i64) -> (i32, u8, u8) {
    let date = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = TimeZone::UTC.to_datetime(date).date();
    let part = |number: i8| u8::try_from(number).unwrap_or(1);
    (date.year().into(), part(date.month()), part(date.day()))
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let next = file.with_extension("next");
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&next, file)?;
    std::fs::File::open(folder)?.sync_all()
}
