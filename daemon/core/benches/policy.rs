//! What the policy adds to a look-up: 64 profiles, 20,000 devices, 10,000 names of a profile's own, and everything that a
//! profile can have. Prints JSON, which `cargo xtask bench policy` holds against the bars.
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
use isigurt_blocklists::read::{self, Format};
use isigurt_core::policy::model::Policy;
use isigurt_core::policy::{self, Client, Grant, InForce, Present, SafeSearchHosts, Surroundings, Who};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

const RULES: usize = 1_000_000;
const PROFILES: usize = 64;
const DEVICES: u32 = 20_000;
const OWN: usize = 10_000;
const ASKED: usize = 100_000;
const ROUNDS: usize = 15;

fn index(list: &[String]) -> Index {
    let mut compiler = Compiler::new(Seed([8; 32]), (list.len() * 20) as u64);
    let video: String = "video.example\nstream.example\n".to_owned();
    for (kind, id, text) in [
        (TagKind::Category, "adult", list.join("\n")),
        (TagKind::Service, "video", video),
        (TagKind::Helpline, "helplines", "help.example\n".to_owned()),
        (TagKind::Bypass, "bypass", "vpn.example\n".to_owned()),
    ] {
        let tag = compiler.tag(kind, id).unwrap();
        let list = read::read(text.as_bytes(), Format::Domains, None).unwrap();
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

fn main() {
    let mut random = names::Random(20_261_124);
    let list = names::domains(&mut random, RULES);
    let index = index(&list);
    let (policy, own) = policy(&mut random);
    let hosts = SafeSearchHosts::new(&data::built_in().unwrap().safe_search);
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let grants = [Grant {
        who: Who::Device("device 64".to_owned()),
        what: "granted.example".to_owned(),
        until: now + 1.hour(),
    }];
    let known: Vec<_> = (0..DEVICES)
        .map(|number| {
            let [a, b, c, d] = number.to_be_bytes();
            let address = IpAddr::from(Ipv4Addr::from(0x0a01_0000 + number));
            (address, Some([2, 0, a, b, c, d]), None::<&str>)
        })
        .collect();

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
        let clients = force.clients(known.iter().copied());
        let present = Present::new(&force, &index, (&[], &grants), now, &TimeZone::UTC);
        building.push(begun.elapsed().as_secs_f64() * 1e3);
        parts = Some((force, clients, present));
    }
    let (force, clients, present) = parts.unwrap();

    // Half are blocked by the list, three in ten by nothing, two in ten are the profile's own.
    let asked: Vec<(Name, IpAddr)> = (0..ASKED)
        .map(|number| {
            let name = match random.below(10) {
                0..5 => list[random.below(RULES as u64) as usize].clone(),
                5..8 => format!("ok-{}", names::domain(&mut random)),
                _ => own[random.below(OWN as u64) as usize].clone(),
            };
            // Devices of the first profile, by address and by MAC address in turn.
            let device = random.below(u64::from(DEVICES) / 64) as u32 * 64;
            let first = if number % 2 == 0 { 0x0a00_0000 } else { 0x0a01_0000 };
            (Name::parse(&name).unwrap(), Ipv4Addr::from(first + device).into())
        })
        .collect();
    let (mut looking, mut deciding) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for (name, _) in &asked {
            black_box(index.matches(black_box(name.as_ref())));
        }
        looking.push(begun.elapsed().as_nanos() as f64 / ASKED as f64);
        let begun = Instant::now();
        for (name, address) in &asked {
            let client = Client::new(&force, &present, clients.device(*address), 29_000_000);
            black_box(policy::decide(&index, &client, black_box(name.as_ref()), 1));
        }
        deciding.push(begun.elapsed().as_nanos() as f64 / ASKED as f64);
    }
    let (name, address) = &asked[0];
    let allocations = allocation_counter::measure(|| {
        let client = Client::new(&force, &present, clients.device(*address), 29_000_000);
        for (name, _) in &asked[..1000] {
            black_box(policy::decide(&index, &client, name.as_ref(), 1));
        }
    });
    black_box((name, address));
    println!(
        "{}",
        serde_json::json!({
            "lookup_ns": median(looking),
            "decide_ns": median(deciding),
            "build_ms": median(building),
            "allocations": allocations.count_total,
        })
    );
}
