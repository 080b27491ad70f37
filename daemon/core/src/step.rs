//! The whole line on one page: from a packet to a reply, or to a job for an upstream.
//!
//! Why the steps stand in this order: who may not ask learns nothing, not even that a packet was well-formed beyond
//! its question; special-use names come before policy, because no list can make them leave; policy comes before the
//! cache, because the cache is shared by all clients. An error anywhere is an error for the client, never an
//! unfiltered answer.

mod asked;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use isigurt_blocklists::name::Name;
use isigurt_blocklists::rule::Answer;

use crate::cache::{Cache, Entry, Key, Near};
use crate::policy::confirm::Prefix;
use crate::policy::{Because, Client, Decision};
use crate::snapshot::Snapshot;
use crate::wire::finished::{Age, Finished};
use crate::wire::query::{Options, Query};
use crate::wire::reply::{self, Ede, ede};
use crate::wire::targets::{self, Targets};
use crate::wire::{rcode, rtype};

use asked::{Asked, Here, Onward};

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
    Reply(Done),
    /// Send the reply; then ask an upstream and call [`finish`], whose reply nobody waits for: a popular answer is near
    /// its end.
    Refresh(Done, Box<Job>),
    /// Ask for prefixes where some are unconfirmed, and call [`again`]; else ask an upstream, and call [`finish`].
    Upstream(Box<Job>),
    /// Send nothing.
    Drop,
}

/// A reply that is made, for counters and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// What kind it is.
    pub kind: Kind,
    /// Why it is blocked, if it is.
    pub because: Option<Because>,
    /// The place of the client's profile in the policy in force.
    pub profile: u16,
    /// The client's device, where it is known.
    pub device: Option<u32>,
    /// It is for a helpline, or for the gateway itself, where help is too, or for a name that nobody is to read with a search
    /// domain behind it: nothing of it may be logged.
    pub helpline: bool,
}

impl From<Kind> for Done {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            because: None,
            profile: 0,
            device: None,
            helpline: false,
        }
    }
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
#[derive(Debug, Clone)]
pub struct Job {
    /// What to ask, and what to keep the answer under.
    pub key: Key,
    packet: Box<[u8]>,
    alias: Option<Name>,
    stale: Option<Arc<Entry>>,
    peer: Peer,
    unconfirmed: Vec<Prefix>,
    confirmed: bool,
}

impl Job {
    /// Whether an older answer stands by, so that the client need not wait to the end (RFC 8767, section 5).
    pub fn has_stale(&self) -> bool {
        self.stale.is_some()
    }

    /// Prefixes that have to be asked for first; then [`again`] goes on.
    pub fn unconfirmed(&self) -> &[Prefix] {
        &self.unconfirmed
    }

    /// Who asked, and the query as it came.
    pub fn asked(&self) -> (&Peer, &[u8]) {
        (&self.peer, &self.packet)
    }
}

/// Why there is no upstream answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered in time.
    Unreachable,
    /// The network said no, or the answer was unusable.
    Network,
}

impl Failure {
    /// What a client reads of it.
    fn told(self) -> Ede<'static> {
        match self {
            Self::Unreachable => Ede {
                code: ede::NO_REACHABLE_AUTHORITY,
                text: "no upstream answered",
            },
            Self::Network => Ede {
                code: ede::NETWORK_ERROR,
                text: "upstream failed",
            },
        }
    }
}

/// Takes one packet down the line. `near` is the caller's own; `now_ms` is its monotonic clock; the reply is left in `out`.
pub fn step(
    snapshot: &Snapshot,
    cache: &Cache,
    near: &mut Near,
    peer: &Peer,
    packet: &[u8],
    now_ms: u64,
    out: &mut Vec<u8>,
) -> Step {
    walk(snapshot, cache, near, (peer, packet, false), now_ms, out)
}

/// Goes on with a job once its prefixes were asked for, whether or not anybody answered.
pub fn again(snapshot: &Snapshot, cache: &Cache, job: &Job, now_ms: u64, out: &mut Vec<u8>) -> Step {
    let asked = (&job.peer, &*job.packet, true);
    walk(snapshot, cache, &mut Near::none(), asked, now_ms, out)
}

/// The line. The last part of what is asked says whether prefixes were asked for.
fn walk(
    snapshot: &Snapshot,
    cache: &Cache,
    near: &mut Near,
    (peer, packet, confirmed): (&Peer, &[u8], bool),
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
                Step::Reply(Kind::Fault.into())
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
        return Step::Reply(Kind::Refused.into());
    }
    if let Some(rcode) = unservable(&query) {
        reply::empty(&query, rcode, None, out);
        return Step::Reply(Kind::Refused.into());
    }
    let asked = Asked {
        snapshot,
        client: snapshot.client(peer.addr.ip(), now_ms),
        cache,
        peer,
        packet,
        query: &query,
        now_ms,
        confirmed,
    };
    let here = asked.here(out);
    let mut helpline = here == Some(Here::Itself) || asked.unspoken(here.is_some());
    let step = if here.is_some() {
        Step::Reply(Kind::Local.into())
    } else {
        let decision = match asked.judge(query.qname()) {
            Ok(decision) => decision,
            Err(prefixes) => return asked.confirming(prefixes),
        };
        match decision {
            Decision::Blocked(because, answer) => asked.blocked(near, because, &answer, out),
            Decision::Helpline => {
                helpline = true;
                asked.allowed(near, Onward::Anywhere, out)
            }
            Decision::Excepted(_) => asked.allowed(near, Onward::Public, out),
            Decision::Rewritten(target) => asked.rewritten(near, target, out),
            Decision::Allowed => asked.allowed(near, Onward::Permitted, out),
        }
    };
    asked.fit(out);
    told(step, &asked.client, helpline)
}

/// The step with what only its end knows.
fn told(step: Step, client: &Client<'_>, helpline: bool) -> Step {
    let tell = |done: Done| Done {
        profile: client.profile.place,
        device: client.device,
        helpline,
        ..done
    };
    match step {
        Step::Reply(done) => Step::Reply(tell(done)),
        Step::Refresh(done, job) => Step::Refresh(tell(done), job),
        step => step,
    }
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
    Step::Reply(Kind::Refused.into())
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

/// Ends a job: `answer` is the upstream's whole message. Where it leads to a candidate, that is to be asked for first: then it comes
/// back as a job that says so.
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
    let finished = answer.and_then(|message| read(snapshot, job, message));
    let asked = Asked {
        confirmed: job.confirmed,
        snapshot,
        client: snapshot.client(job.peer.addr.ip(), now_ms),
        cache,
        peer: &job.peer,
        packet: &job.packet,
        query: &query,
        now_ms,
    };
    if let Ok((finished, targets)) = &finished
        && (finished.rcode() != rcode::SERVFAIL || job.stale.is_none())
    {
        cache.put(job.key.as_ref(), finished, targets, now_ms);
    }
    let helpline = asked.unspoken(false);
    let (onward, helpline) = match onward(&asked, job) {
        Ok((onward, itself)) => (onward, itself || helpline),
        Err((because, answer)) => {
            let done = asked.barred_as(because, &answer, out);
            asked.fit(out);
            return told(Step::Reply(done), &asked.client, helpline);
        }
    };
    let alias = job.alias.as_ref();
    let done: Done = match (finished, &job.stale) {
        (Ok((finished, targets)), stale) if finished.rcode() != rcode::SERVFAIL || stale.is_none() => {
            match asked.barred(onward, &finished, &targets, out) {
                Ok(Some(done)) => done,
                Ok(None) => {
                    asked.respond(alias, &finished, Age::Fresh(0), None, out);
                    Kind::Forwarded.into()
                }
                Err(prefixes) => return asked.confirming(prefixes),
            }
        }
        (_, Some(entry)) => {
            entry.failed(now_ms);
            asked
                .barred_at_once(onward, &entry.answer, &entry.targets, out)
                .unwrap_or_else(|| {
                    asked.stale(alias, entry, out);
                    Kind::Stale.into()
                })
        }
        (Err(failure), None) => {
            reply::empty(&query, rcode::SERVFAIL, Some(failure.told()), out);
            Kind::Failed.into()
        }
        (Ok(_), None) => return Step::Drop, // taken by the first arm
    };
    asked.fit(out);
    told(Step::Reply(done), &asked.client, helpline)
}

/// Where a job's answer may lead, and whether it is a helpline's; an error where it is not to be given any more.
fn onward(asked: &Asked<'_>, job: &Job) -> Result<(Onward, bool), (Because, Answer)> {
    if job.alias.is_some() {
        return Ok((Onward::Chosen, false));
    }
    match asked.decide(asked.query.qname()) {
        Decision::Helpline => Ok((Onward::Anywhere, true)),
        Decision::Excepted(_) => Ok((Onward::Public, false)),
        // It was not blocked when the query came: hours began, somebody paused it, a list came in.
        Decision::Blocked(because, answer) if answer != Answer::TcpOnly => Err((because, answer)),
        Decision::Allowed | Decision::Blocked(..) | Decision::Rewritten(_) => Ok((Onward::Permitted, false)),
    }
}

/// Keeps an upstream's answer that no client waits for: it counts for nobody.
pub fn keep(snapshot: &Snapshot, cache: &Cache, job: &Job, answer: &[u8], now_ms: u64) {
    if let Ok((finished, targets)) = read(snapshot, job, answer)
        && (finished.rcode() != rcode::SERVFAIL || job.stale.is_none())
    {
        cache.put(job.key.as_ref(), &finished, &targets, now_ms);
    }
}

/// Reads an upstream's answer to a job.
fn read(snapshot: &Snapshot, job: &Job, message: &[u8]) -> Result<(Finished, Targets), Failure> {
    let question_len = job.key.name.as_ref().wire().len() + 4;
    let finished = Finished::from_upstream(message, question_len, snapshot.answers.ttl);
    let finished = finished.map_err(|_| Failure::Network)?;
    // An answer whose way on cannot be read is no answer: it could lead anywhere.
    let targets = targets::targets(finished.wire()).ok_or(Failure::Network)?;
    Ok((finished, targets))
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
