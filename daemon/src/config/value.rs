//! Values of the configuration that have a form of their own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::rdata;
use serde::Deserialize;

use crate::http::{self, Url};

/// A span of time: a number with a unit, such as `30s`, `15m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl Span {
    /// So many days.
    pub const fn days(days: u64) -> Self {
        Self(Duration::from_secs(days * 86_400))
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not a span of time; expected a number with s, m, h or d, such as \"24h\"")
        };
        let text = text.trim();
        let unit = text.chars().last().ok_or_else(wrong)?;
        let number: u64 = text
            .strip_suffix(unit)
            .and_then(|number| number.parse().ok())
            .ok_or_else(wrong)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(seconds)
            .filter(|&seconds| seconds <= 3_650 * 86_400)
            .map(Duration::from_secs)
            .map(Self)
            .ok_or_else(wrong)
    }
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ClientNet {
    /// RFC 1918, unique local, link-local and loopback addresses.
    Private,
    /// One network.
    Net(IpNet),
}

/// What `private` stands for: RFC 1918, RFC 4193, RFC 3927 and RFC 4291 link-local, loopback.
const PRIVATE: &[&str] = &[
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

impl ClientNet {
    /// The networks meant.
    pub fn nets(&self) -> Vec<IpNet> {
        match self {
            Self::Private => PRIVATE.iter().filter_map(|net| net.parse().ok()).collect(),
            Self::Net(net) => vec![*net],
        }
    }
}

impl TryFrom<String> for ClientNet {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "private" {
            return Ok(Self::Private);
        }
        let net = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        net.map(Self::Net).ok_or_else(|| {
            format!("{text:?} is not a network; expected \"private\" or a prefix such as \"192.168.1.0/24\"")
        })
    }
}

/// How an upstream server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// UDP, and TCP where an answer is truncated.
    Udp,
    /// TCP only.
    Tcp,
}

/// An upstream server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its address.
    pub address: SocketAddr,
}

impl TryFrom<String> for Server {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("udp", &text));
        let scheme = match scheme {
            "udp" => Scheme::Udp,
            "tcp" => Scheme::Tcp,
            // A later version speaks these; until then a gateway must not fall back to clear text by itself.
            "tls" | "https" | "quic" | "h3" => {
                return Err(format!(
                    "{scheme}:// servers need encrypted transports, which this version does not have; use udp:// or tcp://"
                ));
            }
            other => return Err(format!("unknown scheme {other:?}; expected udp:// or tcp://")),
        };
        let address = rest
            .parse::<SocketAddr>()
            .or_else(|_| {
                rest.trim_matches(['[', ']'])
                    .parse::<IpAddr>()
                    .map(|ip| SocketAddr::new(ip, 53))
            })
            .map_err(|_| format!("{rest:?} is not an IP address with or without a port"))?;
        if address.port() == 0 {
            return Err(format!("{rest:?}: port 0 cannot be asked"));
        }
        Ok(Self { scheme, address })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Udp => "udp",
            Scheme::Tcp => "tcp",
        };
        write!(out, "{scheme}://{}", self.address)
    }
}

/// Where a list is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Source {
    /// In a file, which its owner changes.
    File(PathBuf),
    /// On a server.
    Url(Url),
}

impl Source {
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Self::File(path) = self
            && path.is_relative()
        {
            *path = folder.join(&path);
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Url(url) => out.write_str(&http::shown(url)),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let path = match text.split_once("://") {
            Some(("file", path)) => path,
            Some(("http" | "https", _)) => {
                let url = Url::parse(&text).map_err(|error| format!("{text:?}: {error}"))?;
                return Ok(Self::Url(url));
            }
            Some((scheme, _)) => {
                return Err(format!(
                    "unknown scheme {scheme:?}; expected https://… or file:///path"
                ));
            }
            None => &text,
        };
        if path.is_empty() {
            Err("the path of the list is empty".to_owned())
        } else {
            Ok(Self::File(PathBuf::from(path)))
        }
    }
}

/// Identifier of a list: letters, digits, `-`, `_` and `.`, at most 64; also the name of its copy in the state folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ListId(String);

impl ListId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ListId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let legal =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(legal) {
            return Err(format!(
                "{text:?} is not a list id; expected up to 64 letters, digits, '-', '_' or '.'"
            ));
        }
        Ok(Self(text))
    }
}

/// A record in master file form: `name [ttl] [IN] type data`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LocalRecord {
    /// Owner.
    pub name: Name,
    /// The record.
    pub record: isigurt_blocklists::rule::LocalRecord,
}

impl TryFrom<String> for LocalRecord {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text:?}: {what}; expected \"name. 300 IN A 192.168.1.20\"");
        let mut rest = text.trim();
        let mut word = || {
            let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            rest = tail.trim_start();
            word
        };
        let name = Name::parse(word()).map_err(|error| wrong(&error.to_string()))?;
        let mut kind = word();
        let ttl = kind.parse().ok();
        if ttl.is_some() {
            kind = word();
        }
        if kind.eq_ignore_ascii_case("IN") {
            kind = word();
        }
        let rtype = rdata::rtype(kind).ok_or_else(|| wrong(&format!("unknown record type {kind:?}")))?;
        let rdata = rdata::rdata(rtype, rest).map_err(|error| wrong(&error))?;
        Ok(Self {
            name,
            record: isigurt_blocklists::rule::LocalRecord { rtype, ttl, rdata },
        })
    }
}

/// `home.arpa` (RFC 8375).
pub(super) fn home_arpa() -> Name {
    Name::from_wire(b"\x04home\x04arpa\x00")
        .unwrap_or_else(|_| isigurt_blocklists::name::NameRef::root().to_name())
}
