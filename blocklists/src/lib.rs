//! Names, list readers, compiler and index of iSigurt Gateway.
//!
//! The way of a list through this crate:
//!
//! ```text
//! octets ─▶ read (hosts | domains | adblock | dnsmasq | v2fly | rpz | hashed) ─▶ Rule* + Report
//!                                                                                  │
//! query name ─▶ Index::lookup ─▶ Outcome        index file (mapped) ◀── compile ◀──┘
//! ```
//!
//! This crate is pure: it opens no socket and no file, starts no task and reads no clock. Whoever calls it hands
//! in bytes and gets values back.
#![forbid(unsafe_code)]

pub mod address;
pub mod data;
pub mod delta;
pub mod index;
pub mod name;
pub mod read;
pub mod rule;
