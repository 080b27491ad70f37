//! What the policy adds to a look-up: 64 profiles, 20,000 devices, 10,000 names of a profile's own, and everything that a
//! profile can have; the same with a list of 10,000 short prefixes beside. Prints JSON, which `cargo xtask bench policy` holds against the bars.
//!
//! Look-up and decision are measured in turn, round after round, over the same names; the medians of their rounds are
//! compared, so that what the machine does otherwise meets both alike.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation
)]

#[path = "../../../blocklists/benches/support/names.rs"]
mod names;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use isigurt_blocklists::data;
use isigurt_blocklists::index::{Compiler, Index, ListInfo, Seed, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::hashed::{HashKey, Offline};
use isigurt_blocklists::read::{self, Format};
use isigurt_core::policy::model::Policy;
use isigurt_core::policy::{
    self, Client, Decision, Grant, InForce, Present, SafeSearchHosts, Surroundings, Who, confirm,
};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

const RULES: usize = 1_000_000;
const PROFILES: usize = 64;
const DEVICES: u32 = 20_000;
const OWN: usize = 10_000;
const ASKED: usize = 100_000;
const PREFIXES: usize = 10_000;
const ROUNDS: usize = 15;

/// An index of these names and, where there are any, of a mandatory list of the prefixes of others.
fn index(list: &[String], hashed: &[String]) -> Index {
    let mut compiler = Compiler::new(Seed([8; 32]), (list.len() * 20) as u64);
    let video: String = "video.example\nstream.example\n".to_owned();
    for (kind, id, format, text) in [
        (TagKind::Category, "adult", Format::Domains, list.join("\n")),
        (TagKind::Service, "video", Format::Domains, video),
        (
            TagKind::Helpline,
            "helplines",
            Format::Domains,
            "help.example\n".to_owned(),
        ),
        (
            TagKind::Bypass,
            "bypass",
            Format::Domains,
            "vpn.example\n".to_owned(),
        ),
        (TagKind::Mandatory, "abuse", Format::Hashed, prefixes(hashed)),
    ] {
        if format == Format::Hashed && hashed.is_empty() {
            continue;
        }
        let tag = compiler.tag(kind, id).unwrap();
        let list = read::read(text.as_bytes(), format, None).unwrap();
        let info = ListInfo {
            id: id.to_owned(),
            tag,
            origin: id.to_owned(),
            format: list.format,
            version: String::new(),
        };
        compiler.add(info, list.hash_key, list.rules);
    }
    compiler.into_index(2).unwrap().0
}

/// A list of the prefixes of these names' hashes.
fn prefixes(names: &[String]) -> String {
    let key = HashKey {
        key: [7; 32],
        bits: 24,
        offline: Offline::Allow,
    };
    let mut lines: Vec<String> = names
        .iter()
        .map(|name| key.line(name.as_bytes(), false))
        .collect();
    lines.sort();
    lines.dedup();
    format!("{}{}\n", key.header(), lines.join("\n"))
}

/// Every profile has everything; the first one 10,000 names of its own.
fn policy(random: &mut names::Random) -> (Policy, Vec<String>) {
    let mut own = names::domains(random, OWN);
    own.sort();
    let mut text = "[settings]\ndefault_profile = \"profile 0\"\n".to_owned();
    for number in 0..PROFILES {
        let (allow, deny) = if number == 0 {
            own.split_at(OWN / 2)
        } else {
            own[..100].split_at(50)
        };
        let _ = write!(
            text,
            "[[profile]]\nname = \"profile {number}\"\ncategories = [\"adult\"]\nallow = {allow:?}\ndeny = {deny:?}\n\
             safe_search = true\nyoutube = \"strict\"\n\
             [[profile.schedule]]\npreset = \"homework\"\n\
             [[profile.budget]]\nwhat = [\"service:video\"]\nminutes = 60\n"
        );
    }
    for number in 0..DEVICES {
        let address = Ipv4Addr::from(0x0a00_0000 + number);
        let [a, b, c, d] = number.to_be_bytes();
        let _ = write!(
            text,
            "[[device]]\nname = \"device {number}\"\n\
             match = [\"ip:{address}\", \"mac:02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}\"]\nprofile = \"profile {}\"\n",
            number as usize % PROFILES
        );
    }
    (toml::from_str(&text).unwrap(), own)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Every device with a second address and its MAC address.
fn known() -> impl Iterator<Item = (IpAddr, Option<[u8; 6]>, Option<&'static str>)> + Clone {
    let device = |number: u32| {
        let [a, b, c, d] = number.to_be_bytes();
        let address = IpAddr::from(Ipv4Addr::from(0x0a01_0000 + number));
        (address, Some([2, 0, a, b, c, d]), None)
    };
    (0..DEVICES).map(device)
}

/// Half are blocked by the list, three in ten by nothing, two in ten are the profile's own.
fn asked(random: &mut names::Random, list: &[String], own: &[String]) -> Vec<(Name, IpAddr)> {
    let mut one = |number: usize| {
        let name = match random.below(10) {
            0..5 => list[random.below(RULES as u64) as usize].clone(),
            5..8 => format!("ok-{}", names::domain(random)),
            _ => own[random.below(OWN as u64) as usize].clone(),
        };
        // Devices of the first profile, by address and by MAC address in turn.
        let device = random.below(u64::from(DEVICES) / 64) as u32 * 64;
        let first = if number.is_multiple_of(2) {
            0x0a00_0000
        } else {
            0x0a01_0000
        };
        (Name::parse(&name).unwrap(), Ipv4Addr::from(first + device).into())
    };
    (0..ASKED).map(&mut one).collect()
}

fn main() {
    let mut random = names::Random(20_261_124);
    let list = names::domains(&mut random, RULES);
    let with_prefixes = index(&list, &names::domains(&mut names::Random(7), PREFIXES));
    let index = index(&list, &[]);
    let (policy, own) = policy(&mut random);
    let hosts = SafeSearchHosts::new(&data::built_in().unwrap().safe_search);
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let grants = [Grant {
        who: Who::Device("device 64".to_owned()),
        what: "granted.example".to_owned(),
        until: now + 1.hour(),
    }];
    let known = known();

    // Everything that a change of the policy has made anew.
    let mut building = Vec::new();
    let mut parts = None;
    for _ in 0..5 {
        let begun = Instant::now();
        let surroundings = Surroundings {
            index: &index,
            own: index.kind(TagKind::Own),
            hosts: &hosts,
            before: parts.as_ref().map(|(force, _, _): &(InForce, _, _)| force),
        };
        let force = InForce::new(&policy, &surroundings).unwrap();
        let clients = force.clients(known.clone());
        let present = Present::new(&force, &index, (&[], &grants), now, &TimeZone::UTC);
        building.push(begun.elapsed().as_secs_f64() * 1e3);
        parts = Some((force, clients, present));
    }
    let (force, clients, present) = parts.unwrap();

    let asked = asked(&mut random, &list, &own);
    let decided = |index: &Index, name: &Name, address: IpAddr| {
        let client = Client::new(&force, &present, clients.device(address), 29_000_000);
        let (decision, candidate) = policy::judge(index, &client, black_box(name.as_ref()), 1);
        if candidate && !matches!(decision, Decision::Helpline | Decision::Blocked(..)) {
            black_box(confirm::suspects(index, &client, name.as_ref(), 1));
        }
        black_box(decision);
    };
    let mut taken: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (index, at) in [(&index, 0), (&with_prefixes, 2)] {
            let begun = Instant::now();
            for (name, _) in &asked {
                black_box(index.matches(black_box(name.as_ref())));
            }
            taken[at].push(begun.elapsed().as_nanos() as f64 / ASKED as f64);
            let begun = Instant::now();
            for (name, address) in &asked {
                decided(index, name, *address);
            }
            taken[at + 1].push(begun.elapsed().as_nanos() as f64 / ASKED as f64);
        }
    }
    let [looking, deciding, looking_prefixes, deciding_prefixes] = taken.map(median);
    let address = asked[0].1;
    let allocations = allocation_counter::measure(|| {
        for (name, _) in &asked[..1000] {
            decided(&index, name, address);
        }
    });
    // One name in 1,700 is a candidate, and pays for it.
    let client = Client::new(&force, &present, clients.device(address), 29_000_000);
    let innocent: Vec<&Name> = asked
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !policy::judge(&with_prefixes, &client, name.as_ref(), 1).1)
        .take(1000)
        .collect();
    let allocations_prefixes = allocation_counter::measure(|| {
        for name in &innocent {
            decided(&with_prefixes, name, address);
        }
    });
    println!(
        "{}",
        serde_json::json!({
            "lookup_ns": looking,
            "decide_ns": deciding,
            "lookup_prefixes_ns": looking_prefixes,
            "decide_prefixes_ns": deciding_prefixes,
            "build_ms": median(building),
            "allocations": allocations.count_total,
            "allocations_prefixes": allocations_prefixes.count_total,
        })
    );
}
