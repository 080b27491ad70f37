//! Who asks, and what they may do. Nobody may do anything before there are accounts.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::policy::Author;

/// The one who asks.
#[derive(Debug)]
pub(crate) struct Principal {
    who: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code)] // the profiles matter as soon as there are accounts
pub(crate) enum Area<'a> {
    Policy,
    Profile(&'a str),
    Moments,
    MomentsOf(&'a str),
    Devices,
    DevicesOf(&'a str),
    Choices,
    Why,
    Status,
    Queries,
}

impl Principal {
    pub(crate) fn may_read(&self, _: Area<'_>) -> Result<(), Problem> {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("{} may not", self.who),
        ))
    }

    pub(crate) fn may_write(&self, area: Area<'_>) -> Result<(), Problem> {
        self.may_read(area)
    }

    pub(crate) fn sees(&self, _: &str) -> bool {
        false
    }

    pub(crate) fn author(&self) -> Author {
        Author {
            who: self.who.clone(),
            from: String::new(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        Err(Problem::new(StatusCode::UNAUTHORIZED, "sign in first"))
    }
}
