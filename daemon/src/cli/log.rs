//! `isigurtd log` and `top`: what was answered.
//!
//! The files are read here; a running daemon is asked first to write what it holds back.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;

use super::{Cli, eprintln_line, println_line};
use crate::config::Span;
use crate::control::Request;
use crate::log::record::Record;
use crate::log::segment;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Go on showing what comes
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    which: Which,
}

/// Which records.
#[derive(Debug, Args)]
struct Which {
    /// Only what was blocked
    #[arg(long)]
    blocked: bool,
    /// Only of this device, by name or address
    #[arg(long, value_name = "WHO")]
    device: Option<String>,
    /// Only of this long ago and later, such as 1h or 7d
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    since: String,
}

#[derive(Debug, Args)]
pub(super) struct Top {
    /// How many rows
    #[arg(long, default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    which: Which,
}

impl Which {
    fn wants(&self, record: &Record) -> bool {
        (!self.blocked || record.verdict == "blocked")
            && self.device.as_ref().is_none_or(|who| {
                let address = who.parse::<std::net::IpAddr>();
                record.device == *who
                    || address.is_ok_and(|address| record.client == Some(address.to_canonical()))
            })
    }

    fn since_ms(&self) -> Result<u64, String> {
        let span = Span::try_from(self.since.clone()).map_err(|error| format!("--since: {error}"))?;
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let ago = u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        Ok(now.saturating_sub(ago))
    }
}

pub(super) fn show(cli: &Cli, options: &Options) -> Result<(), String> {
    let folder = segment::folder(&cli.load()?.config.state_dir);
    let mut since_ms = options.which.since_ms()?;
    let mut shown = false;
    loop {
        let flushed = cli.ask(&Request::FlushLog); // without a daemon what is written is all there is
        let mut newest = since_ms;
        segment::read(&folder, since_ms, |record| {
            newest = newest.max(record.at_ms + 1);
            if options.which.wants(&record) {
                shown = true;
                let text = if cli.json {
                    serde_json::to_string(&record).unwrap_or_default()
                } else {
                    record.to_string()
                };
                println_line(&text);
            }
        })
        .map_err(|error| format!("{}: {error}", folder.display()))?;
        since_ms = newest;
        if !options.follow {
            if !shown && !cli.json {
                eprintln_line("no such query was answered in that time");
            }
            return Ok(());
        }
        flushed?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// How often each was asked for.
#[derive(Debug, Default, serde::Serialize)]
struct Counted {
    names: Vec<(String, u64)>,
    blocked: Vec<(String, u64)>,
    clients: Vec<(String, u64)>,
}

pub(super) fn top(cli: &Cli, options: &Top) -> Result<(), String> {
    let folder = segment::folder(&cli.load()?.config.state_dir);
    let _ = cli.ask(&Request::FlushLog);
    let mut counts: [HashMap<String, u64>; 3] = Default::default();
    segment::read(&folder, options.which.since_ms()?, |record| {
        if !options.which.wants(&record) {
            return;
        }
        let [names, blocked, clients] = &mut counts;
        let by_verdict = if record.verdict == "blocked" {
            blocked
        } else {
            names
        };
        *by_verdict.entry(record.name).or_default() += 1;
        if let Some(client) = record.client {
            *clients.entry(client.to_string()).or_default() += 1;
        }
    })
    .map_err(|error| format!("{}: {error}", folder.display()))?;
    let [names, blocked, clients] = counts.map(|counts| {
        let mut rows: Vec<(String, u64)> = counts.into_iter().collect();
        rows.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        rows.truncate(options.limit);
        rows
    });
    cli.print(&Counted {
        names,
        blocked,
        clients,
    })
}

impl std::fmt::Display for Counted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("blocked", &self.blocked),
            ("answered", &self.names),
            ("clients", &self.clients),
        ];
        let mut first = true;
        for (head, rows) in parts.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            write!(out, "{}{head}", if first { "" } else { "\n" })?;
            first = false;
            for (what, count) in rows {
                write!(out, "\n  {count:>8}  {what}")?;
            }
        }
        if first {
            out.write_str("nothing was logged in that time")?;
        }
        Ok(())
    }
}
