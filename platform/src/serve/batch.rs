//! Reports on their way into the database: many in one transaction, none acknowledged before it is committed.
//!
//! ```text
//!   requests ─▶ queue (bounded) ─▶ one transaction: known? · quotas · insert ─▶ commit ─▶ answers
//!                                     └─ the database is away: the same again, until those who wait have gone
//! ```
//!
//! While one transaction commits, the next gathers: one flush of the disk carries whatever came meanwhile. Doing the same
//! twice changes nothing, since a report is known by its id.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use isigurt_wire::report::{Id, Progress, State};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use super::source::{Source, until_next};
use crate::database::{now, passes};

/// Requests that may wait; the next is told to come again.
const QUEUE: usize = 8_192;
/// Reports in one transaction at most.
const BATCH: usize = 512;
/// Between two tries while the database is away, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A report as it came.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) id: Id,
    pub(super) key: String,
    pub(super) sealed: Vec<u8>,
    /// What it counts for: the gateway, if it says so, and the network; with the quota of each.
    pub(super) sources: Vec<(Source, i64)>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is kept; it was not there before.
    New(Progress),
    /// It was there already.
    Known(Progress),
    /// The quota is used up for so many seconds.
    TooMany(u64),
    /// The database refuses it; said in the log.
    Broken,
}

struct Waiting {
    delivery: Delivery,
    answer: oneshot::Sender<Outcome>,
}

/// Where reports go in.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    queue: mpsc::Sender<Waiting>,
}

impl Intake {
    /// The way in, and the task that must run for it.
    pub(super) fn new(database: PgPool) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, write(database, waiting))
    }

    /// Hands a report in and waits for what becomes of it; `None`: the queue is full, or the server ends.
    pub(super) async fn take(&self, delivery: Delivery) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.queue.try_send(Waiting { delivery, answer }).ok()?;
        outcome.await.ok()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

async fn write(database: PgPool, mut queue: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let mut pause = PAUSE.0;
        loop {
            batch.retain(|waiting: &Waiting| !waiting.answer.is_closed());
            let deliveries: Vec<&Delivery> = batch.iter().map(|waiting| &waiting.delivery).collect();
            match keep(&database, &deliveries, now()).await {
                Ok(outcomes) => {
                    answer(&mut batch, outcomes);
                    break;
                }
                Err(error) if passes(&error) => {
                    tracing::warn!(%error, waiting = batch.len(), "the database is away; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Err(error) => {
                    tracing::error!(%error, reports = batch.len(), "the database refuses reports");
                    let outcomes = vec![Outcome::Broken; batch.len()];
                    answer(&mut batch, outcomes);
                    break;
                }
            }
        }
    }
}

fn answer(batch: &mut Vec<Waiting>, outcomes: Vec<Outcome>) {
    for (waiting, outcome) in batch.drain(..).zip(outcomes) {
        let _ = waiting.answer.send(outcome); // who asked may have gone; the report is kept all the same
    }
}

/// Keeps reports, all or none, and says what became of each.
async fn keep(database: &PgPool, batch: &[&Delivery], now: i64) -> Result<Vec<Outcome>, sqlx::Error> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = database.begin().await?;
    let ids: Vec<&[u8]> = batch.iter().map(|delivery| &delivery.id.0[..]).collect();
    let mut known = progress(&mut transaction, &ids).await?;
    let mut seen = HashSet::new();
    let fresh: Vec<&Delivery> = batch
        .iter()
        .copied()
        .filter(|delivery| !known.contains_key(&delivery.id) && seen.insert(delivery.id))
        .collect();
    let within = count(&mut transaction, &fresh, now).await?;
    let new: Vec<&Delivery> = fresh
        .iter()
        .zip(&within)
        .filter(|(_, within)| **within)
        .map(|(delivery, _)| *delivery)
        .collect();
    let mut inserted = insert(&mut transaction, &new, now).await?;
    if inserted.len() < new.len() {
        // Another instance kept the same report meanwhile.
        known.extend(progress(&mut transaction, &ids).await?);
    }
    transaction.commit().await?;
    let refused: HashSet<Id> = fresh
        .iter()
        .zip(&within)
        .filter(|(_, within)| !**within)
        .map(|(delivery, _)| delivery.id)
        .collect();
    let accepted: HashSet<Id> = inserted.clone();
    Ok(batch
        .iter()
        .map(|delivery| {
            let received = || Progress {
                receipt: delivery.id.receipt(),
                state: State::Received,
                since: now,
            };
            if inserted.remove(&delivery.id) {
                Outcome::New(received())
            } else if accepted.contains(&delivery.id) {
                Outcome::Known(received()) // the second time within one batch
            } else if refused.contains(&delivery.id) {
                Outcome::TooMany(until_next(now, 3_600))
            } else {
                known
                    .get(&delivery.id)
                    .cloned()
                    .map_or(Outcome::Broken, Outcome::Known)
            }
        })
        .collect())
}

type Connection = sqlx::PgConnection;

/// How those of these reports stand that are known.
async fn progress(connection: &mut Connection, ids: &[&[u8]]) -> Result<HashMap<Id, Progress>, sqlx::Error> {
    let rows: Vec<(Vec<u8>, String, String, i64)> =
        sqlx::query_as("SELECT id, receipt, state, since FROM report WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(connection)
            .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, receipt, state, since)| {
            let id = Id(id.try_into().ok()?);
            let state = super::progress::state(&state)?;
            Some((
                id,
                Progress {
                    receipt,
                    state,
                    since,
                },
            ))
        })
        .collect())
}

/// Counts new reports for their sources and says which stay within all quotas.
async fn count(connection: &mut Connection, fresh: &[&Delivery], now: i64) -> Result<Vec<bool>, sqlx::Error> {
    // In one order everywhere, so that two instances never wait for each other in a circle.
    let mut added: BTreeMap<Source, i64> = BTreeMap::new();
    for (source, _) in fresh.iter().flat_map(|delivery| &delivery.sources) {
        *added.entry(*source).or_default() += 1;
    }
    let sources: Vec<&[u8]> = added.keys().map(|source| &source[..]).collect();
    let counts: Vec<i64> = added.values().copied().collect();
    let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(
        "INSERT INTO quota AS q (source, hour, count) \
         SELECT s, $3, c FROM unnest($1::bytea[], $2::bigint[]) AS new (s, c) \
         ON CONFLICT (source, hour) DO UPDATE SET count = q.count + excluded.count RETURNING source, count",
    )
    .bind(&sources)
    .bind(&counts)
    .bind(now / 3_600)
    .fetch_all(connection)
    .await?;
    let mut used: HashMap<Source, i64> = rows
        .into_iter()
        .filter_map(|(source, total)| {
            let source: Source = source.try_into().ok()?;
            Some((source, total - added.get(&source).copied().unwrap_or(0)))
        })
        .collect();
    Ok(fresh
        .iter()
        .map(|delivery| {
            let mut within = true;
            for (source, quota) in &delivery.sources {
                let used = used.entry(*source).or_insert(0);
                *used += 1;
                within &= *used <= *quota;
            }
            within
        })
        .collect())
}

/// Inserts reports; those that another instance inserted first are not among the result.
async fn insert(
    connection: &mut Connection,
    new: &[&Delivery],
    now: i64,
) -> Result<HashSet<Id>, sqlx::Error> {
    let ids: Vec<&[u8]> = new.iter().map(|delivery| &delivery.id.0[..]).collect();
    let receipts: Vec<String> = new.iter().map(|delivery| delivery.id.receipt()).collect();
    let keys: Vec<&str> = new.iter().map(|delivery| delivery.key.as_str()).collect();
    let sealed: Vec<&[u8]> = new.iter().map(|delivery| delivery.sealed.as_slice()).collect();
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "INSERT INTO report (id, receipt, key, sealed, received, since) \
         SELECT i, r, k, s, $5, $5 FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[]) AS new (i, r, k, s) \
         ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(&ids)
    .bind(&receipts)
    .bind(&keys)
    .bind(&sealed)
    .bind(now)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|id| id.try_into().ok().map(Id))
        .collect())
}
