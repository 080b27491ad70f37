//! Keys that change, holders who sign apart, signatures that are missing, and what expires.

use super::*;

#[tokio::test]
async fn keys_of_the_root_change_while_gateways_follow() {
    let scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "bad.test\n");
    scene.publish();
    let first = scene.root(1);
    // Every key but the timestamp's changes, and the root needs two holders from now on; one of them is elsewhere.
    keygen::run(
        &scene.path("keys"),
        &[
            "targets-new".to_owned(),
            "snapshot-new".to_owned(),
            "categories-new".to_owned(),
        ],
    )
    .unwrap();
    scene.configure(&["ana", "ben"], LISTS);
    let text = std::fs::read_to_string(scene.config()).unwrap();
    let text = ["targets", "snapshot", "categories"]
        .iter()
        .fold(text, |text, role| {
            text.replace(&format!("keys/{role}.pub"), &format!("keys/{role}-new.pub"))
        });
    scene.put("publish.toml", &text);
    let ben = scene.away("root-ben");
    assert!(
        !scene.publish().is_whole(),
        "the configuration is not in force yet"
    );
    let drafts = ceremony::draft(&scene.config(), false, scene.now).unwrap();
    let names: Vec<_> = drafts
        .iter()
        .map(|draft| (draft.file.file_name().unwrap().to_str().unwrap(), draft.installed))
        .collect();
    assert_eq!(names, [("2.targets.json", true), ("2.root.json", false)]);
    load(&scene, &first).await.unwrap();
    let draft = &drafts[1].file;
    let error = format!(
        "{:#}",
        ceremony::install(&scene.config(), draft, scene.now).unwrap_err()
    );
    assert!(error.contains("own root keys"), "{error}");
    assert_eq!(ceremony::sign(draft, &ben).unwrap(), 2);
    ceremony::install(&scene.config(), draft, scene.now).unwrap();
    // The old keys are gone; a gateway that knows only the first root still gets everything.
    for key in ["targets", "snapshot", "categories"] {
        scene.away(key);
    }
    scene.put("casino.txt", "bad.test\nworse.test\n");
    let report = scene.publish();
    assert!(report.is_whole(), "{report:?}");
    let client = load(&scene, &first).await.unwrap();
    assert_eq!(client.root().signed.version.get(), 2);
    fetch(&client, "categories/casino/2.list.zst").await;
    assert!(inspect::inspect(&scene.path("public")).unwrap().is_sound());
    assert!(
        ceremony::draft(&scene.config(), false, scene.now)
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn holders_of_the_mandatory_role_sign_each_on_a_machine_of_their_own() {
    let lists = ABUSE.replace("TIER", "clear");
    let scene = Scene::new(&lists);
    std::fs::create_dir(scene.path("decisions")).unwrap();
    scene.init();
    scene.put("abuse.txt", "bad.test\n");
    scene.publish();
    let (ana, ben) = (scene.away("mandatory-ana"), scene.away("mandatory-ben"));
    scene.put("abuse.txt", "bad.test\nworse.test\n");
    assert!(scene.publish().waiting[0].contains("2.mandatory.json has 0 signatures and needs 2"));
    let draft = scene.path("state/drafts/2.mandatory.json");
    ceremony::sign(&draft, &ana).unwrap();
    assert!(!scene.publish().is_whole(), "one signature is not two");
    ceremony::sign(&draft, &ben).unwrap();
    assert!(scene.publish().is_whole());
    let client = load(&scene, &scene.root(1)).await.unwrap();
    fetch(&client, "mandatory/abuse/2.list.zst").await;
}

#[test]
fn what_nobody_signed_is_not_signed_with_the_next_release() {
    let scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "bad.test\n");
    scene.publish();
    let file = scene.path("public/metadata/1.categories.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"entries\":1", "\"entries\":2")).unwrap();
    scene.put("casino.txt", "bad.test\nworse.test\n");
    let error = format!("{:#}", publish(&scene.config(), 0, scene.now, None).unwrap_err());
    assert!(error.contains("1.categories.json is not signed"), "{error}");
}

#[tokio::test]
async fn what_would_expire_is_signed_again_and_nothing_else() {
    let mut scene = Scene::new(LISTS);
    scene.init();
    scene.put("casino.txt", "bad.test\n");
    scene.publish();
    assert!(!refresh(&scene.config(), scene.now + DAY / 3).unwrap().changed);
    let report = refresh(&scene.config(), scene.now + DAY * 2 / 3).unwrap();
    assert_eq!((report.changed, report.timestamp), (true, 2));
    assert!(!scene.path("public/metadata/2.snapshot.json").exists());
    scene.now += 13 * DAY;
    assert_eq!(refresh(&scene.config(), scene.now).unwrap().timestamp, 3);
    let names: Vec<bool> = [
        "2.snapshot.json",
        "2.categories.json",
        "2.mandatory.json",
        "2.targets.json",
    ]
    .map(|name| scene.path(&format!("public/metadata/{name}")).exists())
    .into();
    assert_eq!(names, [true, true, true, false]);
    // Restored from an older copy, versions go on above those that gateways have seen.
    let report = publish(&scene.config(), 70, scene.now, None).unwrap();
    assert_eq!((report.timestamp, report.lists[0].version), (70, 70));
    load(&scene, &scene.root(1)).await.unwrap();
}
