//! What a new profile starts with, by age and by place: data of `daemon/data/presets.toml`, checked by a test.
//!
//! Presets are copied into a profile when it is made; changing one here changes nobody's profile. Who blocks a kind of content
//! means the apps of that kind too: they are written out, so that the profile shows every one that it blocks.

use std::collections::BTreeMap;

use isigurt_blocklists::data::{self, Service};
use isigurt_core::policy::model::ProfileText;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A beginning for a profile.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProfilePreset)]
pub struct Preset {
    /// Stays the same for ever.
    pub id: String,
    /// Whether it is for a home or a school.
    pub place: Place,
    /// A picture for it: an emoji.
    pub face: String,
    /// What it is called, by language.
    pub name: BTreeMap<String, String>,
    /// Why it blocks what it blocks, by language.
    pub because: BTreeMap<String, String>,
    /// The page that its ages and hours come from.
    pub source: String,
    /// What the profile starts with; its name is the preset's id.
    pub profile: ProfileText,
}

/// Where a preset belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A family.
    Home,
    /// A school.
    School,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    preset: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    place: Place,
    face: String,
    name: BTreeMap<String, String>,
    because: BTreeMap<String, String>,
    source: String,
    #[serde(rename = "date")]
    _date: String,
    profile: toml::Table,
}

/// The built-in presets.
pub fn built_in() -> Result<Vec<Preset>, String> {
    let file: File =
        toml::from_str(include_str!("../../data/presets.toml")).map_err(|error| error.to_string())?;
    if file.version != 1 {
        return Err(format!("presets of version {} are not known", file.version));
    }
    let services = data::built_in().map_err(|error| error.to_string())?.services;
    file.preset
        .into_iter()
        .map(|entry| preset(entry, &services))
        .collect()
}

fn preset(mut entry: Entry, services: &[Service]) -> Result<Preset, String> {
    let name = toml::Value::String(entry.id.clone());
    entry.profile.insert("name".to_owned(), name);
    let mut profile: ProfileText = entry
        .profile
        .try_into()
        .map_err(|error| format!("{}: {error}", entry.id))?;
    let of = |category: &str| {
        let found = services
            .iter()
            .filter(move |service| service.category == category);
        found.map(|service| service.id.clone()).collect::<Vec<_>>()
    };
    for category in &profile.categories {
        profile.services.extend(of(category));
    }
    for budget in &mut profile.budget {
        let kinds = budget.what.clone();
        for category in kinds.iter().filter_map(|what| what.strip_prefix("category:")) {
            let apps = of(category).into_iter();
            budget
                .what
                .extend(apps.map(|service| format!("service:{service}")));
        }
    }
    Ok(Preset {
        id: entry.id,
        place: entry.place,
        face: entry.face,
        name: entry.name,
        because: entry.because,
        source: entry.source,
        profile,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_whole_and_names_only_categories_that_there_are() {
        let categories = data::built_in().unwrap().categories;
        let presets = built_in().unwrap();
        for id in [
            "up-to-6",
            "7-12",
            "13-15",
            "16-17",
            "adult",
            "guest",
            "school-exam",
        ] {
            assert!(presets.iter().any(|preset| preset.id == id), "{id}");
        }
        for preset in &presets {
            assert!(
                preset.source.starts_with("https://") && !preset.face.is_empty(),
                "{}",
                preset.id
            );
            for language in ["sq", "en"] {
                assert!(!preset.name[language].is_empty() && !preset.because[language].is_empty());
            }
            for category in &preset.profile.categories {
                let known = categories.iter().any(|known| known.id == *category);
                assert!(known, "{}: {category}", preset.id);
            }
        }
    }

    #[test]
    fn a_kind_of_content_stands_for_its_apps() {
        let presets = built_in().unwrap();
        let child = &presets.iter().find(|preset| preset.id == "7-12").unwrap().profile;
        assert!(child.services.iter().any(|service| service == "instagram"));
        assert!(!child.services.iter().any(|service| service == "youtube"));
        assert!(child.budget[0].what.iter().any(|what| what == "service:youtube"));
    }

    #[test]
    fn what_harms_anybody_is_blocked_for_everybody_and_what_harms_children_for_children() {
        for preset in built_in().unwrap() {
            let blocks = |id: &str| preset.profile.categories.iter().any(|category| category == id);
            assert!(
                blocks("malware") && blocks("phishing") && blocks("scam"),
                "{}",
                preset.id
            );
            if !["adult", "school-staff", "school-exam"].contains(&preset.id.as_str()) {
                for category in ["adult", "gambling", "self-harm", "extremism", "stranger-chat"] {
                    assert!(blocks(category), "{}: {category}", preset.id);
                }
            }
        }
    }
}
