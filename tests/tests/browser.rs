//! The web UI in a real browser: each suite of `webui/tests` against a gateway of its own, with real DNS queries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isigurt_tests::{Country, House, PASSWORD, program, system};

fn webui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../webui")
}

/// Runs a suite against this house, with these in its environment (`ISIGURT_SCREEN`: a phone or desktop; `ISIGURT_HOST_RULES`: where names
/// lead elsewhere than the system says, `MAP name address`); does what it asks for meanwhile.
fn run(suite: &str, more: &[(&str, &str)], house: &mut House, code: &str) {
    run_with(suite, more, (house, code), |order| {
        panic!("no such order: {order}")
    });
}

/// The same; `other` does what else the suite asks for.
fn run_with(
    suite: &str,
    more: &[(&str, &str)],
    (house, code): (&mut House, &str),
    mut other: impl FnMut(&str),
) {
    let mut child = Command::new(system("node"))
        .arg("tests/run.mjs")
        .arg(suite)
        .args(std::env::var("ISIGURT_BROWSER_TEST"))
        .current_dir(webui())
        .env("ISIGURT_WEB", house.web.to_string())
        .env("ISIGURT_DNS", house.gateway.address.to_string())
        .env("ISIGURT_CODE", code)
        .env("ISIGURT_PASSWORD", PASSWORD)
        .env("ISIGURT_CHROMIUM", system("chromium"))
        .envs(more.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = child.stdin.take().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix('@') {
            Some("stop") => stop(house),
            Some("start") => house.gateway.restart(),
            Some("restart") => {
                stop(house);
                house.gateway.restart();
            }
            Some(order) => other(order),
            None => {
                println!("{line}");
                continue;
            }
        }
        writeln!(orders, "done").unwrap();
    }
    assert!(child.wait().unwrap().success(), "{suite}: see what it printed");
}

fn stop(house: &mut House) {
    house.gateway.signal("TERM");
    house.gateway.wait();
}

/// Runs a suite against a house with the owner "Ana".
fn with_ana(suite: &str) {
    let (mut house, _) = House::claimed("");
    run(suite, &[], &mut house, "");
}

#[test]
fn types_of_the_pages_fit_the_description_of_the_api_that_the_gateway_gives() {
    let description = Command::new(program("isigurtd")).arg("openapi").output().unwrap();
    assert!(description.status.success());
    let target = webui().join("../target");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("openapi.json"), description.stdout).unwrap();
    let checked = Command::new(system("npm"))
        .args(["run", "--silent", "check"])
        .current_dir(webui())
        .output()
        .unwrap();
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(checked.status.success(), "{said}");
}

#[test]
fn every_text_stands_in_every_message_file_and_no_page_has_one_of_its_own() {
    let checked = Command::new(system("node"))
        .arg("tests/messages.mjs")
        .current_dir(webui())
        .output()
        .unwrap();
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(checked.status.success(), "{said}");
}

#[test]
fn every_page_is_accessible_and_small_in_both_languages_and_themes() {
    with_ana("pages");
}

#[test]
fn pages_without_javascript_are_accessible_usable_and_left_at_once() {
    let page = isigurt_tests::free_address();
    let mut house = House::new(&format!("block_page = [\"{page}\"]"));
    let names = format!("MAP bet365.com {page}");
    run("plain", &[("ISIGURT_HOST_RULES", &names)], &mut house, "");
}

#[test]
fn a_parent_sets_it_up_on_a_phone_in_albanian() {
    let mut house = House::new("");
    let code = house.code();
    run("start", &[("ISIGURT_SCREEN", "phone")], &mut house, &code);
}

#[test]
fn a_parent_sets_it_up_at_a_desktop_in_english_by_keyboard_alone() {
    let mut house = House::new("");
    let code = house.code();
    run("start", &[("ISIGURT_SCREEN", "desktop")], &mut house, &code);
}

#[test]
fn everything_that_is_done_every_day_is_done_by_keyboard_alone() {
    let (mut house, _) = House::claimed("private_lists = true");
    run("keyboard", &[], &mut house, "");
}

#[test]
fn what_parents_do_is_in_force_on_the_next_query() {
    let lease = "4102444800 aa:bb:cc:00:00:77 192.0.2.77 era-phone *\n"; // a device that nobody has placed
    let local = "[local]\nleases = [\"{dir}/leases\"]\n";
    let (mut house, _) = House::with_files(local, &[("leases", lease)]).claim();
    run("family", &[], &mut house, "");
}

#[test]
fn passkeys_and_a_schools_own_service_are_ways_in_where_they_work() {
    let silent = "[web.oidc]\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"gateway\"\nclient_secret_file = \"secret\"\n\
        name = \"Gymnasium\"\n[[web.oidc.role]]\nvalue = \"*\"\nrole = \"viewer\"\n"; // a service that does not answer
    let (mut house, _) = House::with_files(silent, &[("secret", "a secret of the tests\n")]).claim();
    run("signin", &[], &mut house, "");
}

#[test]
fn a_report_goes_to_a_real_platform_and_what_its_analysts_decide_comes_back() {
    let page = isigurt_tests::free_address();
    let country = Country::start(&format!("block_page = [\"{page}\"]"));
    let Country {
        platform,
        publisher,
        house,
    } = country;
    let (house, _) = house.claim();
    let mut country = Country {
        platform,
        publisher,
        house,
    };
    let names = format!("MAP bet365.com {page}");
    let (platform, house) = (&country.platform, &mut country.house);
    run_with(
        "report",
        &[("ISIGURT_HOST_RULES", &names)],
        (house, ""),
        |order| {
            let name = order.strip_prefix("confirm ").expect("an order");
            let case = platform.case_of(name);
            platform.says("ana", &["confirm", &case, "--list", "gambling"], true);
        },
    );
}

#[test]
fn a_teacher_signs_in_by_the_schools_own_service_and_reaches_what_her_groups_reach() {
    let service = isigurt_tests::free_address();
    let keys = format!(
        "[web.oidc]\nissuer = \"http://{service}\"\nclient_id = \"gateway\"\nclient_secret_file = \"secret\"\n\
         name = \"Gymnasium\"\nscopes = [\"profile\", \"email\", \"groups\"]\ndomains = [\"school.example\"]\n\
         [[web.oidc.role]]\nvalue = \"7a\"\nrole = \"staff\"\nprofiles = [\"class-7a\"]\n"
    );
    let (mut house, mut ana) = House::with_files(&keys, &[("secret", "a secret of the tests\n")]).claim();
    for profile in ["class-7a", "class-7b"] {
        let made = ana.ask("POST", "/profiles", &serde_json::json!({ "name": profile }));
        assert_eq!(made.status, 201, "{made:?}");
    }
    let callback = format!("http://{}/api/v1/session/oidc/callback", house.web);
    let _service = isigurt_tests::Provider::real(service, &callback);
    run(
        "vouched",
        &[("ISIGURT_SERVICE", &service.to_string())],
        &mut house,
        "",
    );
}

#[test]
fn lists_the_certificate_and_accounts_are_looked_after_on_the_system_page() {
    let server = isigurt_tests::free_address().to_string();
    let lists = format!(
        "private_lists = true\n[[lists]]\nid = \"family\"\nurl = \"http://{server}/f.txt\"\nformat = \"domains\"\n"
    );
    let (mut house, _) = House::claimed(&lists);
    run("system", &[("ISIGURT_LISTS", &server)], &mut house, "");
}

#[test]
fn notifications_are_shown_by_a_phone_and_a_desktop_or_it_is_said_why_not() {
    let rest = "[http]\nauthorities = \"{dir}/push.pem\"\n[push]\nprivate = true\n\
        [[lists]]\nid = \"harm\"\nurl = \"{dir}/harm\"\nformat = \"domains\"\ncategory = \"self-harm\"\n";
    let (certificate, key) = isigurt_tests::self_signed(&["127.0.0.1"]);
    let files = [
        ("harm", "harm.example\n"),
        ("push.pem", &certificate),
        ("push.key", &key),
    ];
    let (mut house, mut ana) = House::with_files(rest, &files).claim();
    let policy = serde_json::json!({
        "settings": { "default_profile": "household" },
        "profile": [{ "name": "household" }, { "name": "Era", "categories": ["self-harm"] }],
        "device": [{ "name": "Era's tablet", "match": ["ip:127.0.0.3"], "profile": "Era" }],
    });
    assert_eq!(ana.ask("PUT", "/policy", &policy).status, 200);
    let folder = house.gateway.folder.path().to_str().unwrap().to_owned();
    run("push", &[("ISIGURT_PUSH", &folder)], &mut house, "");
}

#[test]
fn an_account_gets_a_new_password_ends_its_sessions_and_has_a_second_step() {
    with_ana("own");
}

#[test]
fn staff_get_their_groups_and_cards_their_photos() {
    with_ana("school");
}

#[test]
fn nothing_is_lost_where_something_goes_wrong() {
    with_ana("trouble");
}

#[test]
fn the_log_is_followed_and_explained() {
    with_ana("activity");
}

/// Rows of a long log; `ISIGURT_ROWS=1000000` makes it as long as the bar asks, which takes some minutes.
const ROWS: usize = 60_000;

#[test]
fn a_long_log_is_scrolled_from_end_to_end_and_the_page_stays_small() {
    let asked = std::env::var("ISIGURT_ROWS").ok();
    let rows = asked.map_or(ROWS, |rows| rows.parse().expect("ISIGURT_ROWS is a number"));
    let (mut house, _) = House::claimed("");
    let began = std::time::Instant::now();
    flood(house.gateway.address, rows);
    println!("{rows} queries asked in {:.0} s", began.elapsed().as_secs_f64());
    run("long", &[("ISIGURT_ROWS", &rows.to_string())], &mut house, "");
}

/// Asks for blocked names of two sites in turns, so that each query is a row of its own.
fn flood(to: std::net::SocketAddr, queries: usize) {
    let socket = std::net::UdpSocket::bind("127.0.0.5:0").unwrap();
    let patience = std::time::Duration::from_millis(500);
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut answer = [0; 1232];
    for number in 0..queries {
        let site = ["bet365.com", "pokerstars.com"][number % 2];
        let packet = isigurt_tests::query(&format!("n{number}.{site}"), 1);
        socket.send_to(&packet, to).unwrap();
        if number % 32 == 31 {
            for _ in 0..32 {
                let _ = socket.recv(&mut answer); // one that is lost is one row less
            }
        }
        if number % 4096 == 4095 {
            std::thread::sleep(std::time::Duration::from_millis(60)); // what the log cannot take it leaves out
        }
    }
}
