//! Names of profiles that a policy has no more, and what became of them.
//!
//! A policy that is sent whole does not say that a profile was renamed. It was where one is gone, one is new, and both say the
//! same; in doubt it was removed, because whoever is limited to it must not get another one by guess.

use isigurt_core::policy::model::{Policy, ProfileText};

/// Profiles of `before` that `after` does not have, with their new names where they were renamed.
pub fn gone(before: &Policy, after: &Policy) -> Vec<(String, Option<String>)> {
    let new: Vec<&ProfileText> = missing(after, before).collect();
    let gone = missing(before, after).map(|old| {
        let mut alike = new.iter().filter(|new| same(old, new));
        let renamed = match (alike.next(), alike.next()) {
            (Some(one), None) => Some(one.name.clone()),
            _ => None,
        };
        (old.name.clone(), renamed)
    });
    let mut gone: Vec<_> = gone.collect();
    // Two that became one were not renamed.
    let taken: Vec<String> = gone.iter().filter_map(|(_, new)| new.clone()).collect();
    for (_, renamed) in &mut gone {
        if renamed
            .as_ref()
            .is_some_and(|new| taken.iter().filter(|other| *other == new).count() > 1)
        {
            *renamed = None;
        }
    }
    gone
}

fn missing<'p>(of: &'p Policy, from: &'p Policy) -> impl Iterator<Item = &'p ProfileText> {
    let has = |name: &str| from.profile.iter().any(|profile| profile.name == name);
    of.profile.iter().filter(move |profile| !has(&profile.name))
}

fn same(one: &ProfileText, other: &ProfileText) -> bool {
    let other = ProfileText {
        name: one.name.clone(),
        ..other.clone()
    };
    *one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_says_the_same_under_another_name_was_renamed_and_in_doubt_it_was_removed() {
        let policy = |profiles: &[(&str, &str)]| -> Policy {
            let text: Vec<String> = profiles
                .iter()
                .map(|(name, deny)| format!("[[profile]]\nname = \"{name}\"\ndeny = [\"{deny}\"]\n"))
                .collect();
            toml::from_str(&text.concat()).unwrap()
        };
        let before = policy(&[("7a", "x.example"), ("7b", "y.example"), ("all", "z.example")]);
        let gone = |after: &[(&str, &str)]| {
            let gone = gone(&before, &policy(after));
            let words = gone
                .into_iter()
                .map(|(old, new)| format!("{old}>{}", new.unwrap_or_default()));
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            gone(&[("all", "z.example"), ("7b", "y.example"), ("7a", "other.example")]),
            ""
        );
        assert_eq!(
            gone(&[("8a", "x.example"), ("7b", "y.example"), ("all", "z.example")]),
            "7a>8a"
        );
        assert_eq!(
            gone(&[("8a", "x.example"), ("8b", "y.example"), ("all", "z.example")]),
            "7a>8a 7b>8b"
        );
        assert_eq!(
            gone(&[("8a", "new.example"), ("7b", "y.example"), ("all", "z.example")]),
            "7a>"
        );
        assert_eq!(
            gone(&[("8a", "x.example"), ("8c", "x.example"), ("all", "z.example")]),
            "7a> 7b>"
        );
        let twins = policy(&[("7a", "x.example"), ("7b", "x.example"), ("all", "z.example")]);
        let one = policy(&[("8a", "x.example"), ("all", "z.example")]);
        assert_eq!(
            super::gone(&twins, &one),
            [("7a".to_owned(), None), ("7b".to_owned(), None)]
        );
    }
}
