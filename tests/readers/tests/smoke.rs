//! Every reader of octets from outside, given its examples and these bent, for half a second each: what libFuzzer does for longer.
// A failure here is a failed test, and says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use isigurt_readers::bent::{Random, bent};
use isigurt_readers::{Reader, all};

/// How long each reader is tried.
const EACH: Duration = Duration::from_millis(400);
/// No example that was bent takes so long, also on a machine that does other things.
const LONGEST: Duration = Duration::from_secs(5);

/// Says what was read where that fails.
struct Told<'o> {
    reader: &'static Reader,
    seed: u64,
    octets: &'o [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (name, seed) = (self.reader.name, self.seed);
            let shown = self.octets.escape_ascii();
            eprintln!("reader {name}, ISIGURT_SEED={seed}, given \"{shown}\"");
        }
    }
}

fn read(reader: &'static Reader, seed: u64, octets: &[u8]) {
    let told = Told { reader, seed, octets };
    let begun = Instant::now();
    (reader.read)(told.octets);
    let taken = begun.elapsed();
    assert!(taken < LONGEST, "{} takes {taken:?}", reader.name);
}

#[test]
fn no_reader_panics_or_hangs_whatever_it_is_given() {
    let seed = std::env::var("ISIGURT_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::try_from(since.as_micros()).unwrap()
    });
    println!("seed {seed}; ISIGURT_SEED={seed} makes the same octets, ISIGURT_READER=NAME tries one alone");
    let only = std::env::var("ISIGURT_READER").ok();
    for reader in all().filter(|reader| only.as_ref().is_none_or(|only| reader.name == only)) {
        let examples = (reader.examples)();
        assert!(!examples.is_empty(), "{} has no example", reader.name);
        read(reader, seed, b"");
        for example in &examples {
            read(reader, seed, example);
        }
        let (begun, mut random, mut times) = (Instant::now(), Random::new(seed), 0_u32);
        while begun.elapsed() < EACH {
            read(reader, seed, &bent(&examples, &mut random));
            times += 1;
        }
        println!("{:16} {times:8} times", reader.name);
    }
}

#[test]
fn every_reader_has_its_fuzz_target_and_every_target_its_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let targets: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let readers: BTreeSet<String> = all().map(|reader| reader.name.to_owned()).collect();
    assert_eq!(readers, targets);
    assert_eq!(all().count(), readers.len(), "two readers have one name");
    let manifest = std::fs::read_to_string(folder.join("../Cargo.toml")).unwrap();
    for reader in readers {
        let target = format!("name = \"{reader}\"\npath = \"fuzz_targets/{reader}.rs\"");
        assert!(
            manifest.contains(&target),
            "{reader} is missing in fuzz/Cargo.toml"
        );
        let text = std::fs::read_to_string(folder.join(format!("{reader}.rs"))).unwrap();
        assert!(
            text.contains(&format!("isigurt_readers::read(\"{reader}\"")),
            "{reader}"
        );
    }
}
