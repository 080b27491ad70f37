//! The embedded files over HTTP: compressed as the browser can take it, kept as long as they may be.
//!
//! They are the same for everybody. An address that is no file shows the page, which knows the addresses of the UI; it
//! never answers for the API.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use isigurt_webui::{Asset, STYLE_HASH};

/// A file whose name changes with its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Everything else: kept, and asked for anew.
const ASK_ANEW: &str = "no-cache";

/// Nothing but what this server itself sends is loaded or run; the one style sheet in the page is named by its hash.
fn content_security_policy() -> String {
    let hash = match STYLE_HASH {
        "" => String::new(),
        hash => format!(" '{hash}'"),
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'{hash}; img-src 'self' data:; connect-src 'self'; \
         manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types svelte-trusted-html isigurt"
    )
}

/// The file at an address, else the page.
pub(super) async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    let found = Asset::find(path).or_else(|| is_page(path).then(Asset::page).flatten());
    match found {
        Some(asset) => send(asset, &headers),
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

/// Whether an address may be one of the UI's: those of files have a dot in their last part.
fn is_page(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    !path.starts_with("assets/") && (path.contains('%') || !last.contains('.'))
}

fn send(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let keep = if asset.is_immutable() { FOR_EVER } else { ASK_ANEW };
    let seen = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let unchanged = seen.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == asset.tag));
    let (encoding, octets) = best(asset, headers);
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(octets).into_response()
    };
    let out = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.media_type()),
        (header::CACHE_CONTROL, keep),
        (header::ETAG, asset.tag),
        (header::VARY, "Accept-Encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        out.insert(name, HeaderValue::from_static(value));
    }
    if let Some(encoding) = encoding.filter(|_| !unchanged) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(policy) = HeaderValue::from_str(&content_security_policy()) {
        out.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The smallest form that the browser takes.
fn best(asset: &'static Asset, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let takes = |name: &str| {
        accepted.split(',').any(|one| {
            let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
            coding.trim().eq_ignore_ascii_case(name) && !is_zero(weight)
        })
    };
    match (asset.brotli, asset.gzip) {
        (Some(octets), _) if takes("br") => (Some("br"), octets),
        (_, Some(octets)) if takes("gzip") => (Some("gzip"), octets),
        _ => (None, asset.plain),
    }
}

/// Whether a weight, `q=0` or `q=0.000`, refuses.
fn is_zero(weight: &str) -> bool {
    let value = weight.trim().strip_prefix("q=");
    value.is_some_and(|value| value.parse::<f32>().is_ok_and(|value| value <= 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &'static str, pairs: &[(&'static str, &'static str)]) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        file(Method::GET, Uri::from_static(path), headers).await
    }

    #[tokio::test]
    async fn addresses_of_the_ui_show_the_page_and_those_of_files_that_are_missing_do_not() {
        for path in ["/", "/children", "/children/Ana", "/children/a.b%20c"] {
            let response = get(path, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "text/html; charset=utf-8"
            );
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap();
            assert!(
                policy.contains("default-src 'none'") && !policy.contains("unsafe"),
                "{policy}"
            );
        }
        for path in ["/assets/x.js", "/favicon.ico", "/assets/x"] {
            assert_eq!(get(path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn what_was_seen_is_not_sent_again() {
        let first = get("/", &[]).await;
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let tag: &'static str = tag.leak();
        let again = get("/", &[("if-none-match", tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            get("/", &[("if-none-match", "\"x\"")]).await.status(),
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn a_browser_gets_no_coding_that_it_refuses() {
        for refusing in ["", "identity", "br;q=0, gzip;q=0", "gzip;q=0.0,deflate"] {
            let response = get("/", &[("accept-encoding", refusing)]).await;
            assert!(
                !response.headers().contains_key(header::CONTENT_ENCODING),
                "{refusing}"
            );
        }
    }
}
