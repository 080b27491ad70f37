//! What can go wrong on the way out, for a person: where, what, and what to do. Queries and passwords of addresses are left
//! out, because such lines end up in logs and on screens.

use std::error::Error;
use std::path::PathBuf;

use super::Url;

/// Why something was not fetched or sent.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No address that can be asked.
    #[error("the address is not usable: {0}")]
    Url(String),
    /// Clear text out of the house.
    #[error("{0} is neither encrypted nor in a private network; use https://, or set [http] plain = true")]
    Plain(String),
    /// A stranger's address that leads into the network.
    #[error(
        "{0} is in this network, or not encrypted; only https:// servers of the Internet are spoken to here"
    )]
    Inside(String),
    /// A redirect to clear text.
    #[error("{0} leads from https to http, which is not followed; name the https address")]
    Downgrade(String),
    /// A redirect to nowhere.
    #[error("{0} leads on, but says nowhere to; check the address")]
    Redirect(String),
    /// Redirects without end.
    #[error("{0} leads on more than five times; name the final address")]
    Redirects(String),
    /// Nobody there.
    #[error("{0} cannot be reached: {1}; check network, name and proxy")]
    Unreachable(String, String),
    /// Not who it should be.
    #[error("{0} is not trusted: {1}; check the clock, and [http] authorities for a certificate of your own")]
    Untrusted(String, String),
    /// There is nothing to trust anybody by.
    #[error("no certificate can be checked: {0}; install ca-certificates, or set [http] authorities")]
    NoRoots(String),
    /// Too slow.
    #[error("{0} is too slow or stopped sending; it is tried again later")]
    Slow(String),
    /// Too much.
    #[error("{0} sends more than {1} octets; check the address")]
    Large(String, u64),
    /// The server says no.
    #[error("{0} answers with status {1}; check the address")]
    Status(String, u16),
    /// It ended early.
    #[error("{0} broke off: {1}; it is tried again later")]
    Broken(String, String),
    /// What came cannot be written.
    #[error("{0}: {1}; make room on the disk, and the folder writable")]
    File(PathBuf, std::io::Error),
    /// Certificates of the configuration.
    #[error("[http] authorities {0}: {1}; name a file with certificates in PEM")]
    Authorities(PathBuf, String),
    /// The proxy of the configuration.
    #[error("[http] proxy is not an address; expected such as \"http://192.168.1.2:3128\" or \"socks5://…\"")]
    Proxy,
    /// The client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

impl HttpError {
    /// The status of an answer that says no.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(_, status) => Some(*status),
            _ => None,
        }
    }

    pub(super) fn of(url: &Url, error: reqwest::Error) -> Self {
        let (at, error) = (shown(url), error.without_url());
        let text = chain(&error);
        if let Some(plain) = text.find(super::names::PUBLIC).map(|_| Self::Plain(at.clone())) {
            return plain;
        }
        if text.contains(super::names::INSIDE) {
            return Self::Inside(at);
        }
        if error.is_timeout() {
            Self::Slow(at)
        } else if text.contains("certificate") {
            Self::Untrusted(at, text)
        } else if error.is_connect() || error.is_request() {
            Self::Unreachable(at, text)
        } else {
            Self::Broken(at, text)
        }
    }
}

/// An address without what may be secret in it.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// An error with those that it comes from.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
