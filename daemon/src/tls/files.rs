//! Certificates and keys from files (PEM): read, held against each other, and what they say about themselves.

use std::path::Path;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;

use super::{COMPLAIN_S, TlsError, provider};

/// Largest file that is read: a chain of certificates is some kilobytes.
const LARGEST: u64 = 1 << 20;

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// Names and addresses that it is for.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) from: i64,
    /// Seconds since 1970.
    pub(super) until: i64,
    /// SHA-256 in hexadecimal, octets apart.
    pub(super) fingerprint: String,
}

impl About {
    pub(super) fn valid(&self, now: i64) -> bool {
        (self.from..=self.until).contains(&now)
    }

    /// What is to be said about when it is valid.
    pub(super) fn complaint(&self, now: i64) -> Option<String> {
        let day =
            |seconds| Timestamp::from_second(seconds).map_or_else(|_| String::new(), |at| at.to_string());
        if now < self.from {
            return Some(format!(
                "the certificate is valid from {} only: is the clock right?",
                day(self.from)
            ));
        }
        if now > self.until {
            return Some(format!(
                "the certificate expired on {}: browsers refuse it; renew it and send SIGHUP",
                day(self.until)
            ));
        }
        (self.until - now < COMPLAIN_S).then(|| {
            format!(
                "the certificate expires on {}; renew it and send SIGHUP",
                day(self.until)
            )
        })
    }

    /// Whether it is for this name; `*` in front stands for one label (RFC 6125, section 6.4.3).
    fn is_for(&self, hostname: &str) -> bool {
        let hostname = hostname.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => hostname.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => *name == hostname,
        })
    }
}

/// Reads a pair.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<(CertifiedKey, About), TlsError> {
    let chain = octets("certificate", certificate)?;
    let secret = octets("key", key)?;
    pair(&chain, &secret).map_err(|(of, what)| {
        let (key, file) = match of {
            Of::Certificate => ("certificate", certificate),
            Of::Key => ("key", key),
        };
        let what = what.replace("{certificate}", &certificate.display().to_string());
        TlsError::File {
            key,
            file: file.to_owned(),
            what,
        }
    })
}

/// Goes on only where the certificate is for the name that the gateway is to be called by.
pub(super) fn check_name(certificate: &Path, about: &About, hostname: &str) -> Result<(), TlsError> {
    if about.is_for(hostname) {
        return Ok(());
    }
    let names = match about.names.as_slice() {
        [] => "no name at all".to_owned(),
        names => names.join(", "),
    };
    Err(TlsError::File {
        key: "certificate",
        file: certificate.to_owned(),
        what: format!("it is for {names}, not for hostname \"{hostname}\"; correct one of them"),
    })
}

fn octets(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |what: String| TlsError::File {
        key,
        file: file.to_owned(),
        what,
    };
    let size = std::fs::metadata(file).map(|about| about.len());
    if size.as_ref().is_ok_and(|size| *size > LARGEST) {
        return Err(wrong(
            "it is larger than 1 MiB; a PEM file is expected".to_owned(),
        ));
    }
    size.and_then(|_| std::fs::read(file)).map_err(|error| {
        wrong(format!(
            "cannot be read: {error}; name a PEM file that this user may read"
        ))
    })
}

/// Which of the two is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Certificate,
    Key,
}

/// A certificate chain and the key of its first, both PEM.
pub(super) fn pair(chain: &[u8], key: &[u8]) -> Result<(CertifiedKey, About), (Of, String)> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| (Of::Certificate, format!("it is no PEM file: {error}")))?;
    let first = chain.first().ok_or_else(|| {
        let what = "no certificate is in it; a PEM file that begins with BEGIN CERTIFICATE is expected";
        (Of::Certificate, what.to_owned())
    })?;
    let about = about(first).map_err(|what| (Of::Certificate, what))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        let what = format!("no private key is in it ({error}); an unencrypted PEM key is expected");
        (Of::Key, what)
    })?;
    let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let what = "it does not belong to the certificate {certificate}; name the key that the certificate was made for";
            (Of::Key, what.to_owned())
        }
        other => (
            Of::Key,
            format!("it cannot be used: {other}; an RSA, ECDSA or Ed25519 key is expected"),
        ),
    })?;
    Ok((pair, about))
}

fn about(certificate: &CertificateDer<'_>) -> Result<About, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("the first certificate in it is damaged: {error}"))?;
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.map(|names| &names.value.general_names);
    let names = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(octets) => address(octets),
        _ => None,
    });
    let fingerprint: Vec<String> = Sha256::digest(certificate)
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    let names = names.collect();
    Ok(About {
        names,
        from: parsed.validity().not_before.timestamp(),
        until: parsed.validity().not_after.timestamp(),
        fingerprint: fingerprint.join(":"),
    })
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| std::net::IpAddr::from(octets).to_string());
    let v6 = <[u8; 16]>::try_from(octets).map(|octets| std::net::IpAddr::from(octets).to_string());
    v4.or(v6).ok()
}
