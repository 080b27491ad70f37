//! The starter lists hold what they promise: readable, sourced, dated, and harmless to whoever seeks help.
#![allow(clippy::unwrap_used)]

use isigurt_blocklists::data;

#[test]
fn the_built_in_lists_are_readable() {
    let data = data::built_in().unwrap();
    assert!(!data.services.is_empty());
}
