//! The query log: written beside the line, which never waits for it.
//!
//! Each worker has a [`Pen`]: what it answered in a batch goes into a ring of octets in one piece, or is counted as lost
//! where there is no room. One thread empties the rings into blocks, and writes a block when it is full or ten seconds old:
//! flash memory wears out. Helplines, malformed packets, what is refused before anybody looked whose name it is, and what the
//! privacy setting forbids never reach a ring.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use isigurt_core::policy::{Because, NATIONAL};
use isigurt_core::snapshot::Snapshot;
use isigurt_core::step::{Done, Kind};
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::broadcast;

use super::record::{self, Raw, Record};
use super::segment::{VERSION, Writer, folder};

/// Octets of a ring: some 30,000 queries.
const RING: usize = 1 << 20;
/// A block of so many octets is written at once.
const BLOCK: usize = 128 << 10;
/// A block is written after this time at the latest.
const OLDEST: Duration = Duration::from_secs(10);
/// Records that a watcher looks at in a second.
pub const LOOKED_AT: usize = 1000;
/// Records that one who follows the log may be behind.
const FOLLOWED: usize = 1024;
/// How often the rings are looked at while there is something in them, and while there is not.
const BUSY: Duration = Duration::from_millis(5);
const QUIET: Duration = Duration::from_millis(200);
/// The same where nothing is kept.
const IDLE: Duration = Duration::from_secs(3600);

/// What is kept of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Nothing at all.
    pub nothing: bool,
    /// Not who asked.
    pub anonymous: bool,
    /// Only what was blocked.
    pub blocked_only: bool,
}

/// What a worker writes with.
#[derive(Debug)]
pub struct Pen {
    keeping: Keeping,
    pending: Vec<u8>,
    ring: Option<Producer<u8>>,
    lost: Arc<AtomicU64>,
    records: u64,
}

impl Pen {
    /// One that writes nothing.
    pub fn none() -> Self {
        Self {
            keeping: Keeping {
                nothing: true,
                anonymous: true,
                blocked_only: true,
            },
            pending: Vec::new(),
            ring: None,
            lost: Arc::default(),
            records: 0,
        }
    }

    /// Notes an answered query; `packet` is the query as it came.
    #[inline]
    pub fn note(&mut self, snapshot: &Snapshot, client: IpAddr, packet: &[u8], done: Done) {
        let Keeping {
            nothing,
            anonymous,
            blocked_only,
        } = self.keeping;
        let blocked = done.kind == Kind::Blocked;
        // What is refused was refused before it was known who asks and whether it is a helpline.
        let unseen = matches!(done.kind, Kind::Fault | Kind::Refused);
        if nothing || done.helpline || unseen || blocked_only && !blocked {
            return;
        }
        let Some(question) = question(packet) else {
            return;
        };
        let client = (!anonymous).then(|| client.to_canonical());
        let profile = snapshot.policy.profile_at(done.profile);
        let reason = done
            .because
            .map_or("", |because| because.text(&snapshot.index, profile));
        // What nobody is to see is not written: neither what the national list names, nor what the profile keeps to itself.
        let mandatory = matches!(done.because, Some(Because::Mandatory(_)));
        let shown = !mandatory && profile.visibility.shows(blocked);
        if self.pending.is_empty() {
            self.pending.extend_from_slice(&[0; 9]); // the marker's place
        }
        let device = done.device.filter(|_| !anonymous);
        let parts = record::Parts {
            kind: done.kind,
            client,
            device: device.map_or("", |device| snapshot.policy.device_name(device)),
            profile: &profile.name,
            reason,
            question: if shown { question } else { record::HIDDEN },
        };
        record::write(&mut self.pending, &parts);
        self.records += 1;
    }

    /// Hands on what was noted since the last time.
    pub fn end(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Some(place) = self.pending.first_chunk_mut::<9>() {
            *place = record::marker(now_ms());
        }
        let handed = self
            .ring
            .as_mut()
            .is_some_and(|ring| ring.push_entire_slice(&self.pending).is_ok());
        if !handed {
            self.lost.fetch_add(self.records, Ordering::Relaxed);
        }
        self.pending.clear();
        self.records = 0;
    }
}

/// The question of a query that was answered.
fn question(packet: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        match *packet.get(at)? {
            0 => return packet.get(12..at + 5),
            length => at += usize::from(length) + 1,
        }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The query log of a run.
#[derive(Debug)]
pub struct QueryLog {
    keeping: Keeping,
    /// For what is answered beside the workers.
    shared: Mutex<Pen>,
    /// Taken by the workers.
    pens: Mutex<Vec<Pen>>,
    lost: Arc<AtomicU64>,
    errands: Mutex<Sender<Errand>>,
    followed: broadcast::Sender<Arc<Record>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Who looks at records as they come.
pub type Watcher = Box<dyn FnMut(&Record) + Send>;

/// Who counts all records, on the log's thread.
pub trait Counter: Send {
    /// Counts records that came together, in the order in which they came.
    fn count(&mut self, records: &mut dyn Iterator<Item = Raw<'_>>);
    /// Is called now and then, whether or not there was something to count.
    fn tend(&mut self);
    /// Keeps what was counted: the last call.
    fn end(&mut self);
}

enum Errand {
    /// Have this one count records.
    Count(Box<dyn Counter>),
    /// Have this one look at records.
    Watch(Watcher),
    /// Write everything now, then say so.
    Flush(Sender<()>),
    End,
}

impl QueryLog {
    /// What is kept.
    pub fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Starts the log in a state folder, with a pen for each of `workers`. `keep`: how long; `most`: octets of all files.
    pub fn start(
        keeping: Keeping,
        state_dir: &Path,
        (keep, most): (Duration, u64),
        workers: usize,
    ) -> std::io::Result<Arc<Self>> {
        let lost: Arc<AtomicU64> = Arc::default();
        let (mut pens, mut rings) = (Vec::new(), Vec::new());
        for _ in 0..=workers {
            let (ring, consumer) = RingBuffer::new(if keeping.nothing { 1 } else { RING });
            pens.push(Pen {
                keeping,
                pending: Vec::with_capacity(8192),
                ring: Some(ring),
                lost: lost.clone(),
                records: 0,
            });
            rings.push(consumer);
        }
        let (errands, errands_in) = channel();
        let (followed, _) = broadcast::channel(FOLLOWED);
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let keeper = Keeper {
            rings,
            block: Vec::with_capacity(BLOCK),
            begun: None,
            writer: Writer::new(folder(state_dir), keep_ms, most),
            failed: false,
            watcher: None,
            counter: None,
            followed: followed.clone(),
            fresh: Vec::new(),
            nothing: keeping.nothing,
            looked: (Instant::now(), 0),
        };
        let thread = std::thread::Builder::new()
            .name("query log".to_owned())
            .spawn(move || keeper.run(&errands_in))?;
        Ok(Arc::new(Self {
            keeping,
            shared: Mutex::new(pens.pop().unwrap_or_else(Pen::none)),
            pens: Mutex::new(pens),
            lost,
            errands: Mutex::new(errands),
            followed,
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// A pen for a worker; one that writes nothing where there are no more.
    pub fn pen(&self) -> Pen {
        let mut pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        pens.pop().unwrap_or_else(Pen::none)
    }

    /// Notes a query that no worker answered.
    pub fn note(&self, snapshot: &Snapshot, client: IpAddr, packet: &[u8], done: Done) {
        if self.keeping.nothing {
            return;
        }
        let mut pen = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        pen.note(snapshot, client, packet, done);
        pen.end();
    }

    /// Queries that there was no room for.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has everything that was noted written; waits a second at most.
    pub fn flush(&self) {
        let (done, wait) = channel();
        self.send(Errand::Flush(done));
        let _ = wait.recv_timeout(Duration::from_secs(1));
    }

    /// Has `watcher` look at records as they come, on the log's thread: up to [`LOOKED_AT`] a second, so that a flood of
    /// queries costs no more.
    pub fn watch(&self, watcher: Watcher) {
        self.send(Errand::Watch(watcher));
    }

    /// Has `counter` count all records.
    pub fn count(&self, counter: Box<dyn Counter>) {
        self.send(Errand::Count(counter));
    }

    /// Records as they come, up to [`LOOKED_AT`] a second.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Record>> {
        self.followed.subscribe()
    }

    /// Writes everything and ends.
    pub fn end(&self) {
        self.send(Errand::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn send(&self, errand: Errand) {
        let errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = errands.send(errand);
    }
}

/// Empties the rings.
struct Keeper {
    rings: Vec<Consumer<u8>>,
    block: Vec<u8>,
    /// When the first record of the block came.
    begun: Option<Instant>,
    writer: Writer,
    /// Writing failed the last time.
    failed: bool,
    watcher: Option<Watcher>,
    counter: Option<Box<dyn Counter>>,
    followed: broadcast::Sender<Arc<Record>>,
    /// What came last.
    fresh: Vec<u8>,
    /// No record is kept, and so none comes.
    nothing: bool,
    /// Since when so many records were looked at.
    looked: (Instant, usize),
}

impl Keeper {
    fn run(mut self, errands: &Receiver<Errand>) {
        if let Err(error) = self.writer.clear(now_ms()) {
            tracing::warn!(%error, "old query logs are not removed");
        }
        let mut patience = QUIET;
        loop {
            let errand = errands.recv_timeout(patience);
            patience = match (self.empty_rings(), self.nothing) {
                (true, _) => BUSY,
                (false, false) => QUIET,
                (false, true) => IDLE, // nothing will come
            };
            if let Some(counter) = &mut self.counter {
                counter.tend();
            }
            let due = self.begun.is_some_and(|begun| begun.elapsed() >= OLDEST);
            if due || self.block.len() >= BLOCK {
                self.write();
            }
            match errand {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Errand::Watch(watcher)) => self.watcher = Some(watcher),
                Ok(Errand::Count(counter)) => self.counter = Some(counter),
                Ok(Errand::Flush(done)) => {
                    self.write();
                    let _ = done.send(());
                }
                Ok(Errand::End) | Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    self.writer.sync();
                    if let Some(counter) = &mut self.counter {
                        counter.end();
                    }
                    return;
                }
            }
        }
    }

    /// Moves what is in the rings into the block; whether there was anything. A piece is handed over whole, so that what is
    /// there ends with a whole record.
    fn empty_rings(&mut self) -> bool {
        self.fresh.clear();
        for ring in &mut self.rings {
            let Ok(chunk) = ring.read_chunk(ring.slots()) else {
                continue;
            };
            let (first, second) = chunk.as_slices();
            self.fresh.extend_from_slice(first);
            self.fresh.extend_from_slice(second);
            chunk.commit_all();
        }
        if self.fresh.is_empty() {
            return false;
        }
        if let Some(counter) = &mut self.counter {
            counter.count(&mut record::raws(&self.fresh, VERSION));
        }
        self.look();
        if self.keep_fresh() && self.begun.is_none() {
            self.begun = Some(Instant::now());
        }
        true
    }

    /// Has the watcher and those who follow look at what came.
    fn look(&mut self) {
        if self.looked.0.elapsed() >= Duration::from_secs(1) {
            self.looked = (Instant::now(), 0);
        }
        let left = LOOKED_AT.saturating_sub(self.looked.1);
        let followed = self.followed.receiver_count() > 0;
        if !followed && self.watcher.is_none() {
            return;
        }
        for raw in record::raws(&self.fresh, VERSION).take(left) {
            self.looked.1 += 1;
            let Some(record) = raw.record() else { continue };
            if let Some(watcher) = &mut self.watcher {
                watcher(&record);
            }
            if followed && kept(&raw) {
                let _ = self.followed.send(Arc::new(record)); // they may have gone meanwhile
            }
        }
    }

    /// Puts what came into the block, without what is only counted; whether there was anything to put.
    fn keep_fresh(&mut self) -> bool {
        let before = self.block.len();
        if record::raws(&self.fresh, VERSION).all(|raw| kept(&raw)) {
            self.block.extend_from_slice(&self.fresh);
        } else {
            let mut marked = None;
            for raw in record::raws(&self.fresh, VERSION).filter(kept) {
                if marked.replace(raw.at_ms) != Some(raw.at_ms) {
                    self.block.extend_from_slice(&record::marker(raw.at_ms));
                }
                self.block.extend_from_slice(raw.octets);
            }
        }
        self.block.len() > before
    }

    fn write(&mut self) {
        self.begun = None;
        if self.block.is_empty() {
            return;
        }
        match self.writer.append(&self.block, now_ms()) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true; // said once, not every ten seconds
                tracing::error!(%error, "the query log is not written; make room on the disk");
            }
            Err(_) => {}
        }
        self.block.clear();
        self.block.shrink_to(4 * BLOCK);
    }
}

/// Whether a record goes into the files: one without a name only where the national list has spoken.
fn kept(raw: &Raw<'_>) -> bool {
    !raw.is_hidden() || raw.reason == NATIONAL.as_bytes()
}
