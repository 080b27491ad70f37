//! hosts(5) files: an address, then names that it stands for.
//!
//! An unspecified or loopback address blocks the names. Any other address is local data for them, as in a hosts file
//! on a computer. The lines that every hosts file starts with (`127.0.0.1 localhost` and its kin) say nothing here.

use std::collections::HashMap;
use std::net::IpAddr;

use super::report::Sink;
use super::{LineReader, adblock, before_comment};
use crate::name::Name;
use crate::rule::{Answer, Effect, LocalRecord, Pattern, Rule};

/// Names that stand in a system's own hosts file.
const STANDARD: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "0.0.0.0",
    "255.255.255.255",
];

/// Names with an address of their own that one list may have; more than this is no hosts file of a network.
const MAX_LOCAL: usize = 100_000;

/// Reads such lists line by line.
pub(super) struct Hosts {
    subdomains: bool,
    /// Names with a real address, and where they were first seen: several lines give one answer.
    local: HashMap<Name, (u32, Vec<LocalRecord>)>,
}

impl Hosts {
    /// `subdomains`: whether a blocked name means all names below it too.
    pub(super) fn new(subdomains: bool) -> Self {
        Self {
            subdomains,
            local: HashMap::new(),
        }
    }
}

impl LineReader for Hosts {
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with('!') {
            return sink.comment();
        }
        if text.starts_with("||") || text.starts_with("@@") {
            return adblock::read_line(number, line, sink);
        }
        self.one(number, before_comment(text), sink);
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        let mut local: Vec<_> = std::mem::take(&mut self.local).into_iter().collect();
        local.sort_by_key(|(_, (line, _))| *line);
        for (name, (line, records)) in local {
            let effect = Effect::Block(Answer::Records(records));
            sink.rule(
                line,
                Rule {
                    effect,
                    ..Rule::block(Pattern::Exact(name))
                },
            );
        }
    }
}

impl Hosts {
    fn one(&mut self, number: u32, text: &str, sink: &mut Sink<'_>) {
        let subdomains = self.subdomains;
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        let Some(address) = address(first) else {
            // A bare name among addresses: written for a domain list, and meant as one.
            match (Name::parse(first), words.next()) {
                (Ok(name), None) => {
                    sink.rule(number, Rule::block(pattern(name, subdomains)));
                    sink.accepted();
                }
                (Err(error), None) => sink.reject(number, error.to_string(), text),
                (_, Some(_)) => sink.reject(number, format!("{first:?} is not an IP address"), text),
            }
            return;
        };
        let (mut named, mut standard, mut problem) = (false, true, None);
        for word in words {
            if STANDARD.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                continue;
            }
            standard = false;
            match Name::parse(word) {
                Ok(name) if blocks(address) => {
                    named = true;
                    sink.rule(number, Rule::block(pattern(name, subdomains)));
                }
                Ok(_) if self.local.len() >= MAX_LOCAL => {
                    problem = Some(format!("more than {MAX_LOCAL} names with addresses of their own"));
                }
                Ok(name) => {
                    named = true;
                    let record = LocalRecord::address(address.to_canonical());
                    let (_, records) = self.local.entry(name).or_insert_with(|| (number, Vec::new()));
                    if !records.contains(&record) {
                        records.push(record);
                    }
                }
                Err(error) => problem = Some(format!("{word:?}: {error}")),
            }
        }
        match problem {
            _ if named => sink.accepted(),
            Some(problem) => sink.reject(number, problem, text),
            None if standard && text.contains(char::is_whitespace) => sink.not_dns(),
            None => sink.reject(number, "an address without a name", text),
        }
    }
}

fn pattern(name: Name, subdomains: bool) -> Pattern {
    if subdomains {
        Pattern::Suffix(name)
    } else {
        Pattern::Exact(name)
    }
}

/// Whether the word is an address as hosts files have them.
pub(super) fn is_address(word: &str) -> bool {
    address(word).is_some()
}

fn address(word: &str) -> Option<IpAddr> {
    let word = word.split('%').next().unwrap_or_default(); // fe80::1%lo0
    match word {
        "0" => "0.0.0.0".parse().ok(),
        _ => word.parse().ok(),
    }
}

/// Unspecified and loopback addresses block; so do the broadcast and multicast ones, which no site has.
fn blocks(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast
}
