//! The line of iSigurt Gateway, without sockets.
//!
//! A query walks through [`step::step`]:
//!
//! ```text
//! packet ─▶ wire::query ─▶ who asks (allow_from) ─▶ special-use names ─▶ policy ─▶ cache ─▶ Reply
//!                                                                          │          └────▶ Upstream(job)
//!                                                                          └─▶ blocked ─────▶ Reply
//! ```
//!
//! What the shell round it brings: sockets, the time, the upstream's answer (handed to [`step::finish`]), and the
//! [`snapshot::Snapshot`], which is immutable and swapped whole. Nothing here opens, sleeps or reads a clock.
#![forbid(unsafe_code)]

pub mod cache;
pub mod clients;
pub mod limit;
pub mod policy;
pub mod snapshot;
pub mod special;
pub mod step;
pub mod wire;
