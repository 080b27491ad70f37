//! The cache over its whole life: found nearby and afar, flushed, saved and taken back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::wire::finished::TtlBounds;
use crate::wire::targets;
use proptest::prelude::*;

const BOUNDS: TtlBounds = TtlBounds { min: 0, max: 86_400 };

fn key(name: &str) -> Key {
    Key {
        name: Name::parse(name).unwrap(),
        qtype: 1,
        dnssec_ok: false,
        checking_disabled: false,
    }
}

/// An answer with one address, as an upstream gives it; the name in the case it is given in.
fn message(name: &str, ttl: u32) -> Vec<u8> {
    let mut bytes = b"\x00\x07\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00".to_vec();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend(b"\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01");
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(b"\x00\x04\xc0\x00\x02\x35");
    bytes
}

fn put(cache: &Cache, name: &str, ttl: u32, now_ms: u64) {
    let bytes = message(name, ttl);
    let key = key(name);
    let answer = Finished::from_upstream(&bytes, key.name.as_ref().wire().len() + 4, BOUNDS).unwrap();
    let targets = targets::targets(answer.wire()).unwrap();
    cache.put(key.as_ref(), &answer, &targets, now_ms);
}

/// Age of a fresh answer; `None` where there is none.
fn age(cache: &Cache, near: &mut Near, name: &str, now_ms: u64) -> Option<u32> {
    match cache.get(near, key(name).as_ref(), now_ms) {
        Found::Fresh(entry, age) => {
            assert_eq!(entry.name().to_string(), name);
            Some(age)
        }
        Found::Stale(_) | Found::Missing => None,
    }
}

#[test]
fn an_answer_is_found_nearby_and_afar_and_ends_in_both_places() {
    let cache = Cache::new(1 << 20, 0);
    let (mut near, mut none) = (Near::new(), Near::none());
    put(&cache, "WwW.Example", 10, 1_000);
    for round in 0..200 {
        assert_eq!(age(&cache, &mut near, "www.example", 3_000), Some(2), "{round}");
        assert_eq!(age(&cache, &mut none, "www.example", 3_000), Some(2));
    }
    assert!(matches!(
        cache.get(&mut near, key("www.example").as_ref(), 3_000),
        Found::Fresh(Held::Near(_), 2)
    ));
    for other in [
        Key {
            qtype: 28,
            ..key("www.example")
        },
        Key {
            dnssec_ok: true,
            ..key("www.example")
        },
        Key {
            checking_disabled: true,
            ..key("www.example")
        },
        key("ww.example"),
    ] {
        assert!(
            matches!(cache.get(&mut near, other.as_ref(), 3_000), Found::Missing),
            "{other:?}"
        );
    }
    assert_eq!(age(&cache, &mut near, "www.example", 10_999), Some(9));
    assert_eq!(age(&cache, &mut near, "www.example", 11_000), None);
}

#[test]
fn a_newer_answer_is_found_nearby_once_the_older_one_has_ended() {
    let cache = Cache::new(1 << 20, 0);
    let mut near = Near::new();
    put(&cache, "www.example", 10, 0);
    assert_eq!(age(&cache, &mut near, "www.example", 9_000), Some(9));
    put(&cache, "www.example", 10, 9_000);
    assert_eq!(age(&cache, &mut near, "www.example", 10_000), Some(1));
    assert_eq!(age(&cache, &mut near, "www.example", 11_000), Some(2));
}

#[test]
fn a_flush_takes_a_name_and_all_below_it_everywhere() {
    let cache = Cache::new(1 << 20, 0);
    let mut near = Near::new();
    let names = [
        "example",
        "www.example",
        "a.b.example",
        "other-example",
        "other.test",
    ];
    let ages = |cache: &Cache, near: &mut Near| names.map(|name| age(cache, near, name, 1_000).is_some());
    for name in names {
        put(&cache, name, 100, 0);
    }
    assert_eq!(ages(&cache, &mut near), [true; 5]);
    assert_eq!(cache.flush(Name::parse("b.example").unwrap().as_ref()), 1);
    assert_eq!(ages(&cache, &mut near), [true, true, false, true, true]);
    assert_eq!(cache.flush(Name::parse("example").unwrap().as_ref()), 2);
    assert_eq!(ages(&cache, &mut near), [false, false, false, true, true]);
    assert_eq!(cache.flush(NameRef::root()), 2);
    assert_eq!(ages(&cache, &mut near), [false; 5]);
    assert_eq!(cache.usage(), (0, 0));
}

#[test]
fn what_is_popular_survives_a_scan_and_the_size_is_kept() {
    let cache = Cache::new(200_000, 0);
    let mut near = Near::new();
    for number in 0..100 {
        put(&cache, &format!("popular{number}.example"), 1000, 0);
    }
    for number in 0..20_000 {
        for one in 0..3 {
            let name = format!("popular{}.example", (number * 3 + one) % 100);
            let _ = age(&cache, &mut near, &name, 1_000);
        }
        put(&cache, &format!("scan{number}.example"), 1000, 1_000);
        assert!(cache.usage().1 <= 200_000);
    }
    let kept = (0..100)
        .filter(|number| {
            age(
                &cache,
                &mut Near::none(),
                &format!("popular{number}.example"),
                2_000,
            )
            .is_some()
        })
        .count();
    assert!(kept >= 90, "{kept} of 100");
}

#[test]
fn what_is_saved_comes_back_aged_without_what_is_private() {
    let cache = Cache::new(1 << 20, 60);
    put(&cache, "long.example", 1000, 0);
    put(&cache, "stale.example", 30, 0);
    put(&cache, "over.example", 5, 0);
    put(&cache, "help.example", 1000, 0);
    let mut octets = Vec::new();
    let help = Name::parse("help.example").unwrap();
    let private = |name: NameRef<'_>| name == help.as_ref();
    assert_eq!(cache.save(&mut octets, 5_000, 20_000, private).unwrap(), 3);
    assert!(!octets.windows(4).any(|window| window == b"help"));

    // Fifty seconds later, on a clock that has just started.
    let again = Cache::new(1 << 20, 60);
    let restored = again.restore(&mut octets.as_slice(), 5_050, 500, BOUNDS).unwrap();
    assert_eq!(restored.entries, 2);
    let mut near = Near::none();
    assert_eq!(age(&again, &mut near, "long.example", 500), Some(70));
    assert_eq!(age(&again, &mut near, "help.example", 500), None);
    let stale = again.get(&mut near, key("stale.example").as_ref(), 500);
    assert!(matches!(stale, Found::Stale(_)));

    assert!(matches!(
        again.restore(&mut octets.as_slice(), 4_999, 0, BOUNDS),
        Err(Damaged::Clock)
    ));
    assert!(matches!(
        again.restore(&mut b"a web page, not a cache".as_slice(), 6_000, 0, BOUNDS),
        Err(Damaged::Format)
    ));
}

proptest! {
    #[test]
    fn any_octets_are_taken_back_without_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut octets = b"ISGCACHE\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        octets.extend(tail);
        let _ = Cache::new(1 << 16, 0).restore(&mut octets.as_slice(), 1, 0, BOUNDS);
    }

    #[test]
    fn a_saved_cache_that_is_cut_or_changed_never_panics(at in 0..300_usize, change in 1..=255_u8) {
        let cache = Cache::new(1 << 20, 0);
        for number in 0..5 { put(&cache, &format!("n{number}.example"), 100, 0); }
        let mut octets = Vec::new();
        cache.save(&mut octets, 1, 0, |_| false).unwrap();
        let at = at % octets.len();
        let _ = Cache::new(1 << 16, 0).restore(&mut &octets[..at], 1, 0, BOUNDS);
        octets[at] ^= change;
        let _ = Cache::new(1 << 16, 0).restore(&mut octets.as_slice(), 1, 0, BOUNDS);
    }
}
