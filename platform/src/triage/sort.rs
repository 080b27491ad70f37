//! The queue: reports that nobody has opened are opened here and sorted into cases, by name.
//!
//! ```text
//!   received ─▶ leased to one analyst (SKIP LOCKED) ─▶ opened in memory ─▶ tag of the name ─▶ case
//!                     └ lease over: somebody else's      └ does not open: set aside
//! ```
//!
//! Several analysts sort at a time and never get the same report. What was opened is in memory only; the case keeps the
//! name sealed, and one bit: whether a child may be in danger, so that such cases come first.

use std::collections::HashMap;

use isigurt_blocklists::name::Name;
use isigurt_wire::report::{self, Id, Kind, Report, State};
use isigurt_wire::secret::Secret;
use sqlx::{PgConnection, PgPool};

use super::TriageError;
use super::ring::{Ring, Tag};
use crate::database::now;

/// Reports that are sorted in one go.
const BATCH: i64 = 200;
/// How long a lease of reports lasts, seconds.
const LEASE: i64 = 300;

/// A report in the database.
pub(super) type Row = (Vec<u8>, String, Vec<u8>, i64);

/// What was sorted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sorted {
    pub(crate) reports: usize,
    pub(crate) unreadable: usize,
}

/// An opened report.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) report: Report,
    /// Seconds since 1970.
    pub(crate) received: i64,
}

/// Opens a row; `None`: it does not open, or holds no report.
pub(super) fn open(ring: &Ring, (id, key, sealed, received): &Row) -> Option<Opened> {
    let id = Id(id.as_slice().try_into().ok()?);
    let plain = ring.report(key, id, sealed)?;
    let report: Report = serde_json::from_slice(&plain).ok()?;
    let fits = |text: &Option<Secret>, most| text.as_ref().is_none_or(|text| text.len() <= most);
    let fair = report.format == report::FORMAT
        && fits(&report.note, report::NOTE)
        && fits(&report.contact, report::CONTACT)
        && Name::parse(&report.name).is_ok_and(|name| report.name == *name.to_string());
    fair.then_some(Opened {
        report,
        received: *received,
    })
}

/// Sorts all that waits and that the analyst can open.
pub(crate) async fn all(database: &PgPool, ring: &Ring, analyst: &str) -> Result<Sorted, TriageError> {
    let mut sorted = Sorted::default();
    loop {
        let rows = lease(database, ring, analyst).await?;
        if rows.is_empty() {
            return Ok(sorted);
        }
        let done = batch(database, ring, &rows).await?;
        sorted.reports += done.reports;
        sorted.unreadable += done.unreadable;
    }
}

async fn lease(database: &PgPool, ring: &Ring, analyst: &str) -> Result<Vec<Row>, sqlx::Error> {
    let now = now();
    sqlx::query_as(
        "UPDATE report SET leased_by = $1, leased_until = $2 WHERE id IN (\
           SELECT id FROM report WHERE tag IS NULL AND NOT unreadable AND key = ANY($3) \
             AND (leased_until IS NULL OR leased_until < $4) \
           ORDER BY received LIMIT $5 FOR UPDATE SKIP LOCKED) \
         RETURNING id, key, sealed, received",
    )
    .bind(analyst)
    .bind(now + LEASE)
    .bind(ring.keys())
    .bind(now)
    .bind(BATCH)
    .fetch_all(database)
    .await
}

/// Reports of one name.
#[derive(Default)]
struct Group {
    ids: Vec<Vec<u8>>,
    wrongly_blocked: usize,
    urgent: bool,
    first: i64,
    last: i64,
}

async fn batch(database: &PgPool, ring: &Ring, rows: &[Row]) -> Result<Sorted, TriageError> {
    let mut groups: HashMap<Secret, Group> = HashMap::new();
    let mut unreadable: Vec<&[u8]> = Vec::new();
    for row in rows {
        let Some(opened) = open(ring, row) else {
            unreadable.push(&row.0);
            continue;
        };
        let group = groups.entry(opened.report.name).or_insert_with(|| Group {
            first: opened.received,
            ..Group::default()
        });
        group.ids.push(row.0.clone());
        group.wrongly_blocked += usize::from(opened.report.kind == Kind::WronglyBlocked);
        group.urgent |= opened.report.kind.may_be_danger();
        group.first = group.first.min(opened.received);
        group.last = group.last.max(opened.received);
    }
    let mut named: Vec<(Tag, Secret, Group)> = groups
        .into_iter()
        .map(|(name, group)| (ring.tag(&name), name, group))
        .collect();
    named.sort_by_key(|(tag, ..)| *tag); // in one order everywhere: no two analysts wait for each other in a circle
    let mut transaction = database.begin().await?;
    for (tag, name, group) in &named {
        join(&mut transaction, ring, tag, name, group).await?;
    }
    sqlx::query("UPDATE report SET unreadable = true, leased_by = NULL WHERE id = ANY($1)")
        .bind(&unreadable)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Sorted {
        reports: rows.len() - unreadable.len(),
        unreadable: unreadable.len(),
    })
}

/// Joins reports to the case of their name, which is made if it is the first.
async fn join(
    connection: &mut PgConnection,
    ring: &Ring,
    tag: &Tag,
    name: &str,
    group: &Group,
) -> Result<(), TriageError> {
    let own = ring.seal(tag, name)?;
    sqlx::query(
        "INSERT INTO cases (tag, name, key, since, first, last) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (tag) DO NOTHING",
    )
    .bind(&tag[..])
    .bind(&own.sealed)
    .bind(&own.key)
    .bind(now())
    .bind(group.first)
    .bind(group.last)
    .execute(&mut *connection)
    .await?;
    // A case that became part of another sends its reports there; merging never makes a chain.
    let case: (Vec<u8>, String) = sqlx::query_as(
        "SELECT tag, state FROM cases WHERE tag = (SELECT coalesce(merged_into, tag) FROM cases WHERE tag = $1) \
         FOR UPDATE",
    )
    .bind(&tag[..])
    .fetch_one(&mut *connection)
    .await?;
    let (case, state) = case;
    // What is in the lists already needs nobody's time, unless somebody says that it should not be.
    let settled = state == "confirmed" && group.wrongly_blocked == 0;
    let stands = if settled { State::ActedOn } else { State::Received };
    // A lease that ran out while this was slow may have let another sort some of them already.
    let joined = sqlx::query(
        "UPDATE report SET tag = $1, state = $2, since = $3, leased_by = NULL, leased_until = NULL \
         WHERE id = ANY($4) AND tag IS NULL",
    )
    .bind(&case)
    .bind(stands.as_str())
    .bind(now())
    .bind(&group.ids)
    .execute(&mut *connection)
    .await?;
    let opens = !settled && state != "open" && state != "second";
    sqlx::query(
        "UPDATE cases SET reports = reports + $2, first = least(first, $3), last = greatest(last, $4), \
           urgent = urgent OR $5, state = CASE WHEN $6 THEN 'open' ELSE state END, \
           since = CASE WHEN $6 THEN $7 ELSE since END \
         WHERE tag = $1",
    )
    .bind(&case)
    .bind(i64::try_from(joined.rows_affected()).unwrap_or(i64::MAX))
    .bind(group.first)
    .bind(group.last)
    .bind(group.urgent)
    .bind(opens)
    .bind(now())
    .execute(connection)
    .await?;
    Ok(())
}
