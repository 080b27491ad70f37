//! The texts of the pages, a file a language; whoever adds a key adds it to each, or the tests of this module fail.

use std::sync::LazyLock;

use serde::Deserialize;

use super::Language;

static SQ: LazyLock<Words> =
    LazyLock::new(|| toml::from_str(include_str!("texts/sq.toml")).unwrap_or_default());
static EN: LazyLock<Words> =
    LazyLock::new(|| toml::from_str(include_str!("texts/en.toml")).unwrap_or_default());

/// The texts of a language.
pub(super) fn of(language: Language) -> &'static Words {
    match language {
        Language::Sq => &SQ,
        Language::En => &EN,
    }
}

/// Declares what a table of the files has: texts, and tables of texts.
macro_rules! texts {
    ($name:ident { $($key:ident),* $(,)? } $({ $($inner:ident: $table:ident),* })?) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $key: String,)*
            $($(pub(super) $inner: $table,)*)?
        }

        impl $name {
            #[cfg(test)]
            fn each(&self, tell: &mut dyn FnMut(&'static str, &str)) {
                $(tell(stringify!($key), &self.$key);)*
                $($(self.$inner.each(tell);)*)?
            }
        }
    };
}

texts!(Words {} { common: Common, block: Block, me: Me, report: Report, help: Help, guides: Guides });
texts!(Common {
    title,
    other,
    help,
    me,
    report,
    guides,
    menu,
    skip,
    exit,
    danger,
    danger_text,
    phone_children,
    phone_police,
    phone_emergency,
    sent_wrong,
    too_long,
    again,
});
texts!(Block {
    title_blocked,
    title_paused,
    title_bedtime,
    title_time,
    title_open,
    category,
    service,
    denied,
    own,
    not_allowed,
    allow_list,
    no_services,
    bypass,
    private,
    budget,
    paused,
    schedule_off,
    national,
    national_calm,
    open,
    open_link,
    until,
    helplines_open,
    ask_title,
    ask_text,
    ask_note,
    ask_button,
    mistake_title,
    mistake_text,
    mistake_button,
    talk,
    bedtime,
    homework,
    exam,
    hours,
});
texts!(Me {
    title,
    device,
    unknown,
    profile,
    now,
    now_open,
    now_paused,
    now_off,
    now_allow_list,
    now_no_services,
    time,
    time_left,
    time_over,
    time_none,
    ask_title,
    ask_name,
    asked,
    asked_none,
    state_open,
    state_granted,
    state_allowed,
    state_denied,
    sees,
    sees_full,
    sees_anonymous,
    sees_blocked,
    sees_counts,
    sees_off,
    sees_never,
    asked_title,
    asked_text,
    asked_enough_title,
    asked_enough,
});
texts!(Report {
    title, intro, anonymous, name, name_help, kind, note, contact, check, check_title, check_text, check_to, check_sealed,
    change, send, no_note, no_contact, blocked_by, language, sent_title, sent_text, receipt, receipt_text, look,
    look_button, state_title, state_waiting, state_received, state_under_review, state_acted_on, state_not_illegal,
    state_refused, state_unknown, since, closed_title, closed_no_platform, closed_no_key, closed_wait, closed_full,
    wrong_name, wrong_kind, wrong_long,
} { kinds: Kinds });
texts!(Kinds {
    abuse_material,
    grooming,
    sextortion,
    bullying,
    violence,
    hate,
    gambling,
    fraud,
    wrongly_blocked,
    other,
});
texts!(Help {
    title,
    lead,
    call,
    call_free,
    write,
    more,
    countries,
    private_title,
    private_text,
    now_title,
    now_1,
    now_2,
    now_3,
    now_4,
    report_link,
    guides_link,
});
texts!(Guides {
    title,
    intro,
    for_parents,
    for_children,
    for_teens,
    for_teachers,
    sources,
    date,
    missing
});

/// A text with its places filled in; what is filled in is not looked at again.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((key, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        let value = values.iter().find(|(known, _)| *known == key);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_stands_in_both_languages_and_asks_for_the_same_places() {
        let read = |text| {
            let words: Words = toml::from_str(text).unwrap();
            let mut all = Vec::new();
            words.each(&mut |key, text| {
                let mut places: Vec<String> = text
                    .split('{')
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
                    .collect();
                places.sort();
                assert!(!text.trim().is_empty(), "{key} is empty");
                all.push((key, text.to_owned(), places));
            });
            all
        };
        let (sq, en) = (
            read(include_str!("texts/sq.toml")),
            read(include_str!("texts/en.toml")),
        );
        assert!(sq.len() > 150, "{}", sq.len());
        for ((key, albanian, in_sq), (_, english, in_en)) in sq.iter().zip(&en) {
            assert_eq!(in_sq, in_en, "places of {key}");
            assert!(
                albanian != english || albanian == "iSigurt",
                "{key} is not translated: {albanian}"
            );
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        assert_eq!(
            fill("a {name} b {what}", &[("name", "{what}"), ("what", "x")]),
            "a {what} b x"
        );
        assert_eq!(fill("{", &[]), "{");
    }
}
