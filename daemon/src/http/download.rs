//! Downloads into files: resumed where they broke off, on the disk before anybody is told.
//!
//! What is there of a file stands under its own name, with what the server said about it in a file beside it. It counts for
//! nothing: whoever asked checks the finished file and renames it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Body, Client, Got, HttpError, Limits, Url, Validators, put};

/// What to fetch, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// The address.
    pub url: &'a Url,
    /// The file; what is there of it already is gone on from.
    pub file: &'a Path,
    /// What is known about the version at hand, which is not fetched again.
    pub known: Option<&'a Validators>,
    /// Whether the address never serves anything else: then a rest needs no proof that it belongs to the beginning,
    /// because whoever asked has the hash.
    pub immutable: bool,
    /// Bounds.
    pub limits: Limits,
}

/// How a download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The version at hand is still the newest.
    Same,
    /// The file is whole, and on the disk.
    New(Validators),
}

/// What is written down about the beginning of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    url: String,
    validators: Validators,
}

/// Fetches a file.
pub async fn download(client: &Client, asked: Download<'_>) -> Result<Fetched, HttpError> {
    let beside = beside(asked.file);
    let at_hand = resumable(&asked, &beside);
    let (body, at) = match ask(client, &asked, at_hand.as_ref()).await {
        // The rest does not fit: begin anew. So where the server has less than what is here.
        Err(HttpError::Status(_, 416)) => (ask(client, &asked, None).await?, 0),
        outcome => (outcome?, at_hand.as_ref().map_or(0, |(at, _)| *at)),
    };
    let Got::Body(body) = body else {
        return Ok(Fetched::Same);
    };
    let (body, at) = match body.start() {
        0 => (body, 0),
        start if start == at => (body, at),
        _ => match ask(client, &asked, None).await? {
            Got::Body(body) if body.start() == 0 => (body, 0),
            _ => return Ok(Fetched::Same),
        },
    };
    let validators = body.validators();
    let outcome = write(*body, &asked, &beside, at).await;
    match outcome {
        Ok(()) => {
            let _ = std::fs::remove_file(&beside);
            Ok(Fetched::New(validators))
        }
        Err(error) => {
            // What is too large is not gone on with; nor is half of something kept where there is no room.
            if matches!(error, HttpError::Large(..) | HttpError::File(..)) {
                let _ = std::fs::remove_file(asked.file);
                let _ = std::fs::remove_file(&beside);
            }
            Err(error)
        }
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".begun");
    name.into()
}

/// How much is there, and what proves that the rest belongs to it.
fn resumable(asked: &Download<'_>, beside: &Path) -> Option<(u64, Option<String>)> {
    let length = std::fs::metadata(asked.file).ok()?.len();
    let begun: Begun = serde_json::from_slice(&std::fs::read(beside).ok()?).ok()?;
    if length == 0 || begun.url != asked.url.as_str() {
        return None;
    }
    let proof = begun.validators.strong().map(str::to_owned);
    (proof.is_some() || asked.immutable).then_some((length, proof))
}

async fn ask(
    client: &Client,
    asked: &Download<'_>,
    at_hand: Option<&(u64, Option<String>)>,
) -> Result<Got, HttpError> {
    let Some((at, proof)) = at_hand else {
        return client.get(asked.url, asked.known, asked.limits).await;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    put(&mut headers, header::RANGE, Some(&format!("bytes={at}-")));
    put(&mut headers, header::IF_RANGE, proof.as_deref());
    client.follow(asked.url, headers, asked.limits).await
}

/// Writes the body behind what is there.
async fn write(mut body: Body, asked: &Download<'_>, beside: &Path, at: u64) -> Result<(), HttpError> {
    let failed = |error| HttpError::File(asked.file.to_owned(), error);
    let begun = Begun {
        url: asked.url.to_string(),
        validators: body.validators(),
    };
    let open = || -> std::io::Result<std::fs::File> {
        if let Some(folder) = asked.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = std::fs::OpenOptions::new();
        let file = match at {
            0 => options.write(true).create(true).truncate(true).open(asked.file)?,
            _ => options.append(true).open(asked.file)?,
        };
        std::fs::write(beside, serde_json::to_vec(&begun)?)?;
        Ok(file)
    };
    let mut file = open().map_err(failed)?;
    let (mut written, mut gathered) = (at, Vec::with_capacity(GATHER));
    while let Some(piece) = body.piece().await.inspect_err(|_| {
        let _ = file.write_all(&gathered); // to go on from
    })? {
        written += piece.len() as u64;
        if written > asked.limits.octets {
            return Err(HttpError::Large(super::shown(asked.url), asked.limits.octets));
        }
        file = flush(file, &mut gathered, &piece).await.map_err(failed)?;
    }
    tokio::task::spawn_blocking(move || file.write_all(&gathered).and_then(|()| file.sync_all()))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(failed)
}

/// Octets that go to the disk at once.
const GATHER: usize = 256 << 10;

/// Gathers pieces, and writes them where waiting for the disk holds nobody else up.
async fn flush(
    mut file: std::fs::File,
    gathered: &mut Vec<u8>,
    piece: &Bytes,
) -> std::io::Result<std::fs::File> {
    gathered.extend_from_slice(piece);
    if gathered.len() < GATHER {
        return Ok(file);
    }
    let full = std::mem::replace(gathered, Vec::with_capacity(GATHER));
    tokio::task::spawn_blocking(move || file.write_all(&full).map(|()| file))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
