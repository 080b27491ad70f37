//! Look-ups in an index of 1 and 5 million rules, beside a hash map of names, and beside a walk over all suffixes.
//!
//! A measured pass asks for 20,000 different names in random order: their octets lie one behind the other, as those of
//! a packet lie in the cache, and they are too many to be learnt by heart. `cargo xtask bench index` puts the medians
//! into a table.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/names.rs"]
mod names;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use isigurt_blocklists::index::{Compiler, Index, ListInfo, Reading, Seed, TagKind};
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::read::Format;
use names::{Random, domain, domains};

/// Names of a pass.
const ASKED: usize = 20_000;

fn index(text: &str) -> Index {
    let mut compiler = Compiler::new(Seed([7; 32]), text.len() as u64);
    // Four categories, so that slots differ.
    let parts: Vec<&str> = text.split_inclusive('\n').collect();
    for (place, lines) in parts.chunks(parts.len().div_ceil(4)).enumerate() {
        let tag = compiler.tag(TagKind::Category, &format!("c{place}")).unwrap();
        let info = ListInfo {
            id: format!("l{place}"),
            tag,
            origin: String::new(),
            format: Format::Hosts,
            version: String::new(),
        };
        let octets: Arc<[u8]> = lines.concat().into_bytes().into();
        let reading = Reading {
            format: Format::Domains,
            subdomains: None,
        };
        compiler.read(info, octets, reading).unwrap();
    }
    compiler.into_index(2).unwrap().0
}

/// Names in wire format, one behind the other.
struct Asked {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Asked {
    fn new(names: impl Iterator<Item = String>) -> Self {
        let mut asked = Self {
            octets: Vec::new(),
            ends: Vec::new(),
        };
        for name in names.take(ASKED) {
            asked
                .octets
                .extend_from_slice(Name::parse(&name).unwrap().as_ref().wire());
            asked.ends.push(asked.octets.len());
        }
        assert_eq!(asked.ends.len(), ASKED);
        asked
    }

    fn names(&self) -> Vec<NameRef<'_>> {
        let mut start = 0;
        self.ends
            .iter()
            .map(|&end| {
                let name = NameRef::from_lower_wire(self.octets.get(start..end).unwrap()).unwrap();
                start = end;
                name
            })
            .collect()
    }
}

/// Puts up to three labels in front, so that names have 2 to 5.
fn lengthened(name: &str, random: &mut Random) -> String {
    let labels = 1 + name.matches('.').count() as u64;
    (0..random.below(6_u64.saturating_sub(labels).clamp(1, 4))).fold(name.to_owned(), |name, place| {
        format!(
            "{}.{name}",
            ["www", "cdn7", "a"].get(usize::try_from(place).unwrap()).unwrap()
        )
    })
}

fn suffix_walk(map: &HashMap<Box<[u8]>, u64>, name: NameRef<'_>) -> u64 {
    name.suffixes()
        .filter_map(|suffix| map.get(suffix.wire()))
        .fold(0, |all, tags| all | tags)
}

fn look_ups(criterion: &mut Criterion, rules: usize) {
    // One size alone, where that is enough.
    if std::env::var("ISIGURT_BENCH_RULES").is_ok_and(|only| only != rules.to_string()) {
        return;
    }
    let mut random = Random(20_261_123);
    let listed = domains(&mut random, rules);
    let text: String = listed.join("\n") + "\n";
    let index = index(&text);
    let map: HashMap<Box<[u8]>, u64> = listed
        .iter()
        .map(|name| (Name::parse(name).unwrap().as_ref().wire().into(), 1))
        .collect();
    let step = listed.len() / ASKED;
    let mut hits: Vec<String> = listed
        .iter()
        .step_by(step)
        .map(|name| lengthened(name, &mut random))
        .collect();
    hits.sort_by_key(|name| blake3::hash(name.as_bytes()).as_bytes().to_vec());
    let unlisted = |name: &String| suffix_walk(&map, Name::parse(name).unwrap().as_ref()) == 0;
    let mut other = random.clone();
    let misses = std::iter::repeat_with(|| {
        let name = domain(&mut random);
        lengthened(&name, &mut random)
    })
    .filter(unlisted);
    // Names beside listed ones, below the same registered name: they pass the gate.
    let beside = listed
        .iter()
        .filter(|name| name.matches('.').count() >= 2)
        .map(|name| format!("x{}", lengthened(name, &mut other)))
        .filter(unlisted);
    let sets = [
        ("hit", Asked::new(hits.into_iter())),
        ("miss", Asked::new(misses)),
        ("miss beside a rule", Asked::new(beside)),
    ];
    let mut group = criterion.benchmark_group(format!("{rules}"));
    group
        .throughput(Throughput::Elements(ASKED as u64))
        .sample_size(30)
        .measurement_time(Duration::from_secs(3));
    for (what, asked) in &sets {
        let names = asked.names();
        let found = names
            .iter()
            .filter(|name| !index.matches(**name).is_empty())
            .count();
        assert_eq!(found, if *what == "hit" { ASKED } else { 0 }, "{what}");
        group.bench_function(format!("index {what}"), |bencher| {
            bencher.iter(|| {
                names
                    .iter()
                    .filter(|name| !index.matches(**name).is_empty())
                    .count()
            });
        });
        group.bench_function(format!("hash map {what}"), |bencher| {
            bencher.iter(|| names.iter().filter(|name| suffix_walk(&map, **name) != 0).count());
        });
        if *what == "miss" {
            group.bench_function("hash of all suffixes", |bencher| {
                bencher.iter(|| names.iter().fold(0, |all, name| all ^ index.hash_only(*name)));
            });
        }
        // Cold: one look-up after the caches were filled with something else, as far as they can be.
        let mut swept = vec![1_u8; 64 << 20];
        group.bench_function(format!("index cold {what}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                // Criterion divides by a pass of all names: a few of them stand for it.
                for pass in 0..iterations {
                    let mut some = Duration::ZERO;
                    for place in 0..4 {
                        for octet in swept.iter_mut().step_by(64) {
                            *octet = octet.wrapping_add(1);
                        }
                        let name = names[(usize::try_from(pass).unwrap() * 4 + place) * 37 % names.len()];
                        let started = Instant::now();
                        black_box(index.matches(name));
                        some += started.elapsed();
                    }
                    spent += some * u32::try_from(ASKED / 4).unwrap();
                }
                spent
            });
        });
    }
    group.finish();
    let map_octets: usize = map
        .keys()
        .map(|key| key.len().next_multiple_of(16) + 16)
        .sum::<usize>()
        + map.capacity() * 8 / 7 * (size_of::<(Box<[u8]>, u64)>() + 1);
    println!(
        "sizes {rules} {{\"index\": {}, \"rules\": {}, \"map\": {map_octets}}}\n{:?}",
        index.octets(),
        index.len(),
        index.parts()
    );
}

fn million(criterion: &mut Criterion) {
    look_ups(criterion, 1_000_000);
}

fn five_million(criterion: &mut Criterion) {
    look_ups(criterion, 5_000_000);
}

criterion_group!(benches, million, five_million);
criterion_main!(benches);
