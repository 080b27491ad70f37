//! The reader of format v2fly: no text makes it panic, and every line is counted once.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| isigurt_fuzz::read(octets, isigurt_blocklists::read::Format::V2fly));
