//! What one line of a list says, whatever format it was written in.
//!
//! Readers turn lines into [`Rule`]s; the index looks names up in them. A rule never knows its list's category: that
//! belongs to the list, so that one rule text can serve in several.

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// Which names a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pattern {
    /// The name alone.
    Exact(Name),
    /// The name and all names below it.
    Suffix(Name),
    /// All names below it, but not the name itself (an RPZ wildcard owner, RFC 4592).
    Below(Name),
    /// A regular expression in the syntax of the `regex` crate, matched unanchored against the lower-case
    /// presentation format without the final dot.
    Regex(String),
    /// The names whose keyed hash is this; key and length stand in the list's header ([`crate::read::hashed`]).
    Hashed {
        /// The hash, filled up with zeros where the list holds prefixes.
        digest: [u8; 16],
        /// Whether the name alone is meant, not the names below it.
        exact: bool,
    },
}

/// What a matching rule does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// The name is blocked and answered like this.
    Block(Answer),
    /// An exception: blocks of lower or equal rank in the same reach do not apply.
    Allow,
    /// `$badfilter`: the rule of the same text without that modifier is void. Readers resolve these before they
    /// hand rules out; the index never sees one.
    Void,
    /// `@@…$dnsrewrite[=value]`: rewrites with this answer (all rewrites if `None`) do not apply.
    AllowRewrite(Option<Answer>),
}

/// The answer that a blocking rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// Whatever the gateway is configured to answer (`block_answer`).
    Configured,
    /// Name Error (RFC 1035 RCODE 3).
    NxDomain,
    /// NOERROR without data.
    NoData,
    /// RCODE 5.
    Refused,
    /// RCODE 2.
    ServFail,
    /// No answer at all.
    Drop,
    /// An empty answer with TC over UDP; nothing special over TCP.
    TcpOnly,
    /// These records for their types, NODATA for all others. Not empty.
    Records(Vec<LocalRecord>),
    /// An alias whose target is resolved as usual. With `below`, the target is the query name followed by this
    /// name (RPZ `CNAME *.garden.example.`).
    Alias {
        /// The target, or the name that the query name is put in front of.
        target: Name,
        /// Whether the query name is put in front of the target.
        below: bool,
    },
}

/// One record of local data: a type and its rdata in uncompressed wire format.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalRecord {
    /// TYPE (RFC 1035, section 3.2.2 and the IANA registry).
    pub rtype: u16,
    /// TTL in seconds, where the list gives one.
    pub ttl: Option<u32>,
    /// RDATA, uncompressed.
    pub rdata: Vec<u8>,
}

impl LocalRecord {
    /// The A or AAAA record of an address; an IPv4-mapped address stays an IPv6 one.
    pub fn address(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(v4) => Self {
                rtype: 1,
                ttl: None,
                rdata: v4.octets().to_vec(),
            },
            std::net::IpAddr::V6(v6) => Self {
                rtype: 28,
                ttl: None,
                rdata: v6.octets().to_vec(),
            },
        }
    }
}

/// Query types that a rule is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Types {
    /// Only these types.
    Only(Vec<u16>),
    /// All but these types.
    Except(Vec<u16>),
}

impl Types {
    /// Whether a query of type `qtype` is meant.
    pub fn contains(&self, qtype: u16) -> bool {
        match self {
            Self::Only(types) => types.contains(&qtype),
            Self::Except(types) => !types.contains(&qtype),
        }
    }
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// The names it speaks of.
    pub pattern: Pattern,
    /// What it does.
    pub effect: Effect,
    /// `$important`: stands above every rule without it.
    pub important: bool,
    /// `$dnstype`: the query types it is limited to; `None` = all.
    pub types: Option<Types>,
    /// `$denyallow`: names that, with all below them, it does not apply to.
    pub except: Vec<Name>,
}

impl Rule {
    /// A plain rule that blocks `pattern` for every type.
    pub fn block(pattern: Pattern) -> Self {
        Self {
            pattern,
            effect: Effect::Block(Answer::Configured),
            important: false,
            types: None,
            except: Vec::new(),
        }
    }
}

/// A rule with the line it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// The rule.
    pub rule: Rule,
    /// Line number in its file, from 1.
    pub line: u32,
}
