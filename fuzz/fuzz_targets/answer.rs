//! Messages from upstream: reading one, seeing where it leads, and patching copies of it never panics, and a copy answers its
//! query.
#![no_main]

use isigurt_core::wire::finished::{Age, Finished, TtlBounds};
use isigurt_core::wire::query::Query;
use isigurt_core::wire::targets;

const QUERY: &[u8] = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03wWw\x07example\x00\x00\x01\x00\x01\
    \x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08cookie12";

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let query = Query::parse(QUERY).expect("a query");
    let bounds = TtlBounds { min: 0, max: 86_400 };
    // As it comes, and behind the right header and question.
    let mut behind = QUERY.get(..29).unwrap_or_default().to_vec();
    behind.splice(2..4, [0x81, 0x80]);
    behind.splice(6..12, octets.iter().copied().chain([0; 6]).take(6).map(|octet| octet & 3));
    behind.extend(octets.iter().skip(6));
    for message in [octets, &behind] {
        let _ = targets::targets(message);
        if let Ok(finished) = Finished::from_upstream(message, query.question.len(), bounds) {
            let mut out = Vec::new();
            for age in [Age::Fresh(0), Age::Fresh(u32::MAX), Age::Stale] {
                finished.write(&query, age, None, &mut out);
                assert_eq!(out.get(..2), Some(&[0xab, 0xcd][..]));
                assert_eq!(out.get(12..12 + query.question.len()), Some(query.question));
            }
        }
    }
});
