//! Good files, and what is said about bad ones.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("g.toml"))
        .map(|(config, _)| config)
        .map_err(|problem| problem.to_string())
}

#[test]
fn an_empty_file_is_an_installed_gateway() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.dns.listen.len(), 2);
    assert_eq!(Config::try_out().dns.listen, ["127.0.0.1:5353".parse().unwrap()]);
}

#[test]
fn every_key_of_the_manual_is_known() {
    let text = include_str!("../../../systemd/isigurtd.toml");
    let whole: String = text
        .lines()
        .map(|line| line.strip_prefix("#:").unwrap_or(line).to_owned() + "\n")
        .collect();
    let config = parse(&whole).unwrap();
    assert_eq!(config.upstream.zones.len(), 1);
    assert_eq!(config.local.records.len(), 1);
    assert_eq!(config.lists[0].category.as_deref(), Some("adult"));
    assert!(config.dns.tls.is_some() && config.platform.is_some() && config.metrics.is_some());
    assert!(parse(text).is_ok(), "the sample as shipped");
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_mistake_names_its_place_and_what_was_expected() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        (
            "[dns]\nbloc_answer = \"null\"",
            "g.toml:2:1: unknown key \"bloc_answer\"; did you mean \"block_answer\"?",
        ),
        (
            "stat_dir = \"/x\"",
            "g.toml:1:1: unknown key \"stat_dir\"; did you mean \"state_dir\"?",
        ),
        (
            "[dsn]\n",
            "g.toml:1:2: unknown key \"dsn\"; did you mean \"dns\"?",
        ),
        (
            "[dns]\nlisten = [\"127.0.0.1\"]",
            "g.toml:2:11: listen: an address and a port are expected, such as \"0.0.0.0:53\"",
        ),
        (
            "[dns]\nlisten = []",
            "g.toml:2:1: listen: at least one address to listen on is expected",
        ),
        (
            "[dns]\nblock_answer = \"nul\"",
            "g.toml:2:16: block_answer: \"nul\" is unknown; expected one of null, nxdomain, nodata, page, refused; did you mean \"null\"?",
        ),
        (
            "[dns]\nblock_ttl = \"10\"",
            "g.toml:2:13: block_ttl: a whole number without quotation marks is expected, not string \"10\"",
        ),
        (
            "[dns]\nblock_ttl = -1",
            "g.toml:2:13: block_ttl: a whole number without quotation marks is expected, not number \"-1\"",
        ),
        (
            "[dns]\nlisten = \"0.0.0.0:53\"",
            "g.toml:2:10: listen: a list, in [ ] is expected, not string \"0.0.0.0:53\"",
        ),
        (
            "[dns]\nlisten = [\n  \"0.0.0.0:53\",\n  \"0.0.0.0\",\n]",
            "g.toml:4:3: listen: an address and a port",
        ),
        (
            "[dns]\nblock_ttl = 90000",
            "g.toml:2:1: block_ttl: 0 to 86400 seconds are expected",
        ),
        (
            "[dns]\nallow_from = [\"10.0.0.0/33\"]",
            "g.toml:2:14: allow_from: \"10.0.0.0/33\" is not a network",
        ),
        (
            "[dns.cache]\nserve_stale = \"1 week\"",
            "g.toml:2:15: serve_stale: \"1 week\" is not a span of time",
        ),
        (
            "[dns.cache]\nmin_ttl = 9\nmax_ttl = 1",
            "g.toml:2:1: min_ttl: min_ttl is greater than max_ttl",
        ),
        (
            "[upstream]\nservers = [\"tls://9.9.9.9\"]",
            "g.toml:2:11: servers: tls:// servers need encrypted transports",
        ),
        (
            "[upstream]\nservers = [\"udp://dns.example\"]",
            "g.toml:2:11: servers: \"dns.example\" is not an IP address",
        ),
        (
            "[upstream]\nservers = [\"ftp://192.0.2.1\"]",
            "g.toml:2:11: servers: unknown scheme \"ftp\"",
        ),
        (
            "[upstream]\ntimeout_ms = 1",
            "g.toml:2:1: timeout_ms: 50 to 60000 milliseconds are expected",
        ),
        (
            "[dns]\nlisten = [\"127.0.0.1:53\"]\n[upstream]\nservers = [\"127.0.0.1\"]",
            "queries would loop",
        ),
        (
            "[[lists]]\nid = \"a/b\"\nurl = \"x\"",
            "g.toml:2:6: id: \"a/b\" is not a list id",
        ),
        (
            "[[lists]]\nid = \"a\"\nurl = \"ftp://x.example/l\"",
            "g.toml:3:7: url: unknown scheme \"ftp\"; expected https://… or file:///path",
        ),
        ("[[lists]]\nid = \"a\"\n", "missing field \"url\""),
        (
            "[platform]\nurl = \"lists.example\"\nroot = \"r\"",
            "g.toml:2:1: url: \"lists.example\" is no address; expected such as",
        ),
        (
            "[http]\nproxy = \"192.168.1.2:3128\"",
            "g.toml:2:1: proxy: this is no address",
        ),
        (
            "[http]\npatience = \"0s\"",
            "g.toml:2:1: patience: more than nothing",
        ),
        (
            "[[lists]]\nid = \"a\"\nurl = \"x\"\nformat = \"host\"",
            "g.toml:4:10: format: \"host\" is unknown",
        ),
        (
            "[[lists]]\nid = \"a\"\nurl = \"x\"\n[[lists]]\nid = \"a\"\nurl = \"y\"",
            "two lists have the id \"a\"",
        ),
        (
            "[local]\nrecords = [\"nas.home.arpa. 300 IN A x\"]",
            "g.toml:2:11: records: \"nas.home.arpa. 300 IN A x\": \"x\" is not an IPv4 address",
        ),
        (
            "[[upstream.zone]]\nzones = [\"a..b\"]\nservers = [\"192.0.2.1\"]",
            "g.toml:2:9: zones: empty label",
        ),
        ("[dns\n", "g.toml:1:"),
        (
            "[log]\nqueries = \"all\"",
            "queries: \"all\" is unknown; expected one of full, anonymous, blocked-only, off",
        ),
        ("[settings]\nsite = \"hotel\"", "site: \"hotel\" is unknown"),
    ] {
        let error = parse(text).expect_err(text);
        if !error.contains(expected) {
            wrong.push(format!("{text:?}\n  said:     {error}\n  expected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_read_but_not_acted_on_is_said() {
    let (_, warnings) = Config::parse("[upstream]\ndnssec = \"validate\"\n", Path::new("g.toml")).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].line, 2);
    let (_, warnings) = Config::parse("[upstream]\ndnssec = \"off\"\n", Path::new("g.toml")).unwrap();
    assert!(warnings.is_empty());
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "(\\PC|\n){0,200}") {
        let _ = parse(&text);
    }
}
