//! The pages as text: what they say, in which language, and that whatever comes from outside is only text there.

use askama::Template as _;
use axum::http::{HeaderMap, header};
use isigurt_core::policy::schedule::Mode;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::block::{BlockPage, Why};
use super::*;

fn whys() -> Vec<Why> {
    let later = Some(Timestamp::from_second(1_780_000_000).unwrap());
    vec![
        Why::Open,
        Why::National,
        Why::Paused(None),
        Why::Paused(later),
        Why::Hours("schedule: bedtime".to_owned(), Mode::Off, later),
        Why::Hours("homework".to_owned(), Mode::AllowList, later),
        Why::Hours("lesson".to_owned(), Mode::NoServices, None),
        Why::Time("service:youtube category:games".to_owned()),
        Why::Service("tiktok".to_owned()),
        Why::Category("gambling".to_owned()),
        Why::Own,
        Why::Bypass,
        Why::Denied,
        Why::NotAllowed,
        Why::Private,
    ]
}

fn rendered(language: Language, why: &Why, name: &str) -> String {
    let page = Page::new(language, BELOW);
    BlockPage::new(&page, why, name, &TimeZone::UTC).render().unwrap()
}

#[test]
fn the_language_is_read_from_what_browsers_say() {
    for (accept, language) in [
        ("sq", Some("sq")),
        ("en-US,en;q=0.9", Some("en")),
        ("de-DE,de;q=0.9,en;q=0.3,sq;q=0.5", Some("sq")),
        ("de", None),
        ("", None),
        ("english", None),
        ("en;q=0", None),
        ("en;q=x,;;,,", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
        assert_eq!(
            Language::accepted(&headers).map(Language::code),
            language,
            "{accept:?}"
        );
    }
    for (query, language) in [
        ("a=b&l=en", Some("en")),
        ("l=xx", None),
        ("l=ë", None),
        ("ll=en", None),
    ] {
        assert_eq!(
            Language::asked(Some(query)).map(Language::code),
            language,
            "{query}"
        );
    }
}

#[test]
fn every_reason_is_said_in_both_languages_with_its_own_words_and_the_helplines() {
    for language in [Language::Sq, Language::En] {
        let mut seen = std::collections::HashSet::new();
        for why in whys() {
            let html = rendered(language, &why, "site.example");
            assert!(html.contains(&format!("<html lang=\"{}\">", language.code())));
            for phone in ["tel:116111", "tel:129", "tel:112"] {
                assert!(html.contains(phone), "{why:?} lacks {phone}");
            }
            assert!(
                !html.contains("http://") && !html.contains("https://"),
                "{why:?} leads elsewhere"
            );
            assert!(seen.insert(html), "{why:?} looks like another");
        }
    }
    let html = rendered(
        Language::Sq,
        &Why::Category("gambling".to_owned()),
        "site.example",
    );
    assert!(
        html.contains("Lojëra fati") && html.contains("Kërko leje"),
        "{html}"
    );
    let bedtime = Why::Hours("schedule: bedtime".to_owned(), Mode::Off, None);
    assert!(rendered(Language::Sq, &bedtime, "x.example").contains("koha e gjumit"));
    let used_up = rendered(
        Language::Sq,
        &Why::Time("service:youtube category:games".to_owned()),
        "x.example",
    );
    assert!(used_up.contains("YouTube, Lojëra"), "{used_up}");
    // What a parent sees as one kind of content is kept with all its apps; a child is told the kind alone.
    let preset =
        "category:games category:video service:roblox service:minecraft service:youtube service:spotify";
    let used_up = rendered(Language::Sq, &Why::Time(preset.to_owned()), "x.example");
    assert!(used_up.contains("“Lojëra, Video, Spotify”"), "{used_up}");
    assert!(rendered(Language::En, &Why::Service("tiktok".to_owned()), "x.example").contains("TikTok"));
}

#[test]
fn a_site_of_the_national_list_is_not_named_and_nobody_is_offered_to_ask_for_it() {
    for language in [Language::Sq, Language::En] {
        let html = rendered(language, &Why::National, "hidden.example");
        let shown = html.replace("value=\"hidden.example\"", ""); // what the form for mistakes carries
        assert!(
            !shown.contains("hidden.example") && !html.contains("/me/ask"),
            "{html}"
        );
        assert!(html.contains("116 111"));
    }
    assert_eq!(Why::National.status().as_u16(), 451);
    for why in [
        Why::Paused(None),
        Why::Hours(String::new(), Mode::Off, None),
        Why::Bypass,
        Why::Open,
    ] {
        assert!(
            !rendered(Language::Sq, &why, "x.example").contains("/me/ask"),
            "{why:?}"
        );
    }
}

#[test]
fn whatever_a_name_says_is_text() {
    let evil = "<script>alert(1)</script>\"'><img src=x>\u{202e}{name}";
    for why in [
        Why::Denied,
        Why::Hours(evil.to_owned(), Mode::AllowList, None),
        Why::Time(evil.to_owned()),
        Why::Category(evil.to_owned()),
    ] {
        let html = rendered(Language::En, &why, evil);
        for raw in ["<script>alert", "<img", "\"'>"] {
            assert!(!html.contains(raw), "{why:?}: {html}");
        }
    }
}
