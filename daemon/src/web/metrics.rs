//! Metrics for Prometheus: its text format at `/metrics`, on an address of their own.
//!
//! Numbers only: no name that anybody asked for, no device, no address of a client ever stands here.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::dns::engine::Counts;
use crate::report::Queue;
use crate::status::{Status, Watch};
use crate::sync::ListStatus;

/// Serves one listener until the task is ended.
pub async fn serve(listener: TcpListener, watch: Arc<Watch>) {
    let router = Router::new().route("/metrics", get(metrics)).with_state(watch);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "metrics are not served any more");
    }
}

/// Binds the address; a port that is taken is said, and stops nothing.
pub async fn bind(address: SocketAddr) -> Option<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound
        .inspect_err(|error| {
            tracing::error!(%address, %error, "metrics are not served; set [metrics] listen to another address");
        })
        .ok()
}

async fn metrics(State(watch): State<Arc<Watch>>) -> impl IntoResponse {
    let now = jiff::Timestamp::now().as_second();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text(&watch.status(), now))
}

/// The whole text.
fn text(status: &Status, now: i64) -> String {
    let mut out = Text(String::new());
    let Counts {
        queries,
        blocked,
        cached,
        forwarded,
        local,
        refused,
        faults,
        stale,
        failed,
        dropped,
    } = status.counts;
    out.one(
        "isigurt_queries_total",
        "counter",
        "DNS queries received.",
        queries,
    );
    out.head(
        "isigurt_answers_total",
        "counter",
        "DNS queries by what became of them.",
    );
    for (verdict, count) in [
        ("blocked", blocked),
        ("cached", cached),
        ("forwarded", forwarded),
        ("local", local),
        ("refused", refused),
        ("malformed", faults),
        ("stale", stale),
        ("failed", failed),
        ("dropped", dropped),
    ] {
        out.row("isigurt_answers_total", &[("verdict", verdict)], count);
    }
    let entries = status.cache_entries as u64;
    out.one("isigurt_cache_entries", "gauge", "Answers in the cache.", entries);
    out.one(
        "isigurt_cache_bytes",
        "gauge",
        "Octets in the cache.",
        status.cache_octets,
    );
    out.one("isigurt_rules", "gauge", "Rules in force.", status.rules);
    let lost = status.log_lost;
    out.one(
        "isigurt_log_lost_total",
        "counter",
        "Queries that the log had no room for.",
        lost,
    );
    let problems = status.problems.len() as u64;
    out.one(
        "isigurt_problems",
        "gauge",
        "What `isigurtd status` calls problems.",
        problems,
    );
    out.one(
        "isigurt_uptime_seconds",
        "gauge",
        "Seconds since the start.",
        status.uptime_s,
    );
    out.head(
        "isigurt_upstream_up",
        "gauge",
        "Whether the last query to an upstream was answered.",
    );
    for (server, answered) in &status.upstreams {
        out.row("isigurt_upstream_up", &[("server", server)], u64::from(*answered));
    }
    lists(&mut out, &status.lists, now);
    reports(&mut out, &status.reports, now);
    out.0
}

/// Reports that wait for the platform: how many, and how long; nothing of any one of them.
fn reports(out: &mut Text, queue: &Queue, now: i64) {
    let left = queue.next_try.map_or(0, |next| next.as_second() - now);
    let seconds = |seconds: i64| u64::try_from(seconds).unwrap_or(0);
    for (name, help, value) in [
        (
            "isigurt_reports_waiting",
            "Reports that wait for the national platform.",
            queue.waiting as u64,
        ),
        (
            "isigurt_reports_oldest_seconds",
            "How long the oldest of them waits.",
            seconds(queue.age_s(now)),
        ),
        (
            "isigurt_reports_next_try_seconds",
            "Until delivery is tried again.",
            seconds(left),
        ),
        (
            "isigurt_reports_error",
            "Whether the last delivery of those that wait failed.",
            u64::from(queue.last_error.is_some()),
        ),
    ] {
        out.one(name, "gauge", help, value);
    }
}

/// A time of a list.
type Time = fn(&ListStatus) -> Option<i64>;

fn lists(out: &mut Text, lists: &[ListStatus], now: i64) {
    let since = |at: Option<i64>| at.map(|at| u64::try_from(now - at).unwrap_or(0));
    out.head("isigurt_list_rules", "gauge", "Rules of a list in force.");
    for list in lists {
        out.row("isigurt_list_rules", &[("list", &list.id)], list.rules);
    }
    let ages: [(&str, &str, Time); 2] = [
        (
            "isigurt_list_age_seconds",
            "Since the version in force came in.",
            |list| list.loaded_at,
        ),
        (
            "isigurt_list_checked_seconds",
            "Since its server last answered rightly.",
            |list| list.checked_at,
        ),
    ];
    for (name, help, at) in ages {
        out.head(name, "gauge", help);
        for list in lists {
            if let Some(age) = since(at(list)) {
                out.row(name, &[("list", &list.id)], age);
            }
        }
    }
    out.head(
        "isigurt_list_error",
        "gauge",
        "Whether the last try to bring a list in failed.",
    );
    for list in lists {
        out.row(
            "isigurt_list_error",
            &[("list", &list.id)],
            u64::from(list.last_error.is_some()),
        );
    }
    out.head(
        "isigurt_list_version",
        "gauge",
        "The publisher's number of the version in force.",
    );
    for list in lists {
        if let Some(version) = list.version {
            out.row("isigurt_list_version", &[("list", &list.id)], version);
        }
    }
}

/// The text while it is written.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

/// A label's value as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
