//! The UDP door: plain threads, each with its socket and its batch, from which a blocked or cached answer goes out without
//! an allocation, a lock or an await. What needs an upstream goes to the runtime and is answered from there.

use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use isigurt_core::step::{Peer, Transport};
use isigurt_core::wire::reply::UDP_CEILING;
use isigurt_udp::{BATCH, Batch, Origin};
use tokio::runtime::Handle;

use super::engine::{Desk, Engine, Next};

/// Largest query that is read, octets; what is longer is cut off and so malformed. Answers tell clients that no more is
/// taken (RFC 6891, section 6.2.3).
const LARGEST: usize = UDP_CEILING as usize;
/// How long a worker waits for a datagram before it looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(250);

/// The workers of all sockets.
#[derive(Debug)]
pub struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts a thread for each socket. `runtime` is where queries wait for an upstream.
    pub fn start(engine: &Arc<Engine>, sockets: Vec<UdpSocket>, runtime: &Handle) -> io::Result<Self> {
        let mut workers = Self {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for socket in sockets {
            let destinations = isigurt_udp::prepare(&socket, PATIENCE)?;
            let worker = Worker {
                destinations,
                engine: engine.clone(),
                local: socket
                    .local_addr()
                    .ok()
                    .map(|address| address.ip())
                    .filter(|address| !address.is_unspecified()),
                socket: Arc::new(socket),
                runtime: runtime.clone(),
                stop: workers.stop.clone(),
            };
            let name = format!("udp {}", workers.threads.len());
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn(move || worker.last())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Ends the threads and waits for them; takes up to a quarter of a second.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Gathers datagrams under load: where they come faster than one in [`Pace::DENSE`], waking for every few of them costs more
/// than answering them. So the worker rests a moment behind a batch that was not full, and the next one is larger.
///
/// This is what network drivers do with interrupts. It costs a query up to [`Pace::REST`] of waiting, and only at rates that
/// are far above what a household or a school asks; a lone query is never kept waiting.
struct Pace {
    last: Instant,
    /// Nanoseconds between two datagrams, a moving average.
    gap: u64,
}

impl Pace {
    /// Nanoseconds between two datagrams below which they are gathered: 50,000 a second.
    const DENSE: u64 = 20_000;
    /// How long a worker rests.
    const REST: Duration = Duration::from_micros(40);
    /// Batches of so many are large enough.
    const ENOUGH: usize = BATCH / 2;

    fn start() -> Self {
        // The kernel rounds a thread's sleep up by its timer slack, 50 µs where nothing is said (prctl(2)).
        let _ = nix::sys::prctl::set_timerslack(1000);
        Self {
            last: Instant::now(),
            gap: 1_000_000,
        }
    }

    /// Rests behind a batch of `count`, where that pays.
    fn rest(&mut self, count: usize) {
        let now = Instant::now();
        let since = u64::try_from((now - self.last).as_nanos()).unwrap_or(u64::MAX);
        self.last = now;
        let each = since / u64::try_from(count.max(1)).unwrap_or(1);
        self.gap = (self.gap * 7 + each.min(1_000_000)) / 8;
        if self.gap < Self::DENSE && count < Self::ENOUGH {
            std::thread::sleep(Self::REST);
        }
    }
}

struct Worker {
    /// Whether the kernel tells where datagrams were sent to.
    destinations: bool,
    engine: Arc<Engine>,
    socket: Arc<UdpSocket>,
    /// The address that every datagram comes to, where the socket has one.
    local: Option<std::net::IpAddr>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Serves until it is to end; a packet that meets a fault costs its batch, and never the worker.
    fn last(&self) {
        let mut desk = self.engine.desk();
        while catch_unwind(AssertUnwindSafe(|| self.serve(&mut desk))).is_err() {
            self.engine.faults().note("udp worker");
            tracing::error!("a worker met a fault and goes on; report it");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn serve(&self, desk: &mut Desk) {
        let mut batch = Batch::new(LARGEST, self.destinations);
        let mut pace = Pace::start();
        while !self.stop.load(Ordering::Relaxed) {
            match batch.receive(&self.socket) {
                Ok(count) => {
                    self.answer(&mut batch, desk, count);
                    pace.rest(count);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    // An ICMP error of an earlier reply, or memory pressure: neither ends the service.
                    tracing::debug!(%error, "receiving datagrams");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    fn answer(&self, batch: &mut Batch, desk: &mut Desk, count: usize) {
        let mut turn = self.engine.turn(desk);
        for place in 0..count {
            let Some((packet, origin, reply)) = batch.get(place) else {
                continue;
            };
            let Some(addr) = origin.peer() else { continue };
            let peer = Peer {
                addr,
                local: origin.local().or(self.local),
                transport: Transport::Udp,
            };
            match turn.serve(&peer, packet, reply) {
                Next::Send => {}
                Next::SendAndRefresh(job) => {
                    let engine = self.engine.clone();
                    self.runtime.spawn(async move { engine.refresh(&job).await });
                }
                Next::Nothing => reply.clear(),
                Next::Wait(job) => {
                    reply.clear();
                    self.wait(job, *origin);
                }
            }
        }
        drop(turn);
        let refused = batch.send(&self.socket);
        if refused > 0 {
            tracing::debug!(refused, "replies that the system did not send");
        }
    }

    /// Has a query wait for its upstream.
    fn wait(&self, job: Box<isigurt_core::step::Job>, origin: Origin) {
        let (engine, socket) = (self.engine.clone(), self.socket.clone());
        self.runtime.spawn(async move {
            let mut out = Vec::new();
            if engine.resolve(&job, &mut out).await
                && let Err(error) = isigurt_udp::reply(&socket, &out, &origin)
            {
                tracing::debug!(%error, ?origin, "sending a reply");
            }
        });
    }
}
