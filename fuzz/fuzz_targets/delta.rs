//! Deltas from outside: applying one never panics, never gives more than it was told, and only gives the new list.
#![no_main]

use std::sync::LazyLock;

use isigurt_blocklists::delta;

const OLD: &[u8] = b"# isigurt-list 1\n||a.test^\n||b.test^\n||c.test^\n";
const NEW: &[u8] = b"# isigurt-list 1\n00ff11\n||a.test^\n||b2.test^\n||c.test^\n";
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut out = Vec::new();
    delta::diff(OLD, NEW, &mut out).expect("a difference");
    out
});

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    for file in [octets.to_vec(), isigurt_fuzz::damaged(GOOD.clone(), octets)] {
        let mut out = Vec::new();
        if delta::apply(OLD, file.as_slice(), &mut out).is_ok() && file == *GOOD {
            assert_eq!(out, NEW);
        }
    }
    // Any text is either canonical, and then its own difference, or refused.
    let mut difference = Vec::new();
    if delta::diff(octets, octets, &mut difference).is_ok() {
        let mut again = Vec::new();
        delta::apply(octets, difference.as_slice(), &mut again).expect("its own difference");
        assert_eq!(again, octets);
    }
});
