//! Record types and RDATA from text (RFC 1035 section 5, RFC 3597, RFC 9460) to uncompressed wire format.
//!
//! Names in RDATA are absolute whether or not they end in a dot: lists have no origin to lean on.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use crate::name::Name;

/// A record type from its mnemonic or `TYPEnnn` (RFC 3597, section 5), any letter case.
pub fn rtype(text: &str) -> Option<u16> {
    let upper = text.to_ascii_uppercase();
    if let Some(number) = upper.strip_prefix("TYPE") {
        return number.parse().ok();
    }
    match upper.as_str() {
        "DNAME" => Some(39),
        "LOC" => Some(29),
        "SPF" => Some(99),
        _ => RecordType::from_str(&upper).ok().map(u16::from),
    }
}

/// The mnemonic of a record type, `TYPEnnn` where it has none (RFC 3597, section 5).
pub fn rtype_name(rtype: u16) -> String {
    match rtype {
        39 => "DNAME".to_owned(),
        29 => "LOC".to_owned(),
        99 => "SPF".to_owned(),
        _ => match RecordType::from(rtype) {
            RecordType::Unknown(number) => format!("TYPE{number}"),
            known => known.to_string(),
        },
    }
}

/// RDATA of type `rtype` from text, wire format, at most 65,535 octets. The error is for a person.
pub fn rdata(rtype: u16, text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.first() == Some(&"\\#") {
        return generic(words.get(1..).unwrap_or_default());
    }
    let wire = match (rtype, words.as_slice()) {
        (1, [address]) => {
            let address: Ipv4Addr = address
                .parse()
                .map_err(|_| format!("{address:?} is not an IPv4 address"))?;
            address.octets().to_vec()
        }
        (28, [address]) => {
            let address: Ipv6Addr = address
                .parse()
                .map_err(|_| format!("{address:?} is not an IPv6 address"))?;
            address.octets().to_vec()
        }
        (2 | 5 | 12 | 39, [target]) => name(target)?,
        (15, [preference, exchange]) => [number(preference)?.to_vec(), name(exchange)?].concat(),
        (16, _) if !text.is_empty() => character_strings(text)?,
        (33, [priority, weight, port, target]) => [
            number(priority)?.to_vec(),
            number(weight)?.to_vec(),
            number(port)?.to_vec(),
            name(target)?,
        ]
        .concat(),
        (64 | 65, [priority, target, parameters @ ..]) => [
            number(priority)?.to_vec(),
            name(target)?,
            service_parameters(parameters)?,
        ]
        .concat(),
        (1 | 2 | 5 | 12 | 15 | 16 | 28 | 33 | 39 | 64 | 65, _) => {
            return Err(format!(
                "{text:?} is not data of a record of type {}",
                RecordType::from(rtype)
            ));
        }
        _ => {
            let data =
                RData::try_from_str(RecordType::from(rtype), text).map_err(|error| error.to_string())?;
            data.to_bytes().map_err(|error| error.to_string())?
        }
    };
    if wire.len() > usize::from(u16::MAX) {
        Err("more than 65,535 octets of data".to_owned())
    } else {
        Ok(wire)
    }
}

fn number(word: &str) -> Result<[u8; 2], String> {
    word.parse::<u16>()
        .map(u16::to_be_bytes)
        .map_err(|_| format!("{word:?} is not a number from 0 to 65535"))
}

fn name(word: &str) -> Result<Vec<u8>, String> {
    Name::parse(word)
        .map(|name| name.as_ref().wire().to_vec())
        .map_err(|error| format!("{word:?}: {error}"))
}

/// `\# length hex…` (RFC 3597, section 5).
fn generic(words: &[&str]) -> Result<Vec<u8>, String> {
    let (length, hex) = words.split_first().ok_or("no length after \\#")?;
    let length: usize = length.parse().map_err(|_| "no length after \\#".to_owned())?;
    let hex: Vec<u8> = hex.concat().into_bytes();
    let mut octets = Vec::with_capacity(hex.len() / 2);
    for pair in hex.chunks(2) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        octets.push(u8::from_str_radix(text, 16).map_err(|_| format!("{text:?} is not hexadecimal"))?);
    }
    if !hex.len().is_multiple_of(2) || octets.len() != length {
        return Err(format!(
            "{} octets of data where {length} are announced",
            octets.len()
        ));
    }
    Ok(octets)
}

/// Character strings: quoted or bare words, each cut into pieces of 255 octets.
fn character_strings(text: &str) -> Result<Vec<u8>, String> {
    let mut strings: Vec<Vec<u8>> = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => {
                let next = octets.next().ok_or("a backslash at the end")?;
                current.get_or_insert_default().push(next);
            }
            b'"' => {
                if quoted {
                    strings.push(current.take().unwrap_or_default());
                } else if let Some(done) = current.replace(Vec::new()) {
                    strings.push(done);
                }
                quoted = !quoted;
            }
            b' ' | b'\t' if !quoted => strings.extend(current.take()),
            _ => current.get_or_insert_default().push(octet),
        }
    }
    if quoted {
        return Err("a quote that is not closed".to_owned());
    }
    strings.extend(current);
    let mut wire = Vec::new();
    for string in strings {
        if string.is_empty() {
            wire.push(0);
        }
        for piece in string.chunks(255) {
            wire.push(u8::try_from(piece.len()).unwrap_or(u8::MAX));
            wire.extend_from_slice(piece);
        }
    }
    Ok(wire)
}

/// SvcParams in ascending order of keys (RFC 9460, sections 2.2 and 7; dohpath: RFC 9461).
fn service_parameters(words: &[&str]) -> Result<Vec<u8>, String> {
    let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.trim_matches('"');
        let (key, value) = match key {
            "alpn" => {
                let mut wire = Vec::new();
                for id in value.split(',') {
                    wire.push(u8::try_from(id.len()).map_err(|_| "alpn longer than 255 octets".to_owned())?);
                    wire.extend_from_slice(id.as_bytes());
                }
                (1, wire)
            }
            "no-default-alpn" => (2, Vec::new()),
            "port" => (3, number(value)?.to_vec()),
            "ipv4hint" => (
                4,
                addresses(value, |address| {
                    address.parse::<Ipv4Addr>().map(|a| a.octets().to_vec())
                })?,
            ),
            "ipv6hint" => (
                6,
                addresses(value, |address| {
                    address.parse::<Ipv6Addr>().map(|a| a.octets().to_vec())
                })?,
            ),
            "dohpath" => (7, value.as_bytes().to_vec()),
            _ => {
                let number = key.strip_prefix("key").and_then(|number| number.parse().ok());
                (
                    number.ok_or(format!("unknown service parameter {key:?}"))?,
                    value.as_bytes().to_vec(),
                )
            }
        };
        if parameters.iter().any(|(held, _)| *held == key) {
            return Err(format!("service parameter {word:?} stands twice"));
        }
        parameters.push((key, value));
    }
    parameters.sort();
    let mut wire = Vec::new();
    for (key, value) in parameters {
        wire.extend_from_slice(&key.to_be_bytes());
        wire.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        wire.extend_from_slice(&value);
    }
    Ok(wire)
}

fn addresses<E>(value: &str, parse: impl Fn(&str) -> Result<Vec<u8>, E>) -> Result<Vec<u8>, String> {
    let parsed: Result<Vec<_>, _> = value.split(',').map(parse).collect();
    parsed
        .map(|octets| octets.concat())
        .map_err(|_| format!("{value:?} is not a list of IP addresses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_library_reads() {
        for (kind, text) in [
            ("A", "192.0.2.1"),
            ("AAAA", "2001:db8::1"),
            ("CNAME", "a.example."),
            ("PTR", "a.example"),
            ("MX", "10 mx.example"),
            ("TXT", "\"one two\" three"),
            ("SRV", "10 60 8080 srv.example"),
            ("HTTPS", "1 svc.example port=8443 alpn=h3,h2 ipv4hint=192.0.2.1"),
            ("SVCB", "32 svc.example alpn=h3 dohpath=/dns-query{?dns}"),
            ("CAA", "0 issue \"ca.example\""),
            ("TYPE65280", "\\# 3 010203"),
        ] {
            let number = rtype(kind).unwrap();
            let wire = rdata(number, text).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let mut message = b"\0\0\x80\0\0\0\0\x01\0\0\0\0\0".to_vec();
            message.extend(number.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 9]);
            message.extend(u16::try_from(wire.len()).unwrap().to_be_bytes());
            message.extend(&wire);
            let read = hickory_proto::op::Message::from_vec(&message)
                .unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(u16::from(read.answers[0].record_type()), number, "{kind}");
        }
    }

    #[test]
    fn what_is_no_data_of_its_type_is_refused() {
        for (kind, text) in [
            ("A", "2001:db8::1"),
            ("AAAA", "192.0.2.1"),
            ("MX", "badstuff"),
            ("SRV", "1 2 x.example"),
            ("CNAME", "a..example"),
            ("TXT", "\"open"),
            ("TYPE9", "\\# 2 01"),
            ("HTTPS", "1 a.example what=3"),
        ] {
            assert!(rdata(rtype(kind).unwrap(), text).is_err(), "{kind} {text}");
        }
        assert_eq!(rtype("BOGUS"), None);
    }
}
