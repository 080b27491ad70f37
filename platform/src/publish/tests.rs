//! Publishing, seen by `tough`'s own client and by whoever runs it.
#![allow(clippy::format_collect)] // a few lines of names

mod signing;

use std::io::Cursor;
use std::path::PathBuf;

use isigurt_blocklists::delta;
use isigurt_blocklists::read::hashed::HashKey;
use isigurt_wire::confirm::{Confirmation, Question};
use isigurt_wire::decision::{Act, Decision};
use isigurt_wire::release::{SERVICE, Service};
use isigurt_wire::report::Id;
use tough::{IntoVec as _, RepositoryLoader, TargetName};

use super::approval::Subject;
use super::*;
use crate::{confirmations, keygen};

const DAY: i64 = 86_400;

/// A publisher's machine in a folder.
struct Scene {
    folder: tempfile::TempDir,
    now: i64,
}

const LISTS: &str = r#"
[[list]]
id = "casino"
publisher = "categories"
category = "gambling"
[[list.source]]
path = "casino.txt"
format = "domains"
"#;

impl Scene {
    /// All keys on one machine; `lists` is the rest of the configuration.
    fn new(lists: &str) -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            now: now().unwrap(),
        };
        let roles = [
            "root-ana",
            "root-ben",
            "targets",
            "mandatory-ana",
            "mandatory-ben",
            "categories",
            "snapshot",
            "timestamp",
            "confirm",
            "report",
            "decision",
            "editor-ana",
            "editor-ben",
        ];
        keygen::run(&scene.path("keys"), &roles.map(str::to_owned)).unwrap();
        scene.put("popular.txt", "1,www.popular.example\n");
        scene.configure(&["ana"], lists);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The configuration, with these holders of the root.
    fn configure(&self, holders: &[&str], lists: &str) {
        let root: Vec<String> = holders
            .iter()
            .map(|holder| format!("\"keys/root-{holder}.pub\""))
            .collect();
        let text = format!(
            r#"
repository = "public"
state = "state"
keys = ["keys"]
[roles]
root = {{ keys = [{}], threshold = {}, expires = "365d" }}
targets = {{ keys = ["keys/targets.pub"], expires = "180d" }}
mandatory = {{ keys = ["keys/mandatory-ana.pub", "keys/mandatory-ben.pub"], threshold = 2, expires = "14d" }}
categories = {{ keys = ["keys/categories.pub"], expires = "14d" }}
snapshot = {{ keys = ["keys/snapshot.pub"], expires = "7d" }}
timestamp = {{ keys = ["keys/timestamp.pub"], expires = "1d" }}
[service]
report_keys = ["keys/report.pub"]
confirm_keys = ["keys/confirm.pub"]
[checks]
popular = ["popular.txt"]
editors = ["keys/editor-ana.pub", "keys/editor-ben.pub"]
approvals = "approvals"
[decisions]
key = "keys/decision.key"
analysts = ["{}", "{}"]
{lists}"#,
            root.join(", "),
            holders.len(),
            keygen::hex(analyst("ana").verifying_key().as_bytes()),
            keygen::hex(analyst("ben").verifying_key().as_bytes()),
        );
        self.put("publish.toml", &text);
    }

    fn config(&self) -> PathBuf {
        self.path("publish.toml")
    }

    fn init(&self) {
        let drafts = ceremony::draft(&self.config(), false, self.now).unwrap();
        assert!(
            !drafts.is_empty() && drafts.iter().all(|draft| draft.installed),
            "{drafts:?}"
        );
    }

    fn publish(&self) -> Report {
        publish(&self.config(), 0, self.now, None).unwrap()
    }

    /// Takes a private key away to its holder.
    fn away(&self, key: &str) -> PathBuf {
        let holder = self.path(&format!("{key}.pk8"));
        std::fs::rename(self.path(&format!("keys/{key}.pk8")), &holder).unwrap();
        holder
    }

    fn root(&self, version: u64) -> Vec<u8> {
        std::fs::read(self.path(&format!("public/metadata/{version}.root.json"))).unwrap()
    }

    fn approve(&self, editor: &str, list: &str, subject: Subject) {
        let key = keys::private(&self.path(&format!("keys/editor-{editor}.pk8"))).unwrap();
        approval::approve(
            &self.path("approvals"),
            &key,
            list,
            subject,
            "looked at",
            self.now + DAY,
        )
        .unwrap();
    }
}

/// An analyst's key; the same for the same name.
fn analyst(name: &str) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&blake3::derive_key("an analyst of a test", name.as_bytes()))
}

/// What a gateway would see that starts from this root.
async fn load(scene: &Scene, root: &[u8]) -> Result<tough::Repository, tough::error::Error> {
    let url = |folder: &str| format!("file://{}/public/{folder}/", scene.folder.path().display());
    RepositoryLoader::new(
        &root,
        url("metadata").parse().unwrap(),
        url("targets").parse().unwrap(),
    )
    .load()
    .await
}

async fn fetch(repository: &tough::Repository, name: &str) -> Vec<u8> {
    let name = TargetName::new(name).unwrap();
    let stream = repository.read_target(&name).await.unwrap().unwrap();
    stream.into_vec().await.unwrap()
}

fn unpack(octets: &[u8]) -> String {
    String::from_utf8(zstd::stream::decode_all(octets).unwrap()).unwrap()
}

#[tokio::test]
async fn what_is_published_is_read_by_a_tuf_client_and_deltas_lead_to_it() {
    let scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "one.test\ntwo.test\nthree.test\n");
    let report = scene.publish();
    assert!(report.is_whole() && report.changed, "{report:?}");
    let first = load(&scene, &scene.root(1)).await.unwrap();
    let old = unpack(&fetch(&first, "categories/casino/1.list.zst").await);
    assert_eq!(old, "# isigurt-list 1\n||one.test^\n||three.test^\n||two.test^\n");
    let service: Service = serde_json::from_slice(&fetch(&first, SERVICE).await).unwrap();
    assert_eq!((service.report_keys.len(), service.confirm_keys.len()), (1, 1));

    assert!(!scene.publish().changed, "nothing new");
    let many: String = (0..400).map(|number| format!("name{number}.test\n")).collect();
    scene.put("casino.txt", &format!("{many}two.test\nthree.test\n"));
    scene.approve("ana", "casino", Subject::Name("x.test".parse().unwrap()));
    let report = scene.publish();
    assert_eq!(report.lists[0].state, "held", "{report:?}");
    scene.put("casino.txt", "two.test\nthree.test\nfour.test\n");
    let report = scene.publish();
    assert_eq!(
        (report.lists[0].state, report.lists[0].version),
        ("new", 2),
        "{report:?}"
    );
    let second = load(&scene, &scene.root(1)).await.unwrap();
    let new = unpack(&fetch(&second, "categories/casino/2.list.zst").await);
    assert_eq!(
        new,
        "# isigurt-list 1\n||four.test^\n||three.test^\n||two.test^\n"
    );
    assert!(inspect::inspect(&scene.path("public")).unwrap().is_sound());
}

#[tokio::test]
async fn a_delta_from_each_of_the_last_versions_gives_the_newest_list() {
    let scene = Scene::new(&LISTS.replace("[[list.source]]", "deltas = 3\nalways = 1000\n[[list.source]]"));
    scene.init();
    let names = |from: usize| {
        (from..from + 2_000)
            .map(|number| format!("n{number}x{}.test\n", number * 7919))
            .collect::<String>()
    };
    let mut versions = Vec::new();
    for version in 1..=5 {
        scene.put("casino.txt", &names(version * 10));
        let report = scene.publish();
        let client = load(&scene, &scene.root(1)).await.unwrap();
        versions.push(unpack(
            &fetch(&client, &format!("categories/casino/{version}.list.zst")).await,
        ));
        let expected: Vec<u64> = (version.saturating_sub(3).max(1)..version)
            .map(|from| from as u64)
            .collect();
        let deltas: Vec<u64> = report.lists[0].deltas.keys().copied().collect();
        assert_eq!(deltas, expected, "{report:?}");
        for from in expected {
            let name = format!("categories/casino/{from}-{version}.delta.zst");
            let delta = zstd::stream::decode_all(&fetch(&client, &name).await[..]).unwrap();
            let mut applied = Vec::new();
            let base = &versions[usize::try_from(from).unwrap() - 1];
            delta::apply(Cursor::new(base), Cursor::new(delta), &mut applied).unwrap();
            assert_eq!(applied, versions[version - 1].as_bytes());
        }
    }
}

#[test]
fn a_popular_name_goes_out_only_when_two_editors_say_so() {
    let scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "popular.example\nbad.test\n");
    let popular = || Subject::Name("popular.example".parse().unwrap());
    let held = |report: &Report| report.lists[0].why.join(" ");
    assert!(held(&scene.publish()).contains("blocks popular.example, a popular name or one above it"));
    scene.approve("ana", "casino", popular());
    scene.approve("ana", "casino", popular());
    assert_eq!(scene.publish().lists[0].state, "held", "one editor is not two");
    scene.approve("ben", "other", popular());
    assert_eq!(scene.publish().lists[0].state, "held", "for another list");
    scene.approve("ben", "casino", popular());
    assert_eq!(scene.publish().lists[0].state, "new");
    let stranger = scene.path("strangers");
    keygen::run(&stranger, &["editor".to_owned()]).unwrap();
    let key = keys::private(&stranger.join("editor.pk8")).unwrap();
    approval::approve(
        &scene.path("approvals"),
        &key,
        "casino",
        popular(),
        "me too",
        scene.now + DAY,
    )
    .unwrap();
    let error = format!("{:#}", publish(&scene.config(), 0, scene.now, None).unwrap_err());
    assert!(error.contains("not of an editor"), "{error}");
}

#[test]
fn a_helpline_is_never_blocked_whoever_approves() {
    let scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "bad.test\nwww.alo116.al\n");
    for editor in ["ana", "ben"] {
        scene.approve(editor, "casino", Subject::Name("www.alo116.al".parse().unwrap()));
    }
    let report = scene.publish();
    assert!(report.lists[0].why[0].contains("a helpline"), "{report:?}");
    let lists = LISTS.replace("[[list.source]]", "except = [\"alo116.al\"]\n[[list.source]]");
    scene.configure(&["ana"], &lists);
    let report = scene.publish();
    assert_eq!(
        (report.lists[0].state, report.lists[0].entries),
        ("new", 1),
        "{report:?}"
    );
}

#[test]
fn a_list_that_loses_too_much_waits_for_two_editors_and_the_others_go_out() {
    let other = LISTS.replace("casino", "dice");
    let scene = Scene::new(&format!("{LISTS}{other}"));
    scene.init();
    let names = |count: usize| {
        (0..count)
            .map(|number| format!("n{number}.test\n"))
            .collect::<String>()
    };
    scene.put("casino.txt", &names(1_000));
    scene.put("dice.txt", &names(1_000));
    assert!(scene.publish().is_whole());
    scene.put("casino.txt", &names(500));
    scene.put("dice.txt", &names(1_001));
    let report = scene.publish();
    let states: Vec<_> = report
        .lists
        .iter()
        .map(|list| (list.state, list.version))
        .collect();
    assert_eq!(states, [("held", 1), ("new", 2)], "{report:?}");
    let hash = report.lists[0].why[0].rsplit(' ').next().unwrap().to_owned();
    for editor in ["ana", "ben"] {
        scene.approve(editor, "casino", Subject::Release(hash.clone()));
    }
    assert_eq!(scene.publish().lists[0].state, "new");
    // The approval is of that very release.
    scene.put("casino.txt", &names(100));
    assert_eq!(scene.publish().lists[0].state, "held");
    // A web page in place of a list, and a source that is gone, hold the list too.
    scene.put("casino.txt", "<!doctype html><title>Sign in</title>");
    assert!(scene.publish().lists[0].why[0].contains("web page"));
    std::fs::remove_file(scene.path("casino.txt")).unwrap();
    assert_eq!(scene.publish().lists[0].state, "held");
}

const ABUSE: &str = r#"
[[list]]
id = "abuse"
publisher = "mandatory"
tier = "TIER"
rekey = "90d"
[[list.source]]
path = "abuse.txt"
[[list.source]]
kind = "decisions"
path = "decisions"
"#;

#[tokio::test]
async fn a_hashed_list_names_nothing_and_keeps_its_key_until_its_time_is_over() {
    let mut scene = Scene::new(&ABUSE.replace("TIER", "hashed"));
    std::fs::create_dir(scene.path("decisions")).unwrap();
    scene.init();
    let names = |count: usize| {
        (0..count)
            .map(|number| format!("very-bad-{number}.test\n"))
            .collect::<String>()
    };
    scene.put("abuse.txt", &names(1_000));
    assert!(scene.publish().is_whole());
    scene.put("abuse.txt", &names(1_010));
    let report = scene.publish();
    assert_eq!(report.lists[0].deltas.len(), 1, "{report:?}");
    let client = load(&scene, &scene.root(1)).await.unwrap();
    let list = unpack(&fetch(&client, "mandatory/abuse/2.list.zst").await);
    assert!(list.starts_with("# isigurt hashed list 1\n") && !list.contains("very"));
    scene.now += 91 * DAY;
    scene.put("abuse.txt", &names(1_020));
    let report = scene.publish();
    assert_eq!(
        (report.lists[0].state, report.lists[0].deltas.len()),
        ("new", 0),
        "{report:?}"
    );
}

#[test]
fn a_version_of_the_program_that_gateways_could_not_read_is_refused_with_its_key() {
    let scene = Scene::new("");
    let before = std::fs::read_to_string(scene.config()).unwrap();
    let with = |software: &str| {
        std::fs::write(
            scene.config(),
            format!("{before}\n[service.software]\n{software}\n"),
        )
        .unwrap();
        Config::read(&scene.config())
            .map(|_| ())
            .map_err(|error| format!("{error:#}"))
    };
    let good = "version = \"1.4.0\"\nreleased = \"2026-11-26\"\n";
    assert_eq!(with(good), Ok(()));
    for (wrong, key) in [
        ("version = \"1.4\"\nreleased = \"2026-11-26\"", "version"),
        ("version = \"1.4.0\"\nreleased = \"yesterday\"", "released"),
        ("version = \"1.4.0\"\nreleased = \"20261126\"", "released"),
        (&format!("{good}url = \"http://isigurt.example/\""), "url"),
        (&format!("{good}about = {{ sq = \"\" }}"), "about.sq"),
        (&format!("{good}force = true"), "force"),
    ] {
        let said = with(wrong).unwrap_err();
        assert!(said.contains(key), "{wrong}: {said}");
    }
}

#[tokio::test]
async fn candidates_of_a_prefix_list_are_confirmed_by_answers_signed_ahead() {
    let mut scene = Scene::new(&ABUSE.replace("TIER", "prefix"));
    std::fs::create_dir(scene.path("decisions")).unwrap();
    scene.init();
    scene.put("abuse.txt", "||very-bad.test^\n|worse.test^\n");
    assert!(scene.publish().is_whole());
    let client = load(&scene, &scene.root(1)).await.unwrap();
    let list = unpack(&fetch(&client, "mandatory/abuse/1.list.zst").await);
    let read = isigurt_blocklists::read::read(list.as_bytes(), isigurt_blocklists::read::Format::Auto, None)
        .unwrap();
    let key = read.hash_key.unwrap();
    assert!(key.bits == 24 && list.contains("# offline: allow"), "{list}");
    let service: Service = serde_json::from_slice(&fetch(&client, SERVICE).await).unwrap();
    let ask = |name: &str, now: i64| {
        let question = Question {
            list: "abuse".to_owned(),
            version: 1,
            prefix: key.line(name.as_bytes(), false),
        };
        let octets = confirmations::answer(&scene.path("state"), &question).unwrap()?;
        let answer: Confirmation = serde_json::from_slice(&octets).unwrap();
        answer.verify(&question, &service.confirm_keys, now).ok()?;
        let full = HashKey { bits: 128, ..key };
        let digest = full.digest(name.as_bytes());
        Some((answer.holds(&digest, true), answer.holds(&digest, false)))
    };
    assert_eq!(ask("very-bad.test", scene.now), Some((true, true)));
    assert_eq!(ask("good.test", scene.now), None);
    let worse = key.line(b"worse.test", true);
    assert!(worse.starts_with('=') && list.contains(&worse));
    assert_eq!(ask("very-bad.test", scene.now + 15 * DAY), None, "expired");
    // An unchanged list has its answers signed again in time.
    let later = scene.now + 8 * DAY;
    assert_eq!(
        publish(&scene.config(), 0, later, None).unwrap().lists[0].state,
        "unchanged"
    );
    assert_eq!(ask("very-bad.test", scene.now + 15 * DAY), Some((true, true)));
    scene.now = later;
}

#[tokio::test]
async fn what_two_analysts_decided_is_in_the_next_release_and_what_they_released_is_not() {
    let scene = Scene::new(&ABUSE.replace("TIER", "clear"));
    std::fs::create_dir(scene.path("decisions")).unwrap();
    scene.init();
    scene.put("abuse.txt", "bad.test\n");
    let key = keys::public_x25519(&scene.path("keys/decision.pub")).unwrap();
    let decide = |number: u8, act: Act, name: &str, decided: i64, by: &[&str]| {
        let mut decision = Decision {
            format: 1,
            act,
            name: name.to_owned(),
            subdomains: true,
            list: "abuse".to_owned(),
            decided,
            votes: Vec::new(),
        };
        decision.votes = by.iter().map(|by| decision.vote(decided, &analyst(by))).collect();
        let sealed = decision.seal(Id([number; 16]), &key).unwrap();
        let line = serde_json::to_string(&sealed).unwrap();
        std::fs::write(scene.path(&format!("decisions/{number}.jsonl")), line + "\n").unwrap();
    };
    decide(1, Act::Block, "worse.test", 10, &["ana", "ben"]);
    decide(2, Act::Block, "undone.test", 10, &["ana", "ben"]);
    decide(3, Act::Release, "undone.test", 11, &["ana", "ben"]);
    decide(4, Act::Release, "good.bad.test", 12, &["ana", "ben"]);
    assert!(scene.publish().is_whole());
    let client = load(&scene, &scene.root(1)).await.unwrap();
    let list = unpack(&fetch(&client, "mandatory/abuse/1.list.zst").await);
    assert_eq!(
        list,
        "# isigurt-list 1\n@@||good.bad.test^\n||bad.test^\n||worse.test^\n"
    );
    decide(5, Act::Block, "lone.test", 13, &["ana", "ana"]);
    let report = scene.publish();
    assert!(
        report.lists[0].why[0].contains("signed by 1 known analysts"),
        "{report:?}"
    );
}

#[test]
fn a_list_is_not_lost_by_a_configuration_that_forgets_it() {
    let scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "bad.test\n");
    scene.publish();
    scene.configure(&["ana"], "");
    let error = format!("{:#}", publish(&scene.config(), 0, scene.now, None).unwrap_err());
    assert!(error.contains("put its id in `withdrawn`"), "{error}");
    let text = std::fs::read_to_string(scene.config()).unwrap();
    scene.put("publish.toml", &format!("withdrawn = [\"casino\"]\n{text}"));
    assert!(scene.publish().is_whole());
    let inspection = serde_json::to_value(inspect::inspect(&scene.path("public")).unwrap()).unwrap();
    assert_eq!(inspection["lists"].as_array().unwrap().len(), 0);
}

/// A gateway that loads while releases go out, again and again, finds whole states only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_while_a_release_is_written_finds_a_whole_one() {
    let scene = std::sync::Arc::new(Scene::new(LISTS));
    scene.init();
    scene.put("casino.txt", "bad.test\n");
    scene.publish();
    let writer = std::sync::Arc::clone(&scene);
    let writing = std::thread::spawn(move || {
        for release in 0..20 {
            writer.put("casino.txt", &format!("bad.test\nn{release}.test\n"));
            assert!(writer.publish().is_whole());
        }
    });
    let root = scene.root(1);
    let mut loads = 0;
    while !writing.is_finished() || loads == 0 {
        let client = load(&scene, &root).await.unwrap();
        let names: Vec<_> = client
            .all_targets()
            .map(|(name, _)| name.raw().to_owned())
            .collect();
        for name in names {
            fetch(&client, &name).await;
        }
        loads += 1;
    }
    writing.join().unwrap();
}

#[test]
fn what_nothing_names_any_more_goes_after_a_while_and_not_before() {
    let scene = Scene::new(&LISTS.replace("[[list.source]]", "deltas = 0\n[[list.source]]"));
    let text = std::fs::read_to_string(scene.config()).unwrap();
    scene.put("publish.toml", &format!("keep = \"1s\"\n{text}"));
    scene.init();
    let lists = || {
        std::fs::read_dir(scene.path("state/lists/casino"))
            .unwrap()
            .count()
    };
    for release in 0..3 {
        scene.put("casino.txt", &format!("bad.test\nn{release}.test\n"));
        scene.publish();
        assert!(
            scene
                .path(&format!("public/metadata/{}.snapshot.json", release + 1))
                .exists()
        );
    }
    assert_eq!(lists(), 1);
    assert!(
        scene.path("public/metadata/2.snapshot.json").exists(),
        "let go of just now"
    );
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    scene.put("casino.txt", "bad.test\nlast.test\n");
    scene.publish();
    let there = |name: &str| scene.path(&format!("public/metadata/{name}")).exists();
    assert_eq!(
        [
            there("1.root.json"),
            there("2.snapshot.json"),
            there("3.snapshot.json")
        ],
        [true, false, true]
    );
    assert!(inspect::inspect(&scene.path("public")).unwrap().is_sound());
}
