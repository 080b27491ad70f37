//! `POST /api/v1/reports`: a sealed report is checked from outside and kept. Nobody here can open it.
//!
//! ```text
//!   octets ─▶ ≤ 16 KiB? 413 · an envelope? 400 · a known key? 422 ─▶ database: quotas 429 · kept 201 · known 200
//! ```
//!
//! Neither what was sent nor who sent it is ever logged.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use isigurt_wire::report::{self, Envelope, Progress};

use super::batch::{Delivery, Outcome};
use super::problem::Problem;
use super::source::Source;
use super::{Asker, Site};

/// How long the octets of one report may take to come.
const READING: Duration = Duration::from_secs(10);
/// How long a report waits for the database before its sender is told to come again.
const PATIENCE: Duration = Duration::from_secs(20);
/// A sealed report of the smallest size: encapsulated key, one block, tag.
const SMALLEST: usize = 32 + report::BLOCK + 16;

/// Answers.
pub(super) async fn take(
    State(site): State<Site>,
    Asker(network): Asker,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let started = Instant::now();
    let taken = taken(&site, network, &headers, body).await;
    let status = match &taken {
        Ok((status, _)) => *status,
        Err(problem) => problem.status(),
    };
    site.metrics.report(status, started.elapsed());
    match taken {
        Ok((status, progress)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            let body = serde_json::to_string(&progress).unwrap_or_default();
            (status, headers, body).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn taken(
    site: &Site,
    network: Source,
    headers: &HeaderMap,
    body: Body,
) -> Result<(StatusCode, Progress), Problem> {
    let octets = read(headers, body).await?;
    let envelope: Envelope =
        serde_json::from_slice(&octets).map_err(|error| malformed(&format!("not an envelope: {error}")))?;
    if envelope.format != report::FORMAT {
        return Err(malformed(
            "an envelope of another form; this platform takes form 1",
        ));
    }
    let sealed = data_encoding::BASE64URL_NOPAD
        .decode(envelope.sealed.as_bytes())
        .map_err(|_| malformed("sealed: not base64url without padding"))?;
    if sealed.len() < SMALLEST || (sealed.len() - 48) % report::BLOCK != 0 {
        return Err(malformed("sealed: not of the length of a sealed report"));
    }
    if !site.keys.known(&site.database, &envelope.key).await {
        let detail =
            "sealed to a key that this platform does not have; bring the lists up to date and report again";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).kind("urn:isigurt:unknown-key"));
    }
    let mut sources = vec![(network, site.config.intake.per_network)];
    if let Some(pseudonym) = pseudonym(headers)? {
        sources.push((site.sources.gateway(pseudonym), site.config.intake.per_gateway));
    }
    let delivery = Delivery {
        id: envelope.id,
        key: envelope.key,
        sealed,
        sources,
    };
    let outcome = tokio::time::timeout(PATIENCE, site.intake.take(delivery)).await;
    match outcome.ok().flatten() {
        Some(Outcome::New(progress)) => Ok((StatusCode::CREATED, progress)),
        Some(Outcome::Known(progress)) => Ok((StatusCode::OK, progress)),
        Some(Outcome::TooMany(seconds)) => {
            let detail = "too many new reports from here in this hour; send it again later, it is not lost";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).again_in(seconds))
        }
        Some(Outcome::Broken) => {
            let detail = "the report could not be kept; send it again later";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).again_in(60))
        }
        None => {
            let detail = "the report could not be kept now; send it again, it is known by its id";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).again_in(10))
        }
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<axum::body::Bytes, Problem> {
    let too_large = || {
        let detail = format!("an envelope has {} octets at most", report::ENVELOPE);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > report::ENVELOPE) {
        return Err(too_large());
    }
    match tokio::time::timeout(READING, to_bytes(body, report::ENVELOPE)).await {
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the report did not come within 10 seconds",
        )),
        Ok(Ok(octets)) => Ok(octets),
        // A body that is too long, or a connection that broke, which reads no answer.
        Ok(Err(_)) => Err(too_large()),
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// The gateway's pseudonym, if the request has one.
fn pseudonym(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(report::GATEWAY_HEADER) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .filter(|text| text.len() == 32 && text.bytes().all(|octet| octet.is_ascii_hexdigit()))
        .map(Some)
        .ok_or_else(|| malformed("isigurt-gateway: expected 32 hexadecimal digits"))
}
