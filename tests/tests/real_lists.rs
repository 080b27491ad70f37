//! The bars on real data: every list compiles, its names are blocked, popular names on no list resolve. And the shared
//! case tables. Without the shared folder there is nothing to measure, and that is printed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isigurt_blocklists::index::{Compiler, ListInfo, Seed, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::{Effect, Pattern};
use isigurt_tests::{Authority, Gateway, Random, ask_udp, query, rcode, shared};

fn lists(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.join("data/lists")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
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
fn every_real_list_compiles_with_less_than_half_a_percent_refused() {
    let Some(folder) = shared() else {
        return eprintln!("skipped: no shared data beside the workspace");
    };
    let mut table = format!(
        "{:<44} {:<8} {:>8} {:>8} {:>6} {:>7}\n",
        "list", "format", "lines", "rules", "refused", "share"
    );
    let mut wrong = Vec::new();
    for file in lists(&folder) {
        let list = read::read(&std::fs::read(&file).unwrap(), Format::Auto, None).unwrap();
        let refused = list.report.rejected.len();
        let share = refused as f64 * 100.0 / (list.report.with_rules as f64 + refused as f64).max(1.0);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let _ = writeln!(
            table,
            "{name:<44} {:<8} {:>8} {:>8} {refused:>6} {share:>6.2}%",
            list.format,
            list.report.lines,
            list.rules.len()
        );
        let only_includes = list.report.not_dns > 0 && list.report.with_rules == 0;
        if share >= 0.5 || list.rules.is_empty() && !only_includes {
            wrong.push(format!(
                "{name}: {share:.2} % refused, {} rules: {:?}",
                list.rules.len(),
                list.report.rejected.first()
            ));
        }
    }
    eprintln!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_drawn_from_each_list_are_blocked_and_popular_names_on_none_resolve() {
    let Some(folder) = shared() else {
        return eprintln!("skipped: no shared data beside the workspace");
    };
    let authority = Authority::with_zone(&folder.join("data/cases/upstream.zone"));
    let mut random = Random::seeded();
    let (mut config, mut drawn) = (String::new(), Vec::new());
    let mut builder = Compiler::new(Seed([1; 32]), 16 << 20);
    let tag = builder.tag(TagKind::Own, "all").unwrap();
    for (place, file) in lists(&folder).into_iter().enumerate() {
        let list = read::read(&std::fs::read(&file).unwrap(), Format::Auto, None).unwrap();
        let names: Vec<&Name> = list
            .rules
            .iter()
            .filter(|located| matches!(located.rule.effect, Effect::Block(_)))
            .filter_map(|located| match &located.rule.pattern {
                Pattern::Exact(name) | Pattern::Suffix(name) => Some(name),
                _ => None,
            })
            .collect();
        for _ in 0..names.len().min(1000) {
            drawn.push((names[random.below(names.len())].clone(), file.clone()));
        }
        let _ = write!(
            config,
            "[[lists]]\nid = \"l{place}\"\nurl = \"{}\"\ncategory = \"c{}\"\n",
            file.display(),
            place % 8
        );
        let info = ListInfo {
            id: String::new(),
            tag,
            origin: String::new(),
            format: list.format,
            version: String::new(),
        };
        builder.add(info, list.hash_key, list.rules);
    }
    let gateway = Gateway::start(authority.address, "", &config, &[]);
    let helplines: Vec<Name> = isigurt_blocklists::data::built_in()
        .unwrap()
        .helplines
        .into_iter()
        .flat_map(|line| line.domains)
        .collect();
    let mut by_list: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut missed = Vec::new();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut answer = [0; 1500];
    for (name, file) in &drawn {
        if helplines
            .iter()
            .any(|helpline| name.as_ref().is_at_or_below(helpline.as_ref()))
        {
            continue; // never filtered, whatever a list says
        }
        socket.send(&query(&name.to_string(), 1)).unwrap();
        let length = socket.recv(&mut answer).unwrap();
        let count = by_list
            .entry(file.file_name().unwrap().to_string_lossy().into_owned())
            .or_default();
        let blocked = answer[..length].ends_with(&[0, 4, 0, 0, 0, 0]) || rcode(&answer) == 3;
        count.0 += u32::from(blocked);
        count.1 += 1;
        if !blocked {
            missed.push(format!("{name} of {}", file.display()));
        }
    }
    eprintln!(
        "{} names drawn from {} lists, {} not blocked",
        drawn.len(),
        by_list.len(),
        missed.len()
    );
    assert!(missed.is_empty(), "{missed:?}");
    let (index, _) = builder.into_index(2).unwrap();
    let popular = std::fs::read_to_string(folder.join("data/queries/popular_50k_2025_ranked.txt")).unwrap();
    let snapshot_says = |name: &str| gateway.command(&["why", name, "--json"]);
    let (mut resolved, mut built_in) = (0, Vec::new());
    for text in popular.lines() {
        let Ok(name) = Name::parse(text) else { continue };
        if !index.lookup(name.as_ref(), 1).blocked.is_empty() {
            continue;
        }
        let answer = ask_udp(gateway.address, &query(text, 1), Duration::from_secs(3)).unwrap();
        if answer.ends_with(&[0, 4, 0, 0, 0, 0]) {
            built_in.push(text); // on a built-in list, which is shown below
            continue;
        }
        assert_eq!(rcode(&answer), 0, "{text}: {:?}", snapshot_says(text));
        resolved += 1;
        if resolved == 1000 {
            break;
        }
    }
    eprintln!(
        "{resolved} popular names on none of the lists resolve; blocked by built-in lists on the way: {built_in:?}"
    );
    assert!(resolved == 1000 && built_in.len() < 20, "{built_in:?}");
}

/// What a case table expects of an answer, and whether it holds.
fn holds(expect: &serde_json::Value, answer: Option<&[u8]>) -> bool {
    let Some(answer) = answer else {
        return expect["timeout"] == true;
    };
    let blocked = answer.windows(6).any(|window| window == [0, 4, 0, 0, 0, 0])
        || answer.ends_with(&[0; 16])
        || rcode(answer) != 0
        || answer[7] == 0;
    let address = |text: &str| {
        text.parse::<std::net::Ipv4Addr>()
            .map(|ip| answer.windows(4).any(|window| window == ip.octets()))
    };
    match expect["action"].as_str() {
        Some("any") => true,
        Some("allow") => rcode(answer) == 0 && !blocked,
        Some("block") => blocked,
        Some("special") => rcode(answer) == 0,
        Some("rewrite") => {
            let code = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]
                .iter()
                .position(|name| expect["rcode"] == **name);
            let answers = expect["answers"].as_array();
            let aliases = usize::from(expect["cname"].is_string());
            code.is_none_or(|code| code == usize::from(rcode(answer)))
                && answers.is_none_or(|answers| answers.len() + aliases == usize::from(answer[7]))
                && answers
                    .into_iter()
                    .flatten()
                    .filter_map(|one| one["data"].as_str())
                    .all(|data| address(data).unwrap_or(true))
        }
        _ => {
            let code = if expect["rcode"] == "NXDOMAIN" { 3 } else { 0 };
            let pairs = expect["answers"].as_array();
            // An empty list of answers is an expectation, too.
            rcode(answer) == code
                && pairs.is_none_or(|pairs| pairs.len() == usize::from(answer[7]))
                && pairs
                    .into_iter()
                    .flatten()
                    .filter_map(|pair| pair[1].as_str())
                    .all(|data| address(data).unwrap_or(true))
        }
    }
}

#[test]
fn the_shared_case_tables_hold_at_core_and_adguard_level() {
    let Some(folder) = shared() else {
        return eprintln!("skipped: no shared data beside the workspace");
    };
    let cases = folder.join("data/cases");
    let authority = Authority::with_zone(&cases.join("upstream.zone"));
    let load = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(cases.join(file)).unwrap()).unwrap()
    };
    let (adblock, hosts, rpz) = (
        load("adblock_dns_cases.json"),
        load("hosts_format_cases.json"),
        load("rpz_cases.json"),
    );
    let mut sets: Vec<(String, String, String, Vec<serde_json::Value>)> = Vec::new();
    let of = |table: &serde_json::Value, set: &str| -> Vec<serde_json::Value> {
        table["cases"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| case["ruleset"] == set)
            .cloned()
            .collect()
    };
    for (name, lines) in adblock["rulesets"].as_object().unwrap() {
        // Rules for single clients are out of scope: they are refused, see the lists' manual.
        if !["client", "client_unblock_all", "ctag"].contains(&name.as_str()) {
            let text: Vec<&str> = lines
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line.as_str().unwrap())
                .collect();
            sets.push((
                name.clone(),
                "adblock".into(),
                text.join("\n"),
                of(&adblock, name),
            ));
        }
    }
    for (name, set) in hosts["rulesets"].as_object().unwrap() {
        let format = set["format"]
            .as_str()
            .unwrap_or("auto")
            .replace("wildcard-asterisk", "domains");
        sets.push((
            name.clone(),
            format,
            set["text"].as_str().unwrap().into(),
            of(&hosts, name),
        ));
    }
    let zone = std::fs::read_to_string(cases.join("rpz.zone")).unwrap();
    sets.push((
        "rpz".into(),
        "rpz".into(),
        zone,
        rpz["cases"].as_array().unwrap().clone(),
    ));
    let (mut wrong, mut edge, mut held) = (Vec::new(), Vec::new(), 0);
    for (name, format, text, cases) in sets {
        let rest = format!("[[lists]]\nid = \"l\"\nurl = \"{{dir}}/l\"\nformat = \"{format}\"\n");
        let gateway = Gateway::start(authority.address, "", &rest, &[("l", &text)]);
        for case in cases {
            let id = case["id"].as_str().unwrap();
            // Triggers on clients are refused by the reader, and so are rules for clients.
            if case.get("client").is_some() {
                continue;
            }
            let qtype = read::rdata::rtype(case["qtype"].as_str().unwrap()).unwrap();
            let answer = ask_udp(
                gateway.address,
                &query(case["qname"].as_str().unwrap(), qtype),
                Duration::from_secs(2),
            );
            if holds(&case["expect"], answer.as_deref()) {
                held += 1;
            } else if case["level"] == "edge" {
                edge.push(id.to_owned());
            } else {
                wrong.push(format!(
                    "{name} {id} {} {}: expected {}, got {answer:02x?}",
                    case["qname"], case["qtype"], case["expect"]
                ));
            }
        }
    }
    eprintln!(
        "case tables: {held} hold, {} do not; edge cases that differ: {edge:?}",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
