//! Whether the platform knows a newer version of this program. It is said, and never fetched: packages are the system's.

use std::collections::BTreeMap;

use isigurt_wire::release::{Service, Software};
use semver::Version;
use serde::{Deserialize, Serialize};

/// A newer version of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Newer {
    /// The version.
    pub version: String,
    /// The day it came out, such as `2026-11-26`.
    pub released: String,
    /// Whether it mends a hole that children or households are in danger by.
    pub security: bool,
    /// What is new, by code of language.
    pub about: BTreeMap<String, String>,
    /// The page that tells more; `https` alone.
    pub url: Option<String>,
}

impl Newer {
    /// What this service knows that is newer than `running`; a version that cannot be read is none.
    pub fn than(running: &str, service: &Service) -> Option<Self> {
        let Software {
            version,
            released,
            security,
            about,
            url,
        } = service.software.clone()?;
        let newer = Version::parse(&version).ok()? > Version::parse(running).ok()?;
        newer.then(|| Self {
            version,
            released,
            security,
            about,
            url: url.filter(|url| url.starts_with("https://")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, running: &str) -> Option<Newer> {
        let software =
            serde_json::json!({ "version": version, "released": "2026-11-26", "url": "javascript:alert(1)" });
        let service = serde_json::json!({ "format": 1, "report_keys": [], "software": software });
        Newer::than(running, &serde_json::from_value(service).unwrap())
    }

    #[test]
    fn only_a_version_that_follows_this_one_is_told() {
        for (version, running, newer) in [
            ("0.2.0", "0.1.0", true),
            ("0.10.0", "0.9.9", true),
            ("1.0.0", "1.0.0-rc.1", true),
            ("1.0.0", "1.0.0", false),
            ("1.0.0-rc.1", "1.0.0", false),
            ("0.9.0", "1.0.0", false),
            ("newest", "1.0.0", false),
            ("", "1.0.0", false),
        ] {
            assert_eq!(
                told(version, running).is_some(),
                newer,
                "{version} after {running}"
            );
        }
        assert_eq!(
            told("2.0.0", "1.0.0").unwrap().url,
            None,
            "a link that is none is not shown"
        );
        let none: Service = serde_json::from_str(r#"{"format":1,"report_keys":[]}"#).unwrap();
        assert_eq!(Newer::than("0.1.0", &none), None);
    }
}
