//! Who asks and what applies: a policy applied to a running gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use isigurt_tests::{Authority, Gateway};

const LISTS: &str = "[[lists]]\nid = \"a\"\nurl = \"{dir}/adult\"\nformat = \"domains\"\ncategory = \"adult\"\n\
    [[lists]]\nid = \"g\"\nurl = \"{dir}/games\"\nformat = \"domains\"\ncategory = \"games\"\n";

const POLICY: &str = r#"
[settings]
default_profile = "guest"

[[profile]]
name = "guest"
categories = ["adult"]

[[profile]]
name = "child"
categories = ["adult", "games"]
allow = ["=school.games.example", "good.adult.example"]
deny = ["chat.example", "/^ads[0-9]+\\./"]

[[profile]]
name = "exam"
default = "deny"
allow = ["school.example"]

[[profile]]
name = "adult"
bypass_protection = false

[[device]]
name = "Ana's tablet"
match = ["ip:127.0.0.2"]
profile = "child"

[[device]]
name = "classroom"
match = ["cidr:127.0.3.0/24"]
profile = "exam"

[[device]]
name = "teacher's desk"
match = ["ip:127.0.3.9"]
profile = "adult"
"#;

fn gateway(authority: &Authority) -> Gateway {
    let files = [("adult", "adult.example\n"), ("games", "games.example\n")];
    Gateway::start(authority.address, "", LISTS, &files)
}

fn apply(gateway: &Gateway, text: &str, more: &[&str]) -> (bool, String) {
    let file = gateway.folder.path().join("new-policy.toml");
    std::fs::write(&file, text).unwrap();
    let output = gateway.command(&[&["policy", "apply", file.to_str().unwrap()][..], more].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn each_device_has_its_profile_as_soon_as_a_policy_is_applied() {
    let authority = Authority::start();
    let mut gateway = gateway(&authority);
    // Before: one profile for everybody, with the categories of all lists.
    assert!(!gateway.gets("127.0.0.1", "games.example") && !gateway.gets("127.0.0.2", "games.example"));
    let exported = gateway.command(&["policy", "export"]);
    let exported = String::from_utf8(exported.stdout).unwrap();
    assert!(
        exported.contains("name = \"household\"") && exported.contains("\"games\""),
        "{exported}"
    );

    let (done, said) = apply(&gateway, POLICY, &["--dry-run"]);
    assert!(
        done && said.contains("+name = \"child\"") && said.contains("not applied"),
        "{said}"
    );
    assert!(
        !gateway.gets("127.0.0.1", "games.example"),
        "a dry run changes nothing"
    );
    let (done, said) = apply(&gateway, POLICY, &[]);
    assert!(done && said.ends_with("in force\n"), "{said}");
    let (done, said) = apply(&gateway, POLICY, &[]);
    assert!(done && said == "nothing changes\n", "{said}");

    let check = |gateway: &Gateway| {
        for (client, name, free) in [
            ("127.0.0.1", "games.example", true),
            ("127.0.0.1", "www.adult.example", false),
            ("127.0.0.2", "games.example", false),
            ("127.0.0.2", "school.games.example", true),
            ("127.0.0.2", "www.school.games.example", false),
            ("127.0.0.2", "www.good.adult.example", true),
            ("127.0.0.2", "chat.example", false),
            ("127.0.0.2", "ads7.example", false),
            ("127.0.0.2", "ads.example", true),
            ("127.0.3.1", "school.example", true),
            ("127.0.3.1", "other.example", false),
            ("127.0.3.9", "other.example", true),
            ("127.0.3.9", "adult.example", true),
        ] {
            assert_eq!(gateway.gets(client, name), free, "{client} {name}");
        }
    };
    check(&gateway);
    // After a reload and after a restart it is the same.
    gateway.signal("HUP");
    gateway.wait_for_log("reloaded", 1);
    check(&gateway);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    check(&gateway);

    let why = |arguments: &[&str]| {
        let output = gateway.command(&[&["why"][..], arguments].concat());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    for more in [&[][..], &["--offline"][..]] {
        let why = |arguments: &[&str]| why(&[arguments, more].concat());
        assert!(why(&["games.example"]).contains("allowed (profile guest)"));
        let tablet = why(&["games.example", "--device", "Ana's tablet"]);
        assert!(
            tablet.contains("blocked (profile child)") && tablet.contains("category: games"),
            "{tablet}"
        );
        let desk = why(&["x.example", "--device", "127.0.3.9"]);
        assert!(desk.contains("allowed (profile adult)"), "{desk}");
        let ads = why(&["ads7.example", "--profile", "child"]);
        assert!(ads.contains("deny = \"/^ads"), "{ads}");
        let exam = why(&["x.example", "--profile", "exam"]);
        assert!(exam.contains("default = \"deny\""), "{exam}");
        assert!(why(&["x.example", "--profile", "none"]).contains("there is no profile \"none\""));
        assert!(why(&["x.example", "--device", "none"]).contains("there is no device \"none\""));
    }
}

#[test]
fn a_policy_that_cannot_be_enforced_changes_nothing_and_says_why() {
    let authority = Authority::start();
    let gateway = gateway(&authority);
    let child = "[[profile]]\nname = \"child\"\ncategories = [\"games\"]\n";
    let device = |name: &str, mark: &str| {
        format!("[[device]]\nname = \"{name}\"\nmatch = [\"{mark}\"]\nprofile = \"child\"\n")
    };
    let one_wrong_line = (0..5000).fold(child.to_owned(), |text, number| {
        let (high, low) = (number / 250, number % 250);
        let low = if number == 2500 { 300 } else { low };
        let high = if number == 2500 { 9 } else { high };
        text + &device(&format!("d{number}"), &format!("ip:10.0.{high}.{low}"))
    });
    for (text, reason) in [
        ("", "no [[profile]]"),
        ("[[profile]]\n", "name"),
        (
            "[[profile]]\nname = \"a\"\nbedtime = \"21:00\"\n",
            "unknown field `bedtime`",
        ),
        (
            "[[profile]]\nname = \"a\"\ncategories = [\"gamez\"]\n",
            "there is no category \"gamez\"",
        ),
        (
            "[[profile]]\nname = \"a\"\nservices = [\"tiktoc\"]\n",
            "there is no service \"tiktoc\"",
        ),
        ("[[profile]]\nname = \"a\"\nallow = [\"a..b\"]\n", "a..b"),
        ("[[profile]]\nname = \"a\"\ndeny = [\"/(/\"]\n", "profile \"a\""),
        ("[[profile]]\nname = \"a\"\ndefault = \"maybe\"\n", "maybe"),
        (&format!("{child}{child}"), "two profiles are named \"child\""),
        (
            &format!("{child}[[profile]]\nname = \"b\"\n"),
            "default_profile is needed",
        ),
        (
            &format!("[settings]\ndefault_profile = \"x\"\n{child}"),
            "no profile \"x\"",
        ),
        (
            &format!("{child}[[device]]\nname = \"d\"\nmatch = []\nprofile = \"x\"\n"),
            "no profile \"x\"",
        ),
        (
            &format!("{child}[[device]]\nname = \"d\"\nmatch = [\"10.0.0.1\"]\nprofile = \"child\"\n"),
            "\"10.0.0.1\" is not",
        ),
        (
            &format!(
                "{child}{}{}",
                device("d", "mac:aa:bb:cc:dd:ee:ff"),
                device("e", "mac:AA-BB-CC-DD-EE-FF")
            ),
            "line 10: device \"e\": mac:AA-BB-CC-DD-EE-FF is the mark of device \"d\" already",
        ),
        (
            &format!(
                "{child}{}{}",
                device("d", "ip:10.0.0.1"),
                device("e", "ip:::ffff:10.0.0.1")
            ),
            "device \"d\" already",
        ),
        (
            &format!(
                "{child}[[profile.schedule]]\npreset = \"bedtime\"\n[[profile.schedule]]\nmode = \"no-services\"\nfrom = \"20:00\"\nto = \"22:00\"\n"
            ),
            "hold at the same hour",
        ),
        (
            &format!("[settings]\ntime_zone = \"Europe/Atlantis\"\n{child}"),
            "time_zone",
        ),
        (
            &format!("{child}deny = [\"/((a{{500}}){{500}}){{50}}/\"]\n"),
            "line 4: profile \"child\": /((a{500}){500}){50}/",
        ),
        (&one_wrong_line, "line 10006: device \"d2500\": \"ip:10.0.9.300\""),
    ] {
        let (done, said) = apply(&gateway, text, &[]);
        assert!(!done && said.contains(reason), "{text}\n{said}");
    }
    assert!(
        !gateway.gets("127.0.0.1", "adult.example"),
        "the first policy stands"
    );
    let exported = gateway.command(&["policy", "export"]);
    assert!(String::from_utf8_lossy(&exported.stdout).contains("household"));
}
