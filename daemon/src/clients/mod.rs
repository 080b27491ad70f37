//! Who is who on the network: which device stands behind an address, and which devices nobody has named yet.
//!
//! ```text
//!   kernel's neighbour table ──▶ neighbours ─┐
//!                                            ├─▶ known ──▶ Network::known(), swapped whole; Network::changed() tells
//!   lease files of a DHCP server ─▶ leases ──┘
//!   queries of clients without a device ──▶ sightings      a spreadsheet ──▶ import
//! ```
//!
//! [`Network`] watches and never asks again and again. What it says is a hint among people who do not cheat: a hardware address
//! and a host name can be claimed by anybody on the same network; where the sources contradict each other it says less, so that
//! a device falls to the default profile, never to somebody else's. The first query of an address that was never seen may come
//! before its hardware address is known. Nothing in here waits on the line, and nothing knows profiles.

pub mod import;
mod known;
mod leases;
mod mac;
mod neighbours;
#[doc(hidden)]
pub mod outside;
pub mod sightings;
mod vendor;

use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use leases::{Lease, LeaseFiles};
use neighbours::Neighbours;

pub use known::Known;
pub use mac::{Mac, NotAMac};
pub use vendor::{Explanation, RANDOMISED, source as vendor_source};

/// How long changes are gathered before they are told.
const GATHERED: Duration = Duration::from_millis(200);
/// At most this part of one core's time goes into telling changes: one in so many.
const SHARE: u32 = 20;
/// How often it is looked whether something is to be forgotten.
const FORGET: Duration = Duration::from_secs(30);
/// How long the first telling waits for the neighbour table.
const FIRST: Duration = Duration::from_secs(1);

/// What the network tells about an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// What the device calls itself: one valid label, lower case.
    pub hostname: Option<String>,
}

/// What is known now, and who wants to hear of changes.
#[derive(Debug)]
struct Shared {
    known: ArcSwap<Known>,
    changed: watch::Sender<u64>,
    lease_files: Mutex<Vec<PathBuf>>,
}

/// The watcher: one thread, which sleeps until something happens and ends when this is dropped.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    /// An octet wakes the thread, the end of the stream ends it.
    wake: Option<UnixStream>,
}

impl Network {
    /// Starts to watch the neighbour table and these lease files. What cannot be watched is said in the log, once; everything
    /// else works without it.
    pub fn start(lease_files: Vec<PathBuf>) -> Self {
        let shared = Arc::new(Shared {
            known: ArcSwap::default(),
            changed: watch::Sender::new(0),
            lease_files: Mutex::new(lease_files),
        });
        let started = UnixStream::pair().and_then(|(wake, woken)| {
            woken.set_nonblocking(true)?;
            wake.set_nonblocking(true)?;
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("clients".to_owned());
            thread.spawn(move || Watcher::new(shared, woken).run())?;
            Ok(wake)
        });
        let wake = started
            .inspect_err(|error| tracing::warn!(%error, "devices are known by their addresses only: no thread to watch them"))
            .ok();
        Self { shared, wake }
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Known> {
        self.shared.known.load_full()
    }

    /// Reads what is known, also where the watcher itself cannot be had.
    pub fn reader(&self) -> impl Fn() -> Arc<Known> + Send + use<> {
        let shared = self.shared.clone();
        move || shared.known.load_full()
    }

    /// Hears of changes of what is known. The number only grows; it is 0 until the watcher has looked round once.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Watches these lease files from now on instead of those before.
    pub fn watch_leases(&self, files: Vec<PathBuf>) {
        *self.shared.files() = files;
        if let Some(mut wake) = self.wake.as_ref() {
            let _ = wake.write(&[0]); // a full stream wakes the thread too
        }
    }
}

impl Shared {
    fn files(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.lease_files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, known: Known) {
        if **self.known.load() != known || *self.changed.borrow() == 0 {
            tracing::debug!(addresses = known.len(), "what is known of the network changed");
            self.known.store(Arc::new(known));
            self.changed.send_modify(|number| *number += 1);
        }
    }
}

/// What the thread has.
#[derive(Debug)]
struct Watcher {
    shared: Arc<Shared>,
    woken: UnixStream,
    neighbours: Neighbours,
    files: LeaseFiles,
    leases: Vec<Lease>,
    forget_at: Instant,
    tell_at: Option<Instant>,
    /// How long the next telling waits for more.
    rest: Duration,
}

impl Watcher {
    fn new(shared: Arc<Shared>, woken: UnixStream) -> Self {
        let now = Instant::now();
        let named = shared.files().clone();
        Self {
            shared,
            woken,
            neighbours: Neighbours::watch(),
            files: LeaseFiles::watch(named),
            leases: Vec::new(),
            forget_at: now + FORGET,
            tell_at: Some(now + FIRST),
            rest: FIRST,
        }
    }

    fn run(mut self) {
        while self.wait() {
            let now = Instant::now();
            let mut changed = self.neighbours.turn(now);
            if self.files.turn(now) {
                self.leases = self.files.leases();
                changed = true;
            }
            if self.forget_at <= now {
                self.forget_at = now + FORGET;
                self.neighbours.forget(now);
                changed = true; // leases end by themselves
            }
            if changed && self.tell_at.is_none() {
                self.tell_at = Some(now + self.rest);
            }
            let first = *self.shared.changed.borrow() == 0 && self.neighbours.told();
            if first || self.tell_at.is_some_and(|at| at <= now) {
                self.tell(now);
            }
        }
    }

    /// Sleeps until something happens or is due; false where nobody wants to know any more.
    fn wait(&mut self) -> bool {
        let times = [self.neighbours.due(), self.tell_at];
        let due = times
            .into_iter()
            .flatten()
            .fold(self.files.due().min(self.forget_at), Instant::min);
        // A millisecond more: rounded down it would wake too early and turn in a circle.
        let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let all = [
            Some(self.woken.as_fd()),
            self.neighbours.descriptor(),
            self.files.descriptor(),
        ];
        let mut all: Vec<PollFd> = all
            .into_iter()
            .flatten()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        if let Err(error) = poll(&mut all, timeout)
            && error != nix::errno::Errno::EINTR
        {
            tracing::warn!(%error, "devices are watched no longer; restart the gateway");
            return false;
        }
        match self.woken.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => self.files.name(self.shared.files().clone()),
            Err(_) => {} // nobody called
        }
        true
    }

    fn tell(&mut self, now: Instant) {
        let now_s = jiff::Timestamp::now().as_second();
        let known = known::merge(&self.neighbours.known(), &self.leases, now_s);
        self.shared.tell(known);
        self.tell_at = None;
        self.rest = GATHERED.max(now.elapsed() * SHARE);
    }
}
