//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use isigurt_wire::report::Progress;

use super::deliver;

/// Seconds that a platform wants to be left alone, by its `Retry-After`.
pub fn retry_after(value: &str) -> Option<i64> {
    deliver::wait(value)
}

/// The platform's answer about the report with this receipt.
pub fn progress(body: &[u8], receipt: &str) -> Option<Progress> {
    deliver::about(body, receipt)
}
