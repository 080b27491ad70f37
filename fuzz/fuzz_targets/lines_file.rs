//! Files of lines from outside: opening and asking never panic.
#![no_main]

use std::sync::LazyLock;

use isigurt_blocklists::index::{Index, Lines};

static GOOD: LazyLock<(Index, Vec<u8>)> = LazyLock::new(|| {
    let (index, lines) = isigurt_fuzz::files();
    (Index::open(index).expect("good"), lines)
});

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    for file in [octets.to_vec(), isigurt_fuzz::damaged(GOOD.1.clone(), octets)] {
        if let Ok(lines) = Lines::open(&file.into()) {
            isigurt_fuzz::ask(&GOOD.0, Some(&lines));
        }
    }
});
