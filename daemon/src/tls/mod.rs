//! The gateway's certificate: the configured one, else one of its own; the same for all that is encrypted.
//!
//! ```text
//!   [dns.tls] certificate, key ──▶ files ─┐
//!                                         ├─▶ Certificates ──▶ each handshake
//!   state_dir/tls/own.pem  ◀──────▶ own ──┘      ▲
//!                                         reload, renew: swapped whole
//! ```
//!
//! A certificate that does not go with its key, or is for another name, never comes into force. One that has expired does:
//! a browser that warns is better than no page, and filtering does not hang on it. Only a configured certificate counts as
//! trusted: browsers know its issuer, or the school's devices do.

mod files;
mod own;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Config, Tls};
use files::About;

/// A configured certificate is complained of so long before it expires, seconds.
const COMPLAIN_S: i64 = 14 * 86_400;
/// How often it is looked whether the own certificate is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why a certificate cannot be used: the key of the configuration, the file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the configuration.
    #[error("[dns.tls] {key} {}: {what}", file.display())]
    File {
        /// `certificate` or `key`.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The own certificate.
    #[error("{}: {what}; make the state folder writable, or set [dns.tls] certificate and key", file.display())]
    Own {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The library for encryption.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// A certificate, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Whether it is the configured one. Browsers trust no other, and passkeys need one that they trust.
    pub configured: bool,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when it is valid, seconds since 1970.
    pub valid_from: i64,
    /// Until when it is valid, seconds since 1970.
    pub valid_until: i64,
    /// SHA-256 of it, as browsers show it.
    pub fingerprint: String,
}

/// A certificate with its key.
#[derive(Debug)]
struct Held {
    key: Arc<CertifiedKey>,
    about: About,
    configured: bool,
    /// Names that were asked for.
    hostname: Option<String>,
}

/// A certificate that has been read and may come into force.
#[derive(Debug)]
pub struct Ready(Held);

/// The certificate in force.
#[derive(Debug)]
pub struct Certificates {
    held: ArcSwap<Held>,
    state_dir: PathBuf,
    /// Names and addresses of a certificate of its own.
    names: ArcSwap<Vec<String>>,
}

impl Certificates {
    /// Reads the configured certificate, or the own one, which is made where there is none; `names`: what the gateway is
    /// called by, `now`: seconds since 1970.
    pub fn open(config: &Config, names: Vec<String>, now: i64) -> Result<Self, TlsError> {
        let names = own::names(names, &config.web.https);
        let Ready(held) = read(config, &names, now)?;
        Ok(Self {
            held: ArcSwap::from_pointee(held),
            state_dir: config.state_dir.clone(),
            names: ArcSwap::from_pointee(names),
        })
    }

    /// Reads what the configuration names now, without changing anything but the own certificate's file.
    pub fn ready(config: &Config, names: Vec<String>, now: i64) -> Result<Ready, TlsError> {
        read(config, &own::names(names, &config.web.https), now)
    }

    /// Puts a certificate in force: the next handshake is made with it.
    pub fn put(&self, Ready(held): Ready) {
        self.held.store(Arc::new(held));
    }

    /// Whether browsers may be asked to insist on it: a configured one that has not expired.
    pub fn trusted(&self, now: i64) -> bool {
        let held = self.held.load();
        held.configured && held.about.valid(now)
    }

    /// The name that it is for, where one is configured.
    pub fn hostname(&self) -> Option<String> {
        self.held.load().hostname.clone()
    }

    /// The certificate as it is shown.
    pub fn view(&self) -> CertificateView {
        let held = self.held.load();
        CertificateView {
            configured: held.configured,
            names: held.about.names.clone(),
            valid_from: held.about.from,
            valid_until: held.about.until,
            fingerprint: held.about.fingerprint.clone(),
        }
    }

    /// What is wrong with it, for a person.
    pub fn problem(&self, now: i64) -> Option<String> {
        let held = self.held.load();
        (held.configured).then(|| held.about.complaint(now)).flatten()
    }

    /// Makes the own certificate anew where it is due; gives whether it was.
    pub fn renew(&self, now: i64) -> Result<bool, TlsError> {
        let held = self.held.load();
        if held.configured || !own::due(&held.about, now) {
            return Ok(false);
        }
        let fresh = own::make(&self.state_dir, &self.names.load(), now)?;
        self.held.store(Arc::new(own_held(fresh, held.hostname.clone())));
        Ok(true)
    }

    /// Renews the own certificate before it expires, and at once where the clock turns out to have been wrong when it was made.
    pub async fn keep(self: Arc<Self>, now: fn() -> i64) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let certificates = self.clone();
            match tokio::task::spawn_blocking(move || certificates.renew(now())).await {
                Ok(Ok(true)) => {
                    tracing::warn!(
                        fingerprint = self.view().fingerprint,
                        "the gateway's own certificate was renewed: browsers ask again whether to trust it"
                    );
                }
                Ok(Err(error)) => tracing::error!(%error, "the own certificate was not renewed"),
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }

    /// What an encrypted server needs; `protocols` as ALPN names them, the favourite first.
    pub fn server(self: &Arc<Self>, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(server))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.held.load().key.clone())
    }
}

impl fmt::Display for CertificateView {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.names.join(", "), self.fingerprint)
    }
}

/// What is wrong with the configured certificate: an error, or something to be said. Touches nothing.
pub fn check(config: &Config, now: i64) -> Result<Option<String>, TlsError> {
    let Some((tls, certificate, key)) = configured(config) else {
        return Ok(None);
    };
    let (_, about) = files::read(certificate, key)?;
    files::check_name(certificate, &about, &tls.hostname)?;
    Ok(about.complaint(now))
}

fn configured(config: &Config) -> Option<(&Tls, &Path, &Path)> {
    let tls = config.dns.tls.as_ref()?;
    Some((tls, tls.certificate.as_deref()?, tls.key.as_deref()?))
}

fn read(config: &Config, names: &[String], now: i64) -> Result<Ready, TlsError> {
    let hostname = config.dns.tls.as_ref().map(|tls| tls.hostname.clone());
    let Some((tls, certificate, key)) = configured(config) else {
        let pair = own::open(&config.state_dir, names, now)?;
        return Ok(Ready(own_held(pair, hostname)));
    };
    let (key, about) = files::read(certificate, key)?;
    files::check_name(certificate, &about, &tls.hostname)?;
    if let Some(complaint) = about.complaint(now) {
        tracing::warn!("{complaint}");
    }
    Ok(Ready(Held {
        key: Arc::new(key),
        about,
        configured: true,
        hostname,
    }))
}

fn own_held((key, about): (CertifiedKey, About), hostname: Option<String>) -> Held {
    Held {
        key: Arc::new(key),
        about,
        configured: false,
        hostname,
    }
}

/// The one library that all of the gateway encrypts with.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
