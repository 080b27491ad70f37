//! The daemon's own log: readable lines on a terminal, journal fields under systemd. Below it the log of queries.
//!
//! ```text
//! worker ─▶ queries::Pen ─▶ ring ─┐
//! worker ─▶ queries::Pen ─▶ ring ─┼─▶ one thread ─▶ block (record.rs) ─▶ files (segment.rs) ─▶ `log`, `top`
//! tokio ──▶ queries::QueryLog ────┘         └▶ counters (a `queries::Counter`), those who follow       `pages`: from the end
//! ```

#[doc(hidden)]
pub mod outside;
pub mod pages;
pub mod queries;
pub mod record;
pub mod segment;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that write down the names that they look up, helplines too, as soon as more than errors is wanted.
const TALKATIVE: [&str; 3] = ["hickory_net", "hickory_proto", "hickory_resolver"];

/// The filter with those libraries held to errors, whatever is asked for.
fn quiet(mut filter: EnvFilter) -> EnvFilter {
    for library in TALKATIVE {
        if let Ok(errors) = format!("{library}=error").parse::<Directive>() {
            filter = filter.add_directive(errors);
        }
    }
    filter
}

/// Starts logging: to the journal where systemd reads our standard error, else to standard error. `RUST_LOG` sets
/// what is said; the default is `info`.
pub fn start() {
    let filter =
        quiet(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sled=warn")));
    let registry = tracing_subscriber::registry().with(filter);
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Ok(journal) = tracing_journald::layer()
    {
        let _ = registry.with(journal).try_init();
        return;
    }
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false);
    let _ = registry.with(lines).try_init();
}
