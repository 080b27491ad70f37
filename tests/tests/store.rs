//! What becomes of the household's policy when the state is damaged between two runs, as an owner sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use isigurt_tests::{Authority, Gateway};

const POLICY: &str = "[[profile]]\nname = \"all\"\ncategories = []\nservices = []\ndeny = [\"denied.example\"]\n\
                      [settings]\ndefault_profile = \"all\"\n";

fn with_policy(authority: &Authority) -> Gateway {
    let gateway = Gateway::start(authority.address, "", "", &[("policy.toml", POLICY)]);
    let file = gateway.folder.path().join("policy.toml");
    let applied = gateway.command(&["policy", "apply", file.to_str().unwrap()]);
    assert!(
        applied.status.success(),
        "{}",
        String::from_utf8_lossy(&applied.stderr)
    );
    gateway
}

fn problems(gateway: &Gateway) -> Vec<String> {
    let status = gateway.command(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let problems = status["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| problem.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_damaged_state_is_recovered_enforced_and_told() {
    let authority = Authority::start();
    let mut gateway = with_policy(&authority);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let state = gateway.folder.path().join("state");
    let file = state.join("db/db");
    let mut octets = std::fs::read(&file).unwrap();
    let used = octets.iter().rposition(|&octet| octet != 0).unwrap();
    octets[used / 2] ^= 1;
    std::fs::write(&file, octets).unwrap();

    gateway.restart();
    assert_eq!(gateway.dig(&["+short", "denied.example", "A"]).trim(), "0.0.0.0");
    let said = problems(&gateway);
    assert!(said[0].contains("state database was damaged"), "{said:?}");
    assert!(gateway.log().contains("ERROR"), "{}", gateway.log());
    let aside = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let aside: Vec<String> = aside.map(|name| name.into_string().unwrap()).collect();
    let aside = aside.iter().find(|name| name.starts_with("db.damaged-")).unwrap();
    assert!(
        said[0].contains(aside.as_str()) && state.join(aside).join("db").exists(),
        "{said:?}"
    );

    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    assert_eq!(problems(&gateway), [""; 0], "told in the run that found it");
    assert_eq!(gateway.dig(&["+short", "denied.example", "A"]).trim(), "0.0.0.0");
}
