//! Requests for access: a child asks, a parent answers, the answer is in force at once.
//!
//! What nobody here can open is not asked for, and what nobody is to read is not kept: neither a name of the national list, nor
//! a helpline, which is open.

use std::net::IpAddr;

use isigurt_blocklists::name::Name;
use isigurt_core::policy::confirm::{self, Told};
use isigurt_core::policy::{self, Client, Grant, Law, Who};
use isigurt_core::snapshot::Snapshot;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Author, ChangeError, Event, Household, tables};
use crate::dns::engine::Engine;
use crate::store::Changes;

/// Requests that are kept; the oldest answered ones go first.
const KEPT: usize = 500;
/// Requests that one client may have open.
const OPEN: usize = 5;
/// Requests that clients without a device may have open together: such a one makes up as many addresses as it likes.
const STRANGERS: usize = 50;
/// Characters of a note.
const NOTE: usize = 200;

/// A request for access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// Its number.
    pub id: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The address that it came from.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The device, where it is known.
    pub device: Option<String>,
    /// The profile that blocked it.
    pub profile: String,
    /// The name that is asked for.
    pub name: String,
    /// What the child wrote.
    pub note: String,
    /// What became of it.
    pub state: State,
    /// Who answered.
    pub answered_by: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has answered yet.
    Open,
    /// It is or was open for a while.
    Granted,
    /// It is allowed for good.
    Allowed,
    /// It stays blocked.
    Denied,
}

/// An answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Open it for a quarter of an hour.
    Once,
    /// Open it for an hour.
    Hour,
    /// Allow it in the profile.
    Always,
    /// Leave it blocked.
    Deny,
}

impl Household {
    /// All requests, the newest first.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.iter().rev().cloned().collect()
    }

    /// What the client at `address` asked for, the newest first: its device, whatever address it had then. An address that was
    /// another device's tells nothing of that one.
    pub fn requests_of(&self, engine: &Engine, address: IpAddr) -> Vec<Request> {
        let snapshot = engine.snapshot();
        let device = snapshot.clients.device(address);
        let device = device.map(|device| snapshot.policy.device_name(device));
        let mut requests = self.requests();
        requests.retain(|request| match request.device.as_deref() {
            Some(whose) => device == Some(whose),
            None => request.address == address,
        });
        requests
    }

    /// Makes a request for the client at `address`.
    pub fn request(
        &self,
        engine: &Engine,
        address: IpAddr,
        name: &str,
        note: &str,
    ) -> Result<Request, ChangeError> {
        let wrong = |error| ChangeError::Wrong(format!("{name:?}: {error}"));
        let parsed = Name::parse(name).map_err(wrong)?;
        let name = parsed.to_string();
        let snapshot = engine.snapshot();
        let device = snapshot.clients.device(address);
        let profile = match device {
            Some(device) => snapshot.policy.profile_of(device),
            None => snapshot.policy.default_profile(),
        };
        let (_, now_ms) = engine.cache();
        may_be_asked_for(&snapshot, &snapshot.client(address, now_ms), &parsed, now_ms)?;
        let device = device.map(|device| snapshot.policy.device_name(device).to_owned());
        let mut inner = self.lock();
        let theirs = |request: &&Request| {
            let same = request.address == address || device.is_some() && request.device == device;
            same && request.state == State::Open
        };
        if let Some(same) = inner
            .requests
            .iter()
            .filter(theirs)
            .find(|request| request.name == name)
        {
            return Ok(same.clone()); // asking twice is asking once
        }
        if inner.requests.iter().filter(theirs).count() >= OPEN {
            return Err(ChangeError::TooMany(
                "enough is asked for already; wait for an answer".to_owned(),
            ));
        }
        let strangers = inner
            .requests
            .iter()
            .filter(|request| request.device.is_none() && request.state == State::Open);
        if device.is_none() && strangers.count() >= STRANGERS {
            return Err(ChangeError::TooMany(
                "devices without a name asked for enough already; have this one named".to_owned(),
            ));
        }
        let now = Timestamp::now();
        let last = inner.requests.last().map_or(0, |last| last.id);
        let note = note.chars().filter(|character| !character.is_control());
        let request = Request {
            id: last + 1,
            at: now,
            address,
            device,
            profile: profile.name.clone(),
            name,
            note: note.take(NOTE).collect(),
            state: State::Open,
            answered_by: None,
        };
        let mut changes = Changes::default();
        changes.put(&tables::REQUESTS, &key(request.id), &request);
        let over = (inner.requests.len() + 1).saturating_sub(KEPT);
        let old = inner
            .requests
            .iter()
            .filter(|request| request.state != State::Open);
        let old: Vec<u64> = old.map(|request| request.id).take(over).collect();
        for id in &old {
            changes.remove(&tables::REQUESTS, &key(*id));
        }
        if inner.requests.len() + 1 - old.len() > KEPT {
            return Err(ChangeError::TooMany(
                "too many requests wait for an answer".to_owned(),
            ));
        }
        self.commit(changes)?;
        inner.requests.retain(|request| !old.contains(&request.id));
        inner.requests.push(request.clone());
        self.tell(Event::Requests);
        Ok(request)
    }

    /// Answers a request; what it opens is open when this returns.
    pub fn answer(
        &self,
        engine: &Engine,
        author: &Author,
        id: u64,
        answer: Answer,
    ) -> Result<Request, ChangeError> {
        let found = self.requests().into_iter().find(|request| request.id == id);
        let mut request = found.ok_or_else(|| ChangeError::Missing {
            kind: "request",
            name: id.to_string(),
        })?;
        let minutes = match answer {
            Answer::Once => Some(15),
            Answer::Hour => Some(60),
            Answer::Always | Answer::Deny => None,
        };
        if let Some(minutes) = minutes {
            let until = Timestamp::now().checked_add(SignedDuration::from_mins(minutes));
            let who = match &request.device {
                Some(device) => Who::Device(device.clone()),
                None => Who::Profile(request.profile.clone()),
            };
            let grant = Grant {
                who,
                what: request.name.clone(),
                until: until.unwrap_or(Timestamp::MAX),
            };
            self.grant(engine, author, grant)?;
        }
        if answer == Answer::Always {
            self.change(engine, author, |policy| {
                let profile = policy
                    .profile
                    .iter_mut()
                    .find(|profile| profile.name == request.profile);
                let profile = profile.ok_or_else(|| ChangeError::Missing {
                    kind: "profile",
                    name: request.profile.clone(),
                })?;
                if !profile.allow.contains(&request.name) {
                    profile.allow.push(request.name.clone());
                }
                Ok(())
            })?;
        }
        request.state = match answer {
            Answer::Once | Answer::Hour => State::Granted,
            Answer::Always => State::Allowed,
            Answer::Deny => State::Denied,
        };
        request.answered_by = Some(author.who.clone());
        let mut inner = self.lock();
        let mut changes = Changes::default();
        changes.put(&tables::REQUESTS, &key(id), &request);
        let told = serde_json::to_value(answer).ok();
        changes.audit(author.entry("request.answer", &request.name, None, told));
        self.commit(changes)?;
        if let Some(held) = inner.requests.iter_mut().find(|held| held.id == id) {
            *held = request.clone();
        }
        self.tell(Event::Requests);
        Ok(request)
    }
}

/// Goes on only where an answer could change something, and where the name may be kept. The error tells it to nobody.
fn may_be_asked_for(
    snapshot: &Snapshot,
    client: &Client<'_>,
    name: &Name,
    now_ms: u64,
) -> Result<(), ChangeError> {
    let (index, name) = (&snapshot.index, name.as_ref());
    let listed = match policy::law(index, name, 1) {
        Law::Helpline => return Err(ChangeError::Wrong("this site is open".to_owned())),
        Law::Listed(..) => true,
        Law::Candidate => {
            let now_s = snapshot.wall_s(now_ms);
            confirm::suspects(index, client, name, 1)
                .iter()
                .any(|suspect| suspect.mandatory && snapshot.confirmed.told(suspect, now_s) == Told::Meant)
        }
        Law::Silent => false,
    };
    if listed {
        let what = "nobody here can open this site; if it is blocked wrongly, report that";
        return Err(ChangeError::Wrong(what.to_owned()));
    }
    Ok(())
}

/// In the order of numbers.
fn key(id: u64) -> String {
    format!("{id:020}")
}
