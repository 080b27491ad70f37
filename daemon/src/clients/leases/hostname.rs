//! What a device calls itself, made fit for use: one label in lower case, or nothing.
//!
//! Anybody on the network can claim any name in a DHCP request, so a name is a hint, never a proof, and never more than
//! letters, digits and hyphens reach the rest of the program.

/// Longest label (RFC 1035, section 2.3.4).
const LONGEST: usize = 63;
/// Names that programs ask for of their own accord: whoever had one could stand in for a proxy or this host.
const RESERVED: &[&str] = &["localhost", "wpad", "isatap", "local", "gateway", "router"];

/// The label for a name that a device gave itself. Spaces and underscores become hyphens; apostrophes, letters with marks and
/// all else fall away: `Ana's iPhone` is `anas-iphone`. Of a name with dots the first label counts.
pub(in crate::clients) fn clean(name: &str) -> Option<String> {
    let first = name.split('.').next().unwrap_or_default();
    let mut label = String::new();
    for character in first.chars().take(4 * LONGEST) {
        match character {
            'a'..='z' | '0'..='9' | 'A'..='Z' => label.push(character.to_ascii_lowercase()),
            '-' | '_' | ' ' if !label.is_empty() && !label.ends_with('-') => label.push('-'),
            _ => {}
        }
        if label.len() == LONGEST {
            break;
        }
    }
    label.truncate(label.trim_end_matches('-').len());
    (!label.is_empty() && !RESERVED.contains(&label.as_str())).then_some(label)
}

/// A name of odhcpd without its escapes (`\x20`); `None` where odhcpd itself says that it is broken.
pub(super) fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        let rest = part.get(2..).unwrap_or_default();
        // An octet beyond ASCII is a part of some letter that no label holds.
        out.extend(code.filter(u8::is_ascii).map(char::from));
        out.push_str(rest);
    }
    (!out.starts_with("broken ")).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_becomes_a_label_or_nothing() {
        for (name, label) in [
            ("ana-tab", Some("ana-tab")),
            ("Ana's iPhone", Some("anas-iphone")),
            ("DESKTOP_7", Some("desktop-7")),
            ("tv.lan.example", Some("tv")),
            ("telefoni i Besës", Some("telefoni-i-bess")),
            ("--x--", Some("x")),
            ("<script>alert(1)</script>", Some("scriptalert1script")),
            ("*", None),
            ("-", None),
            ("", None),
            ("\u{202e}", None),
            ("wpad", None),
            ("WPAD.example", None),
            ("localhost", None),
        ] {
            assert_eq!(clean(name).as_deref(), label, "{name:?}");
        }
        assert_eq!(clean(&"a".repeat(500)).unwrap().len(), 63);
        assert_eq!(clean(&format!("{}-b", "a".repeat(62))).unwrap(), "a".repeat(62));
    }

    #[test]
    fn escapes_are_undone_once() {
        for (name, plain) in [
            ("tab", Some("tab")),
            ("my\\x20tab", Some("my tab")),
            ("\\x5cx20", Some("\\x20")),
            ("a\\xzzb", Some("ab")),
            ("a\\x", Some("a")),
            ("a\\xc3\\xabb", Some("ab")),
            ("broken\\x20tab", None),
        ] {
            assert_eq!(unescaped(name).as_deref(), plain, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_becomes_a_valid_label(name in "\\PC{0,100}|.{0,100}") {
            if let Some(label) = clean(&name) {
                prop_assert!((1..=63).contains(&label.len()));
                prop_assert!(label.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-'));
                prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
                prop_assert_eq!(clean(&label), Some(label));
            }
            let _ = unescaped(&name);
        }
    }
}
