//! The gateway syncs: the national lists as the platform publishes them, lists by URL, and what is shown of both.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::case_sensitive_file_extension_comparisons // paths of a repository
)]

#[path = "support/synced.rs"]
mod synced;

use std::time::Duration;

use isigurt_blocklists::read::hashed::{HashKey, Offline};
use isigurt_tests::{Mirror, Reply, Repository, Role};
use isigurt_wire::confirm::{Confirmation, Question};
use isigurt_wire::release::{Service, Software, Tier};
use synced::{Synced, ban, eventually, list};

#[test]
fn a_name_that_the_authority_publishes_is_blocked_and_one_that_it_withdraws_opens_again() {
    let others: Vec<String> = (0..200).map(|number| format!("other{number}.example")).collect();
    let with = |name: &'static str| {
        let names: Vec<&str> = others.iter().map(String::as_str).chain([name]).collect();
        list(&names)
    };
    let mut repository = Repository::new();
    repository.list(
        Role::Mandatory,
        "abuse",
        None,
        Tier::Clear,
        &with("banned.example"),
    );
    repository.publish();
    let synced = Synced::with(&repository, "");
    synced.blocks("banned.example");
    synced.blocks("deep.below.banned.example");
    assert!(synced.opens_now("good.example"));

    // The next version comes as a delta.
    repository.list(
        Role::Mandatory,
        "abuse",
        None,
        Tier::Clear,
        &with("second.example"),
    );
    repository.publish();
    synced.blocks("second.example");
    synced.opens("banned.example");
    let asked = synced.mirror.asked();
    assert!(
        asked.iter().any(|path| path.ends_with("1-2.delta.zst")),
        "{asked:?}"
    );
    assert!(
        !asked.iter().any(|path| path.ends_with("2.list.zst")),
        "{asked:?}"
    );
}

#[test]
fn a_category_list_of_the_editors_joins_its_category_and_a_household_may_open_it() {
    let mut repository = Repository::new();
    let text = list(&["bets.example"]);
    repository.list(Role::Categories, "bets", Some("gambling"), Tier::Clear, &text);
    repository.publish();
    let synced = Synced::with(&repository, "");
    synced.blocks("bets.example");
    let why = synced.gateway.says(&["why", "bets.example"], true);
    assert!(
        why.contains("category: gambling") && why.contains("categories/bets"),
        "{why}"
    );
}

#[test]
fn hashed_lists_block_what_they_do_not_name_and_nothing_shows_what_stands_in_the_mandatory_one() {
    let key = HashKey {
        key: [7; 32],
        bits: 128,
        offline: Offline::Allow,
    };
    let text = format!("{}{}\n", key.header(), key.line(b"secret.example", false));
    let mut repository = Repository::new();
    repository.list(Role::Mandatory, "abuse", None, Tier::Hashed, &text);
    repository.publish();
    let synced = Synced::with(&repository, "");
    synced.says("mandatory/abuse: 1 rules");
    assert!(synced.blocks_now("secret.example"));
    let why = synced.gateway.says(&["why", "www.secret.example"], true);
    assert!(
        why.contains("national list") && !why.contains(&key.line(b"secret.example", false)),
        "{why}"
    );
    let log = synced.gateway.says(&["log"], true);
    assert!(!log.contains("secret.example"), "{log}");
    assert!(log.contains("national list"), "{log}");
}

/// The household's own permission.
fn opens_for_children(synced: &Synced, name: &str) {
    let policy = synced.gateway.folder.path().join("new.toml");
    let text = format!("[[profile]]\nname = \"child\"\nallow = [\"{name}\"]\n");
    std::fs::write(&policy, text).unwrap();
    synced
        .gateway
        .says(&["policy", "apply", policy.to_str().unwrap()], true);
}

#[test]
fn no_alias_and_no_permission_leads_to_the_mandatory_list_and_nothing_shows_where_it_would_have_led() {
    let mut repository = Repository::new();
    let text = list(&["listed.example", "waited.example"]);
    repository.list(Role::Mandatory, "abuse", None, Tier::Clear, &text);
    repository.publish();
    let synced = Synced::with(&repository, "");
    synced.blocks("waited.example");
    opens_for_children(&synced, "allowed.example");
    for name in ["alias.other.example", "alias.allowed.example"] {
        for _ in 0..2 {
            assert!(
                synced.blocks_now(name),
                "{name}: from the upstream, then from the cache"
            );
        }
        for json in [&[][..], &["--json"]] {
            let why = synced.gateway.says(&[json, &["why", name]].concat(), true);
            assert!(
                why.contains("blocked") && why.contains("national list") && !why.contains("listed.example"),
                "{why}"
            );
        }
    }
    assert!(synced.opens_now("allowed.example"));
    let log = synced.gateway.says(&["log"], true);
    assert!(
        !log.contains("listed.example") && !log.contains("alias."),
        "{log}"
    );
    // Asked again with the search domain, as resolvers do.
    synced.blocks_now("listed.example.home.arpa");
    let log = synced.gateway.says(&["log"], true);
    assert!(!log.contains("listed.example"), "{log}");
}

#[test]
fn a_poll_with_nothing_new_takes_less_than_a_kilobyte_on_the_wire() {
    let mut repository = Repository::new();
    ban(&mut repository, &["banned.example"]);
    let synced = Synced::with(&repository, "");
    synced.blocks("banned.example");
    std::thread::sleep(Duration::from_secs(2)); // what came with the first load
    let polls = || {
        let asked = synced.mirror.asked();
        asked
            .iter()
            .filter(|path| path.ends_with("timestamp.json"))
            .count() as u64
    };
    let (octets, before, all) = (
        synced.mirror.octets(),
        polls(),
        synced.mirror.asked().len() as u64,
    );
    eventually("three polls", || polls() >= before + 3);
    let (octets, count) = (synced.mirror.octets() - octets, polls() - before);
    let others = synced.mirror.asked().len() as u64 - all - count;
    assert_eq!(others, 0, "a poll asks one question");
    println!("a poll with nothing new: {} octets on the wire", octets / count);
    assert!(octets / count <= 1024, "{} octets", octets / count);
}

#[test]
fn a_start_without_network_enforces_what_was_verified_and_a_first_one_the_built_in_lists() {
    let mut repository = Repository::new();
    ban(&mut repository, &["banned.example"]);
    let mut synced = Synced::with(&repository, "");
    synced.blocks("banned.example");
    synced.mirror.lie(|_| Some(Reply::Page(503, Vec::new())));
    synced.gateway.signal("TERM");
    assert_eq!(synced.gateway.wait(), Some(0));
    synced.gateway.restart();
    assert!(synced.blocks_now("banned.example"), "from the first answer on");

    let empty = Synced::with(&Repository::new(), "");
    assert!(empty.blocks_now("bet365.com"));
    empty.says("no national list was ever verified here; the built-in lists are in force");
}

#[test]
fn status_lists_metrics_and_the_command_show_version_age_and_next_try() {
    let metrics = isigurt_tests::free_address();
    let mut repository = Repository::new();
    ban(&mut repository, &["banned.example"]);
    let synced = Synced::with(&repository, &format!("[metrics]\nlisten = \"{metrics}\"\n"));
    synced.blocks("banned.example");
    let shown = synced.gateway.says(&["lists", "status"], true);
    assert!(
        shown.contains("list mandatory/abuse: 1 rules, version 1, since "),
        "{shown}"
    );
    assert!(
        shown.contains("checked ") && shown.contains("next try "),
        "{shown}"
    );
    let shown = synced.gateway.says(&["lists", "update"], true);
    assert!(shown.contains("mandatory/abuse"), "{shown}");
    let text = synced::get(metrics, "/metrics");
    for line in [
        "isigurt_list_version{list=\"mandatory/abuse\"} 1",
        "isigurt_list_checked_seconds{list=\"mandatory/abuse\"}",
        "isigurt_answers_total{verdict=\"blocked\"}",
        "# TYPE isigurt_queries_total counter",
        "isigurt_upstream_up{server=",
        "isigurt_cache_entries ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("banned"), "{text}");
}

#[test]
fn a_newer_version_that_the_platform_signs_is_said_and_one_that_runs_already_is_not() {
    let mut repository = Repository::new();
    let banned = list(&["banned.example"]);
    repository.list(Role::Mandatory, "abuse", None, Tier::Clear, &banned);
    let service = |version: &str, security: bool| Service {
        format: 1,
        report_keys: Vec::new(),
        intake: None,
        confirm: None,
        confirm_keys: Vec::new(),
        software: Some(Software {
            version: version.to_owned(),
            released: "2026-11-26".to_owned(),
            security,
            about: [("en".to_owned(), "Faster.".to_owned())].into(),
            url: None,
        }),
    };
    repository.service = Some(service("0.0.1", true));
    repository.publish();
    let synced = Synced::with(&repository, "");
    synced.blocks("banned.example");
    let status = || synced.gateway.says(&["status"], true);
    assert!(!status().contains("is out"), "an older version is no news");
    for (version, security) in [("98.0.0", false), ("99.0.0", true)] {
        repository.service = Some(service(version, security));
        repository.publish();
        let expected = format!("version {version} of 2026-11-26 is out");
        eventually(&expected, || status().contains(&expected));
        // A security hole is bad, and so the exit code of `doctor`.
        let doctor = synced.gateway.says(&["doctor"], !security);
        assert!(doctor.contains(&expected), "{doctor}");
    }
}

#[test]
fn a_list_by_url_is_enforced_refreshed_and_kept_when_its_server_sends_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("list.txt"), text).unwrap();
    write("ads.example\ntracker.example\n");
    let mirror = Mirror::of(folder.path());
    let lists = format!(
        "[[lists]]\nid = \"own\"\nurl = \"{}list.txt\"\nformat = \"domains\"\nevery = \"1s\"\n",
        mirror.url()
    );
    let synced = Synced::plain(mirror, &lists);
    synced.blocks("ads.example");
    write("ads.example\ntracker.example\nnew.example\n");
    synced.blocks("new.example");

    // A login page instead of the list.
    synced
        .mirror
        .lie(|_| Some(Reply::Page(200, b"<!DOCTYPE html><html>Log in</html>".to_vec())));
    synced.says("this is a web page, not a list");
    assert!(synced.blocks_now("ads.example") && synced.blocks_now("new.example"));
    // A server that has nothing.
    synced.mirror.lie(|_| Some(Reply::Page(500, Vec::new())));
    synced.says("answers with status 500");
    assert!(synced.blocks_now("new.example"));
    synced.mirror.be_honest();
    eventually("all is well", || {
        !synced
            .gateway
            .says(&["lists", "status"], true)
            .contains("problem")
    });
}

#[test]
fn a_server_that_is_silent_holds_no_other_list_up() {
    let folder = tempfile::tempdir().unwrap();
    for (id, name) in [("silent", "late.example"), ("own", "ads.example")] {
        std::fs::write(folder.path().join(id), format!("{name}\n")).unwrap();
    }
    let mirror = Mirror::of(folder.path());
    mirror.lie(|path| (path == "/silent").then_some(Reply::Late(Duration::from_secs(15))));
    let one = |id| {
        let url = mirror.url();
        format!("[[lists]]\nid = \"{id}\"\nurl = \"{url}{id}\"\nformat = \"domains\"\nevery = \"1s\"\n")
    };
    let lists = one("silent") + &one("own");
    let synced = Synced::over(mirror, &lists, "patience = \"60s\"");
    synced.blocks("ads.example");
    assert!(
        synced.opens_now("late.example"),
        "the other list came while this one was waited for"
    );
    synced.blocks("late.example");
}

#[test]
fn a_list_that_loses_over_half_of_its_rules_is_held_back_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("list.txt"), text).unwrap();
    write("a.example\nb.example\nc.example\nd.example\ne.example\n");
    let mirror = Mirror::of(folder.path());
    let lists = format!(
        "[[lists]]\nid = \"own\"\nurl = \"{}list.txt\"\nformat = \"domains\"\nevery = \"1s\"\n",
        mirror.url()
    );
    let synced = Synced::plain(mirror, &lists);
    synced.blocks("a.example");
    write("a.example\nz.example\n");
    synced.says("held back");
    assert!(synced.blocks_now("e.example") && synced.opens_now("z.example"));
    let shown = synced.gateway.says(&["lists", "status"], true);
    assert!(
        shown.contains("a version with 2 lines with rules is held back"),
        "{shown}"
    );
    synced
        .gateway
        .says(&["lists", "update", "--accept", "nothing"], false);
    synced.gateway.says(&["lists", "update", "--accept", "own"], true);
    synced.blocks("z.example");
    synced.opens("e.example");
}

/// A prefix list, three names that share a prefix, of which the first is meant, and the key that says so.
struct Prefixes {
    repository: Repository,
    names: [String; 3],
    path: String,
    key: ed25519_dalek::SigningKey,
    question: Question,
    hash: String,
}

impl Prefixes {
    fn new(offline: Offline) -> Self {
        Self::of(0, "meant.example", offline)
    }

    /// One of the names is `name`, at that place: the first is the one that is meant.
    fn of(place: usize, name: &str, offline: Offline) -> Self {
        let key = HashKey {
            key: [9; 32],
            bits: 16,
            offline,
        };
        let digest = key.digest(name.as_bytes());
        let alike = (0..).map(|number| format!("n{number}.example"));
        let alike = alike.filter(|name| key.digest(name.as_bytes()) == digest);
        let mut names: Vec<String> = alike.take(2).collect();
        names.insert(place, name.to_owned());
        let names: [String; 3] = names.try_into().unwrap();
        let text = format!("{}{}\n", key.header(), key.line(names[0].as_bytes(), false));
        let whole = HashKey { bits: 128, ..key };
        let signing = isigurt_tests::repository::key();
        let mut repository = Repository::new();
        repository.service = Some(Service {
            format: 1,
            report_keys: Vec::new(),
            intake: None,
            confirm: None,
            confirm_keys: vec![data_encoding::HEXLOWER.encode(signing.verifying_key().as_bytes())],
            software: None,
        });
        repository.list(Role::Mandatory, "abuse", None, Tier::Prefix, &text);
        repository.publish();
        let question = Question {
            list: "abuse".to_owned(),
            version: 1,
            prefix: key.line(names[0].as_bytes(), false),
        };
        Self {
            path: format!("/api/v1/confirm/{}", question.path()),
            hash: whole.line(names[0].as_bytes(), false),
            repository,
            names,
            key: signing,
            question,
        }
    }

    fn answer(&self, key: &ed25519_dalek::SigningKey) -> Reply {
        let expires = jiff::Timestamp::now().as_second() + 3600;
        let answer = Confirmation::signed(&self.question, vec![self.hash.clone()], expires, key);
        Reply::Page(200, serde_json::to_vec(&answer).unwrap())
    }

    /// A gateway that has the list.
    fn synced(&self) -> Synced {
        let synced = Synced::with(&self.repository, "");
        synced.says("mandatory/abuse: 1 rules");
        synced
    }

    fn asked(&self, synced: &Synced) -> usize {
        let asked = synced.mirror.asked();
        asked.iter().filter(|path| **path == self.path).count()
    }
}

#[test]
fn a_candidate_of_a_prefix_list_is_confirmed_online_once_for_all_names_that_share_the_prefix() {
    let prefixes = Prefixes::new(Offline::Allow);
    let synced = prefixes.synced();
    let (path, answer) = (prefixes.path.clone(), prefixes.answer(&prefixes.key));
    synced
        .mirror
        .lie(move |asked| (asked == path).then(|| answer.clone()));
    let [meant, alike, other] = &prefixes.names;
    assert!(synced.opens_now("good.example"), "no candidate waits for anybody");
    assert_eq!(prefixes.asked(&synced), 0);
    assert!(synced.blocks_now(meant));
    assert!(synced.blocks_now(&format!("www.{meant}")));
    assert!(synced.opens_now(alike) && synced.opens_now(other));
    assert_eq!(prefixes.asked(&synced), 1, "one prefix, and never a name");
    let why = synced.gateway.says(&["why", meant], true);
    assert!(
        why.contains("the platform confirms that this name is meant"),
        "{why}"
    );
    let why = synced.gateway.says(&["why", alike], true);
    assert!(
        why.contains("allowed") && why.contains("another name is meant"),
        "{why}"
    );
    let log = synced.gateway.says(&["log"], true);
    assert!(
        !log.contains(meant.as_str()) && log.contains("national list"),
        "{log}"
    );
}

#[test]
fn an_answer_that_leads_to_a_candidate_waits_for_its_confirmation() {
    for place in [0, 1] {
        let meant = place == 0;
        let prefixes = Prefixes::of(place, "listed.example", Offline::Allow);
        let synced = prefixes.synced();
        opens_for_children(&synced, "allowed.example");
        let (path, answer) = (prefixes.path.clone(), prefixes.answer(&prefixes.key));
        synced
            .mirror
            .lie(move |asked| (asked == path).then(|| answer.clone()));
        // Asked of the upstream, then from the cache; the second is a name that the household opens.
        for name in [
            "alias.other.example",
            "alias.allowed.example",
            "alias.other.example",
        ] {
            assert_eq!(synced.blocks_now(name), meant, "{name}");
            assert_eq!(synced.opens_now(name), !meant, "{name}");
        }
        assert_eq!(prefixes.asked(&synced), 1, "one prefix, and never a name");
    }
}

#[test]
fn where_nobody_confirms_the_lists_header_decides_and_a_forged_confirmation_is_nobodys() {
    for (offline, blocked) in [(Offline::Allow, false), (Offline::Block, true)] {
        let prefixes = Prefixes::new(offline);
        let synced = prefixes.synced();
        let (path, answer) = (
            prefixes.path.clone(),
            prefixes.answer(&isigurt_tests::repository::key()),
        );
        synced
            .mirror
            .lie(move |asked| (asked == path).then(|| answer.clone()));
        assert_eq!(synced.blocks_now(&prefixes.names[0]), blocked);
        assert_eq!(synced.blocks_now(&prefixes.names[1]), blocked);
        assert_eq!(prefixes.asked(&synced), 1, "then nobody is asked for a while");
        let why = synced.gateway.says(&["why", &prefixes.names[0]], true);
        assert!(why.contains("not confirmed yet"), "{why}");
        assert!(synced.opens_now("good.example"));
    }
}

#[test]
fn a_confirmation_service_that_does_not_answer_holds_up_nobody_but_candidates_and_them_not_long() {
    let prefixes = Prefixes::new(Offline::Allow);
    let synced = prefixes.synced();
    let path = prefixes.path.clone();
    synced
        .mirror
        .lie(move |asked| (asked == path).then_some(Reply::Late(Duration::from_secs(60))));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(synced.opens_now(&prefixes.names[0])));
        eventually("the question", || prefixes.asked(&synced) == 1);
        for _ in 0..20 {
            assert!(synced.opens_now("good.example"));
        }
    });
}
