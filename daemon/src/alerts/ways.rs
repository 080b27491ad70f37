//! The ways to a recipient: mail, webhook, ntfy.
//!
//! A webhook's document is signed over its time and its octets, so that the receiver knows whom it is from, and that it is not an
//! old one sent again: `X-iSigurt-Signature: sha256=HEX(HMAC-SHA-256(secret, TIMESTAMP "." BODY))`.

use std::time::Duration;

use axum::http::{Request, header};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hmac_sha2::Sha256;
use jiff::Timestamp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use serde_json::json;

use super::text::Message;
use super::{Recipient, Security, Way};
use crate::http::{Client, HttpError, Url};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// How long a mail server may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why something was not sent: what to do.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The mail server took it not.
    #[error("mail server {server}: {reason}; check server, port, security, user and password")]
    Mail {
        /// The server.
        server: String,
        /// What it says.
        reason: String,
    },
    /// The message cannot be made.
    #[error("the message cannot be made: {0}")]
    Made(String),
    /// The server was not reached.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The push service was not reached.
    #[error("{0}")]
    Unreached(String),
    /// The browser is gone at its push service: it is told no more.
    #[error("{0} knows this device no more; turn notifications on there again")]
    Gone(String),
    /// The push service has too much to do.
    #[error("{place} answers {status} and is left alone for a while")]
    Busy {
        /// Which.
        place: String,
        /// Its status.
        status: u16,
        /// For how long, if it says so.
        after: Option<Duration>,
    },
    /// The push service does not take this gateway's messages.
    #[error("{place} answers {status}; check the gateway's clock, then turn notifications off and on there")]
    Unwelcome {
        /// Which.
        place: String,
        /// Its status.
        status: u16,
    },
    /// It answered, but did not take it.
    #[error("{place} answers {status}; check the address and the secret")]
    Refused {
        /// Which.
        place: String,
        /// Its status.
        status: u16,
    },
}

/// Sends a message.
pub(super) async fn send(http: &Client, to: &Recipient, message: &Message) -> Result<(), SendError> {
    match &to.way {
        Way::Mail { .. } => mail(&to.way, message).await,
        Way::Webhook { url, secret } => {
            let body = serde_json::to_vec(message).unwrap_or_default();
            let mut request = Request::post(url).header(header::CONTENT_TYPE, "application/json");
            if let Some(secret) = secret.as_ref().filter(|secret| !secret.is_empty()) {
                let at = Timestamp::now().as_second().to_string();
                request = request
                    .header("x-isigurt-signature", signature(secret, &at, &body))
                    .header("x-isigurt-timestamp", at);
            }
            post(http, url, request, body).await
        }
        Way::Ntfy { url, token } => {
            let mut server = Url::parse(url).map_err(|error| HttpError::Url(error.to_string()))?;
            let path = server.path().trim_matches('/').to_owned();
            let (above, topic) = path.rsplit_once('/').unwrap_or(("", &path));
            server.set_path(above);
            let document = json!({
                "topic": topic, "title": message.subject, "message": message.text, "tags": ["shield"],
                "priority": if message.test { 3 } else { 4 },
            });
            let mut request = Request::post(server.as_str()).header(header::CONTENT_TYPE, "application/json");
            if let Some(token) = token.as_ref().filter(|token| !token.is_empty()) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            post(http, url, request, document.to_string().into_bytes()).await
        }
    }
}

/// The signature of a webhook's document.
fn signature(secret: &str, at: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new(); // a key of any length is one
    };
    mac.update(at.as_bytes());
    mac.update(b".");
    mac.update(body);
    let octets = mac.finalize().into_bytes();
    format!("sha256={}", data_encoding::HEXLOWER.encode(&octets))
}

async fn post(
    http: &Client,
    url: &str,
    request: axum::http::request::Builder,
    body: Vec<u8>,
) -> Result<(), SendError> {
    let request = request
        .body(body)
        .map_err(|error| HttpError::Url(error.to_string()))?;
    let answer = http.exchange(request, http.small()).await?;
    if answer.status().is_success() {
        return Ok(());
    }
    let place = Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    Err(SendError::Refused {
        place: place.unwrap_or_default(),
        status: answer.status().as_u16(),
    })
}

async fn mail(way: &Way, message: &Message) -> Result<(), SendError> {
    let Way::Mail {
        to,
        from,
        server,
        port,
        security,
        user,
        password,
    } = way
    else {
        return Ok(());
    };
    let mailbox = |address: &str| {
        address
            .parse()
            .map_err(|_| SendError::Made(format!("{address} is no address")))
    };
    let letter = lettre::Message::builder()
        .from(mailbox(from)?)
        .to(mailbox(to)?)
        .subject(&message.subject)
        .header(lettre::message::header::ContentType::TEXT_PLAIN)
        .body(message.text.clone())
        .map_err(|error| SendError::Made(error.to_string()))?;
    let failed = |error: lettre::transport::smtp::Error| {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            reason = format!("{reason}: {error}");
            source = error.source();
        }
        SendError::Mail {
            server: format!("{server}:{port}"),
            reason,
        }
    };
    let builder = match security {
        Security::Tls => Transport::relay(server).map_err(failed)?,
        Security::Starttls => Transport::starttls_relay(server).map_err(failed)?,
        Security::None => Transport::builder_dangerous(server.as_str()),
    };
    let mut builder = builder.port(*port).timeout(Some(PATIENCE));
    if let (Some(user), Some(password)) = (user, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    builder.build().send(letter).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_rfc_2104_over_time_and_body() {
        // echo -n '1700000000.{}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature("key", "1700000000", b"{}"),
            "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
    }
}
