//! Short guides for parents, children by age, and teachers: data files with sources and date, read once.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::Deserialize;

use super::words::fill;
use super::{Language, Page, Visit, said, shown};

/// The version that every file states.
const VERSION: u32 = 1;

const FILES: [&str; 6] = [
    include_str!("../../../guides/grooming.toml"),
    include_str!("../../../guides/sextortion.toml"),
    include_str!("../../../guides/bullying.toml"),
    include_str!("../../../guides/privacy.toml"),
    include_str!("../../../guides/games.toml"),
    include_str!("../../../guides/gambling.toml"),
];

static GUIDES: LazyLock<Vec<Guide>> = LazyLock::new(|| {
    let read = FILES.iter().filter_map(|text| toml::from_str::<Guide>(text).ok());
    read.filter(|guide| guide.version == VERSION).collect()
});

/// A guide, in both languages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guide {
    version: u32,
    id: String,
    /// When it was looked at last, ISO 8601.
    date: String,
    source: Vec<Source>,
    sq: Text,
    en: Text,
}

/// Where its facts come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: String,
    url: String,
}

/// A guide in one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    title: String,
    about: String,
    children: Part,
    teens: Part,
    parents: Part,
    teachers: Part,
}

/// What it says to some of its readers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    lead: String,
    points: Vec<String>,
}

impl Guide {
    fn text(&self, language: Language) -> &Text {
        match language {
            Language::Sq => &self.sq,
            Language::En => &self.en,
        }
    }
}

#[derive(Template)]
#[template(path = "guides.html")]
struct AllPage {
    page: Page,
    guides: Vec<(&'static str, &'static Text)>,
}

pub(super) async fn all(visit: Visit) -> Response {
    let page = visit.page;
    let guides = GUIDES
        .iter()
        .map(|guide| (guide.id.as_str(), guide.text(page.language)));
    shown(
        StatusCode::OK,
        &AllPage {
            page,
            guides: guides.collect(),
        },
    )
}

#[derive(Template)]
#[template(path = "guide.html")]
struct OnePage {
    page: Page,
    text: &'static Text,
    /// Who is spoken to, where on the page, and what is said.
    parts: [(&'static str, &'static str, &'static Part); 4],
    sources: &'static [Source],
    date: String,
}

pub(super) async fn one(visit: Visit, id: Result<Path<String>, PathRejection>) -> Response {
    let page = visit.page;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let Some(guide) = GUIDES.iter().find(|guide| guide.id == id) else {
        let words = &page.words.guides;
        return said(page, StatusCode::NOT_FOUND, &words.title, &words.missing);
    };
    let (text, words) = (guide.text(page.language), &page.words.guides);
    shown(
        StatusCode::OK,
        &OnePage {
            page,
            text,
            parts: [
                ("children", &words.for_children, &text.children),
                ("teens", &words.for_teens, &text.teens),
                ("parents", &words.for_parents, &text.parents),
                ("teachers", &words.for_teachers, &text.teachers),
            ],
            sources: &guide.source,
            date: fill(&words.date, &[("date", &day(&guide.date, page.language))]),
        },
    )
}

/// A date as the language writes it.
fn day(date: &str, language: Language) -> String {
    let form = match language {
        Language::Sq => "%d.%m.%Y",
        Language::En => "%d/%m/%Y",
    };
    let date = date.parse().ok();
    date.map_or_else(String::new, |date: Date| date.strftime(form).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_its_language_does() {
        assert_eq!(day("2026-11-26", Language::Sq), "26.11.2026");
        assert_eq!(day("2026-11-26", Language::En), "26/11/2026");
    }

    #[test]
    fn every_guide_is_whole_in_both_languages_with_sources_and_date() {
        let ids: Vec<&str> = GUIDES.iter().map(|guide| guide.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "grooming",
                "sextortion",
                "bullying",
                "privacy",
                "games",
                "gambling"
            ]
        );
        for guide in GUIDES.iter() {
            assert!(guide.date.parse::<Date>().is_ok(), "{}", guide.id);
            assert!(guide.source.len() >= 2, "{}: sources", guide.id);
            for source in &guide.source {
                assert!(
                    source.url.starts_with("https://") && !source.name.is_empty(),
                    "{}",
                    source.url
                );
            }
            let (sq, en) = (&guide.sq, &guide.en);
            assert!(sq.title != en.title && sq.about != en.about, "{}", guide.id);
            for (albanian, english) in [
                (&sq.children, &en.children),
                (&sq.teens, &en.teens),
                (&sq.parents, &en.parents),
                (&sq.teachers, &en.teachers),
            ] {
                assert_eq!(
                    albanian.points.len(),
                    english.points.len(),
                    "{}: {english:?}",
                    guide.id
                );
                assert!(
                    (3..=7).contains(&english.points.len()),
                    "{}: {english:?}",
                    guide.id
                );
                assert!(albanian.lead != english.lead, "{}", guide.id);
            }
        }
    }
}
