//! The reader `read_rpz`: what must hold stands in `tests/readers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| isigurt_readers::read("read_rpz", octets));
