//! Response policy zones in master file format (draft-vixie-dnsop-dns-rpz; RFC 1035, section 5).
//!
//! QNAME triggers with their wildcards are rules, and so are networks of addresses in answers (rpz-ip, see
//! [`crate::address`]); the other triggers (clients, name servers) are refused with their name. The zone's SOA tells its origin, which is taken off absolute owner names.

use std::collections::HashMap;

use super::report::Sink;
use super::{LineReader, rdata};
use crate::address;
use crate::name::Name;
use crate::rule::{Answer, Effect, LocalRecord, Pattern, Rule};

/// One record, possibly over several lines.
struct Entry {
    line: u32,
    text: String,
    /// The first line starts with white space: the owner is the last one.
    inherits: bool,
}

#[derive(Default)]
struct Zone {
    /// What relative owners are completed with, as written by `$ORIGIN`; the policy zone itself at first.
    origin: Option<String>,
    /// The policy zone's own name, from its SOA.
    apex: Option<String>,
    owner: String,
    ttl: Option<u32>,
    records: HashMap<String, (u32, Vec<LocalRecord>)>,
}

/// Reads such zones line by line.
#[derive(Default)]
pub(super) struct Rpz {
    zone: Zone,
    /// The record whose lines are being read.
    open: Option<Entry>,
    /// Parentheses that it still has open.
    depth: u32,
}

/// Longest record, octets; a parenthesis that is never closed must not swallow a list.
const MAX_RECORD: usize = 64 << 10;
/// Owner names with local data that one list may have.
const MAX_LOCAL: usize = 100_000;

impl LineReader for Rpz {
    /// Joins lines inside parentheses and takes comments out, quotes respected.
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        let (text, delta) = without_comment(line);
        let inside = self.depth > 0;
        self.depth = self.depth.saturating_add_signed(delta);
        if inside && let Some(entry) = &mut self.open {
            if entry.text.len() + text.len() > MAX_RECORD {
                self.depth = 0;
            } else {
                entry.text.push(' ');
                entry.text.push_str(&text);
            }
            sink.comment(); // a record over several lines is counted once
        } else if text.trim().is_empty() {
            sink.comment();
        } else {
            let inherits = text.starts_with([' ', '\t']);
            self.open = Some(Entry {
                line: number,
                text,
                inherits,
            });
        }
        if self.depth == 0 {
            self.record(sink);
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        self.record(sink);
        let mut records: Vec<_> = std::mem::take(&mut self.zone.records).into_iter().collect();
        records.sort_by_key(|(_, (line, _))| *line);
        for (owner, (line, records)) in records {
            for pattern in patterns(&owner).unwrap_or_default() {
                sink.rule(
                    line,
                    Rule {
                        effect: Effect::Block(Answer::Records(records.clone())),
                        ..Rule::block(pattern)
                    },
                );
            }
        }
    }
}

impl Rpz {
    /// Reads the record that is complete now.
    fn record(&mut self, sink: &mut Sink<'_>) {
        let Some(entry) = self.open.take() else { return };
        match self.zone.entry(&entry) {
            Ok(Line::Header) => sink.comment(),
            Ok(Line::Rules(rules)) => {
                for rule in rules {
                    sink.rule(entry.line, rule);
                }
                sink.accepted();
            }
            Ok(Line::Data) => sink.accepted(),
            Err(reason) => sink.reject(entry.line, reason, &entry.text),
        }
    }
}

enum Line {
    /// A directive, or a record of the zone itself.
    Header,
    Rules(Vec<Rule>),
    /// Local data, collected by owner.
    Data,
}

impl Zone {
    fn entry(&mut self, entry: &Entry) -> Result<Line, String> {
        let words: Vec<&str> = entry.text.split_whitespace().collect();
        match words.as_slice() {
            ["$TTL", ttl] => {
                self.ttl = Some(seconds(ttl).ok_or(format!("{ttl:?} is not a time to live"))?);
                return Ok(Line::Header);
            }
            ["$ORIGIN", origin] => {
                let origin = origin.trim_end_matches('.').to_ascii_lowercase();
                self.apex.get_or_insert_with(|| origin.clone());
                self.origin = Some(origin);
                return Ok(Line::Header);
            }
            [directive, ..] if directive.starts_with('$') => {
                return Err(format!("directive {directive} is not supported"));
            }
            _ => {}
        }
        let (owner, mut rest) = match words.split_first() {
            Some((owner, rest)) if !entry.inherits => ((*owner).to_ascii_lowercase(), rest),
            _ => (self.owner.clone(), words.as_slice()),
        };
        self.owner.clone_from(&owner);
        let mut ttl = self.ttl;
        while let Some((word, after)) = rest.split_first() {
            if let Some(number) = seconds(word) {
                ttl = Some(number);
            } else if !["IN", "CH", "HS"]
                .iter()
                .any(|class| word.eq_ignore_ascii_case(class))
            {
                break;
            }
            rest = after;
        }
        let (kind, data) = rest.split_first().ok_or("no record type")?;
        let rtype = rdata::rtype(kind).ok_or(format!("unknown record type {kind:?}"))?;
        let trigger = self.trigger(&owner, rtype);
        // Behind the type stands the data, spaces inside quotes kept.
        let data_text = data.first().and_then(|first| {
            let from = first.as_ptr() as usize - entry.text.as_ptr() as usize;
            entry.text.get(from..)
        });
        let Some(trigger) = trigger else {
            return Ok(Line::Header);
        };
        refuse_other_triggers(&trigger)?;
        self.rule(trigger, rtype, ttl, data_text.unwrap_or_default(), entry.line)
    }

    /// The owner relative to the policy zone; `None` for the zone's own records.
    fn trigger(&mut self, owner: &str, rtype: u16) -> Option<String> {
        let absolute = owner.strip_suffix('.');
        if rtype == 6 {
            if let Some(absolute) = absolute {
                self.apex = Some(absolute.to_owned());
                self.origin.get_or_insert_with(|| absolute.to_owned());
            }
            return None;
        }
        let apex = self.apex.as_deref().unwrap_or_default();
        let full = match (absolute, owner, self.origin.as_deref()) {
            (Some(absolute), ..) => absolute.to_owned(),
            (None, "@", origin) => origin.unwrap_or_default().to_owned(),
            (None, relative, Some(origin)) if !origin.is_empty() => format!("{relative}.{origin}"),
            (None, relative, _) => relative.to_owned(),
        };
        if full == apex || full.is_empty() {
            return None;
        }
        Some(
            match full.strip_suffix(apex).and_then(|front| front.strip_suffix('.')) {
                Some(front) if !apex.is_empty() => front.to_owned(),
                _ => full,
            },
        )
    }

    fn rule(
        &mut self,
        owner: String,
        rtype: u16,
        ttl: Option<u32>,
        data: &str,
        line: u32,
    ) -> Result<Line, String> {
        let patterns = patterns(&owner)?;
        if rtype == 5 {
            let target = data.trim().to_ascii_lowercase();
            let effect = action(&owner, &target)?;
            let rule = |pattern| Rule {
                effect: effect.clone(),
                ..Rule::block(pattern)
            };
            return Ok(Line::Rules(patterns.into_iter().map(rule).collect()));
        }
        if matches!(rtype, 2 | 39 | 43 | 46 | 47 | 48 | 50) {
            return Err("a record of this type is no local data in a policy zone".to_owned());
        }
        let record = LocalRecord {
            rtype,
            ttl,
            rdata: rdata::rdata(rtype, data)?,
        };
        if self.records.len() >= MAX_LOCAL && !self.records.contains_key(&owner) {
            return Err(format!("more than {MAX_LOCAL} names with data of their own"));
        }
        let (_, records) = self.records.entry(owner).or_insert_with(|| (line, Vec::new()));
        if !records.contains(&record) {
            records.push(record);
        }
        Ok(Line::Data)
    }
}

/// What a CNAME asks for.
fn action(owner: &str, target: &str) -> Result<Effect, String> {
    let name = |text: &str| Name::parse(text).map_err(|error| format!("{text:?}: {error}"));
    Ok(match target {
        "." => Effect::Block(Answer::NxDomain),
        "*." => Effect::Block(Answer::NoData),
        "rpz-passthru." | "rpz-passthru" => Effect::Allow,
        "rpz-drop." | "rpz-drop" => Effect::Block(Answer::Drop),
        "rpz-tcp-only." | "rpz-tcp-only" => Effect::Block(Answer::TcpOnly),
        // The form from before rpz-passthru: an alias to itself.
        _ if target.trim_end_matches('.') == owner => Effect::Allow,
        _ => match target.strip_prefix("*.") {
            Some(below) => Effect::Block(Answer::Alias {
                target: name(below)?,
                below: true,
            }),
            None => Effect::Block(Answer::Alias {
                target: name(target)?,
                below: false,
            }),
        },
    })
}

fn pattern(owner: &str) -> Result<Pattern, String> {
    let result = match owner.strip_prefix("*.") {
        Some(name) => Name::parse(name).map(Pattern::Below),
        None => Name::parse(owner).map(Pattern::Exact),
    };
    result.map_err(|error| format!("{owner:?}: {error}"))
}

/// What an owner speaks of: a name, or a network.
fn patterns(owner: &str) -> Result<Vec<Pattern>, String> {
    let Some(network) = owner.strip_suffix(".rpz-ip") else {
        return pattern(owner).map(|pattern| vec![pattern]);
    };
    let wrong =
        || format!("{owner:?}: expected a prefix length and an address from its end, as 24.0.2.0.192.rpz-ip");
    let (prefix, reversed) = network.split_once('.').ok_or_else(wrong)?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    let parts: Vec<&str> = reversed.split('.').rev().collect();
    let v4: Option<std::net::Ipv4Addr> = parts.join(".").parse().ok();
    let address = match v4 {
        Some(address) => address.into(),
        None => v6(&parts).ok_or_else(wrong)?.into(),
    };
    let names = address::network(address, prefix).ok_or_else(wrong)?;
    Ok(names.into_iter().map(Pattern::Suffix).collect())
}

/// An IPv6 address from its groups, `zz` standing for the longest run of zeros.
fn v6(groups: &[&str]) -> Option<std::net::Ipv6Addr> {
    let text = groups.join(":");
    let text = match (text.strip_prefix("zz"), text.strip_suffix("zz")) {
        _ if text == "zz" => "::".to_owned(),
        (Some(rest), _) => format!(":{rest}"),
        (_, Some(front)) => format!("{front}:"),
        _ => text.replace(":zz:", "::"),
    };
    text.parse().ok()
}

fn refuse_other_triggers(owner: &str) -> Result<(), String> {
    let last = owner.rsplit('.').next().unwrap_or_default();
    match last {
        "rpz-client-ip" => Err("trigger rpz-client-ip (the client's address) is not supported".to_owned()),
        "rpz-nsdname" | "rpz-nsip" => Err(format!("trigger {last} (name servers) is not supported")),
        _ => Ok(()),
    }
}

/// A TTL: seconds, or numbers with units (`1h30m`).
fn seconds(word: &str) -> Option<u32> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mut total, mut number) = (0_u32, 0_u32);
    let mut open = false;
    for character in word.chars() {
        if let Some(digit) = character.to_digit(10) {
            number = number.checked_mul(10)?.checked_add(digit)?;
            open = true;
        } else {
            let unit = match character.to_ascii_lowercase() {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return None,
            };
            total = total.checked_add(number.checked_mul(unit)?)?;
            (number, open) = (0, false);
        }
    }
    if open {
        total.checked_add(number)
    } else {
        Some(total)
    }
}

/// The line without its comment and parentheses, and how many more of them open than close.
fn without_comment(line: &str) -> (String, i32) {
    let (mut text, mut delta, mut quoted, mut escaped) = (String::with_capacity(line.len()), 0, false, false);
    for character in line.chars() {
        match character {
            _ if escaped => {}
            '"' => quoted = !quoted,
            ';' if !quoted => break,
            '(' if !quoted => {
                delta += 1;
                text.push(' ');
                continue;
            }
            ')' if !quoted => {
                delta -= 1;
                text.push(' ');
                continue;
            }
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        text.push(character);
    }
    (text, delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{Format, read as read_list};

    const ZONE: &str = "$TTL 1h\n@ SOA localhost. root.localhost. (\n 1 3600 600 ; serial and so on\n 86400 60 )\n\
        @ NS localhost.\nnx.example CNAME .\n*.nx.example CNAME .\nnd.example 60 IN CNAME *.\npass.example CNAME rpz-passthru.\n\
        old.example CNAME old.example.\ndrop.example CNAME rpz-drop.\ntcp.example CNAME rpz-tcp-only.\n\
        data.example A 192.0.2.1\n TXT \"two words\"\nalias.example CNAME walled.example.\n*.w.example CNAME *.garden.example.\n\
        32.1.2.0.192.rpz-ip CNAME .\nns.example.rpz-nsdname CNAME .\nbad..example CNAME .\n";

    #[test]
    fn each_action_is_read_and_each_line_counted() {
        let list = read_list(ZONE.as_bytes(), Format::Auto, None).unwrap();
        assert_eq!(list.format, Format::Rpz);
        let effect = |owner: &str| {
            let wanted = pattern(owner).unwrap();
            list.rules
                .iter()
                .find(|located| located.rule.pattern == wanted)
                .map(|located| located.rule.effect.clone())
        };
        assert_eq!(effect("nx.example"), Some(Effect::Block(Answer::NxDomain)));
        assert_eq!(effect("*.nx.example"), Some(Effect::Block(Answer::NxDomain)));
        assert_eq!(effect("nd.example"), Some(Effect::Block(Answer::NoData)));
        assert_eq!(effect("pass.example"), Some(Effect::Allow));
        assert_eq!(effect("old.example"), Some(Effect::Allow));
        assert_eq!(effect("drop.example"), Some(Effect::Block(Answer::Drop)));
        assert_eq!(effect("tcp.example"), Some(Effect::Block(Answer::TcpOnly)));
        assert!(
            matches!(effect("data.example"), Some(Effect::Block(Answer::Records(r))) if r.len() == 2 && r[1].rdata == b"\x09two words")
        );
        assert!(matches!(
            effect("*.w.example"),
            Some(Effect::Block(Answer::Alias { below: true, .. }))
        ));
        let report = &list.report;
        assert_eq!(report.rejected.len(), 2, "{report:#?}");
        let counted = report.comments + report.with_rules + report.not_dns + report.rejected.len() as u64;
        assert_eq!(counted, report.lines);
    }

    #[test]
    fn networks_are_rules_for_addresses() {
        let shown = |owner: &str| -> Vec<String> {
            let patterns = patterns(owner).unwrap();
            let names = patterns.iter().map(|pattern| match pattern {
                Pattern::Suffix(name) => address::shown(name.as_ref()).unwrap(),
                other => panic!("{other:?}"),
            });
            names.collect()
        };
        assert_eq!(shown("32.1.2.0.192.rpz-ip"), ["192.0.2.1/32"]);
        assert_eq!(shown("24.0.2.0.192.rpz-ip"), ["192.0.2.0/24"]);
        assert_eq!(shown("7.0.0.0.10.rpz-ip"), ["10.0.0.0/8", "11.0.0.0/8"]);
        assert_eq!(shown("48.zz.5.db8.2001.rpz-ip"), ["2001:db8:5::/48"]);
        assert_eq!(shown("128.1.zz.db8.2001.rpz-ip"), ["2001:db8::1/128"]);
        assert_eq!(shown("128.1.zz.rpz-ip"), ["::1/128"]);
        for wrong in [
            "33.1.2.0.192.rpz-ip",
            "32.1.2.0.rpz-ip",
            "x.1.2.0.192.rpz-ip",
            "32.rpz-ip",
            "128.zz.1.zz.rpz-ip",
        ] {
            assert!(patterns(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn absolute_owners_lose_the_zones_own_name() {
        let text = "rpz.local. 60 IN SOA a. b. 1 2 3 4 5\nbad.example.rpz.local. 60 IN CNAME .\n";
        let list = read_list(text.as_bytes(), Format::Rpz, None).unwrap();
        assert_eq!(list.rules[0].rule.pattern, pattern("bad.example").unwrap());
    }

    #[test]
    fn units_of_time_add_up() {
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("86400"), Some(86_400));
        assert_eq!(seconds("1x"), None);
        assert_eq!(seconds("99999999999"), None);
    }
}
