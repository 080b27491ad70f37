//! One query with everything that its answer depends on, and the answers that it may get.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use isigurt_blocklists::address::AddressName;
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::rule::{Answer, LocalRecord};

use super::{Done, Job, Kind, Peer, Step, Transport};
use crate::cache::{Cache, Entry, Found, Key, KeyRef, Near};
use crate::policy::confirm::{self, Prefix, Told};
use crate::policy::{self, Because, Client, Decision, Law, Opened};
use crate::snapshot::{BlockAnswer, Snapshot};
use crate::special::{self, Special};
use crate::wire::finished::{Age, Finished};
use crate::wire::query::Query;
use crate::wire::reply::{self, Ede, Reply, UDP_CEILING, ede};
use crate::wire::targets::{self, Targets};
use crate::wire::{flag, rcode, rtype};

/// A query on its way to an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'l> {
    pub(super) snapshot: &'l Snapshot,
    pub(super) client: Client<'l>,
    pub(super) cache: &'l Cache,
    pub(super) peer: &'l Peer,
    pub(super) packet: &'l [u8],
    pub(super) query: &'l Query<'l>,
    pub(super) now_ms: u64,
    /// Prefixes were asked for: what is not known by now is decided as its list says.
    pub(super) confirmed: bool,
}

/// Where an answer may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// Anywhere: the name is a helpline's.
    Anywhere,
    /// Where a rule leads that the household chose: to any name, into private networks too, but to nothing of the national
    /// list.
    Chosen,
    /// To any name but those of the national list, not into private networks: the household allows the name.
    Public,
    /// To names that are not blocked themselves, not into private networks.
    Permitted,
}

/// What is answered without policy and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// A local record or a special-use name.
    Local,
    /// This gateway itself: whoever looks for its help page leaves no trace.
    Itself,
}

/// What holds of a name that an answer leads to.
#[derive(Debug)]
enum Target {
    /// A helpline's: then the whole answer is.
    Helpline,
    Open,
    Barred(Because, Answer),
}

impl<'l> Asked<'l> {
    /// The same for one who cannot wait any longer.
    pub(super) fn at_once(self) -> Self {
        Self {
            confirmed: true,
            ..self
        }
    }

    /// The decision on a name for the one who asks; candidates that nothing is known of are decided as their list says.
    pub(super) fn decide(&self, name: NameRef<'_>) -> Decision<'l> {
        self.at_once().judge(name).unwrap_or(Decision::Allowed) // nothing is left to ask for
    }

    /// The decision on a name, or the prefixes that have to be asked for first.
    #[inline]
    pub(super) fn judge(&self, name: NameRef<'_>) -> Result<Decision<'l>, Vec<Prefix>> {
        let index = &self.snapshot.index;
        let (decision, candidate) = policy::judge(index, &self.client, name, self.query.qtype);
        if !candidate || matches!(decision, Decision::Helpline | Decision::Blocked(..)) {
            return Ok(decision);
        }
        self.judge_candidates(name, decision)
    }

    fn judge_candidates(
        &self,
        name: NameRef<'_>,
        decision: Decision<'l>,
    ) -> Result<Decision<'l>, Vec<Prefix>> {
        let Snapshot { index, confirmed, .. } = self.snapshot;
        let now_s = self.snapshot.wall_s(self.now_ms);
        let mut unknown = Vec::new();
        for suspect in confirm::suspects(index, &self.client, name, self.query.qtype) {
            // What opens a name opens it for categories, and never for the authority's lists.
            if !suspect.mandatory && decision != Decision::Allowed {
                continue;
            }
            match confirmed.told(&suspect, now_s) {
                Told::Meant => return Ok(policy::meant(&suspect)),
                Told::Unknown if suspect.askable && !self.confirmed && !confirmed.resting(now_s) => {
                    unknown.push(suspect.prefix);
                }
                Told::Unknown if suspect.blocked_unless_told => return Ok(policy::meant(&suspect)),
                Told::Innocent | Told::Unknown => {}
            }
        }
        if unknown.is_empty() {
            Ok(decision)
        } else {
            Err(unknown)
        }
    }

    /// A job that asks for prefixes before anything else.
    pub(super) fn confirming(&self, prefixes: Vec<Prefix>) -> Step {
        let mut job = self.job(self.key(self.query.qname()).to_key(), None, None);
        job.unconfirmed = prefixes;
        Step::Upstream(Box::new(job))
    }

    /// Answers local records, the gateway's own names and special-use names; `None` where the name is none of them.
    pub(super) fn here(&self, out: &mut Vec<u8>) -> Option<Here> {
        let (snapshot, query) = (self.snapshot, self.query);
        let name = query.qname();
        if let Some(records) = snapshot.local.get(name.wire()) {
            if records.is_empty() {
                let (v4, v6) = self.own_address().unwrap_or_default();
                self.addresses((v4, v6), None, out);
                return Some(Here::Itself);
            }
            self.records(records, None, out);
            return Some(Here::Local);
        }
        let forwarded = snapshot.is_forwarded(name);
        let special = special::special(name, query.qtype, forwarded)?;
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
        Some(Here::Local)
    }

    /// Whether nothing of the query may be logged although it is answered as any other: see [`policy::begins_unspoken`].
    pub(super) fn unspoken(&self, here: bool) -> bool {
        let name = self.query.qname();
        (here || self.snapshot.is_forwarded(name)) && policy::begins_unspoken(&self.snapshot.index, name)
    }

    /// The address that was asked: of one family, and none where the door does not tell.
    fn own_address(&self) -> Option<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
        match self.peer.local?.to_canonical() {
            IpAddr::V4(own) if !own.is_unspecified() => Some((Some(own), None)),
            IpAddr::V6(own) if !own.is_unspecified() => Some((None, Some(own))),
            _ => None,
        }
    }

    /// Answers a blocked name as its rule or the configuration says.
    pub(super) fn blocked(
        &self,
        near: &mut Near,
        because: Because,
        answer: &Answer,
        out: &mut Vec<u8>,
    ) -> Step {
        let error = Some(self.block_error(because));
        let query = self.query;
        match answer {
            Answer::Configured => self.configured(error, out),
            Answer::NxDomain => self.negative(rcode::NXDOMAIN, error, out),
            Answer::NoData => self.negative(rcode::NOERROR, error, out),
            Answer::Refused => reply::empty(query, rcode::REFUSED, error, out),
            Answer::ServFail => reply::empty(query, rcode::SERVFAIL, error, out),
            Answer::Drop => return Step::Drop,
            Answer::TcpOnly if self.peer.transport == Transport::Udp => {
                reply::empty(query, rcode::NOERROR, None, out);
                reply::truncate(query, out);
            }
            Answer::TcpOnly => return self.allowed(near, Onward::Permitted, out),
            Answer::Records(records) => self.records(records, error, out),
            Answer::Alias { target, below } => {
                let target = if *below {
                    joined(query.qname(), target.as_ref())
                } else {
                    Some(target.clone())
                };
                match target {
                    Some(target) => return self.aliased(near, &target, out),
                    None => reply::empty(query, rcode::SERVFAIL, error, out),
                }
            }
        }
        Step::Reply(blocked(because))
    }

    /// The configured answer to a blocked name.
    fn configured(&self, error: Option<Ede<'_>>, out: &mut Vec<u8>) {
        let query = self.query;
        let (v4, v6) = match self.snapshot.answers.block {
            BlockAnswer::Nxdomain => return self.negative(rcode::NXDOMAIN, error, out),
            BlockAnswer::Nodata => return self.negative(rcode::NOERROR, error, out),
            BlockAnswer::Refused => return reply::empty(query, rcode::REFUSED, error, out),
            BlockAnswer::Null => (Some(Ipv4Addr::UNSPECIFIED), Some(Ipv6Addr::UNSPECIFIED)),
            BlockAnswer::Page => self
                .own_address()
                .unwrap_or((Some(Ipv4Addr::UNSPECIFIED), Some(Ipv6Addr::UNSPECIFIED))),
        };
        self.addresses((v4, v6), error, out);
    }

    /// Answers with addresses; NODATA for other types, and for the family that there is none of.
    fn addresses(
        &self,
        (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>),
        error: Option<Ede<'_>>,
        out: &mut Vec<u8>,
    ) {
        let (query, ttl) = (self.query, self.snapshot.answers.block_ttl);
        let mut reply = Reply::to(query, rcode::NOERROR, out);
        match (query.qtype, v4, v6) {
            (rtype::A, Some(address), _) => reply.answer(rtype::A, ttl, &address.octets()),
            (rtype::AAAA, _, Some(address)) => reply.answer(rtype::AAAA, ttl, &address.octets()),
            _ => reply.negative_soa(ttl),
        }
        reply.finish(query, rcode::NOERROR, error);
    }

    fn negative(&self, code: u16, error: Option<Ede<'_>>, out: &mut Vec<u8>) {
        let mut reply = Reply::to(self.query, code, out);
        reply.negative_soa(self.snapshot.answers.block_ttl);
        reply.finish(self.query, code, error);
    }

    /// Answers with local data: the records of the type asked for (an alias for every type), NODATA where there is none.
    fn records(&self, records: &[LocalRecord], error: Option<Ede<'_>>, out: &mut Vec<u8>) {
        let (query, ttl) = (self.query, self.snapshot.answers.block_ttl);
        let mut reply = Reply::to(query, rcode::NOERROR, out);
        let mut any = false;
        for record in records {
            if record.rtype == query.qtype || query.qtype == rtype::ANY || record.rtype == rtype::CNAME {
                reply.answer(record.rtype, record.ttl.unwrap_or(ttl), &record.rdata);
                any = true;
            }
        }
        if !any {
            reply.negative_soa(ttl);
        }
        reply.finish(query, rcode::NOERROR, error);
    }

    /// Answers a query whose answer leads where it must not; `None` where it does not; an error where prefixes have to be asked for
    /// first. Policy is about where a name leads as much as about the name: else a blocked name would only need an alias.
    pub(super) fn barred(
        &self,
        onward: Onward,
        answer: &Finished,
        targets: &Targets,
        out: &mut Vec<u8>,
    ) -> Result<Option<Done>, Vec<Prefix>> {
        if onward == Onward::Anywhere {
            return Ok(None);
        }
        let query = self.query;
        if targets.private && onward != Onward::Chosen && !self.snapshot.may_be_private(query.qname()) {
            let error = Some(self.block_error(Because::Private));
            self.negative(rcode::NOERROR, error, out);
            return Ok(Some(blocked(Because::Private)));
        }
        let mut unknown = Vec::new();
        for name in &targets.names {
            match self.target(onward, name.as_ref()) {
                Ok(Target::Helpline) => return Ok(None),
                Ok(Target::Open) => {}
                Ok(Target::Barred(because, answer)) => {
                    return Ok(Some(self.barred_as(because, &answer, out)));
                }
                Err(prefixes) => unknown.extend(prefixes),
            }
        }
        if self.snapshot.index.has_addresses() {
            let mut found = None;
            targets::address(answer.wire(), |address| {
                let name = AddressName::new(address);
                if let Ok(Target::Barred(because, answer)) = self.at_once().target(onward, name.as_ref())
                    // Lists speak of addresses; what a profile says of names that nothing is said about does not.
                    && matches!(because, Because::List(_) | Because::Mandatory(_))
                {
                    found = Some((because, answer));
                }
                found.is_some()
            });
            if let Some((because, answer)) = found {
                return Ok(Some(self.barred_as(because, &answer, out)));
            }
        }
        if unknown.is_empty() {
            Ok(None)
        } else {
            Err(unknown)
        }
    }

    /// The same where nothing is asked for any more.
    pub(super) fn barred_at_once(
        &self,
        onward: Onward,
        answer: &Finished,
        targets: &Targets,
        out: &mut Vec<u8>,
    ) -> Option<Done> {
        let barred = self.at_once().barred(onward, answer, targets, out);
        barred.unwrap_or_default()
    }

    /// What holds of a name that an answer leads to. No rule of the household opens the national list, nor does an alias.
    fn target(&self, onward: Onward, name: NameRef<'_>) -> Result<Target, Vec<Prefix>> {
        if onward != Onward::Permitted {
            return Ok(match self.law(name)? {
                Law::Helpline => Target::Helpline,
                Law::Listed(because, answer) => Target::Barred(because, answer),
                Law::Candidate | Law::Silent => Target::Open,
            });
        }
        Ok(match self.judge(name)? {
            Decision::Helpline => Target::Helpline,
            Decision::Excepted(_) | Decision::Allowed | Decision::Rewritten(_) => Target::Open,
            Decision::Blocked(because, answer) => Target::Barred(because, answer),
        })
    }

    /// What holds of a name, whoever asks.
    fn law(&self, name: NameRef<'_>) -> Result<Law, Vec<Prefix>> {
        Ok(match policy::law(&self.snapshot.index, name, self.query.qtype) {
            Law::Candidate => match self.judge_candidates(name, Decision::Excepted(Opened::Own))? {
                Decision::Blocked(because, answer) => Law::Listed(because, answer),
                _ => Law::Silent,
            },
            law => law,
        })
    }

    /// Answers as a rule wants that speaks of what an answer leads to.
    pub(super) fn barred_as(&self, because: Because, answer: &Answer, out: &mut Vec<u8>) -> Done {
        let error = Some(self.block_error(because));
        let query = self.query;
        match answer {
            Answer::NxDomain => self.negative(rcode::NXDOMAIN, error, out),
            Answer::NoData => self.negative(rcode::NOERROR, error, out),
            Answer::Refused => reply::empty(query, rcode::REFUSED, error, out),
            Answer::ServFail => reply::empty(query, rcode::SERVFAIL, error, out),
            // Data of its own is for those who ask for the target itself.
            _ => self.configured(error, out),
        }
        blocked(because)
    }

    fn block_error(&self, because: Because) -> Ede<'_> {
        Ede {
            code: match because {
                Because::Private => ede::FILTERED,
                Because::Mandatory(_) => ede::CENSORED,
                _ => self.snapshot.answers.site.ede(),
            },
            text: because.text(&self.snapshot.index, self.client.profile),
        }
    }

    /// From the cache, else a job for the upstream.
    pub(super) fn allowed(&self, near: &mut Near, onward: Onward, out: &mut Vec<u8>) -> Step {
        let query = self.query;
        if query.qtype == rtype::ANY {
            // RFC 8482, section 4.2: one synthesised HINFO, useless for amplification.
            let mut reply = Reply::to(query, rcode::NOERROR, out);
            reply.answer(rtype::HINFO, 3600, b"\x07RFC8482\x00");
            reply.finish(query, rcode::NOERROR, None);
            return Step::Reply(Kind::Local.into());
        }
        let key = self.key(query.qname());
        match self.cache.get(near, key, self.now_ms) {
            Found::Fresh(entry, age) => {
                match self.barred(onward, &entry.answer, &entry.targets, out) {
                    Ok(None) => {}
                    Ok(Some(done)) => return Step::Reply(done),
                    Err(prefixes) => return self.confirming(prefixes),
                }
                entry.answer.write(query, Age::Fresh(age), None, out);
                if self.snapshot.answers.prefetch && entry.used(age) {
                    return Step::Refresh(Kind::Cached.into(), Box::new(self.job(key.to_key(), None, None)));
                }
                Step::Reply(Kind::Cached.into())
            }
            Found::Stale(entry) if entry.resting(self.now_ms) => {
                let barred = self.barred_at_once(onward, &entry.answer, &entry.targets, out);
                Step::Reply(barred.unwrap_or_else(|| {
                    self.stale(None, &entry, out);
                    Kind::Stale.into()
                }))
            }
            Found::Stale(entry) => self.upstream(key, None, Some(entry)),
            Found::Missing => self.upstream(key, None, None),
        }
    }

    /// A search engine's host: an alias of the one that enforces safe search, with its addresses. Other types have no data,
    /// or a client could learn another way in from HTTPS records.
    pub(super) fn rewritten(&self, near: &mut Near, target: &Name, out: &mut Vec<u8>) -> Step {
        match self.query.qtype {
            rtype::A | rtype::AAAA | rtype::CNAME => self.aliased(near, target, out),
            _ => {
                self.negative(rcode::NOERROR, None, out);
                Step::Reply(blocked(Because::SafeSearch))
            }
        }
    }

    /// An alias of a rule: its target from the cache, else a job.
    fn aliased(&self, near: &mut Near, target: &Name, out: &mut Vec<u8>) -> Step {
        let query = self.query;
        match self.law(target.as_ref()) {
            Ok(Law::Listed(because, answer)) => return Step::Reply(self.barred_as(because, &answer, out)),
            Ok(_) => {}
            Err(prefixes) => return self.confirming(prefixes),
        }
        if query.qtype == rtype::CNAME {
            let mut reply = Reply::to(query, rcode::NOERROR, out);
            let ttl = self.snapshot.answers.block_ttl;
            reply.answer(rtype::CNAME, ttl, target.as_ref().wire());
            reply.finish(query, rcode::NOERROR, None);
            return Step::Reply(Kind::Blocked.into());
        }
        match self.cache.get(near, self.key(target.as_ref()), self.now_ms) {
            Found::Fresh(entry, age) => {
                match self.barred(Onward::Chosen, &entry.answer, &entry.targets, out) {
                    Ok(None) => self.respond(Some(target), &entry.answer, Age::Fresh(age), None, out),
                    Ok(Some(done)) => return Step::Reply(done),
                    Err(prefixes) => return self.confirming(prefixes),
                }
                Step::Reply(Kind::Blocked.into())
            }
            Found::Stale(entry) => self.upstream(self.key(target.as_ref()), Some(target), Some(entry)),
            Found::Missing => self.upstream(self.key(target.as_ref()), Some(target), None),
        }
    }

    fn upstream(&self, key: KeyRef<'_>, alias: Option<&Name>, stale: Option<Arc<Entry>>) -> Step {
        Step::Upstream(Box::new(self.job(key.to_key(), alias.cloned(), stale)))
    }

    fn job(&self, key: Key, alias: Option<Name>, stale: Option<Arc<Entry>>) -> Job {
        Job {
            key,
            packet: self.packet.into(),
            alias,
            stale,
            peer: *self.peer,
            unconfirmed: Vec::new(),
            confirmed: self.confirmed,
        }
    }

    fn key<'k>(&self, name: NameRef<'k>) -> KeyRef<'k> {
        KeyRef {
            name,
            qtype: self.query.qtype,
            dnssec_ok: self.query.dnssec_ok(),
            checking_disabled: self.query.flags & flag::CD != 0,
        }
    }

    /// Writes an upstream's answer, behind an alias where the rule made one.
    pub(super) fn respond(
        &self,
        alias: Option<&Name>,
        answer: &Finished,
        age: Age,
        error: Option<Ede<'_>>,
        out: &mut Vec<u8>,
    ) {
        let query = self.query;
        let Some(target) = alias else {
            return answer.write(query, age, error, out);
        };
        let ttl = self.snapshot.answers.block_ttl;
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

    /// Writes an answer that is past its time (RFC 8767), because no upstream gave a newer one.
    pub(super) fn stale(&self, alias: Option<&Name>, entry: &Entry, out: &mut Vec<u8>) {
        let error = Ede {
            code: ede::STALE_ANSWER,
            text: "no upstream answered",
        };
        self.respond(alias, &entry.answer, Age::Stale, Some(error), out);
    }

    /// Cuts a reply over UDP down to what the client takes.
    pub(super) fn fit(&self, out: &mut Vec<u8>) {
        let limit = match self.peer.transport {
            Transport::Udp => self.query.udp_limit(UDP_CEILING),
            Transport::Tcp => usize::from(u16::MAX),
        };
        if out.len() > limit {
            reply::truncate(self.query, out);
        }
    }
}

/// What is blocked for this reason.
fn blocked(because: Because) -> Done {
    Done {
        because: Some(because),
        ..Kind::Blocked.into()
    }
}

/// The query name followed by `below`, where that is a legal name.
fn joined(name: NameRef<'_>, below: NameRef<'_>) -> Option<Name> {
    let front = name.wire().strip_suffix(&[0])?;
    Name::from_wire(&[front, below.wire()].concat()).ok()
}
