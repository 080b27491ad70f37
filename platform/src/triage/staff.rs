//! Who works here: the first analyst begins, analysts add and remove others and give report keys to all.
//!
//! Each of these is an act of the trail. That an analyst stands in the database is no proof of anything for the publisher,
//! who has a list of its own.

use data_encoding::HEXLOWER;
use isigurt_wire::seal::{PrivateKey, PublicKey};
use sqlx::{PgConnection, PgPool};

use super::TriageError;
use super::analyst::{Analyst, Public};
use super::desk::Desk;
use super::ring::Ring;
use super::trail::{self, What};
use crate::database::now;

/// Makes `analyst` the first, with the key that reports are sealed to.
pub(crate) async fn begin(
    database: &PgPool,
    analyst: &Analyst,
    report: PrivateKey,
) -> Result<(), TriageError> {
    let mut transaction = database.begin().await?;
    sqlx::query("LOCK TABLE analyst IN EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM analyst")
        .fetch_one(&mut *transaction)
        .await?;
    if there > 0 {
        let what = "there are analysts already; one of them adds others with `triage analyst add`";
        return Err(TriageError::Form(what.to_owned()));
    }
    let public = analyst.public()?;
    insert(&mut transaction, &public).await?;
    register(&mut transaction, &report.public()?).await?;
    Ring::begin(report)?.give(&mut transaction, &public).await?;
    let (sign, open) = (HEXLOWER.encode(&public.sign), public.open.to_hex());
    trail::add(&mut transaction, analyst, What::Begin { sign, open }).await?;
    transaction.commit().await?;
    Ok(())
}

impl Desk {
    /// Adds an analyst: what this one opens, the other opens too.
    pub(crate) async fn add_analyst(&self, other: &Public) -> Result<(), TriageError> {
        let mut transaction = self.database.begin().await?;
        insert(&mut transaction, other).await?;
        self.ring.give(&mut transaction, other).await?;
        let (name, sign, open) = (
            other.name.clone(),
            HEXLOWER.encode(&other.sign),
            other.open.to_hex(),
        );
        trail::add(
            &mut transaction,
            &self.analyst,
            What::AddAnalyst { name, sign, open },
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes an analyst: no act and no vote of theirs counts from now on. The name is never given to another.
    pub(crate) async fn remove_analyst(&self, name: &str) -> Result<(), TriageError> {
        let mut transaction = self.database.begin().await?;
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM analyst WHERE removed IS NULL AND name <> $1")
                .bind(name)
                .fetch_one(&mut *transaction)
                .await?;
        if left == 0 {
            return Err(TriageError::Form("the last analyst cannot be removed".to_owned()));
        }
        let removed = sqlx::query("UPDATE analyst SET removed = $2 WHERE name = $1 AND removed IS NULL")
            .bind(name)
            .bind(now())
            .execute(&mut *transaction)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(TriageError::Form(format!("no analyst has the name {name:?}")));
        }
        for statement in [
            "DELETE FROM ring WHERE analyst = $1",
            "UPDATE cases SET state = 'open' WHERE state = 'second' AND tag IN (SELECT tag FROM vote WHERE analyst = $1) \
               AND NOT EXISTS (SELECT FROM vote WHERE vote.tag = cases.tag AND analyst <> $1)",
            "DELETE FROM vote WHERE analyst = $1",
        ] {
            sqlx::query(statement)
                .bind(name)
                .execute(&mut *transaction)
                .await?;
        }
        let name = name.to_owned();
        trail::add(&mut transaction, &self.analyst, What::RemoveAnalyst { name }).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Gives a report key to all analysts; from then on reports sealed to it are taken. Older keys go on opening.
    pub(crate) async fn add_key(&self, key: &PrivateKey) -> Result<String, TriageError> {
        let public = key.public()?;
        let mut transaction = self.database.begin().await?;
        register(&mut transaction, &public).await?;
        for analyst in analysts(&mut transaction).await? {
            Ring::give_key(&mut transaction, &analyst, key).await?;
        }
        let key = public.id();
        trail::add(&mut transaction, &self.analyst, What::AddKey { key: key.clone() }).await?;
        transaction.commit().await?;
        Ok(key)
    }
}

/// Analysts that are not removed.
pub(crate) async fn analysts(connection: &mut PgConnection) -> Result<Vec<Public>, TriageError> {
    let rows: Vec<(String, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT name, sign, open FROM analyst WHERE removed IS NULL ORDER BY name")
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|(name, sign, open)| Public::parse(&name, &HEXLOWER.encode(&sign), &HEXLOWER.encode(&open)))
        .collect()
}

async fn insert(connection: &mut PgConnection, public: &Public) -> Result<(), TriageError> {
    let open = HEXLOWER
        .decode(public.open.to_hex().as_bytes())
        .map_err(|_| TriageError::Sealed)?;
    let added = sqlx::query(
        "INSERT INTO analyst (name, sign, open, added) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&public.name)
    .bind(&public.sign[..])
    .bind(&open)
    .bind(now())
    .execute(connection)
    .await?;
    if added.rows_affected() == 0 {
        let what = format!(
            "{}: an analyst has this name or one of these keys already, or had",
            public.name
        );
        return Err(TriageError::Form(what));
    }
    Ok(())
}

async fn register(connection: &mut PgConnection, public: &PublicKey) -> Result<(), TriageError> {
    sqlx::query("INSERT INTO report_key (id, public, added) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(public.id())
        .bind(public.to_hex())
        .bind(now())
        .execute(connection)
        .await?;
    Ok(())
}
