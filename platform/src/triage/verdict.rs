//! What an analyst does with a case. Each act is one transaction with its entry in the trail.
//!
//! ```text
//!              review                    vote                              (mandatory list: another analyst's vote)
//!   received ─────────▶ under review ───────────▶ second ───────────────────────────────▶ confirmed | over-block
//!                            └ reject ──▶ rejected         └ reject ──▶ rejected               reports: acted on
//!                                         reports: not illegal, here is help
//! ```
//!
//! A vote is a decision with one signature. As long as another's is missing it is sealed to triage; with all of them it is
//! sealed to the publisher, who counts the signatures again.

use isigurt_wire::decision::{Act, Decision, FORMAT};
use isigurt_wire::report::{Id, State};
use sqlx::PgConnection;

use super::TriageError;
use super::desk::Desk;
use super::ring::Tag;
use super::trail::{self, What, written};
use crate::database::now;

/// How long a case is held by whoever reviews it, seconds.
const LEASE: i64 = 30 * 60;

/// Why a case is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reason {
    /// It is not against the law; help is named
    NotIllegal,
    /// There is nothing to be seen any more
    NotThere,
    /// It is for somebody else, such as the police of another country
    OutOfScope,
    /// It is blocked, and rightly so
    RightlyBlocked,
}

impl Reason {
    pub(crate) const ALL: [Self; 4] = [
        Self::NotIllegal,
        Self::NotThere,
        Self::OutOfScope,
        Self::RightlyBlocked,
    ];

    /// As it is written in the database, the trail and forms.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotIllegal => "not-illegal",
            Self::NotThere => "not-there",
            Self::OutOfScope => "out-of-scope",
            Self::RightlyBlocked => "rightly-blocked",
        }
    }

    /// What those who reported are told.
    const fn state(self) -> State {
        match self {
            Self::NotIllegal | Self::NotThere => State::NotIllegal,
            Self::OutOfScope | Self::RightlyBlocked => State::ActedOn,
        }
    }
}

/// What is to become of a name.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) act: Act,
    pub(crate) list: String,
    /// A name above that of the case, where the whole site is meant.
    pub(crate) above: Option<String>,
    /// Whether all names below are meant.
    pub(crate) subdomains: bool,
}

/// What became of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voted {
    /// All votes are there; the next release has it.
    Decided,
    /// Another analyst's is missing.
    Second,
}

impl Desk {
    /// Takes a case up: it is held for half an hour, and those who reported read "under review".
    pub(crate) async fn review(&self, tag: &Tag) -> Result<(), TriageError> {
        let mut transaction = self.database.begin().await?;
        let (state, held_by) = lock(&mut transaction, tag).await?;
        if state == "open" || state == "second" {
            if let Some(other) = held_by.filter(|other| *other != self.analyst.name) {
                return Err(TriageError::Held(other));
            }
            self.hold(&mut transaction, tag).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Takes up the most urgent case that nobody holds and that this analyst has not voted on.
    pub(crate) async fn next(&self) -> Result<Option<Tag>, TriageError> {
        let mut transaction = self.database.begin().await?;
        let found: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT tag FROM cases WHERE state IN ('open', 'second') \
               AND (leased_until IS NULL OR leased_until < $1 OR leased_by = $2) \
               AND NOT EXISTS (SELECT FROM vote WHERE vote.tag = cases.tag AND vote.analyst = $2) \
             ORDER BY urgent DESC, first, tag LIMIT 1 FOR UPDATE SKIP LOCKED",
        )
        .bind(now())
        .bind(&self.analyst.name)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let tag: Tag = found.try_into().map_err(|_| TriageError::Sealed)?;
        self.hold(&mut transaction, &tag).await?;
        transaction.commit().await?;
        Ok(Some(tag))
    }

    /// Holds a case; an act only where it was not this analyst's already.
    async fn hold(&self, connection: &mut PgConnection, tag: &Tag) -> Result<(), TriageError> {
        let mine: bool = sqlx::query_scalar(
            "SELECT coalesce(leased_by = $2 AND leased_until > $3, false) FROM cases WHERE tag = $1",
        )
        .bind(&tag[..])
        .bind(&self.analyst.name)
        .bind(now())
        .fetch_one(&mut *connection)
        .await?;
        sqlx::query("UPDATE cases SET leased_by = $2, leased_until = $3 WHERE tag = $1")
            .bind(&tag[..])
            .bind(&self.analyst.name)
            .bind(now() + LEASE)
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE report SET state = $2, since = $3 WHERE tag = $1 AND state = $4")
            .bind(&tag[..])
            .bind(State::UnderReview.as_str())
            .bind(now())
            .bind(State::Received.as_str())
            .execute(&mut *connection)
            .await?;
        if !mine {
            let case = written(tag);
            trail::add(connection, &self.analyst, What::Review { case }).await?;
        }
        Ok(())
    }

    /// Gives the analyst's word for what is to become of a name.
    pub(crate) async fn vote(&self, tag: &Tag, proposal: &Proposal) -> Result<Voted, TriageError> {
        let mandatory = self.list(&proposal.list)?.mandatory;
        let decision = self.decision(tag, proposal).await?;
        let mut transaction = self.database.begin().await?;
        self.free(&mut transaction, tag).await?;
        let (votes, voters) = self.together(tag, &decision, &mut transaction).await?;
        let needed = if mandatory { 2 } else { 1 };
        let list = Some(proposal.list.as_str());
        if voters < needed {
            self.keep_vote(&mut transaction, tag, &decision).await?;
            settle(&mut transaction, tag, "second", list, None, None).await?;
            self.note_vote(&mut transaction, tag, &decision, None).await?;
            transaction.commit().await?;
            return Ok(Voted::Second);
        }
        let whole = Decision {
            decided: votes.iter().map(|vote| vote.at).min().unwrap_or(decision.decided),
            votes,
            ..decision.clone()
        };
        let id = self.keep_decision(&mut transaction, tag, &whole).await?;
        let state = match proposal.act {
            Act::Block => "confirmed",
            Act::Release => "over-block",
        };
        settle(&mut transaction, tag, state, list, None, Some(State::ActedOn)).await?;
        self.note_vote(&mut transaction, tag, &decision, Some(id)).await?;
        transaction.commit().await?;
        Ok(Voted::Decided)
    }

    /// Keeps a vote until another analyst's is there, sealed to triage.
    async fn keep_vote(
        &self,
        connection: &mut PgConnection,
        tag: &Tag,
        decision: &Decision,
    ) -> Result<(), TriageError> {
        let text = serde_json::to_string(decision).map_err(|_| TriageError::Sealed)?;
        let own = self.ring.seal(tag, &text)?;
        sqlx::query(
            "INSERT INTO vote (tag, analyst, key, sealed) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (tag, analyst) DO UPDATE SET key = excluded.key, sealed = excluded.sealed",
        )
        .bind(&tag[..])
        .bind(&self.analyst.name)
        .bind(&own.key)
        .bind(&own.sealed)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Puts a vote into the trail, by the hash of what was signed.
    async fn note_vote(
        &self,
        connection: &mut PgConnection,
        tag: &Tag,
        decision: &Decision,
        whole: Option<Id>,
    ) -> Result<(), TriageError> {
        let signatures: String = decision
            .votes
            .iter()
            .map(|vote| vote.signature.as_str())
            .collect();
        let act = match decision.act {
            Act::Block => "block",
            Act::Release => "release",
        };
        let what = What::Vote {
            case: written(tag),
            act: act.to_owned(),
            list: decision.list.clone(),
            vote: blake3::hash(signatures.as_bytes()).to_hex().to_string(),
            decision: whole.map(|id| id.to_string()),
        };
        trail::add(connection, &self.analyst, what).await
    }

    /// The decision that is proposed, with this analyst's signature.
    async fn decision(&self, tag: &Tag, proposal: &Proposal) -> Result<Decision, TriageError> {
        let own = self.whole_name(tag).await?;
        let name = match &proposal.above {
            None => own,
            Some(above) => {
                let below = own == *above || own.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'));
                let site = psl::domain_str(&own).unwrap_or(&own);
                if !below || above.len() < site.len() {
                    let what = format!("{above:?} is not above the name of the case, or above its site");
                    return Err(TriageError::Form(what));
                }
                above.clone()
            }
        };
        let at = now();
        let mut decision = Decision {
            format: FORMAT,
            act: proposal.act,
            name,
            subdomains: proposal.subdomains,
            list: proposal.list.clone(),
            decided: at,
            votes: Vec::new(),
        };
        decision.votes.push(decision.vote(at, &self.analyst.signing));
        Ok(decision)
    }

    /// All votes for the same decision, and how many different analysts gave them.
    async fn together(
        &self,
        tag: &Tag,
        decision: &Decision,
        connection: &mut PgConnection,
    ) -> Result<(Vec<isigurt_wire::decision::Vote>, usize), TriageError> {
        let analysts: Vec<String> =
            sqlx::query_scalar("SELECT encode(sign, 'hex') FROM analyst WHERE removed IS NULL")
                .fetch_all(connection)
                .await?;
        let mut votes = decision.votes.clone();
        for (analyst, other) in self.votes(tag).await? {
            let same = (other.act, &other.name, other.subdomains, &other.list)
                == (decision.act, &decision.name, decision.subdomains, &decision.list);
            if same && analyst != self.analyst.name {
                votes.extend(other.votes);
            }
        }
        let whole = Decision {
            votes,
            ..decision.clone()
        };
        let voters = whole.voters(analysts.iter().map(String::as_str)).len();
        Ok((whole.votes, voters))
    }

    /// Seals a decision to the publisher and keeps it.
    async fn keep_decision(
        &self,
        connection: &mut PgConnection,
        tag: &Tag,
        decision: &Decision,
    ) -> Result<Id, TriageError> {
        let key = self.decision_key.as_ref().ok_or_else(|| {
            let what =
                "[triage] decision_key is missing: the publisher's public key that decisions are sealed to";
            TriageError::Form(what.to_owned())
        })?;
        let id = Id::random().map_err(|_| TriageError::Random)?;
        let sealed = decision.seal(id, key).map_err(|_| TriageError::Sealed)?;
        let line = serde_json::to_string(&sealed).map_err(|_| TriageError::Sealed)?;
        sqlx::query("INSERT INTO decision (id, tag, list, at, sealed) VALUES ($1, $2, $3, $4, $5)")
            .bind(&id.0[..])
            .bind(&tag[..])
            .bind(&decision.list)
            .bind(decision.decided)
            .bind(&line)
            .execute(connection)
            .await?;
        Ok(id)
    }

    /// Rejects a case; those who reported are told what the reason says.
    pub(crate) async fn reject(&self, tag: &Tag, reason: Reason) -> Result<(), TriageError> {
        let mut transaction = self.database.begin().await?;
        self.free(&mut transaction, tag).await?;
        let (why, told) = (reason.as_str(), Some(reason.state()));
        settle(&mut transaction, tag, "rejected", None, Some(why), told).await?;
        let (case, reason) = (written(tag), why.to_owned());
        trail::add(&mut transaction, &self.analyst, What::Reject { case, reason }).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Makes a case part of another: its reports go there, later ones too.
    pub(crate) async fn merge(&self, tag: &Tag, into: &Tag) -> Result<(), TriageError> {
        if tag == into {
            return Err(TriageError::Form("a case is not merged into itself".to_owned()));
        }
        let mut transaction = self.database.begin().await?;
        // In one order everywhere.
        lock(&mut transaction, tag.min(into)).await?;
        lock(&mut transaction, tag.max(into)).await?;
        self.free(&mut transaction, tag).await?;
        let (state, _) = lock(&mut transaction, into).await?;
        if state == "merged" {
            return Err(TriageError::Form(
                "that case is part of another itself; name the other".to_owned(),
            ));
        }
        for statement in [
            "UPDATE report SET tag = $2 WHERE tag = $1",
            "UPDATE cases SET merged_into = $2 WHERE merged_into = $1",
            "UPDATE cases AS other SET reports = other.reports + own.reports, first = least(other.first, own.first), \
               last = greatest(other.last, own.last), urgent = other.urgent OR own.urgent \
               FROM cases AS own WHERE own.tag = $1 AND other.tag = $2",
            "UPDATE cases SET merged_into = $2, reports = 0 WHERE tag = $1",
        ] {
            sqlx::query(statement)
                .bind(&tag[..])
                .bind(&into[..])
                .execute(&mut *transaction)
                .await?;
        }
        settle(&mut transaction, tag, "merged", None, None, None).await?;
        let (case, into) = (written(tag), written(into));
        trail::add(&mut transaction, &self.analyst, What::Merge { case, into }).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Locks a case that can be decided by this analyst now.
    async fn free(&self, connection: &mut PgConnection, tag: &Tag) -> Result<(), TriageError> {
        let (state, held_by) = lock(connection, tag).await?;
        if state == "merged" {
            return Err(TriageError::Form(
                "the case is part of another; decide on that one".to_owned(),
            ));
        }
        match held_by.filter(|other| *other != self.analyst.name) {
            Some(other) => Err(TriageError::Held(other)),
            None => Ok(()),
        }
    }
}

/// Locks a case; its state, and who holds it now.
async fn lock(connection: &mut PgConnection, tag: &Tag) -> Result<(String, Option<String>), TriageError> {
    sqlx::query_as(
        "SELECT state, CASE WHEN leased_until > $2 THEN leased_by END FROM cases WHERE tag = $1 FOR UPDATE",
    )
    .bind(&tag[..])
    .bind(now())
    .fetch_optional(connection)
    .await?
    .ok_or(TriageError::NoCase)
}

/// Puts a case into a state, which lets go of it, and tells those who reported, if there is anything to tell.
async fn settle(
    connection: &mut PgConnection,
    tag: &Tag,
    state: &str,
    list: Option<&str>,
    reason: Option<&str>,
    told: Option<State>,
) -> Result<(), TriageError> {
    sqlx::query(
        "UPDATE cases SET state = $2, since = $3, list = $4, reason = $5, leased_by = NULL, leased_until = NULL \
         WHERE tag = $1",
    )
    .bind(&tag[..])
    .bind(state)
    .bind(now())
    .bind(list)
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    if state != "second" {
        sqlx::query("DELETE FROM vote WHERE tag = $1")
            .bind(&tag[..])
            .execute(&mut *connection)
            .await?;
    }
    if let Some(told) = told {
        sqlx::query("UPDATE report SET state = $2, since = $3 WHERE tag = $1 AND state <> $2")
            .bind(&tag[..])
            .bind(told.as_str())
            .bind(now())
            .execute(connection)
            .await?;
    }
    Ok(())
}
