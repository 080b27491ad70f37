//! Answers that the gateway makes itself: faults, blocked names, special-use names, local data.
//!
//! A reply is written front to back into a caller's buffer. The question is echoed octet for octet, letter case
//! included; records name their owner by a pointer to it. An OPT record goes out exactly where one came in.

use super::query::{Fault, Options, Query};
use super::{HEADER, flag, put_u16, rcode, rtype};

/// UDP payload that the gateway takes and sends at most, octets: fits every path (dnsflagday.net/2020).
pub const UDP_CEILING: u16 = 1232;

/// Extended DNS error (RFC 8914): info code and text for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ede<'t> {
    /// INFO-CODE.
    pub code: u16,
    /// EXTRA-TEXT, UTF-8.
    pub text: &'t str,
}

/// INFO-CODEs in use (RFC 8914, section 5.2).
pub mod ede {
    /// A stale answer.
    pub const STALE_ANSWER: u16 = 3;
    /// Blocked by the operator.
    pub const BLOCKED: u16 = 15;
    /// Blocked because the law or an authority wants it.
    pub const CENSORED: u16 = 16;
    /// Filtered at the wish of the client or its household.
    pub const FILTERED: u16 = 17;
    /// The client may not ask here.
    pub const PROHIBITED: u16 = 18;
    /// No upstream could be reached.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// The network failed on the way to the upstream.
    pub const NETWORK_ERROR: u16 = 23;
}

/// A reply under construction.
#[derive(Debug)]
pub struct Reply<'o> {
    out: &'o mut Vec<u8>,
    answers: u16,
    authorities: u16,
}

impl<'o> Reply<'o> {
    /// Starts a reply to `query`: header and question. RD and CD are copied, RA is set.
    pub fn to(query: &Query<'_>, rcode: u16, out: &'o mut Vec<u8>) -> Self {
        out.clear();
        let flags = flag::QR | query.flags & (flag::RD | flag::CD) | flag::RA | rcode & flag::RCODE;
        header(out, query.id, flags, 1);
        out.extend_from_slice(query.question);
        Self {
            out,
            answers: 0,
            authorities: 0,
        }
    }

    /// Adds a record of class IN to the answer section, owned by the query name.
    pub fn answer(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) {
        if record(self.out, &[0xc0, 0x0c], rtype, ttl, rdata) {
            self.answers += 1;
        }
    }

    /// Adds a record of class IN to the answer section with an owner of its own, in wire format.
    pub fn owned(&mut self, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) {
        if record(self.out, owner, rtype, ttl, rdata) {
            self.answers += 1;
        }
    }

    /// Adds the SOA record that makes a negative answer cacheable for `ttl` seconds (RFC 2308; names as in
    /// RFC 6303, section 3), owned by the query name.
    pub fn negative_soa(&mut self, ttl: u32) {
        const NAMES: &[u8] = b"\x09localhost\x00\x06nobody\x07invalid\x00";
        let mut rdata = [0; NAMES.len() + 20];
        let (names, numbers) = rdata.split_at_mut(NAMES.len());
        names.copy_from_slice(NAMES);
        for (place, number) in numbers
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip([1, 3600, 1200, 604_800, ttl])
        {
            *place = u32::to_be_bytes(number);
        }
        if record(self.out, &[0xc0, 0x0c], rtype::SOA, ttl, &rdata) {
            self.authorities += 1;
        }
    }

    /// Ends the reply. With an OPT record in the query comes one in the reply, with `error` in it.
    pub fn finish(self, query: &Query<'_>, rcode: u16, error: Option<Ede<'_>>) {
        put_u16(self.out, 6, self.answers);
        put_u16(self.out, 8, self.authorities);
        if let Some(edns) = query.edns {
            opt(self.out, rcode, edns.dnssec_ok, error, query.options);
        }
    }
}

/// An answer without records: response code, and the error where the client can read it.
pub fn empty(query: &Query<'_>, rcode: u16, error: Option<Ede<'_>>, out: &mut Vec<u8>) {
    Reply::to(query, rcode, out).finish(query, rcode, error);
}

/// The answer to a fault; `false` where there is none.
pub fn fault(fault: Fault, out: &mut Vec<u8>) -> bool {
    out.clear();
    match fault {
        Fault::Drop => false,
        Fault::Header { id, flags, rcode } => {
            header(
                out,
                id,
                flag::QR | flags & (flag::OPCODE | flag::RD) | rcode & flag::RCODE,
                0,
            );
            true
        }
        Fault::BadVersion { id, flags } => {
            header(out, id, flag::QR | flags & flag::RD, 0);
            opt(out, rcode::BADVERS, false, None, Options::default());
            true
        }
    }
}

/// Cuts a message down to its header and question, sets TC, and keeps an OPT record (RFC 2181, section 9).
pub fn truncate(query: &Query<'_>, out: &mut Vec<u8>) {
    let flags = super::u16_at(out, 2).unwrap_or(flag::QR);
    out.truncate(HEADER + query.question.len());
    put_u16(out, 2, flags | flag::TC);
    for at in [6, 8, 10] {
        put_u16(out, at, 0);
    }
    if let Some(edns) = query.edns {
        opt(out, flags & flag::RCODE, edns.dnssec_ok, None, query.options);
    }
}

fn header(out: &mut Vec<u8>, id: u16, flags: u16, questions: u16) {
    for number in [id, flags, questions, 0, 0, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Appends a record; `false`, and nothing appended, where the rdata cannot be expressed.
fn record(out: &mut Vec<u8>, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> bool {
    let Ok(length) = u16::try_from(rdata.len()) else {
        return false;
    };
    out.extend_from_slice(owner);
    out.extend_from_slice(&rtype.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(rdata);
    true
}

/// Appends an OPT record (RFC 6891) and counts it; `rcode`'s upper bits go into it.
pub(super) fn opt(out: &mut Vec<u8>, rcode: u16, dnssec_ok: bool, error: Option<Ede<'_>>, options: Options) {
    out.push(0);
    out.extend_from_slice(&rtype::OPT.to_be_bytes());
    out.extend_from_slice(&UDP_CEILING.to_be_bytes());
    let extended = u32::from(rcode >> 4) << 24 | if dnssec_ok { 0x8000 } else { 0 };
    out.extend_from_slice(&extended.to_be_bytes());
    let text = error.map_or(&[][..], |error| {
        let text = error.text.as_bytes();
        text.get(..text.len().min(200)).unwrap_or_default()
    });
    let octets = |length: usize| u16::try_from(length).unwrap_or(0).to_be_bytes();
    let length = error.map_or(0, |_| 6 + text.len())
        + options.cookie.map_or(0, |cookie| 4 + cookie.len())
        + options.keepalive.map_or(0, |_| 6);
    out.extend_from_slice(&octets(length));
    if let Some(error) = error {
        out.extend_from_slice(&15u16.to_be_bytes()); // option code of EDE
        out.extend_from_slice(&octets(2 + text.len()));
        out.extend_from_slice(&error.code.to_be_bytes());
        out.extend_from_slice(text);
    }
    if let Some(cookie) = options.cookie {
        out.extend_from_slice(&10u16.to_be_bytes()); // COOKIE (RFC 7873)
        out.extend_from_slice(&octets(cookie.len()));
        out.extend_from_slice(&cookie);
    }
    if let Some(keepalive) = options.keepalive {
        out.extend_from_slice(&11u16.to_be_bytes()); // edns-tcp-keepalive (RFC 7828)
        out.extend_from_slice(&octets(2));
        out.extend_from_slice(&keepalive.to_be_bytes());
    }
    let additional = super::u16_at(out, 10).unwrap_or(0);
    put_u16(out, 10, additional.saturating_add(1));
}
