//! Who asks, from an API token or a session's cookie, and what of the API each may reach.
//!
//! A handler that takes a [`Principal`] is safe from other pages by that: with a cookie, an unsafe method needs the CSRF
//! token too, which only the gateway's own pages can read. A token in the `Authorization` header needs none, because no
//! browser sends it by itself. Rights themselves stand in one table, [`crate::accounts::rights`].

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::problem::Problem;
use crate::accounts::session::csrf;
pub(crate) use crate::accounts::{Action, Member, Principal, Scope};
use crate::policy::Author;
use crate::web::Site;
use crate::web::gate::{Peer, is_unsafe};

/// A cookie of this gateway: its name in clear, and its name where the connection is encrypted. Browsers keep no cookies of
/// different ports apart: the prefix (RFC 6265bis, section 4.1.3) keeps what comes in clear, from whomever, away from the
/// other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cookie {
    pub(super) clear: &'static str,
    pub(super) encrypted: &'static str,
}

/// A cookie that no other site makes a browser send.
pub(crate) const STRICT: &str = "Strict";

/// Of the session.
pub(crate) const SESSION: Cookie = Cookie {
    clear: "isigurt_session",
    encrypted: "__Host-isigurt_session",
};
/// Of a browser that signed in before; counts its wrong guesses apart from others'.
pub(crate) const BROWSER: Cookie = Cookie {
    clear: "isigurt_browser",
    encrypted: "__Host-isigurt_browser",
};

impl Cookie {
    /// Its name over this connection.
    pub(crate) fn name(self, peer: Peer) -> &'static str {
        if peer.encrypted {
            self.encrypted
        } else {
            self.clear
        }
    }

    /// Sets it for this gateway alone, out of scripts' reach; without a time it goes when the browser closes. `site`: how
    /// `SameSite` is.
    pub(crate) fn set(
        self,
        response: &mut Response,
        value: &str,
        seconds: Option<u32>,
        (peer, site): (Peer, &str),
    ) {
        let name = self.name(peer);
        let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
        let secure = if peer.encrypted { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite={site}{age}{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }

    /// Its name in clear, for the description.
    pub(crate) const fn clear(self) -> &'static str {
        self.clear
    }

    /// Its value.
    pub(crate) fn of(self, headers: &HeaderMap, peer: Peer) -> Option<&str> {
        cookie(headers, self.name(peer))
    }
}
/// Header of the CSRF token.
pub(crate) const CSRF: &str = "x-csrf-token";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Area<'a> {
    /// The policy as a whole.
    Policy,
    /// The list of profiles, of which each sees what it reaches.
    Profiles,
    /// One profile.
    Profile(&'a str),
    /// To read: the list of what is said for a while, as above. To write: for everybody.
    Moments,
    /// What is said for a while of a profile and its devices.
    MomentsOf(&'a str),
    /// The list of devices, as above.
    Devices,
    /// The devices of a profile.
    DevicesOf(&'a str),
    /// Categories, services and the like.
    Choices,
    /// How the gateway stands.
    Status,
    /// The query log, as above.
    Queries,
    /// Who changed what.
    Trail,
}

impl Principal {
    /// Goes on only where the area may be read.
    pub(crate) fn may_read(&self, area: Area<'_>) -> Result<(), Problem> {
        let (action, scope) = match area {
            Area::Policy => (Action::PolicyRead, Scope::Gateway),
            Area::Profile(name) | Area::MomentsOf(name) | Area::DevicesOf(name) => {
                (Action::PolicyRead, Scope::Profile(name))
            }
            Area::Profiles | Area::Moments | Area::Devices => (Action::PolicyRead, Scope::Reached),
            Area::Queries => (Action::LogRead, Scope::Reached),
            Area::Choices | Area::Status => (Action::StatusRead, Scope::Gateway),
            Area::Trail => (Action::AccountsRead, Scope::Gateway),
        };
        self.require(action, scope)
    }

    /// Goes on only where the area may be changed.
    pub(crate) fn may_write(&self, area: Area<'_>) -> Result<(), Problem> {
        let (action, scope) = match area {
            Area::Policy | Area::Profiles => (Action::PolicyWrite, Scope::Gateway),
            Area::Profile(name) => (Action::PolicyWrite, Scope::Profile(name)),
            Area::Moments => (Action::Relax, Scope::Gateway),
            Area::MomentsOf(name) => (Action::Relax, Scope::Profile(name)),
            Area::Devices => (Action::DeviceWrite, Scope::Gateway),
            Area::DevicesOf(name) => (Action::DeviceWrite, Scope::Profile(name)),
            Area::Choices | Area::Status | Area::Queries | Area::Trail => {
                (Action::SettingsWrite, Scope::Gateway)
            }
        };
        self.require(action, scope)
    }

    /// Whether what belongs to a profile is shown.
    pub(crate) fn sees(&self, profile: &str) -> bool {
        self.may(Action::PolicyRead, Scope::Profile(profile))
    }

    /// Whether the queries of a profile's devices are shown.
    pub(crate) fn sees_queries(&self, profile: &str) -> bool {
        self.may(Action::LogRead, Scope::Profile(profile))
    }

    /// Goes on only where the action is allowed.
    pub(crate) fn require(&self, action: Action, scope: Scope<'_>) -> Result<(), Problem> {
        if self.may(action, scope) {
            return Ok(());
        }
        Err(match self {
            Self::Device { .. } => Problem::signed_out(),
            _ => Problem::not_allowed(),
        })
    }

    /// The signed-in user with the key of the session: who may change the own account.
    pub(crate) fn require_session(&self) -> Result<(&Member, &str), Problem> {
        self.require(Action::OwnAccount, Scope::Own)?;
        match self {
            Self::Session { member, session, .. } => Ok((member, session)),
            _ => Err(Problem::not_allowed()),
        }
    }

    /// Goes on only where a session or token of the account `owner` may be ended: one's own, or that of an account that the
    /// one who asks may change. `None`: there is no such session or token, which only those learn who may change accounts.
    pub(crate) fn may_end_of(&self, site: &Site, owner: Option<String>) -> Result<(), Problem> {
        let (member, _) = self.require_session()?;
        if owner.as_ref() == Some(&member.id) {
            return Ok(());
        }
        self.require(Action::AccountsWrite, Scope::Reached)?;
        match owner.and_then(|owner| site.accounts.user(&owner)) {
            Some(owner) => self.require(Action::AccountsWrite, Scope::Role(owner.role)),
            None => Ok(()),
        }
    }

    /// Who makes a change, for the audit trail.
    pub(crate) fn author(&self) -> Author {
        Author {
            who: self.label(),
            from: self
                .address()
                .map_or_else(String::new, |address| address.to_string()),
        }
    }
}

impl FromRequestParts<Site> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Problem> {
        let peer = Peer::from_request_parts(parts, site).await?;
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(bearer);
            let found = token.and_then(|token| site.accounts.by_token(token, peer.address));
            return found.ok_or_else(|| {
                let detail = "the token is unknown or has expired; make a new one in the web UI";
                Problem::new(StatusCode::UNAUTHORIZED, detail).kind("urn:isigurt:bad-token")
            });
        }
        let session = SESSION.of(&parts.headers, peer);
        let Some(principal) = session.and_then(|id| site.accounts.by_session(id, peer.address)) else {
            // One whose session has ended is a device like any other.
            return Ok(Self::Device {
                address: peer.address,
            });
        };
        if let Self::Session { session, .. } = &principal
            && is_unsafe(&parts.method)
        {
            check_csrf(&parts.headers, session)?;
        }
        Ok(principal)
    }
}

fn check_csrf(headers: &HeaderMap, session: &str) -> Result<(), Problem> {
    // Digests are compared: in constant time, and whatever was sent.
    let sent = headers.get(CSRF).map(|value| blake3::hash(value.as_bytes()));
    if sent == Some(blake3::hash(csrf(session).as_bytes())) {
        return Ok(());
    }
    let detail = "send the \"csrf\" of GET /api/v1/session as the header X-CSRF-Token";
    Err(Problem::new(StatusCode::FORBIDDEN, detail).kind("urn:isigurt:csrf"))
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The value of a cookie.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
