//! What was asked for, counted: by hour, device, profile, reason and outcome, and by site and service.
//!
//! ```text
//! query log's thread ─▶ Counting ─▶ Day (today, in memory) ─▶ state_dir/stats/DAY (differences, every five minutes)
//!                                      └────▶ Stats ─▶ the API; earlier days are read from their files
//! ```
//!
//! Nothing is counted that the query log would not be told: no helpline, nothing of who asked where it is `anonymous`, no
//! name that nobody is to see. Days go with the log's (`[log] keep`). A query never waits for any of this.

mod count;
mod day;
mod disk;
mod health;
#[doc(hidden)]
pub mod outside;
mod sites;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use count::Counting;
pub use day::{Cell, Day, HOURS, Outcome, Seen};
pub use health::{Health, Minute, Taken};
pub use sites::site;

use disk::Files;

/// Days since 1970, in UTC.
pub type DayNumber = u64;

/// Milliseconds of an hour and of a day.
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What was counted.
#[derive(Debug)]
pub struct Stats {
    files: Files,
    today: Mutex<(DayNumber, Day)>,
    health: Health,
}

impl Stats {
    /// Opens the counts in a state folder; those older than `keep` go.
    pub fn open(state_dir: &Path, keep: Duration, now_ms: u64) -> Arc<Self> {
        let files = Files::new(folder(state_dir), keep);
        let today = now_ms / DAY_MS;
        if let Err(error) = files.clear(today) {
            tracing::warn!(%error, "old counts are not removed");
        }
        let day = files.read(today).unwrap_or_else(|error| {
            tracing::warn!(%error, "today's counts begin anew");
            Day::default()
        });
        Arc::new(Self {
            files,
            today: Mutex::new((today, day)),
            health: Health::default(),
        })
    }

    /// How the gateway fared in the last day, minute by minute.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Hands each day from `first` to `last` to `each`, with the number of the hour since 1970 that it begins with. Reads
    /// files: not for a task that must not wait.
    pub fn each(
        &self,
        first: DayNumber,
        last: DayNumber,
        mut each: impl FnMut(u64, &Day),
    ) -> std::io::Result<()> {
        for number in self.files.days()? {
            if (first..=last).contains(&number) && number != self.lock().0 {
                each(number * HOURS as u64, &self.files.read(number)?);
            }
        }
        let today = self.lock();
        if (first..=last).contains(&today.0) {
            each(today.0 * HOURS as u64, &today.1);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (DayNumber, Day)> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was counted since the last time.
    fn write(&self) {
        let mut today = self.lock();
        let number = today.0;
        let Some(fresh) = today.1.take_fresh() else {
            return;
        };
        drop(today); // nobody waits for the disk
        if let Err(error) = self.files.append(number, &fresh) {
            tracing::error!(%error, "counts are not written; make room on the disk");
        }
    }

    /// Goes on with another day.
    fn turn(&self, number: DayNumber) {
        self.write();
        let old = self.lock().0;
        let finished = self.files.finish(old).and_then(|()| self.files.clear(number));
        if let Err(error) = finished {
            tracing::warn!(%error, "counts of an earlier day are not tidied");
        }
        let day = self.files.read(number).unwrap_or_default();
        *self.lock() = (number, day);
    }
}

/// The folder of the files.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("stats")
}
