//! The thread that writes exports: some time after the last change, in any case some time after the first, and at the
//! end. A change never waits for it longer than reading all records takes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::StoreError;
use super::export::Exports;
use super::ledger::Ledger;

/// When an export is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// After the last change.
    pub(super) quiet: Duration,
    /// After the first change that none has yet, however many come.
    pub(super) longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(10),
            longest: Duration::from_secs(60),
        }
    }
}

/// The thread, and how it stands.
#[derive(Debug)]
pub(super) struct Exporter {
    work: Arc<Work>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Work {
    ledger: Arc<Ledger>,
    exports: Exports,
    pace: Pace,
    wish: Mutex<Wish>,
    wake: Condvar,
    /// Held while an export is written: which file is next, and the changes in the newest one.
    turn: Mutex<(usize, u64)>,
    problem: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Wish {
    /// When the first and the last change came that no export has.
    changes: Option<(Instant, Instant)>,
    end: bool,
}

impl Exporter {
    /// Starts the thread. `next` is the file that is written first; the newest export has the first `exported` changes.
    pub(super) fn start(
        ledger: Arc<Ledger>,
        exports: Exports,
        next: usize,
        exported: u64,
        pace: Pace,
    ) -> std::io::Result<Self> {
        let work = Arc::new(Work {
            ledger,
            exports,
            pace,
            wish: Mutex::default(),
            wake: Condvar::new(),
            turn: Mutex::new((next, exported)),
            problem: Mutex::default(),
        });
        let running = work.clone();
        let thread = std::thread::Builder::new()
            .name("state-export".to_owned())
            .spawn(move || running.run())?;
        Ok(Self {
            work,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Something changed.
    pub(super) fn changed(&self) {
        let now = Instant::now();
        let mut wish = locked(&self.work.wish);
        let first = wish.changes.map_or(now, |(first, _)| first);
        wish.changes = Some((first, now));
        self.work.wake.notify_all();
    }

    /// Writes an export now, unless the newest one has every change.
    pub(super) fn write_now(&self) -> Result<(), StoreError> {
        self.work.write()
    }

    /// Why the last export was not written.
    pub(super) fn problem(&self) -> Option<String> {
        locked(&self.work.problem).clone()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        locked(&self.work.wish).end = true;
        self.work.wake.notify_all();
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join(); // what it had to say, it has logged
        }
    }
}

impl Work {
    fn run(&self) {
        while self.wait() {
            if self.write().is_err() {
                let later = Instant::now() + self.pace.longest;
                locked(&self.wish).changes.get_or_insert((later, later));
            }
        }
        let _ = self.write();
    }

    /// Waits until an export is due; `false` at the end.
    fn wait(&self) -> bool {
        let mut wish = locked(&self.wish);
        loop {
            if wish.end {
                return false;
            }
            let Some((first, last)) = wish.changes else {
                wish = self.wake.wait(wish).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let due = (last + self.pace.quiet).min(first + self.pace.longest);
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                wish.changes = None;
                return true;
            }
            let waited = self.wake.wait_timeout(wish, left);
            wish = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self) -> Result<(), StoreError> {
        let mut turn = locked(&self.turn);
        let (next, exported) = *turn;
        if self.ledger.changes() == exported {
            return Ok(());
        }
        let written = self.ledger.contents().and_then(|contents| {
            self.exports.write(next, &contents)?;
            Ok(contents.tally.changes)
        });
        let mut problem = locked(&self.problem);
        match written {
            Ok(changes) => {
                *turn = (1 - next % 2, changes);
                self.ledger.exported(exported); // the other export has these
                if problem.take().is_some() {
                    tracing::info!("the state is exported again");
                }
                Ok(())
            }
            Err(error) => {
                // Said once, not at every change.
                if problem.is_none() {
                    tracing::error!(%error, "the state is not exported; changes are kept in the database alone");
                }
                *problem = Some(format!("the state is not exported: {error}"));
                Err(error)
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
