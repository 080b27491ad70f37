//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use axum::Form;
use axum::body::Body;
use axum::extract::FromRequest as _;
use axum::http::{Method, Request, header};
use futures_util::FutureExt as _;

use super::report::Typed;
use super::{Language, Page};
use crate::report::Draft;

/// The report that the form without JavaScript sent in these octets.
pub fn report(octets: &[u8]) -> Option<Draft> {
    let request = Request::builder()
        .method(Method::POST)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(octets.to_vec()))
        .ok()?;
    // The body is at hand: nothing is waited for.
    let form = Form::<Typed>::from_request(request, &()).now_or_never()?.ok()?;
    Some(form.0.draft(&Page::new(Language::Sq, "")))
}
