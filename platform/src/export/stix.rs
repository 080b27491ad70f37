//! STIX 2.1 (OASIS standard, 10 June 2021): a bundle with one indicator a name, made by one identity.
//!
//! Ids are UUIDs of version 5 (RFC 9562) made from what they stand for, so that the same export twice is the same bundle.

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::{Item, time};

/// Namespace of our ids: a random UUID of version 4.
const NAMESPACE: [u8; 16] = [
    0x5d, 0x1c, 0x0e, 0x93, 0x6b, 0x4e, 0x4c, 0x27, 0x9f, 0x0a, 0x2e, 0x71, 0xd8, 0x35, 0xb6, 0x44,
];
/// The marking TLP:RED of STIX 2.1 (section 7.2.1.4): for those it was given to only.
const TLP_RED: &str = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed";
/// The marking TLP:AMBER.
const TLP_AMBER: &str = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";

pub(super) fn text(items: &[Item]) -> anyhow::Result<String> {
    let author = format!("identity--{}", uuid("platform"));
    let begun = items.iter().map(|item| item.confirmed).min().unwrap_or(0);
    let mut objects = vec![json!({
        "type": "identity", "spec_version": "2.1", "id": author, "created": time_of(begun),
        "modified": time_of(begun), "name": "iSigurt national child-safety platform", "identity_class": "organization",
    })];
    objects.extend(items.iter().map(|item| indicator(item, &author)));
    let all: Vec<String> = items
        .iter()
        .map(|item| format!("{} {}", item.case, item.confirmed))
        .collect();
    let all = all.join(" ");
    let bundle = json!({ "type": "bundle", "id": format!("bundle--{}", uuid(&all)), "objects": objects });
    Ok(serde_json::to_string_pretty(&bundle)? + "\n")
}

fn indicator(item: &Item, author: &str) -> Value {
    let confirmed = time_of(item.confirmed);
    let marking = if item.mandatory { TLP_RED } else { TLP_AMBER };
    json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{}", uuid(&item.case)),
        "created_by_ref": author, "created": time_of(item.first.min(item.confirmed)), "modified": confirmed,
        "name": format!("{}: confirmed by analysts", item.list),
        "description": format!("Confirmed from {} reports", item.reports),
        "pattern": format!("[domain-name:value = '{}']", item.name), // letters, digits, hyphens, underscores, dots
        "pattern_type": "stix", "valid_from": confirmed, "labels": [item.list], "object_marking_refs": [marking],
    })
}

/// With milliseconds, as the standard writes its own.
fn time_of(seconds: i64) -> String {
    time(seconds).replace('Z', ".000Z")
}

/// A UUID of version 5: SHA-1 of namespace and name.
fn uuid(name: &str) -> String {
    let digest = Sha1::new().chain_update(NAMESPACE).chain_update(name).finalize();
    let mut octets = [0; 16];
    for (octet, from) in octets.iter_mut().zip(digest) {
        *octet = from;
    }
    let number = u128::from_be_bytes(octets);
    let number = (number & !(0xf << 76) & !(0b11 << 62)) | (5 << 76) | (0b10 << 62);
    let digits = format!("{number:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_5_and_the_same_each_time() {
        let id = uuid("x");
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "5");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_eq!(id, uuid("x"));
        assert_ne!(id, uuid("y"));
    }

    #[test]
    fn a_name_becomes_an_indicator_that_says_how_far_it_may_go() {
        let item = Item {
            case: "0a".repeat(16),
            name: "bad.test".to_owned(),
            list: "abuse".to_owned(),
            mandatory: true,
            first: 1,
            confirmed: 2,
            reports: 3,
        };
        let bundle: Value = serde_json::from_str(&text(&[item]).unwrap()).unwrap();
        let indicator = &bundle["objects"][1];
        assert_eq!(indicator["pattern"], "[domain-name:value = 'bad.test']");
        assert_eq!(indicator["valid_from"], "1970-01-01T00:00:02.000Z");
        assert_eq!(indicator["object_marking_refs"][0], TLP_RED);
        assert_eq!(indicator["created_by_ref"], bundle["objects"][0]["id"]);
    }
}
