//! What gateways and the national platform say to each other, and nothing else.
//!
//! ```text
//! platform ── release ──▶ gateway      lists and deltas, as targets of a TUF repository (`release`)
//! gateway  ── report  ──▶ platform     what somebody met, sealed to the platform's key (`report`, `seal`)
//! gateway  ── prefix  ──▶ platform     is a candidate of a prefix list meant? (`confirm`)
//! triage   ── decision ─▶ publisher    both within the platform (`decision`)
//! ```
//!
//! Both sides depend on this crate, so that neither can misread the other. It is pure: no sockets, no files, no clock.
//! Every form carries a version; what a version does not know is refused with a reason, never guessed.
#![forbid(unsafe_code)]

pub mod confirm;
pub mod decision;
pub mod release;
pub mod report;
pub mod seal;
pub mod secret;
