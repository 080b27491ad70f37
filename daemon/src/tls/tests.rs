use rcgen::{CertificateParams, KeyPair};

use super::*;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn config(text: &str, folder: &Path) -> Config {
    let text = format!("state_dir = \"{}\"\n{text}", folder.join("state").display());
    Config::parse(&text, &folder.join("g.toml")).unwrap().0
}

/// A certificate for these names, valid from and until these years.
fn issue(folder: &Path, names: &[&str], years: (i32, i32)) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

const BOTH: &str =
    "[dns.tls]\nhostname = \"gateway.example\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

#[test]
fn without_a_configured_certificate_one_is_made_and_kept_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = config("[web]\nhttps = [\"192.0.2.7:8443\"]", folder.path());
    let names = vec![
        "Router".to_owned(),
        "isigurt.home.arpa.".to_owned(),
        "no name".to_owned(),
    ];
    let first = Certificates::open(&config, names.clone(), NOW).unwrap();
    let view = first.view();
    assert_eq!(
        view.names,
        ["192.0.2.7", "isigurt.home.arpa", "localhost", "router"]
    );
    assert!(!view.configured && !first.trusted(NOW));
    assert_eq!(
        first.problem(NOW + 1000 * DAY),
        None,
        "it is renewed, not complained of"
    );
    let file = folder.path().join("state/tls/own.pem");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let again = Certificates::open(&config, names.clone(), NOW + DAY).unwrap();
    assert_eq!(again.view(), view, "browsers are not asked again");
    let more = [names, vec!["filter.example".to_owned()]].concat();
    let other = Certificates::open(&config, more, NOW).unwrap();
    assert_ne!(other.view().fingerprint, view.fingerprint);
}

#[test]
fn the_own_certificate_is_renewed_before_it_expires_and_where_the_clock_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("", folder.path());
    let held = Certificates::open(&config, Vec::new(), 1000).unwrap();
    assert!(held.renew(NOW).unwrap(), "made in 1970");
    let view = held.view();
    assert!(view.valid_from < NOW && NOW + 390 * DAY < view.valid_until);
    assert!(!held.renew(NOW + 300 * DAY).unwrap());
    assert!(held.renew(NOW + 380 * DAY).unwrap());
    assert_ne!(held.view().fingerprint, view.fingerprint);
}

#[test]
fn a_damaged_own_certificate_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("", folder.path());
    let view = Certificates::open(&config, Vec::new(), NOW).unwrap().view();
    let file = folder.path().join("state/tls/own.pem");
    let text = std::fs::read_to_string(&file).unwrap();
    for damaged in ["", &text[..text.len() / 2], &text.replace("BEGIN P", "BEGIN Q")] {
        std::fs::write(&file, damaged).unwrap();
        let next = Certificates::open(&config, Vec::new(), NOW).unwrap().view();
        assert_ne!(next.fingerprint, view.fingerprint);
    }
}

#[test]
fn a_configured_certificate_is_trusted_while_it_is_valid_and_complained_of_before_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path(), &["*.example", "192.0.2.1"], (2026, 2027));
    let config = config(BOTH, folder.path());
    let held = Certificates::open(&config, Vec::new(), NOW).unwrap();
    let until = held.view().valid_until;
    assert!(held.view().configured && held.trusted(until - 1) && !held.trusted(until + 1));
    assert_eq!(held.problem(until - 15 * DAY), None);
    assert!(
        held.problem(until - 13 * DAY)
            .unwrap()
            .contains("expires on 2027-01-01")
    );
    assert!(held.problem(until + 1).unwrap().contains("expired on 2027-01-01"));
    assert!(held.problem(0).unwrap().contains("is the clock right?"));
    assert!(
        !held.renew(until + DAY).unwrap(),
        "it is not the gateway's to renew"
    );
    assert!(
        !folder.path().join("state").exists(),
        "nothing of its own is made"
    );
}

#[test]
fn a_wrong_pair_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let said = |config: &Config| {
        let error = check(config, NOW).unwrap_err().to_string();
        error.replace(&dir.display().to_string(), "DIR")
    };
    let config = config(BOTH, dir);
    assert!(said(&config).starts_with("[dns.tls] certificate DIR/cert.pem: cannot be read: No such file"));
    issue(dir, &["gateway.example"], (2026, 2036));
    assert_eq!(check(&config, NOW).unwrap(), None);
    let key = std::fs::read(dir.join("key.pem")).unwrap();
    issue(dir, &["gateway.example"], (2026, 2036));
    std::fs::write(dir.join("key.pem"), key).unwrap();
    assert_eq!(
        said(&config),
        "[dns.tls] key DIR/key.pem: it does not belong to the certificate DIR/cert.pem; name the key that the certificate was made for"
    );
    issue(dir, &["other.example", "sub.gateway.example"], (2026, 2036));
    assert_eq!(
        said(&config),
        "[dns.tls] certificate DIR/cert.pem: it is for other.example, sub.gateway.example, not for hostname \"gateway.example\"; correct one of them"
    );
    let swap = std::fs::read(dir.join("cert.pem")).unwrap();
    std::fs::write(dir.join("key.pem"), &swap).unwrap();
    assert!(said(&config).contains("key DIR/key.pem: no private key is in it"));
    std::fs::write(
        dir.join("cert.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(said(&config).contains("certificate DIR/cert.pem: the first certificate in it is damaged"));
    for nothing in ["", "<html>", "\u{0}\u{0}"] {
        std::fs::write(dir.join("cert.pem"), nothing).unwrap();
        assert!(
            said(&config).contains("certificate DIR/cert.pem: no certificate is in it"),
            "{nothing:?}"
        );
    }
    std::fs::write(dir.join("cert.pem"), vec![b'a'; 2 << 20]).unwrap();
    assert!(said(&config).contains("larger than 1 MiB"));
}
