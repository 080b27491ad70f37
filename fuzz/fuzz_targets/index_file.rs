//! Index files from outside: opening, checking and looking up never panic; what was changed does not pass.
#![no_main]

use std::sync::LazyLock;

use isigurt_blocklists::index::Index;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| isigurt_fuzz::files().0);

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    for file in [octets.to_vec(), isigurt_fuzz::damaged(GOOD.clone(), octets)] {
        let same = file == *GOOD;
        if let Ok(index) = Index::open(file) {
            isigurt_fuzz::ask(&index, None);
            assert!(same || index.verify().is_err());
        }
    }
});
