//! Keys that reports may be sealed to: those that an analyst can open with, as triage wrote them into the database.
//!
//! A key stays here after it was rotated, for reports that were sealed before and are still on their way.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::PgPool;

/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(30);
/// Between two looks because of a key that is not known.
const LOOK: Duration = Duration::from_secs(1);

/// Known keys, by id.
#[derive(Debug, Default)]
pub(super) struct Keys(RwLock<(Option<Instant>, HashSet<String>)>);

impl Keys {
    /// Whether reports may be sealed to this key. While the database is away, what it said last holds.
    pub(super) async fn known(&self, database: &PgPool, key: &str) -> bool {
        let (read, known) = {
            let present = self.0.read().unwrap_or_else(PoisonError::into_inner);
            (present.0, present.1.contains(key))
        };
        let patience = if known { FRESH } else { LOOK };
        if read.is_some_and(|read| read.elapsed() < patience) {
            return known;
        }
        let rows: Result<Vec<String>, sqlx::Error> = sqlx::query_scalar("SELECT id FROM report_key")
            .fetch_all(database)
            .await;
        match rows {
            Ok(rows) => {
                let keys: HashSet<String> = rows.into_iter().collect();
                let known = keys.contains(key);
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), keys);
                known
            }
            Err(error) => {
                tracing::warn!(%error, "the report keys cannot be read anew");
                known
            }
        }
    }
}
