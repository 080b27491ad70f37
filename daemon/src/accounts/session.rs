//! Sessions of users who signed in: opened, looked up with each request, listed, ended.
//!
//! The id that the browser holds is 256 random bits; what is kept is its BLAKE3 hash, which is the key of the record. A
//! session ends when it was idle for too long, when it is too old, at sign-out, and when the password changes.

use std::net::IpAddr;
use std::sync::PoisonError;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountError, Accounts, Ledger, Lifetimes, Principal, SESSIONS, kept, secret};
use crate::store::Changes;

/// Most sessions of one user; the one that was idle longest makes room.
const MOST_SESSIONS: usize = 20;
/// Use of a session is written down when it differs by so much: flash memory wears out. Seconds.
const WRITTEN_EVERY_S: u64 = 600;
/// Letters of a session's key that name it to people.
const ID: usize = 16;

/// What is kept of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user: String,
    created: i64,
    seen: i64,
    /// What `seen` is in the state.
    #[serde(skip)]
    written: i64,
    address: String,
    agent: String,
}

/// What is shown of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// Names the session; of no use to take it over.
    pub id: String,
    /// The user.
    pub user: String,
    /// Seconds since 1970.
    pub created: i64,
    /// When it was used last, seconds since 1970.
    pub seen: i64,
    /// Address that it was opened from.
    pub address: String,
    /// What the browser called itself.
    pub agent: String,
    /// Whether it is the one that asks.
    pub this: bool,
}

impl Session {
    fn alive(&self, now: i64, lifetimes: Lifetimes) -> bool {
        // A clock that was set back makes a session old too: in doubt one signs in again.
        now.abs_diff(self.seen) <= lifetimes.idle.as_secs()
            && now.abs_diff(self.created) <= lifetimes.longest.as_secs()
    }
}

impl Ledger {
    /// Opens a session and gives the id that the browser is to hold.
    pub(super) fn open_session(
        &mut self,
        user: &str,
        (address, agent): (IpAddr, &str),
        now: i64,
        changes: &mut Changes,
    ) -> Result<String, AccountError> {
        let mut own: Vec<(i64, String)> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.user == user)
            .map(|(key, session)| (session.seen, key.clone()))
            .collect();
        own.sort_unstable();
        for (_, key) in own.iter().take((own.len() + 1).saturating_sub(MOST_SESSIONS)) {
            self.sessions.remove(key);
            changes.remove(&SESSIONS, key);
        }
        let secret = secret()?;
        let session = Session {
            user: user.to_owned(),
            created: now,
            seen: now,
            written: now,
            address: address.to_canonical().to_string(),
            agent: agent
                .chars()
                .filter(|letter| !letter.is_control())
                .take(120)
                .collect(),
        };
        let key = kept(&secret);
        changes.put(&SESSIONS, &key, &session);
        self.sessions.insert(key, session);
        Ok(secret)
    }

    pub(super) fn tidy_sessions(&mut self, now: i64, lifetimes: Lifetimes, changes: &mut Changes) {
        self.sessions.retain(|key, session| {
            let alive = session.alive(now, lifetimes);
            if !alive {
                changes.remove(&SESSIONS, key);
            } else if session.seen.abs_diff(session.written) >= WRITTEN_EVERY_S {
                session.written = session.seen;
                changes.put(&SESSIONS, key, session);
            }
            alive
        });
    }
}

impl Accounts {
    /// Who holds this session id, if the session is alive; it is used by that.
    pub fn by_session(&self, secret: &str, address: IpAddr) -> Option<Principal> {
        let key = kept(secret);
        let now = self.clock.wall();
        let (member, seen) = {
            let ledger = self.ledger();
            let session = ledger.sessions.get(&key)?;
            if !session.alive(now, self.lifetimes) {
                return None;
            }
            let user = ledger.users.get(&session.user)?;
            (user.member(&session.user), session.seen)
        };
        if now != seen {
            let mut ledger = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(session) = ledger.sessions.get_mut(&key) {
                session.seen = now;
            }
        }
        Some(Principal::Session {
            member,
            session: key,
            address,
        })
    }

    /// Who asked some time ago, as the account stands now; `None` where the session or the token has ended since. Is no use of
    /// either: what goes on by itself keeps nobody signed in.
    pub fn still(&self, principal: &Principal) -> Option<Principal> {
        match principal {
            Principal::Console | Principal::Device { .. } => Some(principal.clone()),
            Principal::Token { token, address, .. } => self.by_token_key(token.clone(), *address),
            Principal::Session { session, address, .. } => {
                let ledger = self.ledger();
                let held = ledger.sessions.get(session)?;
                if !held.alive(self.clock.wall(), self.lifetimes) {
                    return None;
                }
                let user = ledger.users.get(&held.user)?;
                Some(Principal::Session {
                    member: user.member(&held.user),
                    session: session.clone(),
                    address: *address,
                })
            }
        }
    }

    /// Living sessions of a user, the one used last first; `this` is the key of the one that asks.
    pub fn sessions(&self, user: &str, this: Option<&str>) -> Vec<SessionView> {
        let now = self.clock.wall();
        let ledger = self.ledger();
        let living = ledger
            .sessions
            .iter()
            .filter(|(_, session)| session.user == user && session.alive(now, self.lifetimes));
        let mut views: Vec<SessionView> = living
            .map(|(key, session)| SessionView {
                id: key.chars().take(ID).collect(),
                user: session.user.clone(),
                created: session.created,
                seen: session.seen,
                address: session.address.clone(),
                agent: session.agent.clone(),
                this: this == Some(key),
            })
            .collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.seen));
        views
    }

    /// The user whose session has this id.
    pub fn session_user(&self, id: &str) -> Option<String> {
        let ledger = self.ledger();
        let found = ledger.sessions.iter().find(|(key, _)| named(key, id));
        found.map(|(_, session)| session.user.clone())
    }

    /// Ends the session of this id or key.
    pub fn end_session(&self, id: &str) -> Result<(), AccountError> {
        self.change(|ledger, changes| {
            let found = ledger.sessions.keys().find(|key| *key == id || named(key, id));
            let key = found.cloned().ok_or(AccountError::Missing("session"))?;
            ledger.sessions.remove(&key);
            changes.remove(&SESSIONS, &key);
            Ok(())
        })
    }

    /// Ends all sessions of a user but the one with the key `but`.
    pub fn end_other_sessions(&self, user: &str, but: &str) -> Result<(), AccountError> {
        self.change(|ledger, changes| {
            let stays = ledger.sessions.remove(but);
            ledger.end_sessions(user, changes);
            if let Some(session) = stays {
                ledger.sessions.insert(but.to_owned(), session);
            }
            Ok(())
        })
    }
}

/// Whether a session's key is named by this id.
fn named(key: &str, id: &str) -> bool {
    id.len() == ID && key.starts_with(id)
}

/// The token that unsafe requests of a session must carry: known to pages of this origin only.
pub fn csrf(session: &str) -> String {
    let token = blake3::derive_key("isigurt gateway 2026 csrf token of a session", session.as_bytes());
    BASE64URL_NOPAD.encode(&token)
}
