//! `cargo xtask demo`: the whole circle on this machine, to be looked at. A platform with its PostgreSQL, two gateways, and devices that
//! ask; a report on gateway A is confirmed, published, and blocked on gateway B, and the time is printed.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // for a terminal

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use isigurt_tests::circle::{Circle, Round};
use isigurt_tests::{Postgres, ask_udp, query};

/// From confirmation to block, with a poll of two seconds.
const BAR: f64 = 5.0;
/// What the devices of each home look at.
const NAMES: [&str; 4] = ["school.example", "news.example", "video.example", "game.example"];
/// Devices in each home.
const DEVICES: usize = 3;

fn main() {
    let stay = !std::env::args().any(|argument| argument == "--once");
    assert!(
        Postgres::programs().is_some(),
        "PostgreSQL is missing: `apt-get install postgresql`, or `cargo xtask test`, which installs it"
    );
    println!("==> starting PostgreSQL, the platform, two gateways and a name server on loopback");
    let circle = Circle::start();
    let [first, second] = &circle.gateways;
    let end = Arc::new(AtomicBool::new(false));
    let devices: Vec<_> = circle
        .gateways
        .iter()
        .flat_map(|gateway| (0..DEVICES).map(|number| (gateway.address, number)))
        .map(|(gateway, number)| {
            let end = Arc::clone(&end);
            std::thread::spawn(move || {
                for name in NAMES.iter().cycle().skip(number) {
                    if end.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ = ask_udp(gateway, &query(name, 1), Duration::from_secs(1));
                    std::thread::sleep(Duration::from_millis(700));
                }
            })
        })
        .collect();
    for (home, gateway, page) in [("A", first, circle.pages[0]), ("B", second, circle.pages[1])] {
        println!(
            "gateway {home}: http://{page}/   DNS {}   dig @{} -p {} NAME",
            gateway.address,
            gateway.address.ip(),
            gateway.address.port()
        );
    }
    println!(
        "platform:  http://{}/metadata/timestamp.json, reports at /api/v1/reports",
        circle.platform.address
    );
    println!("publisher: {}", circle.publisher.path("publish.toml").display());
    let desk = circle.platform.desk("ana");
    println!("triage:    http://{}{}   (once)", desk.address, desk.entry);
    println!("==> casino.example: reported on A as gambling, one analyst confirms");
    told(circle.round("casino.example", "gambling", "gambling"));
    println!("==> a name of the mandatory list: reported on A, two analysts confirm");
    told(circle.round("worst.example", "abuse-material", "abuse"));
    if stay {
        println!("==> everything runs on; Enter ends it");
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    end.store(true, Ordering::Relaxed);
    for device in devices {
        let _ = device.join();
    }
}

fn told(round: Round) {
    let seconds = round.confirmed_to_blocked.as_secs_f64();
    let met = if seconds <= BAR { "met" } else { "missed" };
    println!("    from confirmation to block on B: {seconds:.1} s (bar {BAR} s: {met})");
    println!(
        "    from report to block on B: {:.1} s",
        round.reported_to_blocked.as_secs_f64()
    );
}
