//! What is kept of strangers, what is not, and for how long.

use super::*;
use crate::clients::Identity;
use proptest::prelude::*;

const NOW_S: i64 = 1_764_000_000;
const A: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

fn bounds() -> Bounds {
    Bounds {
        most: 100,
        names: true,
        keep: Duration::from_secs(30 * 86_400),
    }
}

fn state() -> Store {
    Store::in_memory(std::path::Path::new("/nowhere"))
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn known(last: u8, mac: Mac, hostname: Option<&str>) -> Known {
    let identity = Identity {
        mac: Some(mac),
        hostname: hostname.map(str::to_owned),
    };
    [(address(last), identity)].into_iter().collect()
}

#[test]
fn a_stranger_is_kept_with_what_it_asked_first() {
    let sightings = Sightings::open(state(), bounds());
    let known = known(1, A, Some("ana-tab"));
    for (number, name) in [
        "a.example",
        "a.example",
        "b.example",
        "c.test",
        "d.test",
        "e.test",
        "f.test",
    ]
    .into_iter()
    .enumerate()
    {
        sightings.saw(&known, address(1), name, NOW_S + i64::try_from(number).unwrap());
    }
    let expected = Sighting {
        mac: Some(A),
        address: address(1),
        hostname: Some("ana-tab".to_owned()),
        first_seen_s: NOW_S,
        last_seen_s: NOW_S + 6,
        first_names: ["a.example", "b.example", "c.test", "d.test", "e.test"]
            .map(str::to_owned)
            .to_vec(),
        volume: Volume::Few,
    };
    assert_eq!(sightings.all(), [expected]);
    for _ in 0..93 {
        sightings.saw(&known, address(1), "a.example", NOW_S);
    }
    assert_eq!(sightings.all()[0].volume, Volume::Hundreds);
    sightings.saw(&known, "127.0.0.1".parse().unwrap(), "a.example", NOW_S);
    assert_eq!(sightings.all().len(), 1, "this host is no stranger");
}

#[test]
fn a_device_with_many_addresses_is_one_device() {
    let sightings = Sightings::open(state(), bounds());
    let identity = Identity {
        mac: Some(A),
        hostname: None,
    };
    let addresses: Vec<IpAddr> = (1..50_u16)
        .map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]))
        .collect();
    let known: Known = addresses
        .iter()
        .map(|&address| (address, identity.clone()))
        .collect();
    for &address in &addresses {
        sightings.saw(&known, address, "a.example", NOW_S);
    }
    assert_eq!(sightings.all().len(), 1);
}

#[test]
fn the_first_query_of_a_new_device_joins_its_mac_and_an_old_address_does_not() {
    let sightings = Sightings::open(state(), bounds());
    sightings.saw(&Known::default(), address(1), "first.example", NOW_S);
    sightings.saw(&known(1, A, None), address(1), "second.example", NOW_S + 1);
    assert_eq!(
        sightings.all()[0].first_names,
        ["first.example", "second.example"]
    );
    assert_eq!(sightings.all().len(), 1);
    sightings.saw(&Known::default(), address(2), "other.example", NOW_S);
    sightings.saw(
        &known(2, Mac([0x52, 0, 0, 0, 0, 9]), None),
        address(2),
        "x.example",
        NOW_S + 600,
    );
    assert_eq!(sightings.all().len(), 3);
}

#[test]
fn a_named_device_leaves_nothing_behind() {
    let store = state();
    let sightings = Sightings::open(store.clone(), bounds());
    sightings.saw(&known(1, A, None), address(1), "a.example", NOW_S);
    sightings.saw(&Known::default(), address(2), "b.example", NOW_S);
    sightings.save(NOW_S).unwrap();
    assert_eq!(store.all(&TABLE).unwrap().len(), 2);
    sightings.forget_named(|sighting| sighting.mac == Some(A));
    sightings.save(NOW_S).unwrap();
    let left = store.all(&TABLE).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, "ip:192.0.2.2");
}

#[test]
fn it_survives_a_restart_and_only_news_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let sightings = Sightings::open(store.clone(), bounds());
    for _ in 0..12 {
        sightings.saw(&known(1, A, None), address(1), "a.example", NOW_S);
    }
    sightings.save(NOW_S).unwrap();
    let before = sightings.all();
    sightings.saw(&known(1, A, None), address(1), "a.example", NOW_S + 60);
    sightings.save(NOW_S + 60).unwrap();
    assert_eq!(
        store.all(&TABLE).unwrap()[0].1,
        before[0],
        "a minute later is no news"
    );
    sightings.saw(&known(1, A, None), address(1), "a.example", NOW_S + 3600);
    sightings.save(NOW_S + 3600).unwrap();
    let now = sightings.all();
    drop(sightings);
    let sightings = Sightings::open(store.clone(), bounds());
    assert_eq!(sightings.all(), now);
    assert_eq!(now[0].volume, Volume::Tens);
    drop(sightings);
    let without_names = Bounds {
        names: false,
        ..bounds()
    };
    let sightings = Sightings::open(store.clone(), without_names);
    assert!(sightings.all()[0].first_names.is_empty());
    sightings.saw(&known(1, A, None), address(1), "secret.example", NOW_S);
    sightings.save(NOW_S).unwrap();
    assert!(store.all(&TABLE).unwrap()[0].1.first_names.is_empty());
}

#[test]
fn whoever_is_not_seen_for_long_is_forgotten() {
    let store = state();
    let sightings = Sightings::open(store.clone(), bounds());
    sightings.saw(&known(1, A, None), address(1), "a.example", NOW_S);
    sightings.save(NOW_S).unwrap();
    sightings.save(NOW_S + 30 * 86_400 + 1).unwrap();
    assert!(sightings.all().is_empty() && store.all(&TABLE).unwrap().is_empty());
}

#[test]
fn a_flood_of_made_up_addresses_pushes_out_no_device() {
    let sightings = Sightings::open(
        state(),
        Bounds {
            most: SCHOOL,
            ..bounds()
        },
    );
    sightings.saw(&known(1, A, None), address(1), "a.example", NOW_S);
    let started = std::time::Instant::now();
    for number in 0..200_000_u128 {
        let address = IpAddr::from((0xfd00_u128 << 112 | number).to_be_bytes());
        sightings.saw(&Known::default(), address, "flood.example", NOW_S + 5);
    }
    println!("200,000 addresses: {:?}", started.elapsed());
    let all = sightings.all();
    assert!(all.len() <= SCHOOL);
    assert!(all.iter().any(|sighting| sighting.mac == Some(A)));
    sightings.save(NOW_S).unwrap();
    let inner = sightings.inner();
    assert!(
        inner.gone.is_empty(),
        "what was never written need not be removed"
    );
    assert_eq!(inner.kept.values().filter(|kept| kept.stored).count(), AT_ONCE);
}

proptest! {
    #[test]
    fn bounds_hold_whatever_is_asked(asked in prop::collection::vec((0_u8..40, "[a-z.]{0,300}", -5_i64..5), 0..60)) {
        let sightings = Sightings::open(state(), Bounds { most: 10, ..bounds() });
        for (last, name, later) in asked {
            sightings.saw(&Known::default(), address(last), &name, NOW_S + later);
        }
        for sighting in sightings.all() {
            prop_assert!(sighting.first_names.len() <= NAMES);
            prop_assert!(sighting.first_names.iter().all(|name| name.len() <= LONGEST));
        }
        prop_assert!(sightings.all().len() <= 10);
        sightings.save(NOW_S).unwrap();
    }
}
