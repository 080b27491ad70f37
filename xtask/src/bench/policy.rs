//! `cargo xtask bench policy`: what a verdict adds to a look-up, and how soon a change is in force, at the size of a large
//! school: 64 profiles, 20,000 devices, 10,000 names of one profile's own.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::daemon::Running;
use super::load::packet;
use super::{Table, gateway, machine, names};
use crate::{cargo, root, step};

const PROFILES: usize = 64;
const DEVICES: u32 = 20_000;
const OWN: usize = 10_000;
/// Times that each change is made; the median counts.
const TRIES: usize = 9;

/// Measures and prints.
pub(crate) fn policy() -> anyhow::Result<()> {
    step(
        "release build",
        cargo(&["build", "--release", "--locked", "-p", "isigurtd"]),
    )?;
    let mut table = Table::default();
    verdicts(&mut table)?;
    let folder = root().join("target/bench/policy");
    let _ = std::fs::remove_dir_all(folder.join("state"));
    std::fs::create_dir_all(&folder)?;
    changes(&mut table, &folder)?;
    println!("\n{}\n{}", machine(), table.text());
    table.end()
}

fn verdicts(table: &mut Table) -> anyhow::Result<()> {
    println!("==> verdicts");
    let output = cargo(&["bench", "--locked", "-p", "isigurt-core", "--bench", "policy"])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text
        .lines()
        .rfind(|line| line.starts_with('{'))
        .context("the bench printed nothing")?;
    let figures: serde_json::Value = serde_json::from_str(line)?;
    let figure = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    let (lookup, decide) = (figure("lookup_ns"), figure("decide_ns"));
    table.note("a look-up in 1 M rules", format!("{lookup:.0} ns"));
    table.at_most(
        "who asks and the verdict, above that look-up",
        250.0,
        decide - lookup,
        "ns",
    );
    let (lookup, decide) = (figure("lookup_prefixes_ns"), figure("decide_prefixes_ns"));
    table.note(
        "a look-up with a list of 10,000 prefixes beside",
        format!("{lookup:.0} ns"),
    );
    table.at_most(
        "who asks and the verdict, above that one",
        250.0,
        decide - lookup,
        "ns",
    );
    table.at_most(
        "allocations in 1,000 verdicts",
        0.0,
        figure("allocations"),
        "allocations",
    );
    table.at_most(
        "the same with prefixes",
        0.0,
        figure("allocations_prefixes"),
        "allocations",
    );
    table.at_most(
        "making policy, clients and present anew",
        200.0,
        figure("build_ms"),
        "ms",
    );
    Ok(())
}

fn text() -> String {
    let mut own = names::domains(&mut names::Random(20_261_124), OWN);
    own.sort();
    let mut text = "[settings]\ndefault_profile = \"profile 0\"\n".to_owned();
    for number in 0..PROFILES {
        let deny = if number == 0 { own.as_slice() } else { &[] };
        let _ = write!(
            text,
            "[[profile]]\nname = \"profile {number}\"\ncategories = [\"adult\"]\ndeny = {deny:?}\nsafe_search = true\n\
             [[profile.schedule]]\npreset = \"homework\"\n"
        );
    }
    for number in 0..DEVICES {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        let _ = write!(
            text,
            "[[device]]\nname = \"device {number}\"\nmatch = [\"ip:{address}\"]\nprofile = \"profile {}\"\n",
            number as usize % PROFILES
        );
    }
    text
}

/// Makes changes on a running gateway and asks for the next answer.
fn changes(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    println!("==> changes with {DEVICES} devices");
    std::fs::write(folder.join("list.txt"), "listed.example\n")?;
    let mut running = Running::start(folder, None)?;
    running.first_answer()?;
    let policy = folder.join("policy.toml");
    std::fs::write(&policy, text())?;
    let config = folder.join("gateway.toml");
    let command = |arguments: &[&str]| -> anyhow::Result<()> {
        let output = Command::new(gateway())
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    let begun = Instant::now();
    command(&["policy", "apply", &policy.display().to_string()])?;
    table.note(
        "applying the whole policy, with the difference printed",
        format!("{:.0} ms", begun.elapsed().as_secs_f64() * 1e3),
    );
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(running.address())?;
    let blocked = |name: &str| -> anyhow::Result<bool> {
        socket.send(&packet(name))?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        Ok(answer
            .get(..length)
            .is_some_and(|answer| answer.ends_with(&[0; 4])))
    };
    let denied = names::domains(&mut names::Random(20_261_124), 1).remove(0);
    let (mut making, mut late) = (Vec::new(), Vec::new());
    for attempt in 0..TRIES {
        let profile = if attempt % 2 == 0 {
            "profile 1"
        } else {
            "profile 0"
        };
        let begun = Instant::now();
        command(&[
            "device",
            "add",
            "here",
            "--match",
            "ip:127.0.0.1",
            "--profile",
            profile,
        ])?;
        making.push(begun.elapsed().as_secs_f64() * 1e3);
        if profile != "profile 0" {
            continue; // what it allows would wait for an upstream, and there is none
        }
        // The first answer after it must be by the new profile: a name that only profile 0 denies.
        let begun = Instant::now();
        if !blocked(&denied)? {
            bail!("the change is not in force on the next query");
        }
        late.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let worst = late.iter().copied().fold(0.0, f64::max);
    table.at_most("a change is in force after it was said to be", 100.0, worst, "ms");
    table.note(
        "one device changed, the whole command",
        format!("{:.0} ms", median(making)),
    );
    Ok(())
}
