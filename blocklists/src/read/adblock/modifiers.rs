//! The modifiers behind a rule's `$`.

use std::net::IpAddr;

use super::NoRule;
use crate::name::Name;
use crate::read::rdata;
use crate::rule::{Answer, LocalRecord, Types};

/// Modifiers that only a browser can act on: their rules say nothing about DNS.
const BROWSER_ONLY: &[&str] = &[
    "third-party",
    "3p",
    "first-party",
    "1p",
    "script",
    "image",
    "stylesheet",
    "css",
    "object",
    "xmlhttprequest",
    "xhr",
    "subdocument",
    "frame",
    "ping",
    "media",
    "font",
    "websocket",
    "webrtc",
    "other",
    "document",
    "doc",
    "popup",
    "popunder",
    "all",
    "domain",
    "from",
    "to",
    "match-case",
    "elemhide",
    "ehide",
    "generichide",
    "ghide",
    "genericblock",
    "specifichide",
    "shide",
    "content",
    "jsinject",
    "urlblock",
    "extension",
    "stealth",
    "csp",
    "redirect",
    "redirect-rule",
    "rewrite",
    "removeparam",
    "queryprune",
    "removeheader",
    "replace",
    "cookie",
    "network",
    "app",
    "header",
    "method",
    "permissions",
    "inline-script",
    "inline-font",
    "empty",
    "mp4",
    "cname",
    "strict1p",
    "strict3p",
    "hls",
    "jsonprune",
    "referrerpolicy",
    "urltransform",
    "uritransform",
    "reason",
];

/// What stands behind the `$`.
#[derive(Debug, Default)]
#[allow(clippy::option_option)] // no such modifier, one without an answer, one with
pub(super) struct Modifiers {
    pub(super) important: bool,
    pub(super) void: bool,
    pub(super) types: Option<Types>,
    pub(super) except: Vec<Name>,
    /// `$dnsrewrite`, with its answer if it has one.
    pub(super) rewrite: Option<Option<Answer>>,
}

impl Modifiers {
    pub(super) fn parse(text: &str, exception: bool) -> Result<Self, NoRule> {
        let mut modifiers = Self::default();
        for item in split_unescaped(text) {
            let (key, value) = match item.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (item.as_str(), None),
            };
            match (key.trim().to_ascii_lowercase().as_str(), value) {
                ("", _) => {}
                ("important", None) => modifiers.important = true,
                ("badfilter", None) => modifiers.void = true,
                ("denyallow", value) => modifiers.except = denyallow(value.unwrap_or_default())?,
                ("dnstype", value) => modifiers.types = Some(dnstype(value.unwrap_or_default())?),
                ("dnsrewrite", None | Some("")) if exception => modifiers.rewrite = Some(None),
                ("dnsrewrite", value) => {
                    modifiers.rewrite = Some(Some(dnsrewrite(value.unwrap_or_default())?));
                }
                (key @ ("client" | "ctag"), _) => {
                    return Err(
                        format!("unsupported modifier ${key}: the rule is for some clients only").into(),
                    );
                }
                (key, _) if BROWSER_ONLY.contains(&key.trim_start_matches('~')) => {
                    return Err(NoRule::NotDns);
                }
                (key, _) => return Err(format!("unknown modifier ${key}").into()),
            }
        }
        Ok(modifiers)
    }
}

/// Splits at commas that no backslash precedes.
fn split_unescaped(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ',' => items.push(String::new()),
            '\\' if characters.peek() == Some(&',') => {
                characters.next();
                if let Some(item) = items.last_mut() {
                    item.push(',');
                }
            }
            other => {
                if let Some(item) = items.last_mut() {
                    item.push(other);
                }
            }
        }
    }
    items
}

fn denyallow(value: &str) -> Result<Vec<Name>, String> {
    value
        .split('|')
        .map(|name| Name::parse(name).map_err(|error| format!("$denyallow={value}: {name:?}: {error}")))
        .collect()
}

/// Included and excluded types may be mixed; an excluded one is never meant.
fn dnstype(value: &str) -> Result<Types, String> {
    let (mut only, mut except) = (Vec::new(), Vec::new());
    for word in value.split('|') {
        let (list, word) = match word.strip_prefix('~') {
            Some(word) => (&mut except, word),
            None => (&mut only, word),
        };
        list.push(rdata::rtype(word).ok_or(format!("$dnstype={value}: unknown type {word:?}"))?);
    }
    only.retain(|rtype| !except.contains(rtype));
    Ok(if only.is_empty() {
        Types::Except(except)
    } else {
        Types::Only(only)
    })
}

/// `code`, `address`, `name` or `code;type;data`.
fn dnsrewrite(value: &str) -> Result<Answer, String> {
    let wrong = |what: String| format!("$dnsrewrite={value}: {what}");
    let Some((code, rest)) = value.split_once(';') else {
        return short(value).map_err(wrong);
    };
    let (kind, data) = rest
        .split_once(';')
        .ok_or_else(|| wrong("two semicolons are needed".to_owned()))?;
    match code.to_ascii_uppercase().as_str() {
        "NOERROR" => {}
        "NXDOMAIN" => return Ok(Answer::NxDomain),
        "REFUSED" => return Ok(Answer::Refused),
        "SERVFAIL" => return Ok(Answer::ServFail),
        _ => return Err(wrong(format!("unknown response code {code:?}"))),
    }
    if kind.is_empty() && data.is_empty() {
        return Ok(Answer::NoData);
    }
    let rtype = rdata::rtype(kind).ok_or_else(|| wrong(format!("unknown type {kind:?}")))?;
    if rtype == 5 {
        let target = Name::parse(data).map_err(|error| wrong(error.to_string()))?;
        return Ok(Answer::Alias { target, below: false });
    }
    let rdata = rdata::rdata(rtype, data).map_err(wrong)?;
    Ok(Answer::Records(vec![LocalRecord {
        rtype,
        ttl: None,
        rdata,
    }]))
}

fn short(value: &str) -> Result<Answer, String> {
    match value {
        "NOERROR" => return Ok(Answer::NoData),
        "NXDOMAIN" => return Ok(Answer::NxDomain),
        "REFUSED" => return Ok(Answer::Refused),
        "SERVFAIL" => return Ok(Answer::ServFail),
        _ => {}
    }
    if let Ok(address) = value.parse::<IpAddr>() {
        return Ok(Answer::Records(vec![LocalRecord::address(address)]));
    }
    if value.chars().all(|character| character.is_ascii_uppercase()) {
        return Err("unknown response code".to_owned());
    }
    let target = Name::parse(value).map_err(|error| error.to_string())?;
    Ok(Answer::Alias { target, below: false })
}
