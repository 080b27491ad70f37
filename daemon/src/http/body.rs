//! The body of an answer, bounded in octets, in time, and in how slowly it may come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use reqwest::{StatusCode, header};

use super::pace::Pace;
use super::{HttpError, Url, Validators, shown};

/// Octets a second below which a server is not waited for any longer, once it had its time.
const LOWEST: u64 = 1024;

/// Bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the body.
    pub octets: u64,
    /// Between two pieces, and until a speed is judged.
    pub patience: Duration,
    /// Altogether.
    pub total: Duration,
}

impl Limits {
    /// For small answers, such as metadata and receipts.
    pub const SMALL: Self = Self {
        octets: 1 << 20,
        patience: Duration::from_secs(15),
        total: Duration::from_secs(30),
    };

    /// The same with another bound on octets.
    #[must_use]
    pub const fn with_octets(self, octets: u64) -> Self {
        Self { octets, ..self }
    }
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Body {
    response: reqwest::Response,
    url: Url,
    limits: Limits,
    pace: Arc<Pace>,
    deadline: Instant,
    taken: u64,
    waited: Duration,
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        url: &Url,
        limits: Limits,
        pace: Arc<Pace>,
    ) -> Result<Self, HttpError> {
        if response
            .content_length()
            .is_some_and(|length| length > limits.octets)
        {
            return Err(HttpError::Large(shown(url), limits.octets));
        }
        // A bandwidth of our own must not make the server look slow.
        let throttled = pace.rate().map_or(Duration::ZERO, |rate| {
            Duration::from_secs(response.content_length().unwrap_or(limits.octets) / rate)
        });
        Ok(Self {
            response,
            url: url.clone(),
            limits,
            pace,
            deadline: Instant::now() + limits.total + throttled,
            taken: 0,
            waited: Duration::ZERO,
        })
    }

    /// Where it starts in what was asked for: 0, or where a range begins.
    pub fn start(&self) -> u64 {
        if self.response.status() != StatusCode::PARTIAL_CONTENT {
            return 0;
        }
        // "bytes 500-999/1234" (RFC 9110, section 14.4)
        let range = self.response.headers().get(header::CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok()).unwrap_or_default();
        let start = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('-'));
        start
            .and_then(|(start, _)| start.parse().ok())
            .unwrap_or(u64::MAX)
    }

    /// What the server says about this version.
    pub fn validators(&self) -> Validators {
        Validators::of(self.response.headers())
    }

    /// Octets that are to come, where the server says so.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece; `None` at the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        let began = Instant::now();
        let left = self.deadline.saturating_duration_since(began);
        let piece = tokio::time::timeout(left.min(self.limits.patience), self.response.chunk()).await;
        self.waited += began.elapsed();
        let piece = match piece {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(self.broken(error)),
            Err(_) => return Err(HttpError::Slow(shown(&self.url))),
        };
        let Some(piece) = piece else { return Ok(None) };
        self.taken += piece.len() as u64;
        if self.taken > self.limits.octets {
            return Err(HttpError::Large(shown(&self.url), self.limits.octets));
        }
        if self.waited > self.limits.patience && self.taken / self.waited.as_secs().max(1) < LOWEST {
            return Err(HttpError::Slow(shown(&self.url)));
        }
        self.pace.take(piece.len()).await;
        Ok(Some(piece))
    }

    fn broken(&self, error: reqwest::Error) -> HttpError {
        HttpError::Broken(shown(&self.url), super::error::chain(&error.without_url()))
    }

    /// All of it.
    pub async fn whole(mut self) -> Result<Vec<u8>, HttpError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}
