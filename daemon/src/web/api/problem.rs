//! What went wrong, as a problem document (RFC 9457).

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::AccountError;
use crate::policy::ChangeError;
use crate::report::ReportError;

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is, for programs: `about:blank` is what the status says.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, and what to do.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// The member of what was sent that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// After how many seconds to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            retry_after: None,
        }
    }

    /// Says what kind it is, where the status does not say enough for a program.
    pub(crate) fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(crate) fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// The same, said of a member of what was sent.
    pub(crate) fn of_field(self, field: &'static str) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }

    /// Nobody has signed in.
    pub(crate) fn signed_out() -> Self {
        let detail = "sign in with POST /api/v1/session, or send an API token";
        Self::new(StatusCode::UNAUTHORIZED, detail).kind("urn:isigurt:signed-out")
    }

    /// Who asks may not.
    pub(crate) fn not_allowed() -> Self {
        let detail = "the role or the token does not reach this; ask an owner of the gateway";
        Self::new(StatusCode::FORBIDDEN, detail).kind("urn:isigurt:not-allowed")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (status, headers, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::Missing { .. } => Self::not_found(detail),
            ChangeError::Conflict(_) => Self::conflict(detail),
            ChangeError::TooMany(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, detail),
            ChangeError::Stale => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            ChangeError::Policy(_) | ChangeError::Wrong(_) => Self::unprocessable(detail),
            ChangeError::State(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Wrong => Self::new(StatusCode::UNAUTHORIZED, detail).kind("urn:isigurt:wrong"),
            AccountError::Passkey(_) => {
                Self::new(StatusCode::UNAUTHORIZED, detail).kind("urn:isigurt:passkey")
            }
            AccountError::CodeNeeded => {
                Self::new(StatusCode::UNAUTHORIZED, detail).kind("urn:isigurt:code-needed")
            }
            AccountError::WrongClaim => {
                Self::new(StatusCode::FORBIDDEN, detail).kind("urn:isigurt:wrong-claim")
            }
            AccountError::Wait(seconds) => Self {
                retry_after: Some(seconds),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
            },
            AccountError::Claimed => Self::conflict(detail).kind("urn:isigurt:claimed"),
            AccountError::Conflict(_) => Self::conflict(detail),
            AccountError::Missing(_) => Self::not_found(detail),
            AccountError::Invalid { field, .. } => Self {
                field: Some(field),
                ..Self::unprocessable(detail)
            },
            AccountError::Random
            | AccountError::Memory
            | AccountError::Store(_)
            | AccountError::Unfinished => {
                tracing::error!(error = detail, "accounts");
                Self::unavailable(detail)
            }
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        let detail = error.to_string();
        match error {
            ReportError::Field { field, .. } => Self {
                field: Some(field),
                ..Self::unprocessable(detail)
            },
            ReportError::Wait(seconds) => Self {
                retry_after: Some(seconds),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
            },
            ReportError::NoPlatform | ReportError::NoKey => {
                Self::unavailable(detail).kind("urn:isigurt:no-platform")
            }
            ReportError::Full | ReportError::Random | ReportError::Store(_) => Self::unavailable(detail),
        }
    }
}
