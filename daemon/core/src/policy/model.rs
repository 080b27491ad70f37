//! The policy as people write it: profiles, and which devices have them. CONTRACT's form, one TOML file.
//!
//! What a version does not act on is no key of it: a policy that asks for more than is enforced is refused, not half obeyed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schedule::{Dates, Days, Hour, Mode};

/// The whole policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What holds for all.
    #[serde(default)]
    pub settings: Settings,
    /// Days that schedules keep to or leave out, such as school holidays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendar: Vec<CalendarText>,
    /// What is blocked for whom.
    #[serde(default)]
    pub profile: Vec<ProfileText>,
    /// Who has which profile.
    #[serde(default)]
    pub device: Vec<DeviceText>,
}

/// `[settings]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The profile of devices that none is named for; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<String>,
    /// Time zone of schedules and budgets (IANA name); that of the system where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The hour at which the minutes of budgets begin anew; midnight where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub budget_reset: Option<Hour>,
    /// Language of the pages for those whose browser asks for none that there is; Albanian where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PageLanguage)]
pub enum Language {
    /// Albanian.
    Sq,
    /// English.
    En,
}

/// `[[calendar]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarText {
    /// Its name, unique.
    pub name: String,
    /// Where its days are fetched from once a day, as an iCalendar; none = they are as they stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its days: `2026-12-24..2027-01-07`, `2026-11-28`; with `url`, those fetched last.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub days: Vec<Dates>,
}

/// `[[profile]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileText {
    /// Its name, unique.
    pub name: String,
    /// What it is shown with: an emoji, up to 16 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<String>,
    /// Whom it is for; changes nothing that is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Age>,
    /// Blocked categories: those of `blocklists/data/categories.toml` and of configured lists.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Blocked services: those of `blocklists/data/services.toml`.
    #[serde(default)]
    pub services: Vec<String>,
    /// Names that are allowed: `example.org` with all below it, `=example.org` alone, `/regex/`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Names that are blocked, in the same forms.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Whether ways round the filter are blocked.
    #[serde(default = "yes")]
    pub bypass_protection: bool,
    /// What happens to names that nothing is said about.
    #[serde(default)]
    pub default: Otherwise,
    /// Whether search engines are led to their hosts for safe search.
    #[serde(default)]
    pub safe_search: bool,
    /// How much of YouTube is shown.
    #[serde(default)]
    pub youtube: Youtube,
    /// Language of the pages that its devices meet, whatever their browsers ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// What others see of its devices' queries.
    #[serde(default, skip_serializing_if = "Visibility::is_full")]
    pub visibility: Visibility,
    /// When more is blocked than at other hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduleText>,
    /// Minutes a day for services and categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<BudgetText>,
}

fn yes() -> bool {
    true
}

/// Whom a profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Age {
    /// A child of up to 6 years.
    #[serde(rename = "up-to-6")]
    UpTo6,
    /// A child of 7 to 12 years.
    #[serde(rename = "7-12")]
    From7To12,
    /// A child of 13 to 15 years.
    #[serde(rename = "13-15")]
    From13To15,
    /// A child of 16 or 17 years.
    #[serde(rename = "16-17")]
    From16To17,
    /// An adult.
    #[serde(rename = "adult")]
    Adult,
    /// Devices that nobody has placed.
    #[serde(rename = "guest")]
    Guest,
    /// A group of a school.
    #[serde(rename = "school")]
    School,
}

/// What happens to names that nothing is said about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// They are allowed.
    #[default]
    Allow,
    /// They are blocked: only `allow` opens anything.
    Deny,
}

/// How much of YouTube is shown: its restricted modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Youtube {
    /// Everything.
    #[default]
    Off,
    /// Moderate restricted mode.
    Moderate,
    /// Strict restricted mode.
    Strict,
}

/// What parents and staff see of the queries of a profile's devices. What they do not see is not kept either; the devices
/// themselves are told (`/me`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Every name.
    #[default]
    Full,
    /// The names that were blocked.
    Blocked,
    /// No name: how much was asked for, and how much was blocked of which category.
    Counts,
}

impl Policy {
    /// What is seen of a profile's queries; of one that is gone, what was kept.
    pub fn visibility(&self, profile: &str) -> Visibility {
        let found = self.profile.iter().find(|found| found.name == profile);
        found.map_or(Visibility::Full, |found| found.visibility)
    }
}

impl Visibility {
    /// Whether every name is seen.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over so
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }

    /// Whether a name is seen that was blocked or not.
    pub fn shows(self, blocked: bool) -> bool {
        match self {
            Self::Full => true,
            Self::Blocked => blocked,
            Self::Counts => false,
        }
    }
}

/// `[[profile.schedule]]`: what is missing comes from `preset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleText {
    /// What it is called; the preset, or the mode, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the rest comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The days that it begins on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub days: Option<Days>,
    /// The hour that it begins at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Hour>,
    /// The hour that it ends at; the next day where that is not later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<Hour>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Holds on the days of this calendar alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_on: Option<String>,
    /// Does not hold on the days of this calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_on: Option<String>,
}

/// Schedules that many families and schools want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Off from 21:00 to 07:00, daily.
    Bedtime,
    /// No services from 16:00 to 18:00, Monday to Friday.
    Homework,
    /// Only allowed names from 08:00 to 14:00, Monday to Friday.
    Exam,
}

/// `[[profile.budget]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetText {
    /// What it is called; what it is about, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is about: `service:youtube`, `category:games`.
    pub what: Vec<String>,
    /// Minutes a day, up to 1,440.
    pub minutes: u16,
    /// Whose minutes are counted together.
    #[serde(default)]
    pub per: Per,
}

/// Whose minutes are counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each device has its own.
    #[default]
    Device,
    /// All devices of the profile share them.
    Profile,
}

/// `[[device]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceText {
    /// Its name, unique.
    pub name: String,
    /// How it is recognised: `mac:aa:bb:cc:dd:ee:ff`, `ip:192.168.1.20`, `cidr:10.3.0.0/16`, `hostname:ana-tab`,
    /// `client-id:ana`.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// The name of its profile.
    pub profile: String,
}
