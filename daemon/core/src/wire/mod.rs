//! DNS messages as octets: the view of a query, the builder of an answer, and the patching of a finished one.
//!
//! Everything here reads bytes from outside: no index, no unwrap, every bound checked.

pub mod cookie;
pub mod finished;
pub mod query;
pub mod reply;
pub mod targets;

/// Record types that the line itself must know (IANA "DNS Parameters", resource record types).
pub mod rtype {
    /// A host address (RFC 1035).
    pub const A: u16 = 1;
    /// A name server (RFC 1035).
    pub const NS: u16 = 2;
    /// An alias (RFC 1035).
    pub const CNAME: u16 = 5;
    /// Start of authority (RFC 1035).
    pub const SOA: u16 = 6;
    /// A pointer to a name (RFC 1035).
    pub const PTR: u16 = 12;
    /// Host information; carries the minimal answer to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// An IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// Redirection of a subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// A signature (RFC 4034).
    pub const RRSIG: u16 = 46;
    /// Service binding (RFC 9460).
    pub const SVCB: u16 = 64;
    /// Service binding for HTTPS (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// Incremental zone transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// Zone transfer (RFC 5936).
    pub const AXFR: u16 = 252;
    /// Any type (RFC 8482).
    pub const ANY: u16 = 255;
}

/// Response codes (RFC 1035, section 4.1.1; RFC 6891, section 9).
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The query cannot be interpreted.
    pub const FORMERR: u16 = 1;
    /// The server could not answer.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// The kind of query is not supported.
    pub const NOTIMP: u16 = 4;
    /// Refused by policy.
    pub const REFUSED: u16 = 5;
    /// The EDNS version is not supported.
    pub const BADVERS: u16 = 16;
}

/// Header flag bits (RFC 1035, section 4.1.1; RFC 4035).
pub mod flag {
    /// This is a response.
    pub const QR: u16 = 0x8000;
    /// The opcode's four bits.
    pub const OPCODE: u16 = 0x7800;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Authentic data.
    pub const AD: u16 = 0x0020;
    /// Checking disabled.
    pub const CD: u16 = 0x0010;
    /// The response code's four bits.
    pub const RCODE: u16 = 0x000f;
}

/// Octets of a message header.
pub const HEADER: usize = 12;

/// Reads a big-endian 16-bit number.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk::<2>()
        .map(|octets| u16::from_be_bytes(*octets))
}

/// Reads a big-endian 32-bit number.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk::<4>()
        .map(|octets| u32::from_be_bytes(*octets))
}

/// Writes a big-endian 16-bit number over what stands there; nothing happens past the end.
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *place = value.to_be_bytes();
    }
}

/// Writes a big-endian 32-bit number over what stands there; nothing happens past the end.
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = value.to_be_bytes();
    }
}
