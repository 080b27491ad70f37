//! `[push]`: notifications on the browsers of those who signed in. Nothing here is needed for them to work.

use serde::Deserialize;

use crate::http::Url;

/// `[push]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// Whom push services write to when something is wrong with what comes from here.
    pub contact: String,
    /// Whether push services may be in this network: for a service of one's own.
    pub private: bool,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            contact: "https://www.isigurt.al/".to_owned(),
            private: false,
        }
    }
}

impl Push {
    /// The key to point at, and what is wrong.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        let url = Url::parse(&self.contact)
            .ok()
            .filter(|_| self.contact.len() <= 200);
        let usable = url.is_some_and(|url| match url.scheme() {
            "https" => url.has_host(),
            "mailto" => url.path().contains('@'),
            _ => false,
        });
        if usable {
            return Ok(());
        }
        let what = "expected such as \"mailto:it@school.example\" or \"https://school.example/\"";
        Err(("contact", what.to_owned()))
    }
}
