//! Photos of profiles over HTTP: who sees and who changes them, what is refused, and where they go with their profile.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use isigurt_tests::{Answer, Browser, House};
use serde_json::{Value, json};

/// A WebP picture (RFC 9649) of one pixel, behind it a note as cameras leave it.
const PICTURE: &str = "RIFF\u{1e}\0\0\0WEBPVP8L\u{5}\0\0\0/\0\0\0\0\0EXIF\u{4}\0\0\0GPS!";

fn set(who: &mut Browser, profile: &str, file: &str) -> Answer {
    who.send("PUT", &format!("/api/v1/profiles/{profile}/photo"), file)
}

fn get(who: &mut Browser, profile: &str) -> Answer {
    who.ask("GET", &format!("/profiles/{profile}/photo"), &Value::Null)
}

#[test]
fn a_photo_is_seen_by_those_who_see_the_profile_changed_by_those_who_may_and_goes_with_it() {
    let (house, mut ana) = House::claimed("");
    let policy = |names: [&str; 2]| {
        let profiles = names
            .map(|name| json!({ "name": name, "deny": [format!("{}.example", &name[name.len() - 2..])] }));
        json!({ "settings": { "default_profile": names[1] }, "profile": profiles })
    };
    let applied = ana.ask("PUT", "/policy", &policy(["class-7a", "class-8b"]));
    assert_eq!(applied.status, 200, "{applied:?}");
    let mut teacher = house.add("Besa", "staff", &["--profile", "class-7a"]);
    let mut viewer = house.add("Vera", "viewer", &[]);
    let mut nobody = house.browser("127.0.0.9");

    let kept = set(&mut teacher, "class-7a", PICTURE);
    assert_eq!(kept.status, 200, "{kept:?}");
    for (who, profile, status) in [
        (&mut teacher, "class-8b", 403),
        (&mut viewer, "class-7a", 403),
        (&mut nobody, "class-7a", 401),
    ] {
        assert_eq!(set(who, profile, PICTURE).status, status, "{profile}");
    }
    assert_eq!(get(&mut teacher, "class-8b").status, 403);
    assert_eq!(get(&mut nobody, "class-7a").status, 401);
    let seen = get(&mut viewer, "class-7a");
    assert_eq!(
        (seen.status, seen.header("content-type")),
        (200, Some("image/webp"))
    );
    assert_eq!(seen.header("cache-control"), Some("private, no-cache"));
    assert!(
        seen.raw.starts_with("RIFF") && !seen.raw.contains("GPS"),
        "{:?}",
        seen.raw
    );
    let tag = seen.header("etag").unwrap().to_owned();
    assert_eq!(
        get(&mut viewer.with("if-none-match", &tag), "class-7a").status,
        304
    );
    let present = ana.ask("GET", "/present", &Value::Null);
    assert_eq!(
        present.body["profiles"][0]["photo"], kept.body["photo"],
        "{present:?}"
    );

    for (file, status) in [
        ("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 422),
        ("", 422),
        (&PICTURE[..20], 422),
        (&"x".repeat(33 * 1024), 413),
    ] {
        let refused = set(&mut ana, "class-7a", file);
        assert_eq!(refused.status, status, "{refused:?}");
    }
    assert_eq!(set(&mut ana, "nobody", PICTURE).status, 404);
    assert_eq!(
        get(&mut viewer, "class-7a").raw,
        seen.raw,
        "what is refused changes nothing"
    );

    // A whole policy in which the class has another name, and then one without it.
    assert_eq!(
        ana.ask("PUT", "/policy", &policy(["school-7a", "class-8b"]))
            .status,
        200
    );
    assert_eq!(get(&mut ana, "class-7a").status, 404);
    assert_eq!(get(&mut ana, "school-7a").raw, seen.raw);
    assert_eq!(
        ana.ask("PUT", "/policy", &policy(["class-9c", "class-8b"]))
            .status,
        200
    );
    assert_eq!(
        ana.ask("PUT", "/policy", &policy(["school-7a", "class-8b"]))
            .status,
        200
    );
    assert_eq!(
        get(&mut ana, "school-7a").status,
        404,
        "a later profile of that name has no photo"
    );
}
