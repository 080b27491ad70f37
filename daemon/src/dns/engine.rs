//! What every door shares: the snapshot, the cache, the upstream, the clock and the counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use isigurt_core::cache::{Cache, Key, Near};
use isigurt_core::limit::Limiter;
use isigurt_core::policy::confirm::Confirm;
use isigurt_core::snapshot::Snapshot;
use isigurt_core::step::{self, Done, Failure, Job, Kind, Peer, Step};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::check::Checks;
use super::upstream::Upstream;
use crate::log::queries::{Pen, QueryLog};

/// Queries that may wait for an upstream at once; what comes beyond is answered SERVFAIL at once.
const WAITING: usize = 4096;

/// How long a client waits for a newer answer where an older one stands by (RFC 8767, section 5: the client response timer).
const STALE_AFTER: Duration = Duration::from_millis(1800);
/// How long upstream servers are waited for that are only tried.
const TRIED_FOR: Duration = Duration::from_secs(5);

/// The engine behind all doors.
#[derive(Debug)]
pub struct Engine {
    snapshot: ArcSwap<Snapshot>,
    cache: Cache,
    upstream: Upstream,
    waiting: Semaphore,
    limiter: Limiter,
    log: Arc<QueryLog>,
    started: Instant,
    counters: Counters,
    checks: Checks,
    confirm: OnceLock<Arc<dyn Confirm>>,
    waits: [AtomicU64; WAITS],
    faults: Arc<Faults>,
}

/// Tasks and workers that ended with a fault and were started again, with how often.
#[derive(Debug, Default)]
pub struct Faults(Mutex<BTreeMap<&'static str, u32>>);

impl Faults {
    /// Notes one.
    pub fn note(&self, what: &'static str) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = faults.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    /// What is to be said of them.
    pub fn told(&self) -> Vec<String> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = faults.iter().map(|(what, count)| {
            let often = match count {
                1 => "once".to_owned(),
                count => format!("{count} times"),
            };
            format!("the task \"{what}\" ended with a fault {often} and was started again; see the log, and report it")
        });
        told.collect()
    }
}

/// Places of [`Engine::waits`].
const WAITS: usize = 14;

#[derive(Debug, Default)]
struct Counters {
    queries: AtomicU64,
    blocked: AtomicU64,
    cached: AtomicU64,
    forwarded: AtomicU64,
    local: AtomicU64,
    refused: AtomicU64,
    faults: AtomicU64,
    stale: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Queries since the start, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// All packets.
    pub queries: u64,
    /// Blocked or rewritten.
    pub blocked: u64,
    /// Answered from the cache.
    pub cached: u64,
    /// Answered by an upstream.
    pub forwarded: u64,
    /// Special-use names and local records.
    pub local: u64,
    /// Clients or kinds of query that are not served.
    pub refused: u64,
    /// Malformed.
    pub faults: u64,
    /// Answered stale, because no upstream answered.
    pub stale: u64,
    /// Not answered by any upstream.
    pub failed: u64,
    /// Not answered on purpose.
    pub dropped: u64,
}

/// How many bits the milliseconds of a time have.
fn bits(time: Duration) -> usize {
    let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    usize::try_from(u32::BITS - milliseconds.leading_zeros()).unwrap_or(0)
}

/// How many kinds of reply there are, and one for what is dropped.
const KINDS: usize = 9;
/// The place of what is dropped.
const DROPPED: usize = KINDS - 1;

/// What a worker has for itself.
#[derive(Debug)]
pub struct Desk {
    near: Near,
    pen: Pen,
}

/// A batch of packets on their way down the line. What became of them is counted when it ends, so that workers do not
/// contend for the counters with every packet.
#[derive(Debug)]
pub struct Turn<'e> {
    engine: &'e Engine,
    desk: &'e mut Desk,
    snapshot: arc_swap::Guard<Arc<Snapshot>>,
    now_ms: u64,
    tally: [u64; KINDS],
}

impl Turn<'_> {
    /// Takes one datagram down the line; never waits.
    pub fn serve(&mut self, peer: &Peer, packet: &[u8], out: &mut Vec<u8>) -> Next {
        let cache = &self.engine.cache;
        let step = if self.engine.limiter.allows(peer.addr.ip(), self.now_ms) {
            step::step(
                &self.snapshot,
                cache,
                &mut self.desk.near,
                peer,
                packet,
                self.now_ms,
                out,
            )
        } else {
            step::limited(packet, out)
        };
        let (place, next) = match step {
            Step::Upstream(job) => {
                // Counted as a query now, and by its kind when it is answered.
                self.engine.counters.queries.fetch_add(1, Ordering::Relaxed);
                return Next::Wait(job);
            }
            Step::Drop => (DROPPED, Next::Nothing),
            Step::Reply(done) => (self.note(peer, packet, done), Next::Send),
            Step::Refresh(done, job) => (self.note(peer, packet, done), Next::SendAndRefresh(job)),
        };
        if let Some(count) = self.tally.get_mut(place) {
            *count += 1;
        }
        next
    }

    /// Notes what was answered, and gives its place in the tally.
    fn note(&mut self, peer: &Peer, packet: &[u8], done: Done) -> usize {
        if done.kind != Kind::Local || !self.engine.checks.note(packet, peer.addr.ip()) {
            self.desk.pen.note(&self.snapshot, peer.addr.ip(), packet, done);
        }
        done.kind as usize
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.desk.pen.end();
        let counters = &self.engine.counters;
        for (place, &count) in self.tally.iter().enumerate().filter(|(_, count)| **count > 0) {
            counters.queries.fetch_add(count, Ordering::Relaxed);
            let kind = Kind::ALL
                .get(place)
                .map_or(&counters.dropped, |&kind| self.engine.counter(kind));
            kind.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// What a door does next.
#[derive(Debug)]
pub enum Next {
    /// Send what stands in the buffer.
    Send,
    /// Send what stands in the buffer, and have [`Engine::refresh`] fetch a newer answer.
    SendAndRefresh(Box<Job>),
    /// Wait for an upstream with [`Engine::resolve`], then send.
    Wait(Box<Job>),
    /// Send nothing.
    Nothing,
}

impl Engine {
    /// An engine that starts with this snapshot.
    pub fn new(
        snapshot: Snapshot,
        cache: Cache,
        upstream: Upstream,
        limiter: Limiter,
        log: Arc<QueryLog>,
    ) -> Arc<Self> {
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            cache,
            upstream,
            waiting: Semaphore::new(WAITING),
            limiter,
            log,
            started: Instant::now(),
            counters: Counters::default(),
            checks: Checks::default(),
            confirm: OnceLock::new(),
            waits: Default::default(),
            faults: Arc::default(),
        })
    }

    /// Puts a new snapshot in force and gives the old one back; queries under way end with that.
    pub fn swap(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.snapshot.swap(Arc::new(snapshot))
    }

    /// What ended with a fault and was started again.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// Which devices asked for a name that they were told to ask for.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Starts a turn: the snapshot and the time that a batch of packets is served with. `desk` is the caller's own.
    pub fn turn<'e>(&'e self, desk: &'e mut Desk) -> Turn<'e> {
        Turn {
            desk,
            snapshot: self.snapshot.load(),
            now_ms: self.now_ms(),
            tally: [0; KINDS],
            engine: self,
        }
    }

    /// A worker's desk.
    pub fn desk(&self) -> Desk {
        Desk {
            near: Near::new(),
            pen: self.log.pen(),
        }
    }

    /// Takes one packet of a connection down the line; never waits. Connections are bounded a client already, and cannot be
    /// forged: the limit is for datagrams.
    pub fn serve(&self, peer: &Peer, packet: &[u8], out: &mut Vec<u8>) -> Next {
        let snapshot = self.snapshot.load();
        let step = step::step(
            &snapshot,
            &self.cache,
            &mut Near::none(),
            peer,
            packet,
            self.now_ms(),
            out,
        );
        self.counters.queries.fetch_add(1, Ordering::Relaxed);
        if let Step::Reply(done) | Step::Refresh(done, _) = &step
            && (done.kind != Kind::Local || !self.checks.note(packet, peer.addr.ip()))
        {
            self.log.note(&snapshot, peer.addr.ip(), packet, *done);
        }
        self.next(step)
    }

    /// Says who asks about candidates of prefix lists; the first one stays.
    pub fn confirm_with(&self, confirm: Arc<dyn Confirm>) {
        let _ = self.confirm.set(confirm);
    }

    /// Has candidates confirmed, and goes down the line again.
    async fn confirm(self: &Arc<Self>, job: &Job, out: &mut Vec<u8>) -> bool {
        if let (Some(confirm), Ok(_place)) = (self.confirm.get(), self.waiting.try_acquire()) {
            confirm.confirm(job.unconfirmed()).await;
        }
        let snapshot = self.snapshot.load_full();
        let step = step::again(&snapshot, &self.cache, job, self.now_ms(), out);
        if let Step::Reply(done) | Step::Refresh(done, _) = &step {
            let (peer, packet) = job.asked();
            self.log.note(&snapshot, peer.addr.ip(), packet, *done);
        }
        match self.next(step) {
            Next::Send => true,
            Next::SendAndRefresh(job) => {
                let engine = self.clone();
                tokio::spawn(async move { engine.refresh(&job).await });
                true
            }
            Next::Wait(job) => self.forward(&job, out).await,
            Next::Nothing => false,
        }
    }

    /// Asks the upstream, or about candidates first, and writes the reply; `false` where there is none to send.
    pub async fn resolve(self: &Arc<Self>, job: &Job, out: &mut Vec<u8>) -> bool {
        if job.unconfirmed().is_empty() {
            self.forward(job, out).await
        } else {
            self.confirm(job, out).await
        }
    }

    async fn forward(self: &Arc<Self>, job: &Job, out: &mut Vec<u8>) -> bool {
        let asked = Instant::now();
        let answer = match self.waiting.try_acquire() {
            Ok(_place) if job.has_stale() => self.resolve_in_time(job).await,
            Ok(_place) => self.upstream.resolve(&job.key).await,
            Err(_) => Err(Failure::Unreachable),
        };
        // Below 1, 2, 4 … milliseconds.
        let place = bits(asked.elapsed());
        if let Some(wait) = self.waits.get(place.min(WAITS - 1)) {
            wait.fetch_add(1, Ordering::Relaxed);
        }
        let snapshot = self.snapshot.load_full();
        let answer = answer.as_deref().map_err(|failure| *failure);
        let step = step::finish(&snapshot, &self.cache, job, answer, self.now_ms(), out);
        if let Step::Reply(done) = step {
            let (peer, packet) = job.asked();
            self.log.note(&snapshot, peer.addr.ip(), packet, done);
        }
        match self.next(step) {
            Next::Send => true,
            Next::Wait(job) => Box::pin(self.confirm(&job, out)).await, // once: then nothing is left to ask for
            Next::SendAndRefresh(_) | Next::Nothing => false,
        }
    }

    /// Asks the upstream, but not longer than a client should wait that can have an older answer. What comes later still goes
    /// into the cache.
    async fn resolve_in_time(self: &Arc<Self>, job: &Job) -> Result<Arc<[u8]>, Failure> {
        let (engine, job) = (self.clone(), job.clone());
        let asking = tokio::spawn(async move {
            let answer = engine.upstream.resolve(&job.key).await;
            engine.keep(&job, answer.as_deref());
            answer
        });
        let answer = tokio::time::timeout(STALE_AFTER, asking).await;
        answer.map_or(Err(Failure::Unreachable), |answer| {
            answer.unwrap_or(Err(Failure::Network))
        })
    }

    /// What an upstream answers for the gateway itself; nothing of it is kept.
    pub(super) async fn ask_upstream(&self, key: &Key) -> Result<Arc<[u8]>, Failure> {
        self.upstream.resolve(key).await
    }

    /// Fetches a newer answer into the cache. Nobody waits for it, and where the upstream is busy it is left.
    pub async fn refresh(&self, job: &Job) {
        let Ok(_place) = self.waiting.try_acquire() else {
            return;
        };
        let answer = self.upstream.resolve(&job.key).await;
        self.keep(job, answer.as_deref());
    }

    /// Puts an upstream's answer into the cache.
    fn keep(&self, job: &Job, answer: Result<&[u8], &Failure>) {
        let Ok(answer) = answer else { return };
        step::keep(
            &self.snapshot.load_full(),
            &self.cache,
            job,
            answer,
            self.now_ms(),
        );
    }

    fn next(&self, step: Step) -> Next {
        let (counter, next) = match step {
            Step::Upstream(job) => return Next::Wait(job),
            Step::Drop => (&self.counters.dropped, Next::Nothing),
            Step::Reply(done) => (self.counter(done.kind), Next::Send),
            Step::Refresh(done, job) => (self.counter(done.kind), Next::SendAndRefresh(job)),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        next
    }

    fn counter(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Fault => &self.counters.faults,
            Kind::Refused => &self.counters.refused,
            Kind::Local => &self.counters.local,
            Kind::Blocked => &self.counters.blocked,
            Kind::Cached => &self.counters.cached,
            Kind::Forwarded => &self.counters.forwarded,
            Kind::Stale => &self.counters.stale,
            Kind::Failed => &self.counters.failed,
        }
    }

    /// Queries since the start.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters {
            queries,
            blocked,
            cached,
            forwarded,
            local,
            refused,
            faults,
            stale,
            failed,
            dropped,
        } = &self.counters;
        Counts {
            queries: read(queries),
            blocked: read(blocked),
            cached: read(cached),
            forwarded: read(forwarded),
            local: read(local),
            refused: read(refused),
            faults: read(faults),
            stale: read(stale),
            failed: read(failed),
            dropped: read(dropped),
        }
    }

    /// The cache, and the time on its clock.
    pub fn cache(&self) -> (&Cache, u64) {
        (&self.cache, self.now_ms())
    }

    /// The query log.
    pub fn log(&self) -> &QueryLog {
        &self.log
    }

    /// Entries and octets in the cache.
    pub fn cache_usage(&self) -> (usize, u64) {
        self.cache.usage()
    }

    /// The upstream servers as a person reads them, with whether the last query to each was answered.
    pub fn upstreams(&self) -> Vec<(String, bool)> {
        self.upstream.servers()
    }

    /// Asks the upstream servers of which nothing was heard yet, or not the last time; not for longer than a person waits.
    pub async fn try_upstreams(&self) {
        let _ = tokio::time::timeout(TRIED_FOR, self.upstream.try_unheard()).await;
    }

    /// The upstream servers, with the milliseconds that an answer of each takes now; `None` where none came yet.
    pub fn upstream_times(&self) -> Vec<(String, Option<f32>)> {
        self.upstream.times()
    }

    /// How many queries waited for an upstream below 1, 2, 4 … milliseconds, and longer.
    pub fn waits(&self) -> [u64; WAITS] {
        self.waits.each_ref().map(|wait| wait.load(Ordering::Relaxed))
    }

    /// Whether no query waits for an upstream.
    pub fn idle(&self) -> bool {
        self.waiting.available_permits() == WAITING
    }

    /// Seconds since the start.
    pub fn uptime_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
