//! Differences of canonical lists, made, applied, and damaged.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::read::hashed::{HashKey, Offline};
use crate::read::{self, Format};

fn list(lines: &BTreeSet<String>) -> Vec<u8> {
    let mut out = Vec::new();
    canonical::write(lines.clone(), None, &mut out).unwrap();
    out
}

fn delta(old: &[u8], new: &[u8]) -> (Vec<u8>, Stats) {
    let mut out = Vec::new();
    let stats = diff(old, new, &mut out).unwrap();
    (out, stats)
}

fn applied(old: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let mut out = Vec::new();
    apply(old, delta, &mut out).map(|_| out)
}

fn lines() -> impl Strategy<Value = BTreeSet<String>> {
    let line = prop_oneof![
        "\\|\\|[a-c]{1,3}\\.(com|al)\\^",
        "=?[0-9a-f]{8}",
        "[0-9a-f]{31,32}",
        "/x[a-z]+/"
    ];
    prop::collection::btree_set(line, 0..60)
}

proptest! {
    #[test]
    fn what_was_taken_apart_comes_together_again(old in lines(), new in lines()) {
        let (old_text, new_text) = (list(&old), list(&new));
        let (delta, stats) = delta(&old_text, &new_text);
        prop_assert_eq!(applied(&old_text, &delta).unwrap(), new_text.clone());
        prop_assert_eq!(stats.kept, old.intersection(&new).count() as u64);
        prop_assert_eq!(stats.added, new.difference(&old).count() as u64);
        prop_assert_eq!(stats.removed, old.difference(&new).count() as u64);
        if old != new {
            // Any other version than the one that it was made from is refused.
            prop_assert!(applied(&new_text, &delta).is_err());
        }
    }

    #[test]
    fn noise_is_no_delta(noise in prop::collection::vec(any::<u8>(), 0..200), headed in any::<bool>()) {
        let old = list(&BTreeSet::from(["||a.test^".to_owned()]));
        let mut octets = if headed { b"ISGTDELT\x01\x00".to_vec() } else { Vec::new() };
        octets.extend(noise);
        prop_assert!(applied(&old, &octets).is_err());
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let old = list(&["||a.test^", "||b.test^", "||c.test^"].map(str::to_owned).into());
    let new = list(
        &["00ff11", "||a.test^", "||b2.test^", "||c.test^"]
            .map(str::to_owned)
            .into(),
    );
    let (delta, _) = delta(&old, &new);
    for bit in 0..delta.len() * 8 {
        let mut damaged = delta.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(applied(&old, &damaged).is_err(), "bit {bit}");
    }
    for length in 0..delta.len() {
        assert!(applied(&old, &delta[..length]).is_err(), "cut at {length}");
    }
    let longer = [delta.as_slice(), b"x"].concat();
    assert!(matches!(applied(&old, &longer), Err(DeltaError::Damaged(_))));
}

#[test]
fn a_length_beyond_all_bounds_is_refused_before_room_is_made_for_it() {
    let old = list(&BTreeSet::new());
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]; // 2^42
    let start = b"ISGTDELT\x01\x00".to_vec();
    let header = [start.as_slice(), &huge].concat();
    assert!(matches!(
        applied(&old, &header),
        Err(DeltaError::Damaged("a header"))
    ));
    let line = [start.as_slice(), &[0, 1 << 2 | 2, 0], &huge].concat();
    assert!(matches!(applied(&old, &line), Err(DeltaError::Damaged("a line"))));
    let hash = [start.as_slice(), &[0, 1 << 2 | 2, 1], &huge].concat();
    assert!(matches!(applied(&old, &hash), Err(DeltaError::Damaged("a hash"))));
    let keep = [start.as_slice(), &[0], &huge].concat();
    assert!(matches!(applied(&old, &keep), Err(DeltaError::OtherVersion)));
}

#[test]
fn half_a_percent_of_change_costs_about_half_a_percent() {
    let count = 100_000;
    let name = |number: u32| {
        let hash = blake3::hash(&number.to_le_bytes()).to_hex();
        format!(
            "||{}.{}^",
            &hash[..5 + (number % 9) as usize],
            ["com", "net", "al"][(number % 3) as usize]
        )
    };
    let key = HashKey {
        key: [3; 32],
        bits: 128,
        offline: Offline::Allow,
    };
    let hash = |number: u32| key.line(&number.to_le_bytes(), false);
    for (what, line, a_rule) in [
        ("names", &name as &dyn Fn(u32) -> String, None),
        ("hashes", &hash, Some(16.0)),
    ] {
        let old: BTreeSet<String> = (0..count).map(line).collect();
        let mut new = old.clone();
        (0..count / 200).for_each(|number| {
            new.remove(&line(number * 200));
            new.insert(line(count + number));
        });
        let (old, new) = (list(&old), list(&new));
        let (delta, stats) = delta(&old, &new);
        assert_eq!(applied(&old, &delta).unwrap(), new);
        #[allow(clippy::cast_precision_loss)]
        let full = a_rule.map_or(new.len() as f64, |octets| octets * f64::from(count));
        #[allow(clippy::cast_precision_loss)]
        let share = delta.len() as f64 * 100.0 / full;
        eprintln!(
            "{what}: {stats:?}, {} octets of {full:.0}: {share:.2} %",
            delta.len()
        );
        assert!(share < 1.0, "{what}: {share} %");
    }
}

#[test]
fn lists_that_are_not_canonical_are_refused_with_their_line() {
    let refused = |text: &str| match canonical::check(text.as_bytes()) {
        Err(DeltaError::Canonical(line, _)) => line,
        other => panic!("{text:?}: {other:?}"),
    };
    assert!(canonical::check(&b"# isigurt-list 1\n||a^\n||b^\n"[..]).is_ok());
    assert_eq!(refused("||a^\n"), 1);
    assert_eq!(refused("# isigurt-list 1\n||b^\n||a^\n"), 3);
    assert_eq!(refused("# isigurt-list 1\n||a^\n||a^\n"), 3);
    assert_eq!(refused("# isigurt-list 1\n||a^\n\n||b^\n"), 3);
    assert_eq!(refused("# isigurt-list 1\n||a^"), 2);
    assert_eq!(refused(&format!("# isigurt-list 1\n{}\n", "a".repeat(5000))), 2);
}

#[test]
fn a_canonical_line_is_read_as_the_rule_that_it_was_made_from() {
    let text = "||a.test^\n|b.test^\n@@||c.test^\n||d.test^$important\n||e.test^$dnstype=AAAA|HTTPS\n\
                @@||f.test^$dnstype=~A\n/^x[0-9]+\\.test$/\n||g.test^$denyallow=h.g.test\n";
    let list = read::read(text.as_bytes(), Format::Adblock, None).unwrap();
    assert_eq!(list.rules.len(), 8, "{:?}", list.report);
    for located in &list.rules {
        let line = canonical::line(&located.rule, None).unwrap();
        let again = read::read(format!("{line}\n").as_bytes(), Format::Adblock, None).unwrap();
        assert_eq!(again.rules.len(), 1, "{line}: {:?}", again.report);
        assert_eq!(again.rules[0].rule, located.rule, "{line}");
    }
    // What has no canonical line says so.
    for text in ["||a.test^$dnsrewrite=192.0.2.1\n", "*.w.test CNAME .\n"] {
        let list = read::read(text.as_bytes(), Format::Auto, None).unwrap();
        assert_eq!(canonical::line(&list.rules[0].rule, None), None, "{text}");
    }
}
