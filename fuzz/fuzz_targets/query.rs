//! Packets from clients: reading one never panics, and what is answered is a header at least, a fault's answer no longer than
//! its query.
#![no_main]

use isigurt_core::wire::query::Query;
use isigurt_core::wire::reply;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let mut out = Vec::new();
    match Query::parse(octets) {
        Ok(query) => {
            assert_eq!(query.qname().wire().len() + 4, query.question.len());
            reply::empty(&query, 5, None, &mut out);
            assert!(out.len() >= 12 + query.question.len());
            reply::truncate(&query, &mut out);
        }
        Err(fault) => {
            if reply::fault(fault, &mut out) {
                assert!(out.len() >= 12 && out.len() <= octets.len().max(23));
            }
        }
    }
});
