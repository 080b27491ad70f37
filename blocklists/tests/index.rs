//! The index against a reference that knows no index: every rule of every list is held against the name, one by one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod reference;

use std::collections::BTreeSet;

use isigurt_blocklists::index::{Compiler, Index, Lines, ListInfo, Seed, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::Located;
use proptest::prelude::*;
use reference::{Reference, said};

const KINDS: [(TagKind, &str); 5] = [
    (TagKind::Category, "adult"),
    (TagKind::Category, "gambling"),
    (TagKind::Service, "video"),
    (TagKind::Own, "own"),
    (TagKind::Helpline, "helplines"),
];

/// Compiles texts, each with its format and group.
fn compile(lists: &[(Format, usize, String)], streamed: bool, threads: usize) -> (Index, Lines, Reference) {
    let mut compiler = Compiler::new(Seed([11; 32]), lists.iter().map(|list| list.2.len() as u64).sum());
    let mut reference = Reference::default();
    for (place, (format, kind, text)) in lists.iter().enumerate() {
        let (kind, id) = KINDS[kind % KINDS.len()];
        let tag = compiler.tag(kind, id).unwrap();
        let list = read::read(text.as_bytes(), *format, None).unwrap();
        let info = ListInfo {
            id: format!("l{place}"),
            tag,
            origin: format!("l{place}.txt"),
            format: list.format,
            version: String::new(),
        };
        reference.add(kind, info.clone(), list.hash_key, &list.rules);
        if streamed {
            let source: std::sync::Arc<[u8]> = text.as_bytes().into();
            let reading = isigurt_blocklists::index::Reading {
                format: *format,
                subdomains: None,
            };
            compiler.read(info, source, reading).unwrap();
        } else {
            compiler.add(info, list.hash_key, list.rules);
        }
    }
    let (index, lines) = compiler.into_index(threads).unwrap();
    (index, lines, reference)
}

/// Names over a small alphabet, so that they nest and meet.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "c", "www", "longer-label-1"]),
        1..5,
    )
    .prop_map(|labels| labels.join("."))
}

fn adblock_line() -> impl Strategy<Value = String> {
    let modifiers = prop::sample::select(vec![
        "",
        "",
        "",
        "$important",
        "$dnstype=AAAA",
        "$dnstype=~A",
        "$dnsrewrite=192.0.2.1",
        "$dnsrewrite=NXDOMAIN;;",
        "$badfilter",
        "$denyallow=a.b",
    ]);
    let shape = prop::sample::select(vec![
        "||{}^",
        "||{}^",
        "@@||{}^",
        "|{}^",
        "||w*.{}^",
        "/(^|\\.)x[0-9].{}/",
    ]);
    (shape, name(), modifiers).prop_map(|(shape, name, modifiers)| shape.replace("{}", &name) + modifiers)
}

fn list() -> impl Strategy<Value = (Format, usize, String)> {
    let lines = |line: BoxedStrategy<String>| {
        prop::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n") + "\n")
    };
    let rpz = (
        name(),
        any::<bool>(),
        prop::sample::select(vec![".", "*.", "rpz-passthru.", "alias.example."]),
    )
        .prop_map(|(name, wildcard, target)| {
            format!("{}{name} CNAME {target}", if wildcard { "*." } else { "" })
        });
    prop_oneof![
        (Just(Format::Domains), 0..5_usize, lines(name().boxed())),
        (
            Just(Format::Hosts),
            0..5_usize,
            lines(name().prop_map(|name| format!("0.0.0.0 {name}")).boxed())
        ),
        (Just(Format::Adblock), 0..5_usize, lines(adblock_line().boxed())),
        (Just(Format::Rpz), 0..5_usize, lines(rpz.boxed())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Random lists of all formats, nested names, exceptions and categories: the index says what the reference says.
    #[test]
    fn the_index_says_what_a_rule_by_rule_comparison_says(
        lists in prop::collection::vec(list(), 1..5),
        names in prop::collection::vec(name(), 1..40),
        streamed in any::<bool>(),
        threads in 1..3_usize,
    ) {
        let (index, lines, reference) = compile(&lists, streamed, threads);
        for text in &names {
            let name = Name::parse(text).unwrap();
            for qtype in [1, 28, 65] {
                let expected = reference.lookup(name.as_ref(), qtype);
                let found = said(&index, &lines, name.as_ref(), qtype);
                // Where a rule was left out as redundant, its parent is named instead of it.
                prop_assert_eq!(found.verdicts(), expected.verdicts(), "{} {}: {:?}", text, qtype, &lists);
                if !streamed {
                    prop_assert_eq!(&found, &expected, "{} {}: {:?}", text, qtype, &lists);
                }
            }
        }
    }

    /// The same lists give the same octets, with one thread or two.
    #[test]
    fn compiling_is_deterministic(lists in prop::collection::vec(list(), 1..4)) {
        let octets = |threads: usize| {
            let mut compiler = Compiler::new(Seed([3; 32]), 1000);
            for (format, _, text) in &lists {
                let tag = compiler.tag(TagKind::Own, "own").unwrap();
                let info = ListInfo { id: "l".into(), tag, origin: "l".into(), format: *format, version: "1".into() };
                let source: std::sync::Arc<[u8]> = text.as_bytes().into();
                let reading = isigurt_blocklists::index::Reading { format: *format, subdomains: None };
                compiler.read(info, source, reading).unwrap();
            }
            let (mut index, mut lines) = (std::io::Cursor::new(Vec::new()), std::io::Cursor::new(Vec::new()));
            compiler.finish(7, threads, &mut index, &mut lines).unwrap();
            (index.into_inner(), lines.into_inner())
        };
        prop_assert_eq!(octets(1), octets(2));
    }
}

#[test]
fn a_large_list_is_found_rule_by_rule_with_one_thread_and_two() {
    let names: Vec<String> = (0..200_000)
        .map(|number| format!("n{number}.d{}.example", number % 977))
        .collect();
    let text = names.join(
        "
",
    ) + "
";
    for threads in [1, 2] {
        let (index, lines) = {
            let source: std::sync::Arc<[u8]> = text.as_bytes().into();
            let mut compiler = Compiler::new(Seed([2; 32]), text.len() as u64);
            let tag = compiler.tag(TagKind::Own, "own").unwrap();
            let info = ListInfo {
                id: "l".into(),
                tag,
                origin: "l".into(),
                format: Format::Domains,
                version: String::new(),
            };
            compiler
                .read(info, source, isigurt_blocklists::index::Reading::default())
                .unwrap();
            let (index, lines) = compiler.into_index(threads).unwrap();
            (index, lines)
        };
        assert_eq!(index.len(), 200_000);
        assert!(index.octets() < 2_000_000, "{:?}", index.parts());
        for (number, line) in text.lines().enumerate().step_by(7) {
            let name = Name::parse(&format!("www.{line}")).unwrap();
            let outcome = index.lookup(name.as_ref(), 1);
            assert_eq!(outcome.blocked.len(), 1, "{line}");
            assert_eq!(
                outcome.blocked[0].line(Some(&lines)),
                Some(u32::try_from(number).unwrap() + 1)
            );
        }
        let other: BTreeSet<String> = (0..50_000)
            .map(|number| format!("m{number}.d{}.example", number % 977))
            .collect();
        assert!(other.iter().all(|text| {
            index
                .lookup(Name::parse(text).unwrap().as_ref(), 1)
                .blocked
                .is_empty()
        }));
    }
}

#[test]
fn a_zone_whose_format_is_found_out_decides_like_one_whose_format_is_given() {
    let text = "$TTL 60\n@ SOA a. b. 1 2 3 4 5\n*.a.test CNAME .\nx.b.a.test CNAME *.\n";
    for format in [Format::Rpz, Format::Auto] {
        let (index, lines, reference) = compile(&[(format, 0, text.into())], true, 1);
        assert_eq!(index.lists()[0].format, Format::Rpz);
        // b.a.test exists because x.b.a.test does, so the wildcard above does not reach below it.
        for text in ["c.a.test", "y.b.a.test", "b.a.test", "x.b.a.test", "a.test"] {
            let name = Name::parse(text).unwrap();
            let said = said(&index, &lines, name.as_ref(), 1);
            assert_eq!(said, reference.lookup(name.as_ref(), 1), "{text} {format}");
            assert_eq!(
                said.blocked.is_empty(),
                !matches!(text, "c.a.test" | "x.b.a.test"),
                "{text} {format}"
            );
        }
    }
}

#[test]
fn rules_below_a_rule_of_the_same_category_are_left_out_and_nothing_changes() {
    let text = "example\nwww.a.test\na.test\nb.test\nx.y.b.test\n";
    let other = "c.a.test\nz.example\n";
    let compile = |kinds: [usize; 2]| {
        compile(
            &[
                (Format::Domains, kinds[0], text.into()),
                (Format::Domains, kinds[1], other.into()),
            ],
            true,
            1,
        )
    };
    let (same, lines, reference) = compile([0, 0]);
    assert_eq!(same.len(), 3); // example, a.test, b.test
    let (different, ..) = compile([0, 1]);
    assert_eq!(different.len(), 5);
    for text in [
        "www.a.test",
        "c.a.test",
        "z.example",
        "y.b.test",
        "test",
        "b.test",
    ] {
        let name = Name::parse(text).unwrap();
        assert_eq!(
            said(&same, &lines, name.as_ref(), 1).verdicts(),
            reference.lookup(name.as_ref(), 1).verdicts()
        );
    }
}

#[test]
fn beside_a_zone_of_the_same_category_no_rule_is_left_out() {
    let lists = [
        (Format::Rpz, 0, "*.b CNAME .\n".to_owned()),
        (Format::Domains, 0, "b\na.b\n".to_owned()),
    ];
    let (index, lines, reference) = compile(&lists, true, 1);
    let name = Name::parse("a.b").unwrap();
    assert_eq!(
        said(&index, &lines, name.as_ref(), 1),
        reference.lookup(name.as_ref(), 1)
    );
}

#[test]
fn every_flipped_bit_is_refused_and_looking_without_checking_never_panics() {
    let lists = [
        (
            Format::Adblock,
            0,
            "||a.test^\n@@||b.a.test^\n||c.test^$dnsrewrite=192.0.2.1\n/x[0-9]+/\n".to_owned(),
        ),
        (Format::Rpz, 1, "*.d.test CNAME .\n".to_owned()),
    ];
    let mut compiler = Compiler::new(Seed([5; 32]), 100);
    for (format, _, text) in &lists {
        let tag = compiler.tag(TagKind::Own, "own").unwrap();
        let list = read::read(text.as_bytes(), *format, None).unwrap();
        let info = ListInfo {
            id: "l".into(),
            tag,
            origin: "l".into(),
            format: *format,
            version: String::new(),
        };
        compiler.add(info, None, list.rules);
    }
    let (mut octets, mut lines) = (std::io::Cursor::new(Vec::new()), std::io::Cursor::new(Vec::new()));
    compiler.finish(0, 1, &mut octets, &mut lines).unwrap();
    let (octets, lines) = (octets.into_inner(), lines.into_inner());
    let names: Vec<Name> = ["b.a.test", "x.c.test", "x1.test", "y.d.test", "test"]
        .iter()
        .map(|text| Name::parse(text).unwrap())
        .collect();
    let mut opened = 0;
    for bit in 0..octets.len() * 8 {
        let mut damaged = octets.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(index) = Index::open(damaged) else { continue };
        opened += 1;
        for name in &names {
            let _ = index.lookup(name.as_ref(), 1); // whatever it says, it says it
        }
        assert!(index.verify().is_err(), "bit {bit} of {}", octets.len() * 8);
    }
    assert!(opened > 0);
    for length in 0..octets.len() {
        assert!(Index::open(octets[..length].to_vec()).is_err(), "cut at {length}");
    }
    for bit in 0..lines.len() * 8 {
        let mut damaged = lines.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A flip in the identity makes it another index's.
        let harmless = |lines: &Lines| !lines.belongs_to(Index::open(octets.clone()).unwrap().identity());
        assert!(
            Lines::open(&damaged.into()).map_or(true, |lines| harmless(&lines)),
            "bit {bit}"
        );
    }
}

#[test]
fn a_list_of_hashes_blocks_what_it_does_not_name() {
    let key = read::hashed::HashKey {
        key: [9; 32],
        bits: 128,
        offline: read::hashed::Offline::Allow,
    };
    let prefixes = read::hashed::HashKey { bits: 16, ..key };
    let blocking = read::hashed::HashKey {
        offline: read::hashed::Offline::Block,
        ..prefixes
    };
    let text = |key: &read::hashed::HashKey| {
        format!(
            "{}{}\n{}\n",
            key.header(),
            key.line(b"bad.test", false),
            key.line(b"worse.test", true)
        )
    };
    let compile = |key: &read::hashed::HashKey| compile(&[(Format::Auto, 0, text(key))], true, 1);
    let (index, lines, reference) = compile(&key);
    for name in [
        "bad.test",
        "www.bad.test",
        "worse.test",
        "www.worse.test",
        "good.test",
        "test",
    ] {
        let name = Name::parse(name).unwrap();
        assert_eq!(
            said(&index, &lines, name.as_ref(), 1),
            reference.lookup(name.as_ref(), 1),
            "{name}"
        );
    }
    let bad = Name::parse("www.bad.test").unwrap();
    let outcome = index.lookup(bad.as_ref(), 1);
    assert_eq!((outcome.blocked.len(), outcome.candidates.len()), (1, 0));
    assert_eq!(outcome.blocked[0].line(Some(&lines)), Some(5));
    assert!(!outcome.blocked[0].pattern_text().contains("bad"));
    assert!(!index.has_prefixes());
    // Short prefixes: candidates, whatever the list says of them.
    for key in [&prefixes, &blocking] {
        let (index, ..) = compile(key);
        let outcome = index.lookup(bad.as_ref(), 1);
        assert_eq!((outcome.blocked.len(), outcome.candidates.len()), (0, 1));
        assert!(index.has_prefixes());
        let candidate = &outcome.candidates[0];
        assert_eq!(index.hash_key(candidate), Some(*key));
        let whole = read::hashed::HashKey { bits: 128, ..*key };
        let (full, cut) = index.digests(candidate, bad.as_ref()).unwrap();
        assert_eq!((full, cut), (whole.digest(b"bad.test"), key.digest(b"bad.test")));
    }
}

#[test]
fn a_list_that_breaks_off_leaves_nothing_behind() {
    struct Broken;
    impl isigurt_blocklists::index::Source for Broken {
        fn open(&self) -> std::io::Result<Box<dyn std::io::Read + '_>> {
            use std::io::Read as _;
            struct Fails;
            impl std::io::Read for Fails {
                fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                    Err(std::io::Error::other("unplugged"))
                }
            }
            Ok(Box::new(b"a.test\n/x+/\n".chain(Fails)))
        }
    }
    let mut compiler = Compiler::new(Seed([2; 32]), 100);
    let tag = compiler.tag(TagKind::Own, "own").unwrap();
    let info = |id: &str| ListInfo {
        id: id.into(),
        tag,
        origin: id.into(),
        format: Format::Domains,
        version: String::new(),
    };
    let reading = isigurt_blocklists::index::Reading {
        format: Format::Domains,
        subdomains: None,
    };
    let error = compiler.read(info("broken"), Broken, reading).unwrap_err();
    assert!(error.to_string().contains("unplugged"), "{error}");
    compiler.add(
        info("whole"),
        None,
        vec![Located {
            rule: isigurt_blocklists::rule::Rule::block(isigurt_blocklists::rule::Pattern::Suffix(
                Name::parse("b.test").unwrap(),
            )),
            line: 1,
        }],
    );
    let (index, _) = compiler.into_index(1).unwrap();
    let blocked = |text: &str| {
        !index
            .lookup(Name::parse(text).unwrap().as_ref(), 1)
            .blocked
            .is_empty()
    };
    assert!(!blocked("a.test") && blocked("x.b.test"));
}

/// The shared lists beside the workspace, where they are.
fn real_lists() -> Vec<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/lists");
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none_or(|extension| extension != "csv") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_rule_of_every_real_list_is_decided_as_the_reference_decides() {
    use isigurt_blocklists::rule::Pattern;
    let lists = real_lists();
    if lists.is_empty() {
        return eprintln!("skipped: no shared lists beside the workspace");
    }
    let (mut rules, mut asked) = (0, 0);
    for file in &lists {
        let octets = std::fs::read(file).unwrap();
        let list = read::read(&octets, Format::Auto, None).unwrap();
        let mut compiler = Compiler::new(Seed([23; 32]), octets.len() as u64);
        let tag = compiler.tag(TagKind::Category, "c").unwrap();
        let info = ListInfo {
            id: "l".into(),
            tag,
            origin: "l".into(),
            format: list.format,
            version: String::new(),
        };
        let source: std::sync::Arc<[u8]> = octets.into();
        let (format, report) = compiler
            .read(
                info.clone(),
                source,
                isigurt_blocklists::index::Reading::default(),
            )
            .unwrap();
        assert_eq!(
            (format, report.refused()),
            (list.format, list.report.refused()),
            "{file:?}"
        );
        let (index, lines) = compiler.into_index(2).unwrap();
        // Only rules at a name's suffixes and regular expressions can speak of it: the reference gets these.
        let mut by_name: std::collections::HashMap<Name, Vec<Located>> = std::collections::HashMap::new();
        let mut regexes = Vec::new();
        for located in &list.rules {
            match &located.rule.pattern {
                Pattern::Exact(name) | Pattern::Suffix(name) | Pattern::Below(name) => {
                    by_name.entry(name.clone()).or_default().push(located.clone());
                }
                _ => regexes.push(located.clone()),
            }
        }
        // Expressions are compiled anew for each name by the reference: fewer names where there are some.
        let step = if regexes.is_empty() {
            1
        } else {
            by_name.len() / 40 + 1
        };
        for name in by_name.keys().step_by(step) {
            for text in [name.to_string(), format!("x9.{name}"), format!("x9{name}")] {
                let Ok(name) = Name::parse(&text) else { continue };
                let mut speaking: Vec<Located> = name
                    .as_ref()
                    .suffixes()
                    .filter_map(|suffix| by_name.get(&suffix.to_name()))
                    .flatten()
                    .chain(&regexes)
                    .cloned()
                    .collect();
                speaking.sort_by_key(|located| located.line);
                let mut reference = Reference::default();
                reference.add(TagKind::Category, info.clone(), list.hash_key, &speaking);
                assert_eq!(
                    said(&index, &lines, name.as_ref(), 1).verdicts(),
                    reference.lookup(name.as_ref(), 1).verdicts(),
                    "{text} of {file:?}"
                );
                asked += 1;
            }
        }
        rules += list.rules.len();
    }
    eprintln!("{} lists, {rules} rules, {asked} names compared", lists.len());
}
