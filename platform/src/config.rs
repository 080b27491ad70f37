//! `platform.toml`: what the server and the analysts' desk are told, checked before anything is opened.
//!
//! Unknown keys are errors. Without a certificate only loopback is listened on: reports never cross a network in clear. No
//! private key stands in it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It is not there, or not readable.
    #[error("{file}: cannot be read: {error}; name an existing file with --config")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is not what is expected.
    #[error("{file}: {error}")]
    Toml {
        /// The file.
        file: PathBuf,
        /// Line, key, what was expected.
        error: Box<toml::de::Error>,
    },
    /// A value does not go.
    #[error("{file}: {key}: {what}")]
    Value {
        /// The file.
        file: PathBuf,
        /// Where.
        key: &'static str,
        /// What is wrong and what to do.
        what: String,
    },
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// URL of the database.
    pub(crate) database: String,
    /// Connections to it at most.
    #[serde(default = "connections")]
    pub(crate) database_connections: u32,
    /// Addresses to serve on.
    #[serde(default)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Certificate chain and private key, PEM.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Balancers, whose `X-Forwarded-For` is believed.
    #[serde(default)]
    pub(crate) behind: Vec<IpNet>,
    /// Folder of the repository, to be served too.
    pub(crate) repository: Option<PathBuf>,
    /// Where `/metrics` is served; absent: nowhere.
    pub(crate) metrics: Option<SocketAddr>,
    /// Folder with signed confirmations of prefix lists: the publisher's state, or a copy of its `confirm`.
    pub(crate) confirmations: Option<PathBuf>,
    #[serde(default)]
    pub(crate) intake: Intake,
    #[serde(default)]
    pub(crate) triage: Triage,
}

/// `[triage]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Triage {
    /// The publisher's public key that decisions are sealed to, 64 hexadecimal digits.
    pub(crate) decision_key: Option<String>,
    /// A domain of the platform's own, which exchange forms name it by.
    pub(crate) domain: Option<String>,
    /// Lists that names may be confirmed into.
    #[serde(rename = "list")]
    pub(crate) lists: Vec<List>,
}

/// `[[triage.list]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// As in the publisher's configuration.
    pub(crate) id: String,
    /// Whether no profile opens it: then two different analysts decide.
    #[serde(default)]
    pub(crate) mandatory: bool,
}

/// `[intake]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Intake {
    /// File with 32 random octets or more, the same on all instances; absent: each process makes its own.
    pub(crate) quota_key: Option<PathBuf>,
    /// New reports an hour from one gateway.
    pub(crate) per_gateway: i64,
    /// New reports an hour from one network (IPv4 /24, IPv6 /48).
    pub(crate) per_network: i64,
    /// Questions a minute from one network: receipts, confirmations.
    pub(crate) questions: u32,
    /// Days after a decision for which the sealed body of a report is kept.
    pub(crate) keep_days: u32,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            quota_key: None,
            per_gateway: 30,
            per_network: 600,
            questions: 600,
            keep_days: 90,
        }
    }
}

const fn connections() -> u32 {
    8
}

impl Config {
    /// Reads and checks the file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Read {
            file: file.to_owned(),
            error,
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| ConfigError::Toml {
            file: file.to_owned(),
            error: Box::new(error),
        })?;
        config.check().map_err(|(key, what)| ConfigError::Value {
            file: file.to_owned(),
            key,
            what,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.certificate.is_some() != self.key.is_some() {
            return Err(("certificate", "certificate and key go together".to_owned()));
        }
        if self.certificate.is_none()
            && let Some(open) = self.listen.iter().find(|address| !address.ip().is_loopback())
        {
            let what = format!(
                "{open} is not loopback, and there is no certificate; set certificate and key, or listen on 127.0.0.1 behind a balancer"
            );
            return Err(("listen", what));
        }
        if self.intake.per_gateway < 1 || self.intake.per_network < 1 || self.intake.questions < 1 {
            return Err(("intake", "quotas are at least 1".to_owned()));
        }
        if self.database_connections < 2 {
            return Err(("database_connections", "at least 2".to_owned()));
        }
        if let Some(domain) = &self.triage.domain {
            let name = isigurt_blocklists::name::Name::parse(domain);
            if !name.is_ok_and(|name| name.as_ref().labels().count() > 1) {
                let what = format!("{domain:?} is no domain; expected such as \"lists.isigurt.example\"");
                return Err(("triage.domain", what));
            }
        }
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        if let Some(list) = self
            .triage
            .lists
            .iter()
            .find(|list| list.id.is_empty() || !list.id.bytes().all(plain))
        {
            let what = format!(
                "{:?} is no list; expected lower-case letters, digits and hyphens",
                list.id
            );
            return Err(("triage.list.id", what));
        }
        Ok(())
    }

    /// An error where it says nothing to serve.
    pub(crate) fn serves(&self, file: &Path) -> Result<(), ConfigError> {
        if self.listen.is_empty() {
            return Err(ConfigError::Value {
                file: file.to_owned(),
                key: "listen",
                what: "names no address; expected such as [\"0.0.0.0:443\"]".to_owned(),
            });
        }
        Ok(())
    }

    /// Who sent a request: the peer or, behind a balancer of ours, whom it names last.
    pub(crate) fn source(&self, peer: IpAddr, forwarded: Option<&str>) -> IpAddr {
        let trusted = |address: IpAddr| self.behind.iter().any(|net| net.contains(&address));
        let mut source = peer.to_canonical();
        for named in forwarded.into_iter().flat_map(|named| named.rsplit(',')) {
            if !trusted(source) {
                break;
            }
            let Ok(named) = named.trim().parse::<IpAddr>() else {
                break;
            };
            source = named.to_canonical();
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("platform.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file).map_err(|error| error.to_string())
    }

    const BASE: &str = "database = \"postgres://x\"\n";

    #[test]
    fn reports_never_cross_a_network_in_clear() {
        let error = read(&format!("{BASE}listen = [\"0.0.0.0:80\"]")).unwrap_err();
        assert!(error.contains("no certificate"), "{error}");
        read(&format!("{BASE}listen = [\"127.0.0.1:80\", \"[::1]:80\"]")).unwrap();
    }

    #[test]
    fn unknown_keys_and_half_of_a_pair_are_errors() {
        for (rest, says) in [
            ("listen = [\"127.0.0.1:1\"]\nlisen = 1", "lisen"),
            ("listen = [\"127.0.0.1:1\"]\nkey = \"k\"", "go together"),
            ("[[triage.list]]\nid = \"A b\"", "is no list"),
            ("[triage]\ndomain = \"isigurt\"", "is no domain"),
            (
                "listen = [\"127.0.0.1:1\"]\n[intake]\nper_gateway = 0",
                "at least 1",
            ),
        ] {
            let error = read(&format!("{BASE}{rest}")).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_server_needs_an_address_and_a_desk_does_not() {
        let config = read(BASE).unwrap();
        let error = config.serves(Path::new("platform.toml")).unwrap_err().to_string();
        assert!(error.contains("names no address"), "{error}");
    }

    #[test]
    fn only_balancers_are_believed_about_who_is_behind_them() {
        let config = read(&format!(
            "{BASE}listen = [\"127.0.0.1:1\"]\nbehind = [\"10.0.0.0/8\"]"
        ))
        .unwrap();
        let source = |peer: &str, named| config.source(peer.parse().unwrap(), named).to_string();
        assert_eq!(source("192.0.2.1", Some("198.51.100.7")), "192.0.2.1");
        assert_eq!(
            source("10.0.0.1", Some("203.0.113.9, 198.51.100.7")),
            "198.51.100.7"
        );
        assert_eq!(source("10.0.0.1", Some("198.51.100.7, 10.0.0.2")), "198.51.100.7");
        assert_eq!(source("10.0.0.1", Some("rubbish")), "10.0.0.1");
        assert_eq!(source("::ffff:10.0.0.1", None), "10.0.0.1");
    }
}
