//! Names, list readers, compiler and index of iSigurt Gateway.
//!
//! The way of a list through this crate:
//!
//! ```text
//! bytes ─▶ read (hosts | domains | adblock | dnsmasq | v2fly | rpz) ─▶ Rule* + Report ─▶ index ─▶ Outcome
//! ```
//!
//! This crate is pure: it opens no socket and no file, starts no task and reads no clock. Whoever calls it hands
//! in bytes and gets values back.
#![forbid(unsafe_code)]

pub mod compiled;
pub mod data;
pub mod index;
pub mod name;
pub mod read;
pub mod rule;
