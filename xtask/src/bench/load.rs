//! Queries at a steady rate, and how long each answer took.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an answer may take before its query counts as lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// A load that is running.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Vec<Answer>>>,
    pub(super) started: Instant,
}

/// One query: when it was sent after the start, and how long its answer took, if one came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) at: Duration,
    pub(super) took: Option<Duration>,
}

impl Load {
    /// Asks for `names` in turn, `rate` times a second, until it is stopped; 60 s at most.
    pub(super) fn start(to: SocketAddr, names: Vec<String>, rate: u32) -> std::io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let started = Instant::now();
        let thread = std::thread::spawn(move || run(&socket, &names, rate, &stopped, started));
        Ok(Self {
            stop,
            thread,
            started,
        })
    }

    /// Ends it, waits for the last answers, and gives all of them.
    pub(super) fn stop(self) -> anyhow::Result<Vec<Answer>> {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("the load broke"))?;
        Ok(answers?)
    }
}

fn run(
    socket: &UdpSocket,
    names: &[String],
    rate: u32,
    stop: &AtomicBool,
    started: Instant,
) -> std::io::Result<Vec<Answer>> {
    let every = Duration::from_secs(1) / rate;
    let packets: Vec<Vec<u8>> = names.iter().map(|name| packet(name)).collect();
    let mut answers: Vec<Answer> = Vec::new();
    let mut buffer = [0; 1500];
    let mut waiting = 0_usize;
    let mut ended: Option<Instant> = None;
    loop {
        let now = started.elapsed();
        if ended.is_none() && (stop.load(Ordering::Relaxed) || now > Duration::from_secs(60)) {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|ended| waiting == 0 || ended.elapsed() > PATIENCE) {
            return Ok(answers);
        }
        let due = every * u32::try_from(answers.len()).unwrap_or(u32::MAX);
        if ended.is_none() && now >= due {
            // An identifier comes again after 65,536 queries, long after the patience.
            let id = u16::try_from(answers.len() % 65_536).unwrap_or(0).to_be_bytes();
            let mut query = packets
                .get(answers.len() % packets.len())
                .cloned()
                .unwrap_or_default();
            query.splice(..2, id);
            answers.push(Answer { at: now, took: None });
            waiting += 1;
            socket.send(&query)?;
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            let Some(&[high, low]) = buffer.get(..length).and_then(|answer| answer.first_chunk::<2>()) else {
                continue;
            };
            let id = usize::from(u16::from_be_bytes([high, low]));
            let latest = answers.len().saturating_sub(1);
            let place = latest - (latest.wrapping_sub(id) % 65_536).min(latest);
            if let Some(answer) = answers.get_mut(place)
                && answer.took.is_none()
            {
                answer.took = Some(started.elapsed().saturating_sub(answer.at));
                waiting -= 1;
            }
        }
        std::thread::yield_now();
    }
}

/// A query for the A record of a name.
pub(super) fn packet(name: &str) -> Vec<u8> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    packet
}

/// Queries without an answer.
pub(super) fn lost(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.took.is_none()).count()
}

/// The time that `share` of the answers stayed within, milliseconds. What was lost took as long as was waited for it.
pub(super) fn percentile<'a>(answers: impl Iterator<Item = &'a Answer>, share: f64) -> f64 {
    let mut times: Vec<Duration> = answers.map(|answer| answer.took.unwrap_or(PATIENCE)).collect();
    times.sort_unstable();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // a place in a list
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times
        .get(place)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
