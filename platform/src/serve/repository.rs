//! The signed lists as static files, so that one process is enough for a small deployment. A country has a CDN for it.
//!
//! Conditional requests (RFC 9110, section 13) and one range (section 14) are answered, since gateways ask every minute and
//! resume broken downloads. Only plain names below the folder are served: no hidden file, no way up.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Site;
use super::problem::Problem;

/// Octets that are read and sent at a time.
const CHUNK: usize = 64 * 1024;

/// Answers whatever is not part of the API.
pub(super) async fn file(State(site): State<Site>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let Some(folder) = &site.config.repository else {
        return missing();
    };
    if method != Method::GET && method != Method::HEAD {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "files are read with GET or HEAD");
        let mut response = problem.into_response();
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path(folder, uri.path()) {
        Some(path) => serve(&path, uri.path(), method == Method::HEAD, &headers)
            .await
            .unwrap_or_else(|_| missing()),
        None => missing(),
    }
}

/// Nothing is there; known for a short time only, since the next root's name is asked for until it is there.
fn missing() -> Response {
    let mut response = Problem::new(StatusCode::NOT_FOUND, "nothing is here").into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
    response
}

/// The file meant, if its name is a plain one.
fn path(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for part in name.strip_prefix('/')?.split('/') {
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
        if part.is_empty() || part.starts_with('.') || !part.bytes().all(plain) {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

async fn serve(path: &Path, name: &str, head: bool, asked: &HeaderMap) -> std::io::Result<Response> {
    let mut file = File::open(path).await?;
    let about = file.metadata().await?;
    if !about.is_file() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    let length = about.len();
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = format!("\"{length:x}-{:x}\"", changed.as_nanos());
    let value = |text: &str| HeaderValue::from_str(text).map_err(std::io::Error::other);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::ETAG, value(&tag)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching(name)));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    let text = |name| {
        asked
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if text(header::IF_NONE_MATCH).is_some_and(|tags| matches(tags, &tag)) {
        headers.remove(header::CONTENT_TYPE);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let resumes = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let (mut first, mut count) = (0, length);
    match text(header::RANGE)
        .filter(|_| resumes)
        .map(|asked| range(asked, length))
    {
        Some(Range::Part(from, to)) => {
            (first, count) = (from, to - from + 1);
            headers.insert(
                header::CONTENT_RANGE,
                value(&format!("bytes {from}-{to}/{length}"))?,
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Some(Range::Beyond) => {
            headers.insert(header::CONTENT_RANGE, value(&format!("bytes */{length}"))?);
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(response);
        }
        Some(Range::Whole) | None => {}
    }
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(count));
    if !head {
        file.seek(SeekFrom::Start(first)).await?;
        *response.body_mut() = body(file, count);
    }
    Ok(response)
}

/// What is under a name that carries its version or hash never changes.
fn caching(name: &str) -> &'static str {
    let last = name.rsplit('/').next().unwrap_or_default();
    let versioned = last.bytes().next().is_some_and(|octet| octet.is_ascii_digit());
    if name.starts_with("/targets/") || (name.starts_with("/metadata/") && versioned) {
        "max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn media_type(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(std::ffi::OsStr::to_str) {
        Some("json") => "application/json",
        Some("zst") => "application/zstd",
        _ => "application/octet-stream",
    }
}

fn matches(tags: &str, tag: &str) -> bool {
    tags.split(',')
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// All: several ranges, another unit, or rubbish, which are all to be overlooked.
    Whole,
    /// From the first to the last octet.
    Part(u64, u64),
    /// Nothing that is there.
    Beyond,
}

fn range(asked: &str, length: u64) -> Range {
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|one| one.split_once('-')) else {
        return Range::Whole;
    };
    let end = length.saturating_sub(1);
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Range::Whole,
        (Ok(first), _) if first >= length => Range::Beyond,
        (Ok(first), Ok(last)) => Range::Part(first, last.min(end)),
        (Ok(first), Err(_)) if last.is_empty() => Range::Part(first, end),
        (Err(_), Ok(0)) if first.is_empty() => Range::Beyond,
        (Err(_), Ok(count)) if first.is_empty() && length > 0 => {
            Range::Part(length.saturating_sub(count), end)
        }
        _ => Range::Whole,
    }
}

/// So many octets of a file, read as they are sent.
fn body(file: File, count: u64) -> Body {
    let parts = futures_util::stream::unfold((file, count), |(mut file, left)| async move {
        if left == 0 {
            return None;
        }
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = vec![0; size];
        match file.read_exact(&mut chunk).await {
            Ok(_) => {
                let left = left.saturating_sub(u64::try_from(size).unwrap_or(left));
                Some((Ok(Bytes::from(chunk)), (file, left)))
            }
            Err(error) => Some((Err(error), (file, 0))),
        }
    });
    Body::from_stream(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_the_folder_are_files() {
        let folder = Path::new("/srv/repository");
        let file_of = |name| path(folder, name);
        assert_eq!(
            file_of("/metadata/1.root.json"),
            Some("/srv/repository/metadata/1.root.json".into())
        );
        for name in [
            "/",
            "",
            "metadata",
            "/../etc/passwd",
            "/metadata//x",
            "/.hidden",
            "/a/./b",
            "/%2e%2e/x",
            "/a\\b",
            "/a\0",
        ] {
            assert_eq!(file_of(name), None, "{name:?}");
        }
    }

    #[test]
    fn one_range_is_read_and_whatever_else_is_overlooked() {
        for (asked, means) in [
            ("bytes=0-0", Range::Part(0, 0)),
            ("bytes=5-", Range::Part(5, 9)),
            ("bytes=5-100", Range::Part(5, 9)),
            ("bytes=-3", Range::Part(7, 9)),
            ("bytes=-30", Range::Part(0, 9)),
            ("bytes=10-", Range::Beyond),
            ("bytes=-0", Range::Beyond),
            ("bytes=7-5", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("lines=0-1", Range::Whole),
            ("bytes=-", Range::Whole),
        ] {
            assert_eq!(range(asked, 10), means, "{asked}");
        }
    }

    #[test]
    fn what_carries_its_version_is_kept_for_ever_and_the_rest_asked_for_anew() {
        assert!(caching("/metadata/7.snapshot.json").contains("immutable"));
        assert!(caching("/targets/mandatory/abc.7.list.zst").contains("immutable"));
        assert_eq!(caching("/metadata/timestamp.json"), "no-cache");
        assert_eq!(caching("/metadata/root.json"), "no-cache");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_for_stays_within_the_file(asked in ".{0,40}", first: u64, last: u64, length in 0_u64..1_000) {
            for asked in [asked, format!("bytes={first}-{last}"), format!("bytes=-{last}"), format!("bytes={first}-")] {
                if let Range::Part(from, to) = range(&asked, length) {
                    assert!(from <= to && to < length, "{asked}");
                }
            }
        }
    }
}
