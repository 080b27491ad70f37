//! The gateway daemon: the shell round the line of `isigurt-core`.
//!
//! `main` hands over to [`cli`]; `run` reads the configuration ([`config`]), opens the state ([`store`]), brings the
//! lists in ([`sync`]), puts the household's policy in force ([`policy`]), counts what is asked for ([`stats`]), watches who is
//! who on the network ([`clients`]), takes reports to the national platform ([`report`]) and builds the [`app`], which serves
//! DNS ([`dns`]), the control socket ([`control`]) and the web UI ([`web`]), with one certificate for all that is encrypted
//! ([`tls`]); [`preview`] shows what a list would do before it is added; [`alerts`] tell who wants to know at once, [`doctor`] looks whether all is well. Arrows point downwards: `cli` and `web` on top, `store` and `log` at the bottom; `dns` knows nothing of
//! `web`, and nothing knows `cli`.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod alerts;
pub mod app;
pub mod cli;
pub mod clients;
pub mod config;
pub mod control;
pub mod dns;
pub mod doctor;
pub mod explain;
pub mod http;
pub mod log;
pub mod oidc;
pub mod policy;
pub mod preview;
pub mod report;
pub mod stats;
pub mod status;
pub mod store;
pub mod sync;
pub mod tls;
pub mod web;
