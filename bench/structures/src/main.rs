//! Structures that could hold a domain index, built from the same names and asked the same questions.
//!
//! Every structure says which of up to 255 rule sets stand at a name and above it, for names of 2 to 5 labels; suffixes of
//! one label are not looked up, all others are, also behind a match, because an exception may stand further down. Prints a
//! Markdown table. The index is built from text, as lists come, and its peak holds that text; the others are built from
//! names that are parsed already.
#![forbid(unsafe_code)]

mod flat;
#[path = "../../../blocklists/benches/support/names.rs"]
#[allow(dead_code)]
mod names;
mod rows;

use std::hint::black_box;
use std::time::Instant;

use isigurt_blocklists::name::{Name, NameRef};
use names::{Random, domain, domains};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SEED: u64 = 20_261_123;
const ASKED: usize = 20_000;

/// Something that names can be looked up in.
pub(crate) trait Structure {
    /// Whether the name or one above it is a rule.
    fn contains(&self, name: NameRef<'_>) -> bool;
    /// Octets that it takes.
    fn octets(&self) -> usize;
}

fn main() {
    println!("seed {SEED}; {}", std::env::consts::ARCH);
    for rules in [1_000_000, 5_000_000] {
        let mut random = Random(SEED);
        let listed = domains(&mut random, rules);
        let listed: Vec<Name> = listed.iter().map(|name| Name::parse(name).unwrap()).collect();
        let reference = rows::HashedNames::<std::hash::RandomState>::build(&listed);
        let mut lengthened = |name: String| {
            let labels = 1 + name.matches('.').count() as u64;
            (0..random.below(6_u64.saturating_sub(labels).clamp(1, 4))).fold(name, |name, place| {
                format!("{}.{name}", ["www", "cdn7", "a"][place as usize])
            })
        };
        let step = listed.len() / ASKED;
        let hits: Vec<Name> = listed
            .iter()
            .step_by(step)
            .take(ASKED)
            .map(|name| Name::parse(&lengthened(name.to_string())).unwrap())
            .collect();
        let mut other = Random(SEED + 1);
        let misses: Vec<Name> =
            std::iter::repeat_with(|| Name::parse(&lengthened(domain(&mut other))).unwrap())
                .filter(|name| !reference.contains(name.as_ref()))
                .take(ASKED)
                .collect();
        drop(reference);
        println!("\n{} M rules\n", rules / 1_000_000);
        println!(
            "| structure | octets a rule | miss, ns | hit, ns | cold hit, µs | build, s | peak while building, octets a rule |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for (what, build) in rows::all() {
            measure(what, build, &listed, &hits, &misses);
        }
        rows::hashing(&hits, &misses);
    }
}

fn measure(what: &str, build: rows::Build, listed: &[Name], hits: &[Name], misses: &[Name]) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let started = Instant::now();
    let structure = build(listed);
    let seconds = started.elapsed().as_secs_f64();
    let rules = listed.len() as f64;
    let peak = ALLOCATOR.peak_usage().saturating_sub(before) as f64 / rules;
    let hit = ask(structure.as_ref(), hits, ASKED);
    let miss = ask(structure.as_ref(), misses, 0);
    println!(
        "| {what} | {:.1} | {miss:.0} | {hit:.0} | {:.1} | {seconds:.1} | {peak:.0} |",
        structure.octets() as f64 / rules,
        cold(structure.as_ref(), hits)
    );
}

/// Median of nine passes, nanoseconds a name. Octets of the names lie one behind the other.
fn ask(structure: &dyn Structure, names: &[Name], expected: usize) -> f64 {
    let octets: Vec<u8> = names
        .iter()
        .flat_map(|name| name.as_ref().wire().to_vec())
        .collect();
    let mut at = 0;
    let names: Vec<NameRef<'_>> = names
        .iter()
        .map(|name| {
            at += name.as_ref().wire().len();
            NameRef::from_lower_wire(&octets[at - name.as_ref().wire().len()..at]).unwrap()
        })
        .collect();
    let mut times: Vec<f64> = (0..12)
        .map(|_| {
            let started = Instant::now();
            let found = names.iter().filter(|name| structure.contains(**name)).count();
            let spent = started.elapsed();
            // A filter alone may be wrong; every other structure must not.
            assert!(
                found >= expected && found <= expected + names.len() / 10,
                "{found} found, {expected} expected"
            );
            spent.as_nanos() as f64 / names.len() as f64
        })
        .skip(3)
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Mean of single look-ups, each after 64 MB of something else went through the caches; microseconds.
fn cold(structure: &dyn Structure, names: &[Name]) -> f64 {
    let mut other = vec![1_u8; 64 << 20];
    let mut spent = 0;
    let count = 100;
    for name in names.iter().step_by(names.len() / count).take(count) {
        for octet in other.iter_mut().step_by(64) {
            *octet = octet.wrapping_add(1);
        }
        let started = Instant::now();
        black_box(structure.contains(name.as_ref()));
        spent += started.elapsed().as_nanos();
    }
    spent as f64 / count as f64 / 1000.0
}
