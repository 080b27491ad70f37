//! Makes `blocklists/data/oui.bin`, the table of makers of network cards, from a copy of the IEEE's registries as JSON:
//! `{"AABBCC": "Maker\nstreet\n…"}` with prefixes of 24, 28 and 36 bits.
//!
//! The form is drawn in `daemon/src/clients/vendor.rs`, which reads it. Names lose their legal form, so that the table stays
//! under a megabyte and a list of devices stays legible.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::root;

/// Longest name, octets.
const LONGEST: usize = 40;
/// Entries that name nobody.
const NOBODY: &[&str] = &["Private", "IEEE Registration Authority", ""];
/// Legal forms at the end of a name, lower case, without dots.
const FORMS: &[&str] = &[
    "inc",
    "incorporated",
    "llc",
    "ltd",
    "limited",
    "co",
    "company",
    "corp",
    "corporation",
    "corporate",
    "gmbh",
    "ag",
    "kg",
    "sa",
    "sas",
    "spa",
    "srl",
    "sarl",
    "bv",
    "nv",
    "ab",
    "as",
    "a/s",
    "oy",
    "oyj",
    "plc",
    "pte",
    "pty",
    "pvt",
    "private",
    "kk",
    "sl",
    "&",
    "and",
    "coltd",
    "lp",
    "llp",
    "ltda",
    "kft",
    "doo",
    "sro",
    "sp",
    "zoo",
];

pub(crate) fn make(json: &Path, source: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(json).with_context(|| json.display().to_string())?;
    let registry: BTreeMap<String, String> = serde_json::from_str(&text).context("prefixes and names")?;
    let out = table(&registry, source)?;
    let file = root().join("blocklists/data/oui.bin");
    std::fs::write(&file, &out).with_context(|| file.display().to_string())?;
    println!(
        "==> {}: {} octets of {} prefixes",
        file.display(),
        out.len(),
        registry.len()
    );
    Ok(())
}

fn table(registry: &BTreeMap<String, String>, source: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(!source.contains('\n'), "the source is one line");
    let mut names: Vec<u8> = Vec::new();
    let mut places: HashMap<String, [u8; 3]> = HashMap::new();
    let mut entries: [Vec<u8>; 3] = Default::default();
    let mut last = String::new();
    for (prefix, maker) in registry {
        ensure!(*prefix > last, "prefixes in ascending order");
        last.clone_from(prefix);
        let name = short(maker.lines().next().unwrap_or_default());
        if NOBODY.contains(&name.as_str()) {
            continue;
        }
        let place = if let Some(place) = places.get(&name) {
            *place
        } else {
            let [high, place @ ..] = u32::try_from(names.len())?.to_be_bytes();
            ensure!(high == 0, "16 MiB of names are too many");
            names.push(u8::try_from(name.len())?);
            names.extend(name.as_bytes());
            places.insert(name, place);
            place
        };
        let (entries, digits) = match prefix.len() {
            6 => (&mut entries[0], 6),
            7 => (&mut entries[1], 8),
            9 => (&mut entries[2], 10),
            _ => bail!("{prefix:?} is no prefix of 24, 28 or 36 bits"),
        };
        let number =
            u64::from_str_radix(&format!("{prefix:0<digits$}"), 16).context("a prefix in hexadecimal")?;
        entries.extend(&number.to_be_bytes()[8 - digits / 2..]);
        entries.extend(place);
    }
    let mut out = format!("isigurt-oui 1\n{source}\n").into_bytes();
    for entries in &entries {
        out.extend(u32::try_from(entries.len())?.to_be_bytes());
    }
    for entries in &entries {
        out.extend(entries);
    }
    out.extend(names);
    Ok(out)
}

/// A maker's name without its legal form.
fn short(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|character| {
            if character.is_control() || character == ',' {
                ' '
            } else {
                character
            }
        })
        .collect();
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    while words.len() > 1 {
        let word = words[words.len() - 1].to_lowercase().replace('.', "");
        if !word.is_empty() && !FORMS.contains(&word.as_str()) {
            break;
        }
        words.pop();
    }
    let mut name = words.join(" ");
    while name.len() > LONGEST {
        name.pop();
    }
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_legal_form() {
        for (name, expected) in [
            ("Apple, Inc.", "Apple"),
            ("HUAWEI TECHNOLOGIES CO.,LTD", "HUAWEI TECHNOLOGIES"),
            ("Hon Hai Precision Ind. Co.,Ltd.", "Hon Hai Precision Ind."),
            ("Shelly Europe Ltd.", "Shelly Europe"),
            ("Co", "Co"),
            ("Private", "Private"),
        ] {
            assert_eq!(short(name), expected);
        }
        assert!(short(&"ë".repeat(100)).len() <= LONGEST);
    }
}
