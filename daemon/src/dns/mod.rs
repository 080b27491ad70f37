//! The DNS server: sockets in front of the line, an upstream behind it.
//!
//! ```text
//! udp.rs ─┐                        ┌─▶ reply
//!         ├─▶ engine.serve ─▶ step ┤
//! tcp.rs ─┘                        └─▶ upstream.rs ─▶ finish ─▶ reply
//! ```
//!
//! This module knows nothing of the web UI or of commands. The snapshot is loaded once a query and never locked.

pub mod check;
pub mod crowd;
pub mod engine;
pub mod keep;
pub mod lookup;
pub mod tcp;
pub mod udp;
pub mod upstream;
