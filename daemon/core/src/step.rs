//! The whole line on one page: from a packet to a reply, or to a job for an upstream.
//!
//! Why the steps stand in this order: who may not ask learns nothing, not even that a packet was well-formed beyond
//! its question; special-use names come before policy, because no list can make them leave; policy comes before the
//! cache, because the cache is shared by all clients. An error anywhere is an error for the client, never an
//! unfiltered answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use isigurt_blocklists::index::TagId;
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::rule::{Answer, LocalRecord};

use crate::cache::{Cache, Entry, Found, Key, KeyRef};
use crate::policy::{self, Decision};
use crate::snapshot::{BlockAnswer, Snapshot};
use crate::special::{self, Special};
use crate::wire::finished::{Age, Finished};
use crate::wire::query::{Options, Query};
use crate::wire::reply::{self, Ede, Reply, UDP_CEILING, ede};
use crate::wire::targets::{self, Targets};
use crate::wire::{flag, rcode, rtype};

/// How a query came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram; the reply must fit what the client takes.
    Udp,
    /// A stream; up to 65,535 octets.
    Tcp,
}

/// Who asks, and where.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client's address.
    pub addr: SocketAddr,
    /// The address of this gateway that the client asked, where known.
    pub local: Option<IpAddr>,
    /// How the query came in.
    pub transport: Transport,
}

/// What became of a packet; a reply stands in the caller's buffer.
#[derive(Debug)]
pub enum Step {
    /// Send the reply.
    Reply(Kind),
    /// Send the reply; then ask an upstream and call [`finish`], whose reply nobody waits for: a popular answer is near
    /// its end.
    Refresh(Kind, Box<Job>),
    /// Ask an upstream, then call [`finish`].
    Upstream(Box<Job>),
    /// Send nothing.
    Drop,
}

/// What kind of reply it is, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not a query that can be served.
    Fault,
    /// The client may not ask, or not this.
    Refused,
    /// Special-use names and local records.
    Local,
    /// Blocked or rewritten by a rule.
    Blocked,
    /// From the cache.
    Cached,
    /// Freshly from an upstream.
    Forwarded,
    /// Stale, because no upstream answered.
    Stale,
    /// No upstream answered.
    Failed,
}

impl Kind {
    /// All kinds, each at the place of its number.
    pub const ALL: [Self; 8] = [
        Self::Fault,
        Self::Refused,
        Self::Local,
        Self::Blocked,
        Self::Cached,
        Self::Forwarded,
        Self::Stale,
        Self::Failed,
    ];
}

/// A query that needs an upstream.
#[derive(Debug)]
pub struct Job {
    /// What to ask, and what to keep the answer under.
    pub key: Key,
    packet: Box<[u8]>,
    alias: Option<Name>,
    stale: Option<Arc<Entry>>,
    peer: Peer,
}

/// Why there is no upstream answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered in time.
    Unreachable,
    /// The network said no, or the answer was unusable.
    Network,
}

/// Takes one packet down the line. `now_ms` is the caller's monotonic clock; the reply is left in `out`.
pub fn step(
    snapshot: &Snapshot,
    cache: &Cache,
    peer: &Peer,
    packet: &[u8],
    now_ms: u64,
    out: &mut Vec<u8>,
) -> Step {
    if peer.addr.port() == 0 {
        return Step::Drop; // no one can receive there; a sign of forgery
    }
    let mut query = match Query::parse(packet) {
        Ok(query) => query,
        Err(fault) => {
            return if reply::fault(fault, out) {
                Step::Reply(Kind::Fault)
            } else {
                Step::Drop
            };
        }
    };
    query.options = options(snapshot, peer, &query, now_ms);
    if !snapshot.allows(peer.addr.ip()) {
        let error = Ede {
            code: ede::PROHIBITED,
            text: "",
        };
        reply::empty(&query, rcode::REFUSED, Some(error), out);
        return Step::Reply(Kind::Refused);
    }
    if let Some(rcode) = unservable(&query) {
        reply::empty(&query, rcode, None, out);
        return Step::Reply(Kind::Refused);
    }
    let done = if here(snapshot, &query, out) {
        Step::Reply(Kind::Local)
    } else {
        match policy::decide(&snapshot.index, &snapshot.profile, query.qname(), query.qtype) {
            Decision::Blocked(tag, answer) => {
                blocked(snapshot, cache, peer, packet, &query, (tag, &answer), now_ms, out)
            }
            Decision::Helpline => allowed(
                snapshot,
                cache,
                peer,
                packet,
                &query,
                Onward::Anywhere,
                now_ms,
                out,
            ),
            Decision::Excepted => allowed(snapshot, cache, peer, packet, &query, Onward::Public, now_ms, out),
            Decision::Allowed => allowed(
                snapshot,
                cache,
                peer,
                packet,
                &query,
                Onward::Permitted,
                now_ms,
                out,
            ),
        }
    };
    fit(&query, peer.transport, out);
    done
}

/// Answers a client that asks more often than it may: every second time with TC, so that one who is no forger comes back
/// over TCP; else not at all. Such answers are no larger than the query, and useless for amplification.
pub fn limited(packet: &[u8], out: &mut Vec<u8>) -> Step {
    let Ok(query) = Query::parse(packet) else {
        return Step::Drop;
    };
    if query.id & 1 == 1 {
        return Step::Drop; // ids are random: this is every second one
    }
    reply::empty(&query, rcode::NOERROR, None, out);
    reply::truncate(&query, out);
    Step::Reply(Kind::Refused)
}

/// Seconds that a connection may stay idle (RFC 7828 tells them to clients that ask).
pub const TCP_IDLE_S: u16 = 10;

/// What goes into the answer's OPT record: a cookie for a cookie, the idle time over TCP.
fn options(snapshot: &Snapshot, peer: &Peer, query: &Query<'_>, now_ms: u64) -> Options {
    let Some(edns) = query.edns else {
        return Options::default();
    };
    let cookie = edns.cookie.map(|cookie| {
        let now = u32::try_from((snapshot.answers.epoch_s + now_ms / 1000) & u64::from(u32::MAX));
        cookie.answer(
            &snapshot.answers.cookie_secret,
            peer.addr.ip().to_canonical(),
            now.unwrap_or(0),
        )
    });
    let asked = edns.keepalive && peer.transport == Transport::Tcp;
    Options {
        cookie,
        keepalive: asked.then_some(TCP_IDLE_S * 10),
    }
}

/// Ends a job: `answer` is the upstream's whole message.
pub fn finish(
    snapshot: &Snapshot,
    cache: &Cache,
    job: &Job,
    answer: Result<&[u8], Failure>,
    now_ms: u64,
    out: &mut Vec<u8>,
) -> Step {
    let Ok(mut query) = Query::parse(&job.packet) else {
        return Step::Drop;
    };
    query.options = options(snapshot, &job.peer, &query, now_ms);
    let question_len = job.key.name.as_ref().wire().len() + 4;
    let finished = answer.and_then(|message| {
        let finished = Finished::from_upstream(message, question_len, snapshot.answers.ttl);
        let finished = finished.map_err(|_| Failure::Network)?;
        // An answer whose way on cannot be read is no answer: it could lead anywhere.
        let targets = targets::targets(finished.wire()).ok_or(Failure::Network)?;
        Ok((finished, targets))
    });
    // An alias of a rule leads where the rule wants it to.
    let onward = match job.alias {
        Some(_) => Onward::Anywhere,
        None => match policy::decide(&snapshot.index, &snapshot.profile, query.qname(), query.qtype) {
            Decision::Helpline => Onward::Anywhere,
            Decision::Excepted => Onward::Public,
            Decision::Allowed | Decision::Blocked(..) => Onward::Permitted,
        },
    };
    let kind = match (finished, &job.stale) {
        (Ok((finished, targets)), stale) if finished.rcode() != rcode::SERVFAIL || stale.is_none() => {
            cache.put(job.key.clone(), &finished, &targets, now_ms);
            if barred(snapshot, &job.peer, &query, onward, &targets, out) {
                Kind::Blocked
            } else {
                let alias = job.alias.as_ref();
                respond(snapshot, &query, alias, &finished, Age::Fresh(0), None, out);
                Kind::Forwarded
            }
        }
        (_, Some(entry)) if barred(snapshot, &job.peer, &query, onward, &entry.targets, out) => Kind::Blocked,
        (_, Some(entry)) => {
            let error = Ede {
                code: ede::STALE_ANSWER,
                text: "no upstream answered",
            };
            respond(
                snapshot,
                &query,
                job.alias.as_ref(),
                &entry.answer,
                Age::Stale,
                Some(error),
                out,
            );
            Kind::Stale
        }
        (Err(failure), None) => {
            let error = match failure {
                Failure::Unreachable => Ede {
                    code: ede::NO_REACHABLE_AUTHORITY,
                    text: "no upstream answered",
                },
                Failure::Network => Ede {
                    code: ede::NETWORK_ERROR,
                    text: "upstream failed",
                },
            };
            reply::empty(&query, rcode::SERVFAIL, Some(error), out);
            Kind::Failed
        }
        (Ok(_), None) => return Step::Drop, // taken by the first arm
    };
    fit(&query, job.peer.transport, out);
    Step::Reply(kind)
}

/// The response code of a query that is well-formed but not for a resolver: other classes than IN, zone transfers,
/// types that only have a meaning in a message of another kind (RFC 6895, section 3.1).
fn unservable(query: &Query<'_>) -> Option<u16> {
    match (query.qclass, query.qtype) {
        (1, 0 | rtype::OPT) => Some(rcode::FORMERR),
        (1, rtype::IXFR | rtype::AXFR) => Some(rcode::REFUSED),
        (1, 249 | 250 | 253 | 254) => Some(rcode::NOTIMP),
        (1, _) => None,
        _ => Some(rcode::REFUSED),
    }
}

/// Answers local records and special-use names; `false` where the name is neither.
fn here(snapshot: &Snapshot, query: &Query<'_>, out: &mut Vec<u8>) -> bool {
    let name = query.qname();
    if let Some(records) = snapshot.local.get(name.wire()) {
        records_reply(snapshot, query, records, None, out);
        return true;
    }
    let forwarded = snapshot.is_forwarded(name);
    let Some(special) = special::special(name, query.qtype, forwarded) else {
        return false;
    };
    let ttl = snapshot.answers.block_ttl;
    let code = if special == Special::NxDomain {
        rcode::NXDOMAIN
    } else {
        rcode::NOERROR
    };
    let mut reply = Reply::to(query, code, out);
    match (special, query.qtype) {
        (Special::Localhost, rtype::A) => reply.answer(rtype::A, ttl, &Ipv4Addr::LOCALHOST.octets()),
        (Special::Localhost, _) => reply.answer(rtype::AAAA, ttl, &Ipv6Addr::LOCALHOST.octets()),
        (Special::LocalhostPtr, _) => reply.answer(rtype::PTR, ttl, b"\x09localhost\x00"),
        _ => reply.negative_soa(ttl),
    }
    reply.finish(query, code, None);
    true
}

/// Answers a blocked name as its rule or the configuration says.
#[allow(clippy::too_many_arguments)] // the line's whole state, once
fn blocked(
    snapshot: &Snapshot,
    cache: &Cache,
    peer: &Peer,
    packet: &[u8],
    query: &Query<'_>,
    (tag, answer): (TagId, &Answer),
    now_ms: u64,
    out: &mut Vec<u8>,
) -> Step {
    let error = Some(block_error(snapshot, tag));
    match answer {
        Answer::Configured => configured(snapshot, peer, query, error, out),
        Answer::NxDomain => negative(snapshot, query, rcode::NXDOMAIN, error, out),
        Answer::NoData => negative(snapshot, query, rcode::NOERROR, error, out),
        Answer::Refused => reply::empty(query, rcode::REFUSED, error, out),
        Answer::ServFail => reply::empty(query, rcode::SERVFAIL, error, out),
        Answer::Drop => return Step::Drop,
        Answer::TcpOnly if peer.transport == Transport::Udp => {
            reply::empty(query, rcode::NOERROR, None, out);
            reply::truncate(query, out);
        }
        Answer::TcpOnly => {
            return allowed(
                snapshot,
                cache,
                peer,
                packet,
                query,
                Onward::Permitted,
                now_ms,
                out,
            );
        }
        Answer::Records(records) => records_reply(snapshot, query, records, error, out),
        Answer::Alias { target, below } => {
            let target = if *below {
                joined(query.qname(), target.as_ref())
            } else {
                Some(target.clone())
            };
            match target {
                Some(target) => return aliased(snapshot, cache, peer, packet, query, target, now_ms, out),
                None => reply::empty(query, rcode::SERVFAIL, error, out),
            }
        }
    }
    Step::Reply(Kind::Blocked)
}

/// The configured answer to a blocked name.
fn configured(
    snapshot: &Snapshot,
    peer: &Peer,
    query: &Query<'_>,
    error: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    let (v4, v6) = match snapshot.answers.block {
        BlockAnswer::Nxdomain => return negative(snapshot, query, rcode::NXDOMAIN, error, out),
        BlockAnswer::Nodata => return negative(snapshot, query, rcode::NOERROR, error, out),
        BlockAnswer::Refused => return reply::empty(query, rcode::REFUSED, error, out),
        BlockAnswer::Null => (Some(Ipv4Addr::UNSPECIFIED), Some(Ipv6Addr::UNSPECIFIED)),
        BlockAnswer::Page => match peer.local.map(|local| local.to_canonical()) {
            Some(IpAddr::V4(own)) if !own.is_unspecified() => (Some(own), None),
            Some(IpAddr::V6(own)) if !own.is_unspecified() => (None, Some(own)),
            _ => (Some(Ipv4Addr::UNSPECIFIED), Some(Ipv6Addr::UNSPECIFIED)),
        },
    };
    let ttl = snapshot.answers.block_ttl;
    let mut reply = Reply::to(query, rcode::NOERROR, out);
    match (query.qtype, v4, v6) {
        (rtype::A, Some(address), _) => reply.answer(rtype::A, ttl, &address.octets()),
        (rtype::AAAA, _, Some(address)) => reply.answer(rtype::AAAA, ttl, &address.octets()),
        _ => reply.negative_soa(ttl),
    }
    reply.finish(query, rcode::NOERROR, error);
}

fn negative(snapshot: &Snapshot, query: &Query<'_>, code: u16, error: Option<Ede<'_>>, out: &mut Vec<u8>) {
    let mut reply = Reply::to(query, code, out);
    reply.negative_soa(snapshot.answers.block_ttl);
    reply.finish(query, code, error);
}

/// Answers with local data: the records of the type asked for (an alias for every type), NODATA where there is none.
fn records_reply(
    snapshot: &Snapshot,
    query: &Query<'_>,
    records: &[LocalRecord],
    error: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    let mut reply = Reply::to(query, rcode::NOERROR, out);
    let mut any = false;
    for record in records {
        if record.rtype == query.qtype || query.qtype == rtype::ANY || record.rtype == rtype::CNAME {
            reply.answer(
                record.rtype,
                record.ttl.unwrap_or(snapshot.answers.block_ttl),
                &record.rdata,
            );
            any = true;
        }
    }
    if !any {
        reply.negative_soa(snapshot.answers.block_ttl);
    }
    reply.finish(query, rcode::NOERROR, error);
}

/// Where an answer may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Onward {
    /// Anywhere: the name is a helpline's.
    Anywhere,
    /// To any name, not into private networks: the household allows the name.
    Public,
    /// To names that are not blocked themselves, not into private networks.
    Permitted,
}

/// Answers a query whose answer leads where it must not; `false` where it does not. Policy is about where a name leads as
/// much as about the name: else a blocked name would only need an alias.
fn barred(
    snapshot: &Snapshot,
    peer: &Peer,
    query: &Query<'_>,
    onward: Onward,
    targets: &Targets,
    out: &mut Vec<u8>,
) -> bool {
    if onward == Onward::Anywhere {
        return false;
    }
    if targets.private && !snapshot.may_be_private(query.qname()) {
        let error = Ede {
            code: ede::FILTERED,
            text: "private address in a public answer",
        };
        negative(snapshot, query, rcode::NOERROR, Some(error), out);
        return true;
    }
    if onward == Onward::Public {
        return false;
    }
    for name in &targets.names {
        match policy::decide(&snapshot.index, &snapshot.profile, name.as_ref(), query.qtype) {
            Decision::Helpline => return false,
            Decision::Excepted | Decision::Allowed => {}
            Decision::Blocked(tag, answer) => {
                let error = Some(block_error(snapshot, tag));
                match answer {
                    Answer::NxDomain => negative(snapshot, query, rcode::NXDOMAIN, error, out),
                    Answer::NoData => negative(snapshot, query, rcode::NOERROR, error, out),
                    Answer::Refused => reply::empty(query, rcode::REFUSED, error, out),
                    Answer::ServFail => reply::empty(query, rcode::SERVFAIL, error, out),
                    // Data of its own is for those who ask for the target itself.
                    _ => configured(snapshot, peer, query, error, out),
                }
                return true;
            }
        }
    }
    false
}

fn block_error(snapshot: &Snapshot, tag: TagId) -> Ede<'_> {
    Ede {
        code: snapshot.answers.site.ede(),
        text: snapshot
            .index
            .tags()
            .get(usize::from(tag.0))
            .map_or("", |tag| tag.id.as_str()),
    }
}

/// From the cache, else a job for the upstream.
#[allow(clippy::too_many_arguments)] // the line's whole state, once
fn allowed(
    snapshot: &Snapshot,
    cache: &Cache,
    peer: &Peer,
    packet: &[u8],
    query: &Query<'_>,
    onward: Onward,
    now_ms: u64,
    out: &mut Vec<u8>,
) -> Step {
    if query.qtype == rtype::ANY {
        // RFC 8482, section 4.2: one synthesised HINFO, useless for amplification.
        let mut reply = Reply::to(query, rcode::NOERROR, out);
        reply.answer(rtype::HINFO, 3600, b"\x07RFC8482\x00");
        reply.finish(query, rcode::NOERROR, None);
        return Step::Reply(Kind::Local);
    }
    match cache.get(key(query, query.qname()), now_ms) {
        Found::Fresh(entry, _) if barred(snapshot, peer, query, onward, &entry.targets, out) => {
            Step::Reply(Kind::Blocked)
        }
        Found::Fresh(entry, age) => {
            entry.answer.write(query, Age::Fresh(age), None, out);
            if snapshot.answers.prefetch
                && entry.used(age)
                && let Step::Upstream(job) = job(peer, packet, key(query, query.qname()).to_key(), None, None)
            {
                return Step::Refresh(Kind::Cached, job);
            }
            Step::Reply(Kind::Cached)
        }
        Found::Stale(entry) => job(
            peer,
            packet,
            key(query, query.qname()).to_key(),
            None,
            Some(entry),
        ),
        Found::Missing => job(peer, packet, key(query, query.qname()).to_key(), None, None),
    }
}

/// An alias of a rule: its target from the cache, else a job.
#[allow(clippy::too_many_arguments)] // the line's whole state, once
fn aliased(
    snapshot: &Snapshot,
    cache: &Cache,
    peer: &Peer,
    packet: &[u8],
    query: &Query<'_>,
    target: Name,
    now_ms: u64,
    out: &mut Vec<u8>,
) -> Step {
    if query.qtype == rtype::CNAME {
        let mut reply = Reply::to(query, rcode::NOERROR, out);
        reply.answer(rtype::CNAME, snapshot.answers.block_ttl, target.as_ref().wire());
        reply.finish(query, rcode::NOERROR, None);
        return Step::Reply(Kind::Blocked);
    }
    match cache.get(key(query, target.as_ref()), now_ms) {
        Found::Fresh(entry, age) => {
            respond(
                snapshot,
                query,
                Some(&target),
                &entry.answer,
                Age::Fresh(age),
                None,
                out,
            );
            Step::Reply(Kind::Blocked)
        }
        Found::Stale(entry) => job(
            peer,
            packet,
            key(query, target.as_ref()).to_key(),
            Some(target),
            Some(entry),
        ),
        Found::Missing => job(
            peer,
            packet,
            key(query, target.as_ref()).to_key(),
            Some(target),
            None,
        ),
    }
}

fn job(peer: &Peer, packet: &[u8], key: Key, alias: Option<Name>, stale: Option<Arc<Entry>>) -> Step {
    Step::Upstream(Box::new(Job {
        key,
        packet: packet.into(),
        alias,
        stale,
        peer: *peer,
    }))
}

fn key<'k>(query: &Query<'_>, name: NameRef<'k>) -> KeyRef<'k> {
    KeyRef {
        name,
        qtype: query.qtype,
        dnssec_ok: query.dnssec_ok(),
        checking_disabled: query.flags & flag::CD != 0,
    }
}

/// Writes an upstream's answer, behind an alias where the rule made one.
fn respond(
    snapshot: &Snapshot,
    query: &Query<'_>,
    alias: Option<&Name>,
    answer: &Finished,
    age: Age,
    error: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    let Some(target) = alias else {
        return answer.write(query, age, error, out);
    };
    let ttl = snapshot.answers.block_ttl;
    let Some(records) = answer.answer_records() else {
        return reply::empty(query, rcode::SERVFAIL, error, out);
    };
    let mut reply = Reply::to(query, rcode::NOERROR, out);
    reply.answer(rtype::CNAME, ttl, target.as_ref().wire());
    for (owner, rtype, record_ttl, rdata) in records {
        reply.owned(owner.as_ref().wire(), rtype, record_ttl.min(ttl), &rdata);
    }
    reply.finish(query, rcode::NOERROR, error);
}

/// The query name followed by `below`, where that is a legal name.
fn joined(name: NameRef<'_>, below: NameRef<'_>) -> Option<Name> {
    let front = name.wire().strip_suffix(&[0])?;
    Name::from_wire(&[front, below.wire()].concat()).ok()
}

/// Cuts a reply over UDP down to what the client takes.
fn fit(query: &Query<'_>, transport: Transport, out: &mut Vec<u8>) {
    let limit = match transport {
        Transport::Udp => query.udp_limit(UDP_CEILING),
        Transport::Tcp => usize::from(u16::MAX),
    };
    if out.len() > limit {
        reply::truncate(query, out);
    }
}
