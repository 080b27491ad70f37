//! Who is who: devices by what lease files tell of an address, and devices from a spreadsheet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use isigurt_tests::namespace::{ip, run_inside};
use isigurt_tests::{Authority, Gateway, wait_for};

const PROFILES: &str = "[settings]\ndefault_profile = \"adult\"\n[[profile]]\nname = \"adult\"\n\
    [[profile]]\nname = \"child\"\ncategories = [\"games\"]\n";

#[test]
fn a_device_keeps_its_profile_whatever_address_it_gets() {
    run_inside("inside", "link set lo up");
}

#[test]
#[ignore = "run by the test above, inside a namespace"]
fn inside() {
    for arguments in [
        "link set lo up",
        "addr add 10.7.0.2/32 dev lo",
        "addr add 10.7.0.3/32 dev lo",
        "addr add 10.7.0.4/32 dev lo",
    ] {
        ip(arguments);
    }
    let authority = Authority::start();
    let rest = "[local]\nleases = [\"{dir}/leases\"]\n\
        [[lists]]\nid = \"g\"\nurl = \"{dir}/games\"\nformat = \"domains\"\ncategory = \"games\"\n";
    let lease = |mac: &str, address: &str, name: &str| format!("1999999999 {mac} {address} {name} *\n");
    let first =
        lease("aa:bb:cc:00:00:01", "10.7.0.2", "tablet") + &lease("aa:bb:cc:00:00:02", "10.7.0.3", "Ben-PC");
    let gateway = Gateway::start(
        authority.address,
        "",
        rest,
        &[("games", "games.example\n"), ("leases", &first)],
    );
    let policy = gateway.folder.path().join("new-policy.toml");
    std::fs::write(&policy, PROFILES).unwrap();
    gateway.says(&["policy", "apply", policy.to_str().unwrap()], true);
    for device in [
        ["Ana's tablet", "mac:AA-BB-CC-00-00-01"],
        ["Ben", "hostname:ben-pc"],
    ] {
        let [name, mark] = device;
        gateway.says(
            &["device", "add", name, "--match", mark, "--profile", "child"],
            true,
        );
    }
    for client in ["10.7.0.2", "10.7.0.3"] {
        wait_for("the leases", || !gateway.gets(client, "games.example"));
    }
    assert!(gateway.gets("10.7.0.4", "games.example"));
    let list = gateway.says(&["device", "list"], true);
    assert!(
        list.contains("Ana's tablet [child] mac:AA-BB-CC-00-00-01: 10.7.0.2"),
        "{list}"
    );
    let why = gateway.says(&["why", "games.example", "--device", "10.7.0.3"], true);
    assert!(why.contains("blocked (profile child)"), "{why}");
    let log = gateway.says(&["log", "--device", "Ana's tablet"], true);
    assert!(log.contains("[Ana's tablet, child]"), "{log}");

    // The tablet gets another address; its old one goes to somebody else.
    let second =
        lease("aa:bb:cc:00:00:01", "10.7.0.4", "tablet") + &lease("aa:bb:cc:00:00:09", "10.7.0.2", "guest");
    std::fs::write(gateway.folder.path().join("leases"), second).unwrap();
    wait_for("the new lease", || !gateway.gets("10.7.0.4", "games.example"));
    assert!(gateway.gets("10.7.0.2", "games.example"));
    wait_for("what it asked first", || {
        let list = gateway.says(&["device", "list"], true);
        list.contains("unknown: 10.7.0.2 aa:bb:cc:00:00:09")
            && list.contains("guest, asked first for games.example")
    });
    gateway.says(
        &["device", "add", "x", "--match", "mac:zz", "--profile", "child"],
        false,
    );
    gateway.says(
        &[
            "device",
            "add",
            "x",
            "--match",
            "ip:10.7.0.9",
            "--profile",
            "nobody",
        ],
        false,
    );
}

#[test]
fn a_spreadsheet_is_taken_whole_or_not_at_all() {
    let authority = Authority::start();
    let gateway = Gateway::start(
        authority.address,
        "",
        "[[lists]]\nid = \"g\"\nurl = \"{dir}/games\"\nformat = \"domains\"\ncategory = \"games\"\n",
        &[("games", "games.example\n")],
    );
    let file = |name: &str, text: &str| {
        let file = gateway.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let policy = file("new-policy.toml", PROFILES);
    gateway.says(&["policy", "apply", &policy], true);
    let right = file(
        "right.csv",
        "\u{feff}Emri;Profili;IP\nAna;child;127.0.0.2\n\"Ben; PC\";child;127.0.0.3\n",
    );
    let said = gateway.says(&["device", "import", &right, "--dry-run"], true);
    assert!(said.contains("2 added") && said.contains("dry run"), "{said}");
    assert!(
        gateway.gets("127.0.0.2", "games.example"),
        "a dry run changes nothing"
    );
    let said = gateway.says(&["device", "import", &right], true);
    assert!(said.contains("+ Ben; PC") && said.contains("in force"), "{said}");
    assert!(!gateway.gets("127.0.0.2", "games.example") && !gateway.gets("127.0.0.3", "games.example"));
    let wrong = file(
        "wrong.csv",
        "name,profile,ip\nCal,child,127.0.0.4\nDea,nobody,127.0.0.5\n",
    );
    let said = gateway.says(&["device", "import", &wrong], false);
    assert!(said.contains("line 3, column 2"), "{said}");
    assert!(
        gateway.gets("127.0.0.4", "games.example"),
        "nothing of it is taken"
    );
    let changed = file(
        "changed.csv",
        "name,profile,ip\nAna,adult,127.0.0.2\nBen; PC,child,127.0.0.3\n",
    );
    let said = gateway.says(&["device", "import", &changed], true);
    assert!(said.contains("0 added, 1 changed, 1 as they were"), "{said}");
    assert!(gateway.gets("127.0.0.2", "games.example"));
    let said = gateway.says(&["profile", "list"], true);
    assert!(
        said.contains("child: 1 device(s)") && said.contains("adult: 1 device(s), and whoever"),
        "{said}"
    );
}
