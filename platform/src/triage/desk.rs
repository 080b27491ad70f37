//! The desk of one analyst: cases as they lie there, each with its opened reports.
//!
//! Whatever is opened stays in this process. The desk reads; what changes a case is in [`super::verdict`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;
use isigurt_wire::decision::Decision;
use isigurt_wire::seal::PublicKey;
use sqlx::PgPool;

use super::TriageError;
use super::analyst::Analyst;
use super::ring::{Own, Ring, Tag};
use super::sort::{self, Opened, Row, Sorted};
use crate::config::{List, Triage};
use crate::database::now;

/// Cases that are shown at a time.
const CASES: i64 = 200;
/// Newest reports of a case that are opened for the list, and for the case itself.
const GLANCE: i64 = 10;
const REPORTS: i64 = 100;
/// Names that are looked through for similar ones, those of the newest cases.
const NAMES: i64 = 5_000;
/// Similar names that are shown.
const SIMILAR: usize = 20;

/// One analyst at work.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) database: PgPool,
    pub(crate) analyst: Analyst,
    pub(crate) ring: Ring,
    pub(crate) lists: Vec<List>,
    pub(crate) decision_key: Option<PublicKey>,
    names: Mutex<HashMap<Tag, String>>,
}

/// Which cases are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// Nobody has decided.
    Open,
    /// Another analyst's word is missing.
    Second,
    /// Decided.
    Decided,
}

/// A case, without its reports.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) tag: Tag,
    pub(crate) name: String,
    pub(crate) state: String,
    /// Since when it is in that state; first and last report. Seconds since 1970.
    pub(crate) since: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) reports: i64,
    pub(crate) urgent: bool,
    pub(crate) list: Option<String>,
    pub(crate) reason: Option<String>,
    /// Who has it open now.
    pub(crate) held_by: Option<String>,
    /// Kinds of its newest reports, with how many of each.
    pub(crate) kinds: BTreeMap<&'static str, usize>,
}

/// A case with all that an analyst needs to decide.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) case: Case,
    pub(crate) reports: Vec<Opened>,
    /// Other cases with names like this one.
    pub(crate) similar: Vec<Case>,
    /// Who has said what, while another's word is missing.
    pub(crate) votes: Vec<(String, Decision)>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Counts {
    pub(crate) unsorted: i64,
    pub(crate) unreadable: i64,
    pub(crate) open: i64,
    pub(crate) second: i64,
    pub(crate) decided: i64,
}

/// A report in the database, with its case.
type Tagged = (Vec<u8>, Vec<u8>, String, Vec<u8>, i64);

type CaseRow = (
    Vec<u8>,
    Vec<u8>,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
    bool,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl Desk {
    /// Opens the analyst's ring.
    pub(crate) async fn open(
        database: PgPool,
        analyst: Analyst,
        settings: &Triage,
    ) -> Result<Self, TriageError> {
        let decision_key = match &settings.decision_key {
            None => None,
            Some(key) => Some(PublicKey::from_hex(key).map_err(|_| {
                TriageError::Form("triage.decision_key: expected 64 hexadecimal digits".to_owned())
            })?),
        };
        let public = analyst.public()?;
        let known: Option<(Vec<u8>, Option<i64>)> =
            sqlx::query_as("SELECT sign, removed FROM analyst WHERE name = $1")
                .bind(&analyst.name)
                .fetch_optional(&database)
                .await?;
        if known.is_none_or(|(sign, removed)| sign != public.sign || removed.is_some()) {
            return Err(TriageError::NoRing(analyst.name));
        }
        Ok(Self {
            ring: Ring::open(&database, &analyst).await?,
            database,
            analyst,
            lists: settings.lists.clone(),
            decision_key,
            names: Mutex::default(),
        })
    }

    /// Opens what waits and sorts it into cases.
    pub(crate) async fn sort(&self) -> Result<Sorted, TriageError> {
        sort::all(&self.database, &self.ring, &self.analyst.name).await
    }

    /// How much there is.
    pub(crate) async fn counts(&self) -> Result<Counts, TriageError> {
        Ok(sqlx::query_as(
            "SELECT (SELECT count(*) FROM report WHERE tag IS NULL AND NOT unreadable) AS unsorted, \
                    (SELECT count(*) FROM report WHERE unreadable) AS unreadable, \
                    count(*) FILTER (WHERE state = 'open') AS open, \
                    count(*) FILTER (WHERE state = 'second') AS second, \
                    count(*) FILTER (WHERE state IN ('confirmed', 'rejected', 'over-block')) AS decided FROM cases",
        )
        .fetch_one(&self.database)
        .await?)
    }

    /// Cases: of danger first, then the oldest; decided ones: the newest first.
    pub(crate) async fn cases(&self, which: Which) -> Result<Vec<Case>, TriageError> {
        let mut cases = self.some(which, CASES).await?;
        self.look(&mut cases).await?;
        Ok(cases)
    }

    /// All of them, without looking into their reports.
    pub(crate) async fn every(&self, which: Which) -> Result<Vec<Case>, TriageError> {
        self.some(which, i64::MAX).await
    }

    async fn some(&self, which: Which, most: i64) -> Result<Vec<Case>, TriageError> {
        let states: &[&str] = match which {
            Which::Open => &["open"],
            Which::Second => &["second"],
            Which::Decided => &["confirmed", "rejected", "over-block"],
        };
        let rows: Vec<CaseRow> = sqlx::query_as(
            "SELECT tag, name, key, state, since, first, last, reports, urgent, list, reason, \
               CASE WHEN leased_until > $3 THEN leased_by END FROM cases WHERE state = ANY($1) \
             ORDER BY CASE WHEN $2 THEN -since END, urgent DESC, first, tag LIMIT $4",
        )
        .bind(states)
        .bind(which == Which::Decided)
        .bind(now())
        .bind(most)
        .fetch_all(&self.database)
        .await?;
        rows.into_iter().map(|row| self.case_of(row)).collect()
    }

    /// Fills in the kinds of the newest reports of each.
    async fn look(&self, cases: &mut [Case]) -> Result<(), TriageError> {
        let tags: Vec<&[u8]> = cases.iter().map(|case| &case.tag[..]).collect();
        let rows: Vec<Tagged> = sqlx::query_as(
            "SELECT tag, id, key, sealed, received FROM (\
               SELECT *, row_number() OVER (PARTITION BY tag ORDER BY received DESC) AS place FROM report \
               WHERE tag = ANY($1)) AS newest WHERE place <= $2",
        )
        .bind(&tags)
        .bind(GLANCE)
        .fetch_all(&self.database)
        .await?;
        let mut places: HashMap<Vec<u8>, &mut Case> =
            cases.iter_mut().map(|case| (case.tag.to_vec(), case)).collect();
        for (tag, id, key, sealed, received) in rows {
            let opened = sort::open(&self.ring, &(id, key, sealed, received));
            if let (Some(opened), Some(case)) = (opened, places.get_mut(&tag)) {
                *case.kinds.entry(opened.report.kind.as_str()).or_default() += 1;
            }
        }
        Ok(())
    }

    /// One case, whole.
    pub(crate) async fn whole(&self, tag: &Tag) -> Result<Whole, TriageError> {
        let mut case = self.case(tag).await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, key, sealed, received FROM report WHERE tag = $1 ORDER BY received DESC LIMIT $2",
        )
        .bind(&tag[..])
        .bind(REPORTS)
        .fetch_all(&self.database)
        .await?;
        let reports: Vec<Opened> = rows
            .iter()
            .filter_map(|row| sort::open(&self.ring, row))
            .collect();
        for opened in &reports {
            *case.kinds.entry(opened.report.kind.as_str()).or_default() += 1;
        }
        Ok(Whole {
            similar: self.similar(&case).await?,
            votes: self.votes(tag).await?,
            reports,
            case,
        })
    }

    /// The name of a case.
    pub(crate) async fn whole_name(&self, tag: &Tag) -> Result<String, TriageError> {
        Ok(self.case(tag).await?.name)
    }

    async fn case(&self, tag: &Tag) -> Result<Case, TriageError> {
        let row: Option<CaseRow> = sqlx::query_as(
            "SELECT tag, name, key, state, since, first, last, reports, urgent, list, reason, \
               CASE WHEN leased_until > $2 THEN leased_by END FROM cases WHERE tag = $1",
        )
        .bind(&tag[..])
        .bind(now())
        .fetch_optional(&self.database)
        .await?;
        self.case_of(row.ok_or(TriageError::NoCase)?)
    }

    fn case_of(&self, row: CaseRow) -> Result<Case, TriageError> {
        let (tag, sealed, key, state, since, first, last, reports, urgent, list, reason, held_by) = row;
        let tag: Tag = tag.try_into().map_err(|_| TriageError::Sealed)?;
        Ok(Case {
            name: self.name(&tag, &Own { key, sealed })?,
            tag,
            state,
            since,
            first,
            last,
            reports,
            urgent,
            list,
            reason,
            held_by,
            kinds: BTreeMap::new(),
        })
    }

    /// The name of a case, opened once.
    fn name(&self, tag: &Tag, own: &Own) -> Result<String, TriageError> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(tag) {
            return Ok(name.clone());
        }
        let name = self.ring.unseal(tag, own)?.as_str().to_owned();
        names.insert(*tag, name.clone());
        Ok(name)
    }

    /// What analysts have said of a case that is not decided.
    pub(crate) async fn votes(&self, tag: &Tag) -> Result<Vec<(String, Decision)>, TriageError> {
        let rows: Vec<(String, String, Vec<u8>)> =
            sqlx::query_as("SELECT analyst, key, sealed FROM vote WHERE tag = $1 ORDER BY analyst")
                .bind(&tag[..])
                .fetch_all(&self.database)
                .await?;
        rows.into_iter()
            .map(|(analyst, key, sealed)| {
                let text = self.ring.unseal(tag, &Own { key, sealed })?;
                let decision = serde_json::from_str(&text).map_err(|_| TriageError::Sealed)?;
                Ok((analyst, decision))
            })
            .collect()
    }

    /// Cases whose names are of the same site, or differ in a letter or two.
    async fn similar(&self, case: &Case) -> Result<Vec<Case>, TriageError> {
        let rows: Vec<CaseRow> = sqlx::query_as(
            "SELECT tag, name, key, state, since, first, last, reports, urgent, list, reason, NULL \
             FROM cases WHERE state <> 'merged' AND tag <> $1 ORDER BY last DESC LIMIT $2",
        )
        .bind(&case.tag[..])
        .bind(NAMES)
        .fetch_all(&self.database)
        .await?;
        let mut similar = Vec::new();
        for row in rows {
            let other = self.case_of(row)?;
            if alike(&case.name, &other.name) {
                similar.push(other);
                if similar.len() == SIMILAR {
                    break;
                }
            }
        }
        Ok(similar)
    }

    /// The case that a command means: its tag, or enough of the beginning.
    pub(crate) async fn find(&self, text: &str) -> Result<Tag, TriageError> {
        let wrong = || {
            TriageError::Form(format!(
                "{text:?} names no case; take the first column of `triage list`"
            ))
        };
        if text.len() < 4 || text.len() > 32 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT encode(tag, 'hex') FROM cases WHERE starts_with(encode(tag, 'hex'), $1) LIMIT 2",
        )
        .bind(text.to_ascii_lowercase())
        .fetch_all(&self.database)
        .await?;
        let [tag] = rows.as_slice() else {
            return Err(wrong());
        };
        let octets = HEXLOWER.decode(tag.as_bytes()).map_err(|_| wrong())?;
        octets.try_into().map_err(|_| wrong())
    }

    /// The list with this id.
    pub(crate) fn list(&self, id: &str) -> Result<&List, TriageError> {
        self.lists.iter().find(|list| list.id == id).ok_or_else(|| {
            let known: Vec<&str> = self.lists.iter().map(|list| list.id.as_str()).collect();
            TriageError::Form(format!(
                "{id:?} is no list of [triage]; known: {}",
                known.join(", ")
            ))
        })
    }
}

/// Whether two names are of one site, or of sites that differ in a letter or two.
fn alike(one: &str, other: &str) -> bool {
    let site = |name: &str| psl::domain_str(name).unwrap_or(name).to_owned();
    let (one, other) = (site(one), site(other));
    one == other || (one.len() > 6 && strsim::levenshtein(&one, &other) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_site_and_names_a_letter_apart_are_alike() {
        assert!(alike("www.casino-tirana.test", "m.casino-tirana.test"));
        assert!(alike("casino-tirana.test", "casino-t1rana.test"));
        assert!(!alike("casino-tirana.test", "school-tirana.test"));
        assert!(!alike("a.test", "b.test"), "short names are all a letter apart");
    }
}
