//! Why a sign-in by the school's service does not come about: for the log, and for who wanted to sign in.

use openidconnect::{DiscoveryError, ErrorResponse, RequestTokenError};

use crate::accounts::{AccountError, Vouch};
use crate::http::HttpError;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The request is not known, was answered already, took too long, or was made in another browser.
    #[error(
        "the request is unknown, was answered before, is older than ten minutes, or was made in another browser"
    )]
    Unknown,
    /// The service says no.
    #[error("the service refused: {0}")]
    Denied(String),
    /// The service does not answer, or not as it should.
    #[error(
        "the service cannot be used: {0}; check [web.oidc] issuer, client_id and client_secret, and the network"
    )]
    Service(String),
    /// The token is not good.
    #[error("the service's token is not taken: {0}")]
    Token(String),
    /// The e-mail address is not verified.
    #[error("the service has not verified the user's e-mail address, which [web.oidc] domains needs")]
    NotVerified,
    /// The e-mail address is of another domain.
    #[error("the user's e-mail address is of no domain in [web.oidc] domains")]
    Domain,
    /// No role is named for the user.
    #[error("no [[web.oidc.role]] names a group of the user \"{}\"", .0.name)]
    NoRole(Box<Vouch>),
    /// The account cannot be made or used.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// A sentence in the languages of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Albanian.
    pub sq: &'static str,
    /// English.
    pub en: &'static str,
}

impl OidcError {
    /// A word for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Denied(_) => "denied",
            Self::Service(_) => "service",
            Self::Token(_) => "token",
            Self::NotVerified => "not-verified",
            Self::Domain => "domain",
            Self::NoRole(_) => "no-role",
            Self::Account(_) => "account",
        }
    }

    /// For who wanted to sign in.
    pub fn told(&self) -> Told {
        let (sq, en) = match self {
            Self::Unknown => (
                "Kjo kërkesë hyrjeje nuk njihet më: u përdor një herë, zgjati shumë ose u nis në një shfletues tjetër. Nisni edhe një herë.",
                "This sign-in is not known any more: it was used once, took too long, or began in another browser. Begin again.",
            ),
            Self::Denied(_) => (
                "Shërbimi i shkollës nuk ju lejoi të hyni.",
                "The school's service did not let you sign in.",
            ),
            Self::Service(_) => (
                "Shërbimi i shkollës nuk përgjigjet siç duhet. Provoni më vonë ose njoftoni administratorin.",
                "The school's service does not answer as it should. Try later, or tell the administrator.",
            ),
            Self::Token(_) => (
                "Përgjigjja e shërbimit të shkollës nuk u pranua. Njoftoni administratorin.",
                "The answer of the school's service was not accepted. Tell the administrator.",
            ),
            Self::NotVerified => (
                "Shërbimi i shkollës nuk e ka verifikuar adresën tuaj të postës elektronike.",
                "The school's service has not verified your e-mail address.",
            ),
            Self::Domain => (
                "Adresa juaj e postës elektronike nuk është e kësaj shkolle.",
                "Your e-mail address is not of this school.",
            ),
            Self::NoRole(_) => (
                "Llogaria juaj nuk ka të drejta në këtë portë. Kërkojini administratorit t'ju shtojë në një grup.",
                "Your account has no rights on this gateway. Ask the administrator to add you to a group.",
            ),
            Self::Account(_) => (
                "Llogaria nuk mund të hapet këtu. Njoftoni administratorin.",
                "The account cannot be opened here. Tell the administrator.",
            ),
        };
        Told { sq, en }
    }
}

pub(super) fn of_discovery(error: &DiscoveryError<HttpError>) -> OidcError {
    OidcError::Service(match error {
        DiscoveryError::Request(error) => error.to_string(),
        other => other.to_string(),
    })
}

pub(super) fn of_exchange<E: ErrorResponse + 'static>(error: &RequestTokenError<HttpError, E>) -> OidcError {
    match error {
        RequestTokenError::ServerResponse(said) => OidcError::Service(format!("it gives no token: {said:?}")),
        RequestTokenError::Request(error) => OidcError::Service(error.to_string()),
        RequestTokenError::Parse(error, _) => OidcError::Token(format!("it cannot be read: {error}")),
        RequestTokenError::Other(what) => OidcError::Service(what.clone()),
    }
}
