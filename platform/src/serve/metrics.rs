//! Counters for Prometheus. They tell how much, never who or what.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;

/// Upper bounds of the histogram, milliseconds.
const BOUNDS: [u64; 8] = [5, 10, 25, 50, 100, 250, 1_000, 10_000];
/// What became of deliveries, and the status that says so.
const RESULTS: [(&str, u16); 9] = [
    ("new", 201),
    ("known", 200),
    ("malformed", 400),
    ("slow", 408),
    ("too-large", 413),
    ("unknown-key", 422),
    ("quota", 429),
    ("broken", 500),
    ("unavailable", 503),
];

/// All counters.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    results: [AtomicU64; RESULTS.len()],
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    microseconds: AtomicU64,
}

impl Metrics {
    /// A delivery was answered.
    pub(super) fn report(&self, status: StatusCode, took: Duration) {
        let counted = RESULTS
            .iter()
            .zip(&self.results)
            .find(|((_, code), _)| *code == status.as_u16());
        if let Some((_, counter)) = counted {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if milliseconds <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// The text format; `queued`: deliveries that wait for the database; `unsorted`: reports that nobody has looked at.
    pub(super) fn text(&self, queued: usize, unsorted: Option<i64>) -> String {
        let mut text = String::from(
            "# HELP isigurt_platform_reports_total Deliveries of reports by what became of them.\n\
             # TYPE isigurt_platform_reports_total counter\n",
        );
        for ((result, _), counter) in RESULTS.iter().zip(&self.results) {
            let count = counter.load(Ordering::Relaxed);
            let _ = writeln!(
                text,
                "isigurt_platform_reports_total{{result=\"{result}\"}} {count}"
            );
        }
        text.push_str(
            "# HELP isigurt_platform_report_seconds Time until a delivery was answered.\n\
             # TYPE isigurt_platform_report_seconds histogram\n",
        );
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            let (whole, thousandths) = (bound / 1_000, bound % 1_000);
            let count = bucket.load(Ordering::Relaxed);
            let _ = writeln!(
                text,
                "isigurt_platform_report_seconds_bucket{{le=\"{whole}.{thousandths:03}\"}} {count}"
            );
        }
        let count = self.count.load(Ordering::Relaxed);
        let microseconds = self.microseconds.load(Ordering::Relaxed);
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let _ = write!(
            text,
            "isigurt_platform_report_seconds_bucket{{le=\"+Inf\"}} {count}\n\
             isigurt_platform_report_seconds_sum {seconds}.{rest:06}\n\
             isigurt_platform_report_seconds_count {count}\n\
             # HELP isigurt_platform_queue Deliveries that wait for the database.\n\
             # TYPE isigurt_platform_queue gauge\nisigurt_platform_queue {queued}\n"
        );
        if let Some(unsorted) = unsorted {
            let _ = write!(
                text,
                "# HELP isigurt_platform_unsorted Reports that no analyst has opened.\n\
                 # TYPE isigurt_platform_unsorted gauge\nisigurt_platform_unsorted {unsorted}\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_counted_by_result_and_time() {
        let metrics = Metrics::default();
        metrics.report(StatusCode::CREATED, Duration::from_millis(7));
        metrics.report(StatusCode::TOO_MANY_REQUESTS, Duration::from_millis(60));
        let text = metrics.text(3, Some(9));
        for line in [
            "isigurt_platform_reports_total{result=\"new\"} 1",
            "isigurt_platform_reports_total{result=\"quota\"} 1",
            "isigurt_platform_report_seconds_bucket{le=\"0.005\"} 0",
            "isigurt_platform_report_seconds_bucket{le=\"0.010\"} 1",
            "isigurt_platform_report_seconds_bucket{le=\"0.100\"} 2",
            "isigurt_platform_report_seconds_sum 0.067000",
            "isigurt_platform_report_seconds_count 2",
            "isigurt_platform_queue 3",
            "isigurt_platform_unsorted 9",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
