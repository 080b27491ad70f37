//! `[web.oidc]`: the service that vouches for a school's staff, and what those it vouches for may do.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::http::Url;

/// `[web.oidc]`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// The service, as it calls itself in its tokens; its description stands below `/.well-known/openid-configuration`.
    pub issuer: Issuer,
    /// What the service calls this gateway.
    pub client_id: String,
    /// The secret that it gave.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// A file with that secret, in place of it.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What stands on the button; none = the service's host name.
    #[serde(default)]
    pub name: Option<String>,
    /// What is asked for beside `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim that roles hang on; dots lead into objects.
    #[serde(default = "groups")]
    pub claim: String,
    /// Domains of verified e-mail addresses that may sign in; none = the address does not matter.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Who may what.
    #[serde(default)]
    pub role: Vec<VouchedRole>,
}

/// `[[web.oidc.role]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VouchedRole {
    /// What the claim says, such as a group; `*` = whoever the service vouches for.
    pub value: String,
    /// The role.
    pub role: RoleName,
    /// Profiles of `staff`.
    #[serde(default)]
    pub profiles: Vec<String>,
}

/// A role by its word, greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Everything.
    Owner,
    /// Everything but owners, admins and backups.
    Admin,
    /// What concerns the profiles named.
    Staff,
    /// Looks.
    Viewer,
}

/// An issuer: `https`, or a service on this very machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Issuer {
    text: String,
    host: String,
}

impl Issuer {
    /// As it was written: tokens must say the same.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl TryFrom<String> for Issuer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("{text:?} {what}; expected one such as \"https://login.school.example\"");
        let url = Url::parse(&text).map_err(|_| wrong("is no address"))?;
        let host = url.host_str().ok_or_else(|| wrong("names no host"))?.to_owned();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        if !(url.scheme() == "https" || url.scheme() == "http" && here) {
            return Err(wrong("is not encrypted"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(wrong("has more than host and path"));
        }
        Ok(Self { text, host })
    }
}

// The secret must not get into a log by way of a debugging line.
impl std::fmt::Debug for Oidc {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Oidc")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Oidc {
    /// The key to point at and what is wrong, of what spans several keys.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.client_id.is_empty() {
            return Err(("client_id", "it is empty; the service gives it".to_owned()));
        }
        if self.client_secret.is_some() && self.client_secret_file.is_some() {
            return Err((
                "client_secret_file",
                "set client_secret or client_secret_file, not both".to_owned(),
            ));
        }
        if self.role.is_empty() {
            return Err((
                "issuer",
                "nobody could sign in: add a [[web.oidc.role]] with value and role".to_owned(),
            ));
        }
        for role in &self.role {
            if role.role != RoleName::Staff && !role.profiles.is_empty() {
                return Err((
                    "profiles",
                    "only role = \"staff\" is limited to profiles".to_owned(),
                ));
            }
            if role.value == "*" && role.role < RoleName::Staff {
                return Err((
                    "value",
                    "\"*\" makes everybody owner or admin; name a group".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The secret, from its file where one is named; an error says which file is wrong.
    pub fn secret(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.client_secret_file else {
            return Ok(self.client_secret.clone());
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            let file = file.display();
            format!("[web.oidc] client_secret_file {file}: {error}; name a file that this user may read")
        })?;
        Ok(Some(text.trim().to_owned()))
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(file) = &mut self.client_secret_file {
            *file = folder.join(&*file);
        }
    }
}

fn scopes() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn groups() -> String {
    "groups".to_owned()
}
