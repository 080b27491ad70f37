//! Who is told of what, and on which way.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Outcome;
use crate::http::Url;

/// Who is told of what, and on which way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// What it is called.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The language of what is sent.
    pub language: Language,
    /// Of what: `category:self-harm` and other categories, `danger` (somebody reported danger), `gateway` (something is wrong
    /// with it).
    #[schema(min_items = 1, max_items = 64)]
    pub about: Vec<String>,
    /// Of which profiles; of all, where none is named.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub profiles: Vec<String>,
    /// Minutes between two messages about the same: what happens meanwhile comes together.
    #[serde(default = "hour")]
    #[schema(minimum = 5, maximum = 1440)]
    pub digest_minutes: u16,
    /// On which way.
    pub way: Way,
}

pub(super) fn hour() -> u16 {
    60
}

/// A language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AlertLanguage)]
pub enum Language {
    /// Albanian.
    Sq,
    /// English.
    En,
}

/// On which way something is sent. Secrets are taken, and never given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Way {
    /// E-mail (SMTP, RFC 5321).
    Mail {
        /// The address that it goes to.
        to: String,
        /// The address that it comes from.
        from: String,
        /// The server that takes it.
        server: String,
        /// Its port.
        port: u16,
        /// How the way there is kept private.
        security: Security,
        /// The account there, if it asks for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The account's password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
    },
    /// A JSON document posted to an address, signed with HMAC-SHA-256 where there is a secret.
    Webhook {
        /// The address.
        url: String,
        /// What signs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The topic's address, such as `https://ntfy.example/topic`.
        url: String,
        /// An access token, if it asks for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
}

/// How the way to a mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from the beginning (port 465).
    Tls,
    /// TLS after a greeting in clear text, never without (port 587).
    Starttls,
    /// None: only to an address of this network.
    None,
}

/// A recipient as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ShownRecipient)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// The recipient, without secrets.
    #[serde(flatten)]
    pub recipient: Recipient,
    /// Whether there is a secret.
    pub kept_private: bool,
    /// How sending went last.
    pub last: Outcome,
}

/// Why a recipient is not possible so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct WrongRecipient {
    /// Which member.
    pub field: &'static str,
    reason: String,
}

pub(super) fn wrong(field: &'static str, reason: impl Into<String>) -> WrongRecipient {
    WrongRecipient {
        field,
        reason: reason.into(),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), WrongRecipient> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(wrong("name", "1 to 100 characters"));
    }
    Ok(())
}

pub(super) fn check_digest(minutes: u16) -> Result<(), WrongRecipient> {
    if (5..=1440).contains(&minutes) {
        return Ok(());
    }
    Err(wrong("digest_minutes", "5 to 1440"))
}

pub(super) fn check_about(about: &[String]) -> Result<(), WrongRecipient> {
    let known = |about: &String| {
        about == "danger" || about == "gateway" || about.strip_prefix("category:").is_some_and(is_id)
    };
    if about.is_empty() || about.len() > 64 || !about.iter().all(known) {
        return Err(wrong("about", "expected category:ID, danger or gateway"));
    }
    Ok(())
}

impl Recipient {
    /// Whether it is possible so.
    pub(super) fn check(&self) -> Result<(), WrongRecipient> {
        check_name(&self.name)?;
        check_digest(self.digest_minutes)?;
        check_about(&self.about)?;
        if self.profiles.len() > 256 {
            return Err(wrong("profiles", "up to 256"));
        }
        match &self.way {
            Way::Mail {
                to,
                from,
                server,
                port,
                security,
                user,
                password,
            } => {
                for (field, address) in [("to", to), ("from", from)] {
                    if address.parse::<lettre::Address>().is_err() {
                        return Err(wrong(field, "is no e-mail address"));
                    }
                }
                if server.is_empty() || server.len() > 253 || server.contains(char::is_whitespace) {
                    return Err(wrong("server", "expected a host name or an address"));
                }
                if *port == 0 {
                    return Err(wrong("port", "1 to 65535"));
                }
                if *security == Security::None && !is_near(server) {
                    let reason = "without encryption mail goes to an address of this network only; take tls or starttls";
                    return Err(wrong("security", reason));
                }
                if password.is_some() && user.is_none() {
                    return Err(wrong("user", "a password needs a user"));
                }
                Ok(())
            }
            Way::Webhook { url, .. } | Way::Ntfy { url, .. } => {
                let parsed = Url::parse(url).map_err(|error| wrong("url", error.to_string()))?;
                if !matches!(parsed.scheme(), "http" | "https") {
                    return Err(wrong("url", "expected https://…"));
                }
                let topic = parsed.path().trim_matches('/');
                if matches!(self.way, Way::Ntfy { .. }) && topic.is_empty() {
                    return Err(wrong("url", "the topic is missing: https://ntfy.example/topic"));
                }
                Ok(())
            }
        }
    }

    /// The same with the secret of an earlier version where none is sent and it goes to the same place.
    pub(super) fn with_secret_of(mut self, before: &Self) -> Result<Self, WrongRecipient> {
        let lost = |field| {
            let reason = "is only kept where it goes to the same place; type it anew, or send \"\" for none";
            Err(wrong(field, reason))
        };
        match (&mut self.way, &before.way) {
            (
                Way::Mail {
                    server,
                    password,
                    user,
                    ..
                },
                Way::Mail {
                    server: old_server,
                    password: old,
                    user: old_user,
                    ..
                },
            ) if password.is_none() && old.is_some() => {
                if server != old_server || user != old_user {
                    return lost("password");
                }
                password.clone_from(old);
            }
            (
                Way::Webhook { url, secret },
                Way::Webhook {
                    url: old_url,
                    secret: old,
                },
            ) if secret.is_none() && old.is_some() => {
                if url != old_url {
                    return lost("secret");
                }
                secret.clone_from(old);
            }
            (
                Way::Ntfy { url, token },
                Way::Ntfy {
                    url: old_url,
                    token: old,
                },
            ) if token.is_none() && old.is_some() => {
                if url != old_url {
                    return lost("token");
                }
                token.clone_from(old);
            }
            _ => {}
        }
        Ok(self)
    }

    /// As it is shown: without secrets.
    pub(super) fn shown(&self, id: &str, last: Outcome) -> Shown {
        let mut recipient = self.clone();
        let secret = match &mut recipient.way {
            Way::Mail { password, .. } => password.take(),
            Way::Webhook { secret, .. } => secret.take(),
            Way::Ntfy { token, .. } => token.take(),
        };
        Shown {
            id: id.to_owned(),
            recipient,
            kept_private: secret.is_some_and(|secret| !secret.is_empty()),
            last,
        }
    }

    /// Whether it is told of this.
    pub(super) fn wants(&self, about: &str, profile: &str) -> bool {
        self.about.iter().any(|wanted| wanted == about)
            && (profile.is_empty()
                || self.profiles.is_empty()
                || self.profiles.iter().any(|wanted| wanted == profile))
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
}

/// Whether a server is this machine or in a private network, as far as its name says so.
fn is_near(server: &str) -> bool {
    match server.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => server == "localhost" || server.ends_with(".home.arpa"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str, secret: Option<&str>) -> Recipient {
        Recipient {
            name: "lead".to_owned(),
            language: Language::Sq,
            about: vec!["category:self-harm".to_owned()],
            profiles: vec!["class-7a".to_owned()],
            digest_minutes: 60,
            way: Way::Webhook {
                url: url.to_owned(),
                secret: secret.map(str::to_owned),
            },
        }
    }

    #[test]
    fn a_secret_stays_where_it_goes_to_the_same_place_and_is_never_sent_to_another() {
        let before = webhook("https://a.example/hook", Some("s3cret"));
        let same = webhook("https://a.example/hook", None)
            .with_secret_of(&before)
            .unwrap();
        assert_eq!(same, before);
        let error = webhook("https://evil.example/hook", None).with_secret_of(&before);
        assert_eq!(error.unwrap_err().field, "secret");
        let none = webhook("https://evil.example/hook", Some("")).with_secret_of(&before);
        assert!(none.is_ok());
        let shown = before.shown("1", Outcome::default());
        assert!(shown.kept_private);
        assert!(!serde_json::to_string(&shown).unwrap().contains("s3cret"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_member_that_is_wrong() {
        let mail = |security, server: &str| Recipient {
            way: Way::Mail {
                to: "lead@school.example".to_owned(),
                from: "gateway@school.example".to_owned(),
                server: server.to_owned(),
                port: 25,
                security,
                user: None,
                password: None,
            },
            ..webhook("https://a.example", None)
        };
        assert!(mail(Security::None, "192.168.1.5").check().is_ok());
        assert!(mail(Security::Tls, "mail.example").check().is_ok());
        let field = |recipient: &Recipient| recipient.check().unwrap_err().field;
        assert_eq!(field(&mail(Security::None, "mail.example")), "security");
        assert_eq!(field(&mail(Security::None, "198.51.100.7")), "security");
        assert_eq!(field(&mail(Security::Tls, "a b")), "server");
        assert_eq!(field(&webhook("ftp://a.example", None)), "url");
        assert_eq!(field(&webhook("nonsense", None)), "url");
        let mut other = webhook("https://a.example", None);
        other.about = vec!["category:Self Harm".to_owned()];
        assert_eq!(field(&other), "about");
        other.about = Vec::new();
        assert_eq!(field(&other), "about");
        other = webhook("https://a.example", None);
        other.digest_minutes = 1;
        assert_eq!(field(&other), "digest_minutes");
        other.name = " ".to_owned();
        assert_eq!(field(&other), "name");
    }

    #[test]
    fn a_recipient_hears_of_its_own_profiles_and_of_the_gateway() {
        let mut one = webhook("https://a.example", None);
        one.about.push("gateway".to_owned());
        assert!(one.wants("category:self-harm", "class-7a"));
        assert!(!one.wants("category:self-harm", "class-8b"));
        assert!(!one.wants("category:extremism", "class-7a"));
        assert!(one.wants("gateway", ""));
    }
}
