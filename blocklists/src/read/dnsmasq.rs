//! dnsmasq(8) configuration lines as lists use them: `address=/name/`, `local=/name/`, `server=/name/`.
//!
//! Each name is meant with all names below it. Without an address, or with an unspecified or loopback one, the names
//! are blocked; `address=/name/192.0.2.1` is local data. A `server=` line with a server of its own is forwarding,
//! which belongs into `[[upstream.zone]]`, and is refused.

use std::net::IpAddr;

use super::LineReader;
use super::report::Sink;
use crate::name::Name;
use crate::rule::{Answer, Effect, LocalRecord, Pattern, Rule};

/// Reads such lists line by line.
pub(super) struct Dnsmasq;

impl LineReader for Dnsmasq {
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with('!') {
            return sink.comment();
        }
        match rules(text) {
            Ok(rules) => {
                for rule in rules {
                    sink.rule(number, rule);
                }
                sink.accepted();
            }
            Err(reason) => sink.reject(number, reason, text),
        }
    }
}

fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("neither address=, local= nor server=")?;
    let key = key.trim();
    if !matches!(key, "address" | "local" | "server") {
        return Err(format!("{key}= is not a rule about names"));
    }
    let value = value.split(" #").next().unwrap_or_default().trim();
    let inner = value.strip_prefix('/').ok_or("no /name/ after the equals sign")?;
    let (names, target) = inner.rsplit_once('/').ok_or("no slash behind the name")?;
    let effect = match target.trim() {
        "" | "#" => Effect::Block(Answer::Configured),
        address => match address.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_loopback() => {
                Effect::Block(Answer::Configured)
            }
            Ok(address) if key == "address" => {
                Effect::Block(Answer::Records(vec![LocalRecord::address(address)]))
            }
            Ok(_) => {
                return Err("forwarding to a server is set in [[upstream.zone]], not in a list".to_owned());
            }
            Err(_) => return Err(format!("{address:?} is not an IP address")),
        },
    };
    let mut rules = Vec::new();
    for word in names.split('/') {
        let word = word
            .strip_prefix("*.")
            .or_else(|| word.strip_prefix('.'))
            .unwrap_or(word);
        let name = Name::parse(word).map_err(|error| format!("{word:?}: {error}"))?;
        rules.push(Rule {
            effect: effect.clone(),
            ..Rule::block(Pattern::Suffix(name))
        });
    }
    Ok(rules)
}
