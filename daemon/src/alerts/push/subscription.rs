//! A browser that is told: whose it is, of what, and how much a locked screen may show.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use p256::PublicKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::seal::Reader;
use crate::alerts::recipient::{check_about, check_digest, check_name, hour};
use crate::alerts::{Language, Outcome, WrongRecipient};
use crate::http::{Url, is_outside};

/// The longest address of a browser at its push service.
const LONGEST: usize = 2048;

/// What a subscription of a browser is for: its user's choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushChoice)]
pub struct Choice {
    /// What the device is called.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The language of what is shown.
    pub language: Language,
    /// Of what: `category:self-harm` and other categories, `danger`, `gateway`. Only what the user may see is told.
    #[schema(min_items = 1, max_items = 64)]
    pub about: Vec<String>,
    /// Minutes between two messages about the same: what happens meanwhile comes together.
    #[serde(default = "hour")]
    #[schema(minimum = 5, maximum = 1440)]
    pub digest_minutes: u16,
    /// How much is shown.
    #[serde(default)]
    pub detail: Detail,
}

/// How much a notification shows, also on a locked screen. The name that was asked for is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PushDetail)]
pub enum Detail {
    /// That something needs a look.
    #[default]
    Nothing,
    /// What kind of thing happened.
    Kind,
    /// What kind of thing happened, and whose profile and device.
    Whose,
}

/// What a browser says of its subscription (Push API, `PushSubscription.toJSON()`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushBrowser)]
pub struct Browser {
    /// Its address at its push service; `https:`, and never in this network.
    #[schema(max_length = 2048)]
    pub endpoint: String,
    /// When it ends, if it does; not looked at, for the push service says so.
    #[serde(default, rename = "expirationTime", skip_serializing)]
    #[schema(value_type = Option<f64>)]
    pub expiration: Option<serde_json::Value>,
    /// Its keys.
    pub keys: Keys,
}

/// Keys of a browser, base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushKeys)]
pub struct Keys {
    /// Its public key: an uncompressed point of P-256, 65 octets.
    pub p256dh: String,
    /// 16 octets that only it and the gateway know.
    pub auth: String,
}

// Whoever has address and keys can write to the browser: they get into no log.
impl std::fmt::Debug for Browser {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Browser")
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keys")
    }
}

/// A new subscription.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushSubscribe)]
pub struct Subscribe {
    /// What the browser says.
    pub browser: Browser,
    /// What its user chooses.
    pub choice: Choice,
}

/// What is kept of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// Id of its user.
    pub(super) user: String,
    pub(super) browser: Browser,
    pub(super) choice: Choice,
    pub(super) created: Timestamp,
}

/// A subscription as its user sees it: neither address nor keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ShownSubscription)]
pub struct ShownSubscription {
    /// Its id.
    pub id: String,
    /// By what a browser knows its own: the first 32 hexadecimal digits of SHA-256 of its address.
    pub mark: String,
    /// What its user chose.
    #[serde(flatten)]
    pub choice: Choice,
    /// Host name of the push service.
    pub service: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// How sending went last.
    pub last: Outcome,
}

impl Choice {
    pub(super) fn check(&self) -> Result<(), WrongRecipient> {
        check_name(&self.name)?;
        check_digest(self.digest_minutes)?;
        check_about(&self.about)
    }
}

impl Browser {
    /// What is possible: `private` says whether push services may be in this network.
    pub(super) fn check(&self, private: bool) -> Result<(), WrongRecipient> {
        let url = Url::parse(&self.endpoint)
            .ok()
            .filter(|_| self.endpoint.len() <= LONGEST);
        let usable = url.is_some_and(|url| {
            let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            plain && url.scheme() == "https" && (private || is_outside(&url))
        });
        if !usable {
            let reason = "expected the https:// address of a push service of the Internet";
            return Err(WrongRecipient::of("endpoint", reason));
        }
        self.reader().map(|_| ())
    }

    /// Who reads what is sent.
    pub(super) fn reader(&self) -> Result<Reader, WrongRecipient> {
        // Browsers leave out what fills base64 up; not all programs do.
        let octets = |text: &str| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok();
        let key = octets(&self.keys.p256dh).filter(|octets| octets.len() == 65);
        let key = key.and_then(|octets| PublicKey::from_sec1_bytes(&octets).ok());
        let auth = octets(&self.keys.auth).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
        Ok(Reader {
            key: key.ok_or_else(|| WrongRecipient::of("p256dh", "expected a point of P-256, base64url"))?,
            auth: auth.ok_or_else(|| WrongRecipient::of("auth", "expected 16 octets, base64url"))?,
        })
    }
}

impl Subscription {
    pub(super) fn shown(&self, id: &str, last: Outcome) -> ShownSubscription {
        let hash = HEXLOWER.encode(&Sha256::digest(self.browser.endpoint.as_bytes()));
        let service = Url::parse(&self.browser.endpoint).ok();
        let service = service.and_then(|url| url.host_str().map(str::to_owned));
        ShownSubscription {
            id: id.to_owned(),
            mark: hash.get(..32).unwrap_or_default().to_owned(),
            choice: self.choice.clone(),
            service: service.unwrap_or_default(),
            created: self.created,
            last,
        }
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn choice(&self) -> &Choice {
        &self.choice
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::new_key;
    use super::*;
    use proptest::prelude::*;

    fn browser(endpoint: &str) -> Browser {
        let point = new_key().unwrap().public_key().to_sec1_bytes();
        Browser {
            endpoint: endpoint.to_owned(),
            expiration: None,
            keys: Keys {
                p256dh: BASE64URL_NOPAD.encode(&point),
                auth: BASE64URL_NOPAD.encode(&[7; 16]),
            },
        }
    }

    #[test]
    fn an_address_is_encrypted_and_never_one_of_this_network() {
        for good in ["https://push.example/send/x", "https://push.example:8443/?a=b"] {
            assert!(browser(good).check(false).is_ok(), "{good}");
        }
        let long = format!("https://push.example/{}", "x".repeat(LONGEST));
        for bad in [
            "",
            "x",
            "http://push.example/x",
            "ftp://push.example/x",
            "https://",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://192.168.1.1/x",
            "https://localhost/x",
            "https://router/x",
            "https://u:p@push.example/x",
            "https://push.example/x#y",
            "file:///etc/passwd",
            &long,
        ] {
            let wrong = browser(bad).check(false).unwrap_err();
            assert_eq!(wrong.field, "endpoint", "{bad}");
        }
        assert!(
            browser("https://127.0.0.1/x").check(true).is_ok(),
            "where the configuration says so"
        );
        assert!(browser("http://127.0.0.1/x").check(true).is_err());
    }

    #[test]
    fn keys_are_a_point_of_the_curve_and_sixteen_octets() {
        let with = |change: &dyn Fn(&mut Keys)| {
            let mut browser = browser("https://push.example/x");
            change(&mut browser.keys);
            browser.check(false).map_err(|wrong| wrong.field)
        };
        assert_eq!(with(&|keys| keys.auth.push_str("==")), Ok(()), "filled up");
        assert_eq!(with(&|keys| keys.auth = "AAAA".to_owned()), Err("auth"));
        assert_eq!(with(&|keys| keys.auth.clear()), Err("auth"));
        assert_eq!(with(&|keys| keys.p256dh.clear()), Err("p256dh"));
        let off_curve = BASE64URL_NOPAD.encode(&[&[4][..], &[1; 64]].concat());
        assert_eq!(with(&|keys| keys.p256dh.clone_from(&off_curve)), Err("p256dh"));
        let infinity = BASE64URL_NOPAD.encode(&[0]);
        assert_eq!(with(&|keys| keys.p256dh.clone_from(&infinity)), Err("p256dh"));
    }

    #[test]
    fn neither_address_nor_keys_are_shown_or_logged() {
        let subscription = Subscription {
            user: "1".to_owned(),
            browser: browser("https://push.example/send/s3cret"),
            choice: Choice {
                name: "phone".to_owned(),
                language: Language::Sq,
                about: vec!["danger".to_owned()],
                digest_minutes: 60,
                detail: Detail::Nothing,
            },
            created: Timestamp::UNIX_EPOCH,
        };
        let shown = subscription.shown("1", Outcome::default());
        let text = format!("{} {subscription:?}", serde_json::to_string(&shown).unwrap());
        assert!(
            !text.contains("s3cret") && !text.contains(&subscription.browser.keys.auth),
            "{text}"
        );
        assert_eq!(shown.service, "push.example");
    }

    proptest! {
        #[test]
        fn whatever_a_browser_says_is_taken_or_refused(endpoint in ".{0,80}", p256dh in ".{0,100}", auth in ".{0,40}") {
            let browser = Browser { endpoint, expiration: None, keys: Keys { p256dh, auth } };
            prop_assert!(browser.check(false).is_err());
            prop_assert!(browser.check(true).is_err());
        }
    }
}
