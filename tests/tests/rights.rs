//! Rights of a running gateway, over HTTP: who may do what, and which profiles and networks staff reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use isigurt_tests::{Answer, Browser, House, PASSWORD};
use serde_json::{Value, json};

const CHILD: &str = "127.0.0.2";

const POLICY: &str = "[settings]\ndefault_profile = \"family\"\n[[profile]]\nname = \"family\"\n\
    [[profile]]\nname = \"class-7a\"\n[[profile]]\nname = \"class-8b\"\n\
    [[device]]\nname = \"tablet 7a\"\nmatch = [\"ip:127.0.7.1\"]\nprofile = \"class-7a\"\n\
    [[device]]\nname = \"tablet 8b\"\nmatch = [\"ip:127.0.8.1\"]\nprofile = \"class-8b\"\n";

/// A school with a policy and an owner.
fn school() -> (House, Browser) {
    let (house, owner) = House::claimed("");
    let file = house.gateway.folder.path().join("new-policy.toml");
    std::fs::write(&file, POLICY).unwrap();
    let applied = house
        .gateway
        .command(&["policy", "apply", file.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    (house, owner)
}

/// The id of whoever has signed in.
fn own_id(browser: &mut Browser) -> String {
    let session = browser.ask("GET", "/session", &Value::Null);
    session.body["user"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_role_reaches_what_the_table_says() {
    let (house, mut owner) = school();
    let mut admin = house.add("Admir", "admin", &[]);
    let mut staff = house.add("Sara", "staff", &["--profile", "class-7a"]);
    let mut viewer = house.add("Vera", "viewer", &[]);
    let mut device = house.browser(CHILD);
    let owner_id = own_id(&mut owner);
    let owner_path = format!("/users/{owner_id}");
    let seven = json!({ "name": "class-7a", "categories": ["adult"] });
    let eight = json!({ "name": "class-8b", "categories": ["adult"] });
    let pause = |who: &str| json!({ "who": who, "minutes": 5 });
    let new_owner = json!({ "name": "x", "role": "owner", "password": PASSWORD });
    //   method    path                   body                       owner admin staff viewer device
    let rows: Vec<(&str, &str, Value, [u16; 5])> = vec![
        ("GET", "/status", Value::Null, [200, 200, 200, 200, 401]),
        ("GET", "/categories", Value::Null, [200, 200, 200, 200, 401]),
        ("GET", "/policy", Value::Null, [200, 200, 403, 200, 401]),
        ("GET", "/profiles", Value::Null, [200, 200, 200, 200, 401]),
        (
            "GET",
            "/profiles/class-7a",
            Value::Null,
            [200, 200, 200, 200, 401],
        ),
        (
            "GET",
            "/profiles/class-8b",
            Value::Null,
            [200, 200, 403, 200, 401],
        ),
        (
            "GET",
            "/devices/tablet%208b",
            Value::Null,
            [200, 200, 403, 200, 401],
        ),
        ("PUT", "/profiles/class-7a", seven, [200, 200, 200, 403, 401]),
        ("PUT", "/profiles/class-8b", eight, [200, 200, 403, 403, 401]),
        ("POST", "/pauses", pause("class-7a"), [201, 201, 201, 403, 401]),
        ("POST", "/pauses", pause("tablet 8b"), [201, 201, 403, 403, 401]),
        ("POST", "/pauses", pause("all"), [201, 201, 403, 403, 401]),
        ("GET", "/queries", Value::Null, [200, 200, 200, 200, 401]),
        (
            "GET",
            "/why?name=x.example&profile=class-7a",
            Value::Null,
            [200, 200, 200, 200, 401],
        ),
        (
            "GET",
            "/why?name=x.example&profile=class-8b",
            Value::Null,
            [200, 200, 403, 200, 401],
        ),
        (
            "GET",
            "/why?name=x.example&device=127.0.8.1",
            Value::Null,
            [200, 200, 403, 200, 401],
        ),
        ("GET", "/users", Value::Null, [200, 200, 403, 403, 401]),
        ("GET", &owner_path, Value::Null, [200, 200, 403, 403, 401]),
        (
            "PATCH",
            &owner_path,
            json!({ "language": "en" }),
            [200, 403, 403, 403, 401],
        ),
        ("POST", "/users", new_owner, [201, 403, 403, 403, 401]),
        ("GET", "/sessions", Value::Null, [200, 200, 200, 200, 401]),
        ("GET", "/tokens", Value::Null, [200, 200, 200, 200, 401]),
        ("GET", "/me", Value::Null, [200, 200, 200, 200, 200]),
        ("GET", "/me/requests", Value::Null, [200, 200, 200, 200, 200]),
    ];
    for (method, path, body, expected) in rows {
        let everybody = [&mut owner, &mut admin, &mut staff, &mut viewer, &mut device];
        let got = everybody.map(|browser| browser.ask(method, path, &body).status);
        assert_eq!(got, expected, "{method} {path}");
    }
}

/// Names in a list.
fn names(answer: &Answer) -> Vec<String> {
    let items = answer.body["items"].as_array().unwrap().iter();
    items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn staff_see_their_profiles_and_admins_make_nobody_their_equal() {
    let (house, mut owner) = school();
    let mut admin = house.add("Admir", "admin", &[]);
    let mut staff = house.add("Sara", "staff", &["--profile", "class-7a"]);
    let mut viewer = house.add("Vera", "viewer", &[]);
    let user = |name: &str, role: &str| json!({ "name": name, "role": role, "password": PASSWORD });
    let owner_path = format!("/users/{}", own_id(&mut owner));
    // What staff see of lists is theirs.
    assert_eq!(names(&staff.ask("GET", "/profiles", &Value::Null)), ["class-7a"]);
    assert_eq!(names(&staff.ask("GET", "/devices", &Value::Null)), ["tablet 7a"]);
    assert_eq!(names(&viewer.ask("GET", "/devices", &Value::Null)).len(), 2);
    // An admin keeps staff and viewers, and makes nobody its equal.
    assert_eq!(admin.ask("POST", "/users", &user("y", "admin")).status, 403);
    let made = admin.ask("POST", "/users", &user("z", "viewer"));
    assert_eq!(made.status, 201, "{made:?}");
    let z = format!("/users/{}", made.text("id"));
    assert_eq!(admin.ask("PATCH", &z, &json!({ "role": "admin" })).status, 403);
    assert_eq!(
        admin
            .ask("PATCH", &z, &json!({ "role": "staff", "profiles": ["class-7a"] }))
            .status,
        200
    );
    assert_eq!(admin.ask("DELETE", &owner_path, &Value::Null).status, 403);
    assert_eq!(admin.ask("DELETE", &z, &Value::Null).status, 204);
    assert_eq!(owner.ask("DELETE", &z, &Value::Null).status, 404);
    // Nobody promotes itself.
    let own = own_id(&mut viewer);
    assert_eq!(
        viewer
            .ask("PATCH", &format!("/users/{own}"), &json!({ "role": "owner" }))
            .status,
        403
    );
    assert_eq!(
        viewer
            .ask("PATCH", &format!("/users/{own}"), &json!({ "language": "en" }))
            .status,
        200
    );
    // A renamed profile keeps its staff; a later one of the old name has none.
    assert_eq!(
        owner
            .ask("PUT", "/profiles/class-7a", &json!({ "name": "class-8a" }))
            .status,
        200
    );
    assert_eq!(
        owner
            .ask("POST", "/profiles", &json!({ "name": "class-7a" }))
            .status,
        201
    );
    assert_eq!(names(&staff.ask("GET", "/profiles", &Value::Null)), ["class-8a"]);
}

#[test]
fn staff_take_no_address_out_of_another_profiles_network() {
    let (house, mut owner) = school();
    for (name, mark, profile) in [
        ("room 8b", "cidr:10.8.0.0/16", "class-8b"),
        ("bench of 7a in room 8b", "cidr:10.8.7.0/24", "class-7a"),
        ("room 7a", "cidr:10.7.0.0/16", "class-7a"),
    ] {
        let device = json!({ "name": name, "match": [mark], "profile": profile });
        assert_eq!(owner.ask("POST", "/devices", &device).status, 201, "{name}");
    }
    let mut staff = house.add("Sara", "staff", &["--profile", "class-7a"]);
    let device = |mark: &str| json!({ "name": mark, "match": [mark], "profile": "class-7a" });
    for (mark, status) in [
        ("ip:10.8.1.1", 403),
        ("cidr:10.8.1.0/24", 403),
        ("ip:10.8.7.7", 201), // a network of class-7a is nearer
        ("ip:10.7.1.1", 201),
        ("cidr:10.7.1.0/24", 201),
        ("ip:10.99.0.1", 201),    // nobody's
        ("cidr:10.0.0.0/8", 201), // takes nothing: those in it are more specific
        ("mac:02:00:00:00:00:07", 201),
    ] {
        let answer = staff.ask("POST", "/devices", &device(mark));
        assert_eq!(answer.status, status, "{mark}: {answer:?}");
    }
    let moved = json!({ "name": "ip:10.7.1.1", "match": ["ip:10.8.2.2"], "profile": "class-7a" });
    assert_eq!(staff.ask("PUT", "/devices/ip:10.7.1.1", &moved).status, 403);
    assert_eq!(owner.ask("PUT", "/devices/ip:10.7.1.1", &moved).status, 200);
}

#[test]
fn staff_follow_a_profile_that_a_whole_policy_renames_and_lose_one_that_it_leaves_out() {
    let (house, mut owner) = school();
    let mut seven = house.add("Sara", "staff", &["--profile", "class-7a"]);
    let mut eight = house.add("Besa", "staff", &["--profile", "class-8b"]);
    let profiles = |browser: &mut Browser| names(&browser.ask("GET", "/profiles", &Value::Null));
    let apply = |text: &str| {
        let file = house.gateway.folder.path().join("next.toml");
        std::fs::write(&file, text).unwrap();
        house
            .gateway
            .says(&["policy", "apply", file.to_str().unwrap()], true);
    };
    let exported = house.gateway.says(&["policy", "export"], true);
    apply(&exported.replace("class-7a", "class-8a"));
    assert_eq!(profiles(&mut seven), ["class-8a"]);
    assert_eq!(profiles(&mut eight), ["class-8b"]);
    // Over HTTP too; one that is left out, or in doubt, is nobody's when it comes back.
    let mut policy = owner.ask("GET", "/policy", &Value::Null).body;
    for profile in policy["profile"].as_array_mut().unwrap() {
        if profile["name"] == "class-8a" {
            profile["name"] = json!("class-9a");
            profile["deny"] = json!(["changed.example"]);
        }
    }
    let text = policy.to_string().replace("class-8a", "class-9a");
    let changed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(owner.ask("PUT", "/policy", &changed).status, 200);
    assert!(profiles(&mut seven).is_empty());
    let back: Value = serde_json::from_str(&text.replace("class-9a", "class-8a")).unwrap();
    assert_eq!(owner.ask("PUT", "/policy", &back).status, 200);
    assert!(profiles(&mut seven).is_empty());
    assert_eq!(profiles(&mut eight), ["class-8b"]);
}
