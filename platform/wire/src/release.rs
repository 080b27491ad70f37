//! Targets of the platform's TUF repository: what stands in the `custom` field of each, and how targets are named.
//!
//! ```text
//! targets (root's)         platform/service.json       keys that reports are sealed to, where they go; the newest program
//! mandatory (delegated)    mandatory/<list>/<version>.list.zst      mandatory/<list>/<from>-<version>.delta.zst
//! categories (delegated)   categories/<list>/<version>.list.zst     categories/<list>/<from>-<version>.delta.zst
//! ```
//!
//! A list is in canonical form (`isigurt_blocklists::delta::canonical`), a delta is one of `isigurt_blocklists::delta`;
//! both are packed with zstd. TUF signs length and SHA-256 of the packed octets; `custom` says what comes out. Of each list the
//! newest version is there in full, with deltas from some versions before it. Files stand in
//! `targets/<SHA-256>.<name of the target>` (consistent snapshots, as crate `tough` reads them), metadata in `metadata/`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the forms in this module.
pub const FORMAT: u32 = 1;

/// Key of our data in the `custom` field of a target.
pub const CUSTOM: &str = "isigurt";

/// Name of the target that holds a [`Service`].
pub const SERVICE: &str = "platform/service.json";

/// Who publishes a list: a delegated role of the repository, and the first part of its targets' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publisher {
    /// The authority: what no profile opens.
    Mandatory,
    /// The editors: lists of categories.
    Categories,
}

impl Publisher {
    /// Every one, in the order in which the roles are delegated.
    pub const ALL: [Self; 2] = [Self::Mandatory, Self::Categories];

    /// Name of the role, which is also the first part of its targets' names.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Mandatory => "mandatory",
            Self::Categories => "categories",
        }
    }
}

/// How much a list says of the names that it blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The names.
    #[default]
    Clear,
    /// A keyed hash of each: obfuscation, not secrecy.
    Hashed,
    /// A short prefix of each keyed hash: a match is only a candidate, see [`crate::confirm`].
    Prefix,
}

/// The `custom` field of a list's or delta's target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// [`FORMAT`].
    pub format: u32,
    /// Who publishes the list.
    pub publisher: Publisher,
    /// The list: lower-case letters, digits and hyphens.
    pub list: String,
    /// Version of the list that results; grows with each change.
    pub version: u64,
    /// The version that a delta starts from; absent: a full list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The category that the list blocks; absent in a mandatory list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What the list says of names; key and length of hashes stand in its header.
    #[serde(default)]
    pub tier: Tier,
    /// Rules in the list that results.
    pub entries: u64,
    /// Octets of the list that results, unpacked.
    pub octets: u64,
    /// Octets of what this target unpacks to.
    pub unpacked: u64,
    /// BLAKE3 of the list that results, hexadecimal: what a delta's result is held against, too.
    pub blake3: String,
}

impl Target {
    /// The name of this target.
    pub fn name(&self) -> String {
        let (role, list, version) = (self.publisher.role(), &self.list, self.version);
        match self.from {
            Some(from) => format!("{role}/{list}/{from}-{version}.delta.zst"),
            None => format!("{role}/{list}/{version}.list.zst"),
        }
    }
}

/// What `platform/service.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// [`FORMAT`].
    pub format: u32,
    /// Keys that reports are sealed to; the first is the one to use, the others still open what is on its way.
    pub report_keys: Vec<ReportKey>,
    /// Where reports go; absent: `api/v1/reports` below the repository's own URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intake: Option<String>,
    /// Where candidates of prefix lists are confirmed; absent: `api/v1/confirm` below the repository's own URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Ed25519 keys (RFC 8032) that confirmations are signed with, hexadecimal.
    #[serde(default)]
    pub confirm_keys: Vec<String>,
    /// The newest version of the gateway's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<Software>,
}

/// A version of the gateway's program, as the platform makes it known. It says what to look for; it is no way to install it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// The version (Semantic Versioning 2.0.0).
    pub version: String,
    /// The day it came out, such as `2026-11-26`.
    pub released: String,
    /// Whether it mends a hole that children or households are in danger by.
    #[serde(default)]
    pub security: bool,
    /// What is new, in a sentence or two; by code of language.
    #[serde(default)]
    pub about: BTreeMap<String, String>,
    /// The page that tells more; `https` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A public key that reports are sealed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportKey {
    /// [`crate::seal::PublicKey::id`].
    pub id: String,
    /// [`crate::seal::SUITE`].
    pub suite: String,
    /// 32 octets of X25519, hexadecimal.
    pub public: String,
}
