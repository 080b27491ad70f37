//! Confirmed names leave in the field's forms; mandatory ones only into a private file, with a warning.
// A failure here is a failed test, and says so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use isigurt_tests::Platform;
use isigurt_wire::report::Kind;
use serde_json::Value;

/// A platform with one confirmed name in each list.
fn platform() -> Platform {
    let platform = Platform::start("");
    platform.add_analyst("ben");
    for (kind, name, list) in [
        (Kind::AbuseMaterial, "bad.test", "abuse"),
        (Kind::Gambling, "casino.test", "gambling"),
    ] {
        platform.report(kind, name, None);
        let cases = platform.data("ana", &["list", "--names"]);
        let case = cases
            .as_array()
            .unwrap()
            .iter()
            .find(|case| case["name"] == name)
            .unwrap();
        let case = case["case"].as_str().unwrap();
        platform.says("ana", &["confirm", case, "--list", list], true);
        if list == "abuse" {
            platform.says("ben", &["confirm", case, "--list", list], true);
        }
    }
    platform
}

/// `export …` by ana: whether it succeeded, and what it said.
fn export(platform: &Platform, arguments: &[&str]) -> (bool, String) {
    let key = platform.file("ana.key");
    let output = platform.command(&[&["export", "--key", key.to_str().unwrap()][..], arguments].concat());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), said)
}

fn exported(platform: &Platform, form: &str) -> String {
    let file = platform.file(&format!("out.{form}"));
    let (well, said) = export(
        platform,
        &["--form", form, "--mandatory", "--out", file.to_str().unwrap()],
    );
    assert!(well && said.contains("WARNING"), "{said}");
    assert!(!said.contains("bad.test"), "{said}");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::read_to_string(&file).unwrap()
}

#[test]
fn mandatory_names_never_reach_a_terminal_and_never_overwrite_a_file() {
    let platform = platform();
    let (well, said) = export(&platform, &["--form", "csv", "--out", "-"]);
    assert!(
        well && said.contains("casino.test") && !said.contains("bad.test"),
        "{said}"
    );
    let (well, said) = export(&platform, &["--form", "csv", "--mandatory", "--out", "-"]);
    assert!(
        !well && said.contains("never printed") && !said.contains("bad.test"),
        "{said}"
    );
    let text = exported(&platform, "csv");
    assert!(
        text.contains("bad.test") && text.contains("casino.test"),
        "{text}"
    );
    let file = platform.file("out.csv");
    let (well, said) = export(
        &platform,
        &["--form", "csv", "--mandatory", "--out", file.to_str().unwrap()],
    );
    assert!(!well && said.contains("new file"), "{said}");
    // Who exported how much is in the trail.
    let trail = platform.data("ben", &["audit"]);
    let last = trail["acts"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["verb"], &last["names"], &last["mandatory"]),
        (&"export".into(), &2.into(), &true.into())
    );
}

#[test]
fn json_and_stix_hold_the_same_names() {
    let platform = platform();
    let table: Value = serde_json::from_str(&exported(&platform, "json")).unwrap();
    let items = table["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let bundle: Value = serde_json::from_str(&exported(&platform, "stix")).unwrap();
    for item in items {
        let pattern = format!("[domain-name:value = '{}']", item["value"].as_str().unwrap());
        assert!(
            bundle["objects"]
                .as_array()
                .unwrap()
                .iter()
                .any(|object| object["pattern"] == pattern.as_str())
        );
    }
}

/// The field's own reader of STIX; installed below `target` where `cargo xtask test` has prepared it.
const READER: &str = "import json, sys, stix2\n\
bundle = stix2.parse(open(sys.argv[1]).read(), allow_custom=False, version='2.1')\n\
print(sorted(o.pattern for o in bundle.objects if o.type == 'indicator'))\n";

#[test]
fn the_fields_own_reader_takes_the_stix_bundle() {
    let platform = platform();
    exported(&platform, "stix");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/stix2/bin/python");
    let python = if python.is_file() {
        python
    } else {
        "python3".into()
    };
    let output = Command::new(&python)
        .args(["-c", READER])
        .arg(platform.file("out.stix"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !said.contains("No module named"),
        "stix2 is missing: cargo xtask test installs it"
    );
    assert!(output.status.success(), "{said}");
    let read = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        read.contains("bad.test") && read.contains("casino.test"),
        "{read}"
    );
}

/// Holds a document against the schema of RFC 7970 (`data/iodef/SOURCE.md`), and prints the names in it. Nothing is fetched. Of the
/// schema itself only what it takes from RFC 7203 may be missing.
const VALIDATOR: &str = "import sys, warnings, xmlschema\n\
warnings.simplefilter('ignore')\n\
enum = ('urn:ietf:params:xml:ns:iodef-enum-1.0', sys.argv[1] + '/iodef-enum-1.0.xsd')\n\
schema = xmlschema.XMLSchema10(sys.argv[1] + '/iodef-2.0.xsd', validation='lax', allow='local', locations=[enum])\n\
assert all('iodef-sci-1.0' in str(error) for error in schema.all_errors), schema.all_errors\n\
wrong = [error.reason for error in schema.iter_errors(sys.argv[2])]\n\
assert not wrong, wrong\n\
n = '{urn:ietf:params:xml:ns:iodef-2.0}'\n\
root = xmlschema.XMLResource(sys.argv[2]).root\n\
print([e.text for e in root.iter(n + 'Name')], [e.get('name') for e in root.iter(n + 'IncidentID')])\n";

/// What the validator says of a file: whether it is valid, and the names, or what is wrong.
fn validated(file: &Path) -> (bool, String) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/xmlschema/bin/python");
    let python = if python.is_file() {
        python
    } else {
        "python3".into()
    };
    let output = Command::new(&python)
        .args(["-c", VALIDATOR])
        .arg(here.join("data/iodef"))
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(
        !said.contains("No module named"),
        "xmlschema is missing: cargo xtask test installs it"
    );
    (output.status.success(), said)
}

#[test]
fn iodef_is_valid_by_the_schema_of_its_rfc_and_names_each_once() {
    let platform = platform();
    let text = exported(&platform, "iodef");
    let (valid, said) = validated(&platform.file("out.iodef"));
    assert!(valid, "{said}\n{text}");
    assert!(
        said.matches("bad.test").count() == 1 && said.matches("casino.test").count() == 1,
        "{said}"
    );
    // The maker is named by a domain of its own (RFC 7970, section 3.4).
    assert_eq!(said.matches("'platform.isigurt.example'").count(), 2, "{said}");
    // The validator is one: whatever is not in the schema is found.
    for (right, wrong, says) in [
        ("block-host", "block-hosts", "action"),
        ("restriction=\"red\"", "restriction=\"secret\"", "restriction"),
        ("<DetectTime>", "<DetectTime>the ", "datetime"),
        (
            "<GenerationTime>",
            "<StartTime>2026-01-01T00:00:00Z</StartTime>\n<GenerationTime>",
            "StartTime",
        ),
        (" type=\"organization\"", "", "type"),
    ] {
        let file = platform.file("wrong.iodef");
        std::fs::write(&file, text.replacen(right, wrong, 1)).unwrap();
        let (valid, said) = validated(&file);
        assert!(!valid && said.contains(says), "{wrong}: {said}");
    }
}

#[test]
fn without_a_domain_of_its_own_the_platform_writes_no_iodef() {
    let platform = platform();
    let config = platform.file("platform.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("domain = \"platform.isigurt.example\"\n", ""),
    )
    .unwrap();
    let file = platform.file("out.iodef");
    let (well, said) = export(&platform, &["--form", "iodef", "--out", file.to_str().unwrap()]);
    assert!(!well && said.contains("domain"), "{said}");
    assert!(!file.exists());
    let (well, said) = export(&platform, &["--form", "json", "--out", file.to_str().unwrap()]);
    assert!(well, "{said}");
}
