//! The view of a query: header, the one question, and the OPT record, checked and borrowed from the packet.
//!
//! Anything that is not a well-formed standard query ends here as a [`Fault`], which says whether it deserves an
//! answer at all and which. A fault's answer is never longer than its query.

use isigurt_blocklists::name::{MAX_LABEL, MAX_WIRE, NameRef};

use super::cookie::{self, Cookie};
use super::{HEADER, flag, rcode, rtype, u16_at};

/// What the client said in its OPT record (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP payload that the client takes, octets, as sent.
    pub payload: u16,
    /// DNSSEC OK (RFC 3225).
    pub dnssec_ok: bool,
    /// The COOKIE option (RFC 7873).
    pub cookie: Option<Cookie>,
    /// Asked how long a connection may stay idle (RFC 7828).
    pub keepalive: bool,
}

/// Options that the answer's OPT record carries beside an extended error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Client and server cookie.
    pub cookie: Option<[u8; cookie::WHOLE]>,
    /// How long a connection may stay idle, units of 100 ms.
    pub keepalive: Option<u16>,
}

/// A well-formed standard query with one question.
#[derive(Debug, Clone)]
pub struct Query<'p> {
    /// Message id, in the octets of the packet.
    pub id: u16,
    /// Header flags as sent.
    pub flags: u16,
    /// The question section as sent: name in its letter case, type, class.
    pub question: &'p [u8],
    /// Query type.
    pub qtype: u16,
    /// Query class.
    pub qclass: u16,
    /// What the OPT record says, if there is one.
    pub edns: Option<Edns>,
    /// What goes into the OPT record of the answer.
    pub options: Options,
    lower: [u8; MAX_WIRE],
    lower_len: u8,
}

/// Why a packet is not a query that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No answer: too short to be a message, or itself a response.
    Drop,
    /// Answered with a bare header and this response code.
    Header {
        /// Message id to echo.
        id: u16,
        /// Flags to echo in part.
        flags: u16,
        /// Response code.
        rcode: u16,
    },
    /// EDNS version other than 0: BADVERS with an OPT record (RFC 6891, section 6.1.3).
    BadVersion {
        /// Message id to echo.
        id: u16,
        /// Flags to echo in part.
        flags: u16,
    },
}

impl<'p> Query<'p> {
    /// Reads `packet`, which is one whole message.
    pub fn parse(packet: &'p [u8]) -> Result<Self, Fault> {
        let (Some(id), Some(flags)) = (u16_at(packet, 0), u16_at(packet, 2)) else {
            return Err(Fault::Drop);
        };
        if packet.len() < HEADER || flags & flag::QR != 0 {
            return Err(Fault::Drop);
        }
        let fault = |rcode| Fault::Header { id, flags, rcode };
        if flags & flag::OPCODE != 0 {
            return Err(fault(rcode::NOTIMP));
        }
        let counts = [4, 6, 8].map(|at| u16_at(packet, at).unwrap_or(u16::MAX));
        if counts != [1, 0, 0] {
            return Err(fault(rcode::FORMERR)); // one question, no records before the additional ones (RFC 9619)
        }
        let additional = u16_at(packet, 10).unwrap_or(u16::MAX);

        let mut lower = [0; MAX_WIRE];
        let name_len = read_name(packet, &mut lower).ok_or(fault(rcode::FORMERR))?;
        let after_name = HEADER + usize::from(name_len);
        let (Some(qtype), Some(qclass)) = (u16_at(packet, after_name), u16_at(packet, after_name + 2)) else {
            return Err(fault(rcode::FORMERR));
        };
        let question = packet.get(HEADER..after_name + 4).ok_or(fault(rcode::FORMERR))?;
        let edns = match read_additional(packet, after_name + 4, additional) {
            Ok(edns) => edns,
            Err(NoOpt::Version) => return Err(Fault::BadVersion { id, flags }),
            Err(NoOpt::Malformed) => return Err(fault(rcode::FORMERR)),
        };
        Ok(Self {
            id,
            flags,
            question,
            qtype,
            qclass,
            edns,
            options: Options::default(),
            lower,
            lower_len: name_len,
        })
    }

    /// The query name in lower case.
    pub fn qname(&self) -> NameRef<'_> {
        let wire = self.lower.get(..usize::from(self.lower_len)).unwrap_or(&[0]);
        NameRef::accepted_before(wire) // by `read_name`
    }

    /// Largest answer over UDP, octets: what the client takes, between 512 and `ceiling` (RFC 6891, 6.2.3).
    pub fn udp_limit(&self, ceiling: u16) -> usize {
        usize::from(
            self.edns
                .map_or(512, |edns| edns.payload.clamp(512, ceiling.max(512))),
        )
    }

    /// Whether the client wants DNSSEC records.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// Copies the question's name, lower-cased, and returns its octets. A compression pointer is refused: there is
/// nothing before the first name to point to.
fn read_name(packet: &[u8], lower: &mut [u8; MAX_WIRE]) -> Option<u8> {
    let from = packet.get(HEADER..)?;
    let mut at = 0;
    loop {
        let length = usize::from(*from.get(at)?);
        if length > MAX_LABEL {
            return None;
        }
        at += 1 + length;
        if length == 0 {
            break;
        }
    }
    let to = lower.get_mut(..at)?;
    to.copy_from_slice(from.get(..at)?);
    to.make_ascii_lowercase(); // a length is at most 63 and so no letter
    u8::try_from(at).ok()
}

enum NoOpt {
    Malformed,
    Version,
}

/// Walks the additional records of a query; only OPT means something (TSIG and others are not acted on).
fn read_additional(packet: &[u8], start: usize, count: u16) -> Result<Option<Edns>, NoOpt> {
    let mut at = start;
    let mut edns = None;
    for _ in 0..count {
        let record = read_record(packet, at).ok_or(NoOpt::Malformed)?;
        if record.rtype == rtype::OPT {
            let root_owner = packet.get(at) == Some(&0);
            let options = packet.get(record.rdata..record.end).ok_or(NoOpt::Malformed)?;
            let (Some((cookie, keepalive)), true, None) = (read_options(options), root_owner, edns) else {
                return Err(NoOpt::Malformed);
            };
            let version = record.ttl.to_be_bytes()[1];
            if version != 0 {
                return Err(NoOpt::Version);
            }
            edns = Some(Edns {
                payload: record.class,
                dnssec_ok: record.ttl & 0x8000 != 0,
                cookie,
                keepalive,
            });
        }
        at = record.end;
    }
    if at == packet.len() {
        Ok(edns)
    } else {
        Err(NoOpt::Malformed)
    }
}

/// The options that mean something: the first cookie, and whether a keepalive is asked for. `None` where codes and lengths
/// do not fill the rdata exactly (RFC 6891, section 6.1.2) or a cookie is of no length that it may have.
fn read_options(mut options: &[u8]) -> Option<(Option<Cookie>, bool)> {
    const COOKIE: u16 = 10;
    const KEEPALIVE: u16 = 11;
    let (mut cookie, mut keepalive) = (None, false);
    while !options.is_empty() {
        let (code, length) = (u16_at(options, 0)?, usize::from(u16_at(options, 2)?));
        let value = options.get(4..4 + length)?;
        match code {
            COOKIE if cookie.is_none() => cookie = Some(Cookie::read(value)?),
            KEEPALIVE => keepalive = true,
            _ => {}
        }
        options = options.get(4 + length..)?;
    }
    Some((cookie, keepalive))
}

/// Places of one record in a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Offset of the TTL field.
    pub(crate) ttl_at: usize,
    /// Offset of the rdata.
    pub(crate) rdata: usize,
    /// Offset behind the record.
    pub(crate) end: usize,
}

/// Reads the record at `at`; its name may be compressed and is not followed.
pub(crate) fn read_record(packet: &[u8], at: usize) -> Option<Record> {
    let fixed = skip_name(packet, at)?;
    let rdata = fixed + 10;
    let end = rdata + usize::from(u16_at(packet, fixed + 8)?);
    if end > packet.len() {
        return None;
    }
    Some(Record {
        rtype: u16_at(packet, fixed)?,
        class: u16_at(packet, fixed + 2)?,
        ttl: super::u32_at(packet, fixed + 4)?,
        ttl_at: fixed + 4,
        rdata,
        end,
    })
}

/// The offset behind the name at `at`: labels up to the root octet or a pointer (RFC 1035, section 4.1.4).
pub(crate) fn skip_name(packet: &[u8], at: usize) -> Option<usize> {
    let mut next = at;
    for _ in 0..=MAX_WIRE {
        let length = *packet.get(next)?;
        match length {
            0 => return Some(next + 1),
            0xc0.. => return packet.get(next + 1).map(|_| next + 2),
            1..=63 => next += 1 + usize::from(length),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A query for `www.Example. A IN` with this header and tail.
    fn packet(flags: u16, counts: [u16; 4], tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34];
        bytes.extend(flags.to_be_bytes());
        for count in counts {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend(b"\x03www\x07Example\x00\x00\x01\x00\x01");
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn the_question_keeps_its_letter_case_and_the_name_is_lower() {
        let bytes = packet(flag::RD, [1, 0, 0, 0], b"");
        let query = Query::parse(&bytes).unwrap();
        assert_eq!(query.qname().to_string(), "www.example");
        assert_eq!(&query.question[..13], b"\x03www\x07Example\x00");
        assert_eq!((query.qtype, query.qclass, query.edns), (1, 1, None));
        assert_eq!(query.udp_limit(1232), 512);
    }

    #[test]
    fn opt_gives_payload_and_do() {
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";
        let bytes = packet(flag::RD, [1, 0, 0, 1], opt);
        let query = Query::parse(&bytes).unwrap();
        assert_eq!(
            query.edns,
            Some(Edns {
                payload: 1232,
                dnssec_ok: true,
                cookie: None,
                keepalive: false
            })
        );
    }

    #[test]
    fn each_fault_has_its_answer() {
        let formerr = Err(Fault::Header {
            id: 0x1234,
            flags: flag::RD,
            rcode: rcode::FORMERR,
        });
        let parse = |bytes: &[u8]| Query::parse(bytes).map(|_| ());
        for counts in [
            [0, 0, 0, 0],
            [2, 0, 0, 0],
            [1, 1, 0, 0],
            [1, 0, 1, 0],
            [1, 0, 0, 1],
        ] {
            assert_eq!(parse(&packet(flag::RD, counts, b"")), formerr, "{counts:?}");
        }
        let two_opts =
            b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        assert_eq!(parse(&packet(flag::RD, [1, 0, 0, 2], two_opts)), formerr);
        let version_1 = b"\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00";
        assert_eq!(
            parse(&packet(flag::RD, [1, 0, 0, 1], version_1)),
            Err(Fault::BadVersion {
                id: 0x1234,
                flags: flag::RD
            })
        );
        assert_eq!(parse(&packet(flag::QR, [1, 0, 0, 0], b"")), Err(Fault::Drop));
        assert_eq!(parse(b"\x12\x34\x01"), Err(Fault::Drop));
        let notify = packet(4 << 11, [1, 0, 0, 0], b"");
        assert_eq!(
            parse(&notify),
            Err(Fault::Header {
                id: 0x1234,
                flags: 4 << 11,
                rcode: rcode::NOTIMP
            })
        );
        let mut pointer = packet(flag::RD, [1, 0, 0, 0], b"");
        pointer.splice(12.., *b"\xc0\x0c\x00\x01\x00\x01");
        assert_eq!(parse(&pointer), formerr);
    }

    #[test]
    fn a_packet_cut_anywhere_is_a_fault_and_never_a_panic() {
        let whole = packet(
            flag::RD,
            [1, 0, 0, 1],
            b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00",
        );
        for length in 0..whole.len() {
            assert!(Query::parse(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(query) = Query::parse(&bytes) {
                prop_assert_eq!(query.qname().wire().len() + 4, query.question.len());
            }
        }
    }
}
