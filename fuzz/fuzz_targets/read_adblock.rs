//! The reader of format adblock: no text makes it panic, and every line is counted once.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| isigurt_fuzz::read(octets, isigurt_blocklists::read::Format::Adblock));
