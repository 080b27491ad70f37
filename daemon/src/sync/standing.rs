//! How a list stands, for people and programs: what is in force of it, how old that is, and what keeps a newer version back. It never
//! says what stands in a list.

use std::fmt;

use isigurt_blocklists::read::Format;
use serde::{Deserialize, Serialize};

/// How a list stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListStatus {
    /// Identifier.
    pub id: String,
    /// Where it comes from.
    pub origin: String,
    /// Its format.
    #[schema(value_type = String)]
    pub format: Format,
    /// Rules in force.
    pub rules: u64,
    /// Lines refused.
    pub rejected: u64,
    /// When the version in force came in, seconds since 1970; `None` for built-in lists.
    pub loaded_at: Option<i64>,
    /// Why the newest try failed; the last good version is in force then.
    pub last_error: Option<String>,
    /// The publisher's number of the version in force; only national lists have one.
    #[serde(default)]
    pub version: Option<u64>,
    /// Lines with rules in a newer version that is held back, because it lost more than half of them.
    #[serde(default)]
    pub held: Option<u64>,
    /// When its server last answered and everything was right, seconds since 1970; `None` for files.
    #[serde(default)]
    pub checked_at: Option<i64>,
    /// When its server is asked next, seconds since 1970.
    #[serde(default)]
    pub next_try: Option<i64>,
    /// Its category; none for the household's own lists.
    #[serde(default)]
    pub category: Option<String>,
    /// Whether it was added in the web UI, and can be removed there.
    #[serde(default)]
    pub added: bool,
}

impl fmt::Display for ListStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: Option<i64>| at.and_then(|at| jiff::Timestamp::from_second(at).ok());
        write!(out, "list {}: {} rules", self.id, self.rules)?;
        if let Some(version) = self.version {
            write!(out, ", version {version}")?;
        }
        if self.version.is_none() {
            write!(out, ", {} lines refused", self.rejected)?;
        }
        for (what, at) in [
            ("since", self.loaded_at),
            ("checked", self.checked_at),
            ("next try", self.next_try),
        ] {
            if let Some(at) = time(at) {
                write!(out, ", {what} {at}")?;
            }
        }
        if self.added {
            write!(out, ", added in the web UI")?;
        }
        if let Some(held) = self.held {
            write!(out, "\n    a version with {held} lines with rules is held back")?;
        }
        match &self.last_error {
            Some(error) => write!(out, "\n    {error}"),
            None => Ok(()),
        }
    }
}
