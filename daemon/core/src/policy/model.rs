//! The policy as people write it: profiles, and which devices have them. CONTRACT's form, one TOML file.
//!
//! What a version does not act on is no key of it: a policy that asks for more than is enforced is refused, not half obeyed.

use serde::{Deserialize, Serialize};

/// The whole policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What holds for all.
    #[serde(default)]
    pub settings: Settings,
    /// What is blocked for whom.
    #[serde(default)]
    pub profile: Vec<ProfileText>,
    /// Who has which profile.
    #[serde(default)]
    pub device: Vec<DeviceText>,
}

/// `[settings]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The profile of devices that none is named for; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<String>,
}

/// `[[profile]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileText {
    /// Its name, unique.
    pub name: String,
    /// Blocked categories: those of `blocklists/data/categories.toml` and of configured lists.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Blocked services: those of `blocklists/data/services.toml`.
    #[serde(default)]
    pub services: Vec<String>,
    /// Names that are allowed: `example.org` with all below it, `=example.org` alone, `/regex/`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Names that are blocked, in the same forms.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Whether ways round the filter are blocked.
    #[serde(default = "yes")]
    pub bypass_protection: bool,
    /// What happens to names that nothing is said about.
    #[serde(default)]
    pub default: Otherwise,
}

fn yes() -> bool {
    true
}

/// What happens to names that nothing is said about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// They are allowed.
    #[default]
    Allow,
    /// They are blocked: only `allow` opens anything.
    Deny,
}

/// `[[device]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceText {
    /// Its name, unique.
    pub name: String,
    /// How it is recognised: `ip:192.168.1.20`, `cidr:10.3.0.0/16`.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// The name of its profile.
    pub profile: String,
}
