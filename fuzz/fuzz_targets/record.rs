//! The reader `record`: what must hold stands in `tests/readers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| isigurt_readers::read("record", octets));
