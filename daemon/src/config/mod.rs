//! The configuration file: typed, validated, and honest about what it does not know.
//!
//! Unknown keys are errors that name the nearest known one; every error names file, line and column. A key that this
//! version reads without acting on it is a warning, never silence.

mod dns;
mod oidc;
mod problem;
mod push;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::Format;
use isigurt_core::snapshot::Site;
use serde::Deserialize;

use crate::http::Url;

pub use dns::{Cache, Dns, Dnssec, RateLimit, Strategy, Tls, Upstream, Zone};
pub use oidc::{Issuer, Oidc, RoleName, VouchedRole};
pub(crate) use problem::nearest;
pub use problem::{Problem, Warning};
pub use push::Push;
pub use value::{ClientNet, ListId, LocalRecord, Scheme, Server, Source, Span};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "/etc/isigurt/isigurtd.toml";

/// The whole configuration. Defaults are those of an installed gateway; [`Config::try_out`] has those of a first try.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of everything that the gateway keeps.
    pub state_dir: PathBuf,
    /// The DNS server.
    pub dns: Dns,
    /// Where names are resolved.
    pub upstream: Upstream,
    /// The local network's own names.
    pub local: Local,
    /// Lists beside the built-in ones.
    pub lists: Vec<List>,
    /// The national platform.
    pub platform: Option<Platform>,
    /// The web UI.
    pub web: Web,
    /// How the gateway goes out for lists and to the platform.
    pub http: Http,
    /// Notifications on browsers.
    pub push: Push,
    /// The query log.
    pub log: Log,
    /// Metrics for Prometheus.
    pub metrics: Option<Metrics>,
    /// The firewall.
    pub firewall: Firewall,
    /// Where the gateway stands.
    pub settings: Settings,
}

/// `[local]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    /// Domain of the local network.
    pub domain: Name,
    /// Lease files of a DHCP server.
    pub leases: Vec<PathBuf>,
    /// Records served from here.
    pub records: Vec<LocalRecord>,
}

/// `[[lists]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Identifier.
    pub id: ListId,
    /// Where it is.
    pub url: Source,
    /// Its format.
    #[serde(default)]
    pub format: Format,
    /// Its category; none = the household's own list.
    #[serde(default)]
    pub category: Option<String>,
    /// How often it is read anew.
    #[serde(default)]
    pub every: Option<Span>,
    /// Whether a bare name means all names below it too.
    #[serde(default)]
    pub subdomains: Option<bool>,
    /// Whether it was added in the web UI, and so stands in the state and not in the file.
    #[serde(skip)]
    pub added: bool,
}

/// `[platform]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Repository and report intake.
    pub url: String,
    /// Trust anchor.
    pub root: PathBuf,
    /// How often it is asked for news.
    #[serde(default)]
    pub poll: Option<Span>,
}

/// `[web]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Addresses of the web UI; `None` = not said.
    pub listen: Option<Vec<SocketAddr>>,
    /// The same, encrypted.
    pub https: Vec<SocketAddr>,
    /// Addresses of the block page.
    pub block_page: Vec<SocketAddr>,
    /// The same, encrypted with the gateway's certificate, which is none of the blocked sites'.
    pub block_page_https: Vec<SocketAddr>,
    /// Names that the gateway is called by, beside its own.
    pub hosts: Vec<String>,
    /// Whether lists that are added there may come from private addresses.
    pub private_lists: bool,
    /// How long a session lives without a request.
    pub session_idle: Span,
    /// How long a session lives at all.
    pub session_longest: Span,
    /// The service that vouches for a school's staff.
    pub oidc: Option<Oidc>,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// A proxy; none = what the environment says.
    pub proxy: Option<String>,
    /// Certificates, PEM, that are trusted beside the system's.
    pub authorities: Option<PathBuf>,
    /// Whether clear text may leave private networks.
    pub plain: bool,
    /// KiB a second that downloads take together; 0 = no limit.
    pub bandwidth_kib: u32,
    /// How long a server may be silent, or slow.
    pub patience: Span,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            proxy: None,
            authorities: None,
            plain: false,
            bandwidth_kib: 0,
            patience: Span(std::time::Duration::from_secs(15)),
        }
    }
}

/// What the query log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogQueries {
    /// Everything.
    #[default]
    Full,
    /// Without who asked.
    Anonymous,
    /// Blocked queries only.
    BlockedOnly,
    /// Nothing.
    Off,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is kept.
    pub queries: LogQueries,
    /// For how long.
    pub keep: Span,
    /// Room that it may take, MiB.
    pub max_mib: u32,
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Address.
    pub listen: SocketAddr,
}

/// `[firewall]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Firewall {
    /// Whether rules are set.
    pub enabled: bool,
    /// Interfaces of the local network.
    pub lan: Vec<String>,
    /// Profiles that may only reach what they resolved here.
    pub strict: Vec<String>,
}

/// `[settings]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Home or school.
    pub site: Site,
    /// Profile of devices that none matches.
    pub default_profile: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/isigurt"),
            dns: Dns::default(),
            upstream: Upstream::default(),
            local: Local::default(),
            lists: Vec::new(),
            platform: None,
            web: Web::default(),
            http: Http::default(),
            push: Push::default(),
            log: Log::default(),
            metrics: None,
            firewall: Firewall::default(),
            settings: Settings::default(),
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: None,
            https: Vec::new(),
            block_page: Vec::new(),
            block_page_https: Vec::new(),
            hosts: Vec::new(),
            private_lists: false,
            session_idle: Span::days(1),
            session_longest: Span::days(30),
            oidc: None,
        }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self {
            domain: value::home_arpa(),
            leases: Vec::new(),
            records: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            queries: LogQueries::default(),
            keep: Span::days(30),
            max_mib: 256,
        }
    }
}

/// A configuration with what is to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from, if any.
    pub file: Option<PathBuf>,
    /// What is read but not acted on.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// A first try without root and without a file: loopback, high ports, state beside the caller.
    pub fn try_out() -> Self {
        let mut config = Self {
            state_dir: PathBuf::from("./var"),
            ..Self::default()
        };
        config.dns.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5353))];
        config
    }

    /// Reads the file that was named, else [`DEFAULT_FILE`], else falls back to [`Config::try_out`].
    pub fn load(named: Option<&Path>) -> Result<Loaded, Problem> {
        let (path, must_exist) = match named {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let (config, warnings) = Self::parse(&text, path)?;
                Ok(Loaded {
                    config,
                    file: Some(path.to_owned()),
                    warnings,
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(Loaded {
                config: Self::try_out(),
                file: None,
                warnings: Vec::new(),
            }),
            Err(error) => Err(Problem::unreadable(path, &error)),
        }
    }

    /// Reads the text of a file; relative paths of lists start at the file's folder.
    pub fn parse(text: &str, path: &Path) -> Result<(Self, Vec<Warning>), Problem> {
        let mut config: Self = toml::from_str(text).map_err(|error| Problem::toml(path, text, &error))?;
        config
            .validate()
            .map_err(|(key, what)| Problem::at_key(path, text, key, &what))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for list in &mut config.lists {
            list.url.resolve(folder);
        }
        if let Some(oidc) = &mut config.web.oidc {
            oidc.resolve(folder);
        }
        if let Some(tls) = &mut config.dns.tls {
            for file in [&mut tls.certificate, &mut tls.key].into_iter().flatten() {
                *file = folder.join(&*file);
            }
        }
        Ok((config, problem::warnings(text)))
    }

    /// What spans more than one key: the key to point at, and what is wrong.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.dns.listen.is_empty() {
            return Err((
                "listen",
                "at least one address to listen on is expected".to_owned(),
            ));
        }
        if self.dns.threads > 256 {
            return Err(("threads", "0 to 256 threads are expected".to_owned()));
        }
        if self.dns.block_ttl > 86_400 {
            return Err(("block_ttl", "0 to 86400 seconds are expected".to_owned()));
        }
        if self.dns.cache.min_ttl > self.dns.cache.max_ttl {
            return Err(("min_ttl", "min_ttl is greater than max_ttl".to_owned()));
        }
        if !(50..=60_000).contains(&self.upstream.timeout_ms) {
            return Err(("timeout_ms", "50 to 60000 milliseconds are expected".to_owned()));
        }
        if self.web.session_idle.0.is_zero() || self.web.session_longest.0.is_zero() {
            return Err((
                "session_",
                "more than nothing is expected, such as \"12h\"".to_owned(),
            ));
        }
        self.validate_tls()?;
        self.validate_way_out()?;
        self.push.validate()?;
        if let Some(oidc) = &self.web.oidc {
            oidc.validate()?;
        }
        for (place, list) in self.lists.iter().enumerate() {
            if self.lists.iter().take(place).any(|other| other.id == list.id) {
                return Err(("id", format!("two lists have the id {:?}", list.id.as_str())));
            }
        }
        let zones = self.upstream.zones.iter().flat_map(|zone| &zone.servers);
        for server in self.upstream.servers.iter().chain(zones) {
            if self.dns.listen.contains(&server.address) {
                return Err((
                    "servers",
                    format!("upstream {server} is this gateway itself: queries would loop"),
                ));
            }
        }
        Ok(())
    }

    fn validate_tls(&self) -> Result<(), (&'static str, String)> {
        let Some(tls) = &self.dns.tls else {
            return Ok(());
        };
        let hostname = tls.hostname.trim_end_matches('.');
        let named = Name::parse(hostname).is_ok() && hostname.parse::<std::net::IpAddr>().is_err();
        if hostname.is_empty() || !named {
            let what = format!(
                "{:?} is not a host name; expected one such as \"gateway.home.arpa\"",
                tls.hostname
            );
            return Err(("hostname", what));
        }
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => Err((
                "certificate",
                "its key is missing: set key too, or neither of them".to_owned(),
            )),
            (None, Some(_)) => Err((
                "key",
                "its certificate is missing: set certificate too, or neither of them".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// `[platform]` and `[http]`.
    fn validate_way_out(&self) -> Result<(), (&'static str, String)> {
        let url = |text: &str, schemes: &[&str]| {
            let url = Url::parse(text).ok();
            url.is_some_and(|url| schemes.contains(&url.scheme()) && url.has_host())
        };
        if let Some(platform) = &self.platform
            && !url(&platform.url, &["https", "http"])
        {
            let what = format!(
                "{:?} is no address; expected such as \"https://lists.example/\"",
                platform.url
            );
            return Err(("url", what));
        }
        if let Some(proxy) = &self.http.proxy
            && !url(proxy, &["http", "https", "socks5", "socks5h"])
        {
            let what = "this is no address; expected such as \"http://192.168.1.2:3128\" or \"socks5://…\"";
            return Err(("proxy", what.to_owned()));
        }
        if self.http.patience.0.is_zero() {
            return Err((
                "patience",
                "more than nothing is expected, such as \"15s\"".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether the cache is kept over a restart: not where nobody is to read later what was asked for.
    pub fn keeps_cache(&self) -> bool {
        self.dns.cache.keep && matches!(self.log.queries, LogQueries::Full | LogQueries::Anonymous)
    }

    /// Networks that may ask.
    pub fn client_nets(&self) -> Vec<IpNet> {
        self.dns.allow_from.iter().flat_map(ClientNet::nets).collect()
    }
}

#[cfg(test)]
mod tests;
