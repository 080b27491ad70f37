//! Who is who: devices by what lease files tell of an address, and devices from a spreadsheet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use isigurt_tests::{Authority, Gateway, has_address, program, query, wait_for};

fn gets(gateway: &Gateway, client: &str, name: &str) -> bool {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.send_to(&query(name, 1), gateway.address).unwrap();
    let mut answer = [0; 1232];
    let (length, _) = socket.recv_from(&mut answer).expect("an answer");
    !has_address(&answer[..length], [0; 4])
}

fn says(gateway: &Gateway, arguments: &[&str], well: bool) -> String {
    let output = gateway.command(arguments);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.success(), well, "{arguments:?}: {said}");
    said
}

const PROFILES: &str = "[settings]\ndefault_profile = \"adult\"\n[[profile]]\nname = \"adult\"\n\
    [[profile]]\nname = \"child\"\ncategories = [\"games\"]\n";

#[test]
fn a_device_keeps_its_profile_whatever_address_it_gets() {
    let itself = std::env::current_exe().unwrap();
    // As root, else as the root of a user namespace.
    let ways = [&["--net"][..], &["--user", "--map-root-user", "--net"]];
    let permitted = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .args(["ip", "link", "set", "lo", "up"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(permitted) else {
        return eprintln!("skipped: network namespaces are not permitted here, or iproute2 is missing");
    };
    program("isigurtd"); // built out here
    let inside = Command::new("unshare")
        .args(*way)
        .arg(itself)
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
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
        assert!(
            Command::new("ip")
                .args(arguments.split(' '))
                .status()
                .unwrap()
                .success(),
            "ip {arguments}"
        );
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
    says(&gateway, &["policy", "apply", policy.to_str().unwrap()], true);
    for device in [
        ["Ana's tablet", "mac:AA-BB-CC-00-00-01"],
        ["Ben", "hostname:ben-pc"],
    ] {
        let [name, mark] = device;
        says(
            &gateway,
            &["device", "add", name, "--match", mark, "--profile", "child"],
            true,
        );
    }
    for client in ["10.7.0.2", "10.7.0.3"] {
        wait_for("the leases", || !gets(&gateway, client, "games.example"));
    }
    assert!(gets(&gateway, "10.7.0.4", "games.example"));
    let list = says(&gateway, &["device", "list"], true);
    assert!(
        list.contains("Ana's tablet [child] mac:AA-BB-CC-00-00-01: 10.7.0.2"),
        "{list}"
    );
    let why = says(&gateway, &["why", "games.example", "--device", "10.7.0.3"], true);
    assert!(why.contains("blocked (profile child)"), "{why}");
    let log = says(&gateway, &["log", "--device", "Ana's tablet"], true);
    assert!(log.contains("[Ana's tablet, child]"), "{log}");

    // The tablet gets another address; its old one goes to somebody else.
    let second =
        lease("aa:bb:cc:00:00:01", "10.7.0.4", "tablet") + &lease("aa:bb:cc:00:00:09", "10.7.0.2", "guest");
    std::fs::write(gateway.folder.path().join("leases"), second).unwrap();
    wait_for("the new lease", || !gets(&gateway, "10.7.0.4", "games.example"));
    assert!(gets(&gateway, "10.7.0.2", "games.example"));
    wait_for("what it asked first", || {
        let list = says(&gateway, &["device", "list"], true);
        list.contains("unknown: 10.7.0.2 aa:bb:cc:00:00:09")
            && list.contains("guest, asked first for games.example")
    });
    says(
        &gateway,
        &["device", "add", "x", "--match", "mac:zz", "--profile", "child"],
        false,
    );
    says(
        &gateway,
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
    says(&gateway, &["policy", "apply", &policy], true);
    let right = file(
        "right.csv",
        "\u{feff}Emri;Profili;IP\nAna;child;127.0.0.2\n\"Ben; PC\";child;127.0.0.3\n",
    );
    let said = says(&gateway, &["device", "import", &right, "--dry-run"], true);
    assert!(said.contains("2 added") && said.contains("dry run"), "{said}");
    assert!(
        gets(&gateway, "127.0.0.2", "games.example"),
        "a dry run changes nothing"
    );
    let said = says(&gateway, &["device", "import", &right], true);
    assert!(said.contains("+ Ben; PC") && said.contains("in force"), "{said}");
    assert!(!gets(&gateway, "127.0.0.2", "games.example") && !gets(&gateway, "127.0.0.3", "games.example"));
    let wrong = file(
        "wrong.csv",
        "name,profile,ip\nCal,child,127.0.0.4\nDea,nobody,127.0.0.5\n",
    );
    let said = says(&gateway, &["device", "import", &wrong], false);
    assert!(said.contains("line 3, column 2"), "{said}");
    assert!(
        gets(&gateway, "127.0.0.4", "games.example"),
        "nothing of it is taken"
    );
    let changed = file(
        "changed.csv",
        "name,profile,ip\nAna,adult,127.0.0.2\nBen; PC,child,127.0.0.3\n",
    );
    let said = says(&gateway, &["device", "import", &changed], true);
    assert!(said.contains("0 added, 1 changed, 1 as they were"), "{said}");
    assert!(gets(&gateway, "127.0.0.2", "games.example"));
    let said = says(&gateway, &["profile", "list"], true);
    assert!(
        said.contains("child: 1 device(s)") && said.contains("adult: 1 device(s), and whoever"),
        "{said}"
    );
}
