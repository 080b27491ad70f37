//! Answers of the API, packed for the way: a tenth of the octets, which counts on a phone far from the router.
//!
//! What holds a secret of the one who asks is never packed: how long a packed answer is tells what it repeats (BREACH), to whoever can
//! have requests made and see their lengths. So resources are packed by name (`mod.rs`), and those of sessions, accounts, tokens and
//! passkeys are not among them. Nor are streams of events, which would wait for enough to pack.

use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate as _, SizeAbove};
use utoipa_axum::router::OpenApiRouter;

use crate::web::Site;

/// Answers of fewer octets fit into one packet anyway.
const SMALL: u16 = 1200;

/// Has all answers of these resources packed that are worth it.
pub(super) fn packed(resources: OpenApiRouter<Site>) -> OpenApiRouter<Site> {
    let worth_it = SizeAbove::new(SMALL).and(is_json);
    let layer = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(worth_it);
    resources.layer(layer)
}

fn is_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
