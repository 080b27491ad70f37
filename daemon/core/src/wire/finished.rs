//! Finished answers: an upstream's message made ready to be sent to any client, again and again.
//!
//! Made once ([`Finished::from_upstream`]): the OPT record is taken out, the places of the TTLs are noted and the
//! time to live is worked out. Then copied per client ([`Finished::write`]): id, question, flags, TTLs and OPT are
//! patched into the copy; the sections pass through octet for octet, whatever their types (RFC 3597).

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::BinEncodable;
use isigurt_blocklists::name::Name;

use super::query::{Query, Record, read_record, skip_name};
use super::reply::{self, Ede};
use super::{HEADER, flag, put_u16, put_u32, rcode, rtype, u16_at, u32_at};

/// Bounds on times to live, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlBounds {
    /// A shorter TTL is raised to this.
    pub min: u32,
    /// A longer TTL is lowered to this.
    pub max: u32,
}

/// TTL of records in a stale answer, seconds (RFC 8767, section 4).
pub const STALE_TTL: u32 = 30;

/// An upstream's answer without its OPT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The message, then the places of its TTLs, two octets each: one allocation, so that a copy waits for memory once.
    octets: Box<[u8]>,
    wire_len: u32,
    question_len: u16,
    ttl: u32,
    rcode: u16,
    error: Option<Box<UpstreamError>>,
}

/// An extended error of an upstream (RFC 8914), handed on to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UpstreamError {
    code: u16,
    text: String,
}

impl UpstreamError {
    /// Characters of its text that are handed on.
    const TEXT: usize = 120;

    /// The first one among the options of an OPT record.
    fn read(mut options: &[u8]) -> Option<Box<Self>> {
        const EDE: u16 = 15;
        while !options.is_empty() {
            let (code, length) = (u16_at(options, 0)?, usize::from(u16_at(options, 2)?));
            let value = options.get(4..4 + length)?;
            if code == EDE {
                let text = value.get(2..)?.strip_suffix(&[0]).or(value.get(2..))?;
                let text = std::str::from_utf8(text).unwrap_or_default().chars();
                return Some(Box::new(Self {
                    code: u16_at(value, 0)?,
                    text: text.filter(|c| !c.is_control()).take(Self::TEXT).collect(),
                }));
            }
            options = options.get(4 + length..)?;
        }
        None
    }
}

/// The records of a message while they are read.
struct Sections {
    at: usize,
    ttl_at: Vec<u16>,
}

impl Sections {
    /// The next record with its bounded TTL, which is put into `wire` too.
    fn record(&mut self, message: &[u8], wire: &mut [u8], bounds: TtlBounds) -> Option<(Record, u32)> {
        let record = read_record(message, self.at)?;
        if record.rtype == rtype::OPT {
            return None; // only among the additional records (RFC 6891, section 6.1.1)
        }
        let ttl = bounds.clamp(record.ttl);
        put_u32(wire, record.ttl_at, ttl);
        self.ttl_at.push(u16::try_from(record.ttl_at).ok()?);
        self.at = record.end;
        Some((record, ttl))
    }
}

/// Why an upstream's message cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed answer from upstream")]
pub struct Malformed;

/// How old a copy is, which decides its TTLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// So many seconds since it came in.
    Fresh(u32),
    /// Past its time: every TTL is [`STALE_TTL`].
    Stale,
}

impl Finished {
    /// Takes over an upstream's message that answers a question of `question_len` octets.
    pub fn from_upstream(message: &[u8], question_len: usize, bounds: TtlBounds) -> Result<Self, Malformed> {
        Self::read(message, question_len, bounds).ok_or(Malformed)
    }

    fn read(message: &[u8], question_len: usize, bounds: TtlBounds) -> Option<Self> {
        let sections = skip_name(message, HEADER)? + 4;
        // Whole, too: behind a question that is cut no record needs to follow.
        if u16_at(message, 4)? != 1 || sections != HEADER + question_len || message.len() < sections {
            return None;
        }
        let mut wire = message.to_vec();
        // Every client gets its own letter case; kept is what the cache compares with.
        wire.get_mut(HEADER..sections - 4)?.make_ascii_lowercase(); // lengths are no letters
        let mut rcode = u16_at(message, 2)? & flag::RCODE;
        let mut read = Sections {
            at: sections,
            ttl_at: Vec::new(),
        };
        let mut answer_ttl: Option<u32> = None;
        for _ in 0..u16_at(message, 6)? {
            let (_, ttl) = read.record(message, &mut wire, bounds)?;
            answer_ttl = Some(answer_ttl.map_or(ttl, |least| least.min(ttl)));
        }
        let (answers_end, answer_ttls) = (read.at, read.ttl_at.len());
        let mut negative_ttl: Option<u32> = None;
        let mut referral = true;
        for _ in 0..u16_at(message, 8)? {
            let (record, ttl) = read.record(message, &mut wire, bounds)?;
            referral &= record.rtype == rtype::NS;
            if record.rtype == rtype::SOA {
                let minimum = u32_at(message, record.end.checked_sub(4)?)?;
                negative_ttl = Some(ttl.min(bounds.clamp(record.ttl.min(minimum))));
            }
        }
        let (authority_end, authority_ttls) = (read.at, read.ttl_at.len());
        let mut error = None;
        for _ in 0..u16_at(message, 10)? {
            let record = read_record(message, read.at)?;
            if record.rtype == rtype::OPT {
                rcode |= u16::from(record.ttl.to_be_bytes()[0]) << 4;
                error = UpstreamError::read(message.get(record.rdata..record.end)?);
            }
            read.at = record.end;
        }
        // Only what answers is kept: names of servers and additional records are nobody's question, and the classic place
        // to slip in what was not asked for (RFC 2181, section 5.4.1). Nothing points forwards, so the tail can go.
        let (end, ttls) = if referral {
            put_u16(&mut wire, 8, 0);
            (answers_end, answer_ttls)
        } else {
            (authority_end, authority_ttls)
        };
        put_u16(&mut wire, 10, 0);
        wire.truncate(end);
        read.ttl_at.truncate(ttls);
        let ttl = match rcode {
            rcode::NOERROR => answer_ttl.or(negative_ttl),
            rcode::NXDOMAIN => negative_ttl, // RFC 2308, section 5: without a SOA it is not cached
            _ => None,
        };
        let question_len = u16::try_from(question_len).ok()?;
        let wire_len = u32::try_from(wire.len()).ok()?;
        wire.extend(read.ttl_at.into_iter().flat_map(u16::to_ne_bytes));
        Some(Self {
            octets: wire.into(),
            wire_len,
            question_len,
            ttl: ttl.unwrap_or(0),
            rcode,
            error,
        })
    }

    /// What the upstream said beside its answer.
    pub fn error(&self) -> Option<Ede<'_>> {
        self.error.as_ref().map(|error| Ede {
            code: error.code,
            text: &error.text,
        })
    }

    /// Seconds that it may be kept; 0 = not at all.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The response code, extended bits included.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// The message as it came, without OPT.
    pub fn wire(&self) -> &[u8] {
        self.parts().0
    }

    /// The message, and the places of its TTLs.
    fn parts(&self) -> (&[u8], &[[u8; 2]]) {
        let (wire, places) = self
            .octets
            .split_at_checked(self.wire_len as usize)
            .unwrap_or_default();
        (wire, places.as_chunks().0)
    }

    /// The question: its name in lower case, type, class.
    pub fn question(&self) -> &[u8] {
        self.octets
            .get(HEADER..HEADER + usize::from(self.question_len))
            .unwrap_or_default()
    }

    /// Octets that it occupies in memory beside itself.
    pub fn tail(&self) -> usize {
        let error = self.error.as_ref();
        self.octets.len() + error.map_or(0, |error| error.text.len() + size_of::<UpstreamError>() + 32)
    }

    /// The answer section with every name uncompressed: owner, type, TTL, rdata. For answers that are put behind
    /// another record; rare, so by the library. `None` where it cannot be decoded.
    #[allow(clippy::type_complexity)] // four columns, read once
    pub fn answer_records(&self) -> Option<Vec<(Name, u16, u32, Vec<u8>)>> {
        let decoded = Message::from_vec(self.wire()).ok()?;
        let mut records = Vec::with_capacity(decoded.answers.len());
        for record in &decoded.answers {
            let owner = Name::from_wire(&record.name.to_bytes().ok()?).ok()?;
            records.push((
                owner,
                u16::from(record.record_type()),
                record.ttl,
                record.data.to_bytes().ok()?,
            ));
        }
        Some(records)
    }

    /// Writes the copy for one client. Without an `error` of the gateway's own the upstream's is handed on.
    pub fn write(&self, query: &Query<'_>, age: Age, error: Option<Ede<'_>>, out: &mut Vec<u8>) {
        out.clear();
        let error = error.or_else(|| self.error());
        if usize::from(self.question_len) != query.question.len() {
            // Another name's answer; the key makes this impossible, and an unfiltered answer must not come of it.
            return reply::empty(query, rcode::SERVFAIL, error, out);
        }
        let (wire, places) = self.parts();
        out.extend_from_slice(wire);
        put_u16(out, 0, query.id);
        let theirs = u16_at(wire, 2).unwrap_or(0);
        // AD only for those who can read it (RFC 6840, section 5.7).
        let asked_ad = query.dnssec_ok() || query.flags & flag::AD != 0;
        let ad = if asked_ad { theirs & flag::AD } else { 0 };
        let flags = flag::QR | flag::RA | ad | query.flags & (flag::RD | flag::CD) | self.rcode & flag::RCODE;
        put_u16(out, 2, flags);
        if let Some(place) = out.get_mut(HEADER..HEADER + query.question.len()) {
            place.copy_from_slice(query.question);
        }
        for at in places {
            let at = usize::from(u16::from_ne_bytes(*at));
            let ttl = match age {
                Age::Fresh(seconds) => u32_at(out, at).unwrap_or(0).saturating_sub(seconds),
                Age::Stale => STALE_TTL,
            };
            put_u32(out, at, ttl);
        }
        if let Some(edns) = query.edns {
            reply::opt(out, self.rcode, edns.dnssec_ok, error, query.options);
        }
    }
}

impl TtlBounds {
    /// A TTL with its top bit set counts as 0 (RFC 2181, section 8).
    fn clamp(self, ttl: u32) -> u32 {
        let ttl = if ttl > i32::MAX.cast_unsigned() { 0 } else { ttl };
        ttl.max(self.min).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: TtlBounds = TtlBounds { min: 0, max: 86_400 };
    const QUESTION: &[u8] = b"\x03wWw\x07example\x00\x00\x01\x00\x01";

    fn query(edns: bool) -> Vec<u8> {
        let mut bytes = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        bytes.extend(QUESTION);
        if edns {
            bytes[11] = 1;
            bytes.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
        }
        bytes
    }

    /// An upstream's answer with one A record of this TTL and an OPT record.
    fn upstream(ttl: u32) -> Vec<u8> {
        let mut bytes =
            b"\x00\x07\x81\x80\x00\x01\x00\x01\x00\x00\x00\x01\x03www\x07example\x00\x00\x01\x00\x01"
                .to_vec();
        bytes.extend(b"\xc0\x0c\x00\x01\x00\x01");
        bytes.extend(ttl.to_be_bytes());
        bytes.extend(b"\x00\x04\xc0\x00\x02\x35\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
        bytes
    }

    fn written(finished: &Finished, edns: bool, age: Age) -> Vec<u8> {
        let packet = query(edns);
        let mut out = Vec::new();
        finished.write(&Query::parse(&packet).unwrap(), age, None, &mut out);
        out
    }

    #[test]
    fn a_message_that_ends_within_its_question_is_no_answer() {
        let mut message = upstream(300);
        message.truncate(HEADER + QUESTION.len());
        message[7] = 0;
        message[11] = 0;
        assert!(Finished::from_upstream(&message, QUESTION.len(), BOUNDS).is_ok());
        for cut in 1..QUESTION.len() {
            let cut = &message[..message.len() - cut];
            let read = Finished::from_upstream(cut, QUESTION.len(), BOUNDS);
            assert!(read.is_err(), "{cut:?}");
        }
    }

    #[test]
    fn id_letter_case_and_ttl_are_the_clients() {
        let finished = Finished::from_upstream(&upstream(300), QUESTION.len(), BOUNDS).unwrap();
        let out = written(&finished, false, Age::Fresh(100));
        assert_eq!(&out[..2], b"\xab\xcd");
        assert_eq!(&out[12..12 + QUESTION.len()], QUESTION);
        let decoded = Message::from_vec(&out).unwrap();
        assert_eq!(decoded.answers[0].ttl, 200);
        assert!(decoded.edns.is_none(), "no OPT in, no OPT out");
        assert!(
            Message::from_vec(&written(&finished, true, Age::Fresh(0)))
                .unwrap()
                .edns
                .is_some()
        );
        assert_eq!(
            Message::from_vec(&written(&finished, true, Age::Stale))
                .unwrap()
                .answers[0]
                .ttl,
            STALE_TTL
        );
    }

    #[test]
    fn bounds_hold_and_a_negative_ttl_is_zero() {
        let bounds = TtlBounds { min: 60, max: 600 };
        for (sent, kept) in [(5, 60), (300, 300), (100_000, 600), (0x8000_0000, 60)] {
            let finished = Finished::from_upstream(&upstream(sent), QUESTION.len(), bounds).unwrap();
            assert_eq!(finished.ttl(), kept, "{sent}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_malformed() {
        assert_eq!(
            Finished::from_upstream(&upstream(1), QUESTION.len() + 1, BOUNDS),
            Err(Malformed)
        );
    }

    proptest! {
        #[test]
        fn any_octets_from_upstream_are_read_without_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..300), counts in any::<[u8; 3]>()
        ) {
            let mut bytes = b"\x00\x07\x81\x80\x00\x01".to_vec();
            for count in counts { bytes.extend([0, count % 4]); }
            bytes.extend(b"\x03www\x07example\x00\x00\x01\x00\x01");
            bytes.extend(tail);
            if let Ok(finished) = Finished::from_upstream(&bytes, QUESTION.len(), BOUNDS) {
                prop_assert!(written(&finished, true, Age::Fresh(1)).len() >= HEADER);
            }
        }
    }
}
