//! Why a policy cannot be put in force.

use super::names::NamesError;

/// Why a policy cannot be put in force; for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no profile.
    #[error("no [[profile]]: at least one is needed")]
    NoProfile,
    /// More than can be told apart.
    #[error("more than 65,536 profiles, or more than 255 schedules or budgets in one of them")]
    TooMany,
    /// Two of a kind bear one name.
    #[error("two {kind}s are named \"{name}\"")]
    Twice {
        /// `profile`, `device`, `calendar` or `budget`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that cannot be shown.
    #[error(
        "{kind} {name:?}: a name has 1 to 64 characters, none of them a control character, and no space at its ends"
    )]
    Called {
        /// `profile` or `device`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// What a profile is shown with is no emoji.
    #[error("profile \"{profile}\": a face has 1 to 16 characters, none of them a control character")]
    Face {
        /// Whose.
        profile: String,
    },
    /// A profile is named that does not exist.
    #[error("{by}: there is no profile \"{name}\"")]
    UnknownProfile {
        /// Who names it.
        by: String,
        /// The name.
        name: String,
    },
    /// Several profiles, and none of them is the default.
    #[error("[settings] default_profile is needed where there are several profiles")]
    NoDefault,
    /// A category or service that nothing is known about.
    #[error("profile \"{profile}\": there is no {kind} \"{id}\"")]
    UnknownTag {
        /// The profile.
        profile: String,
        /// `category` or `service`.
        kind: &'static str,
        /// What was written.
        id: String,
    },
    /// A line of `allow` or `deny` is no rule.
    #[error("profile \"{profile}\": {error}")]
    Names {
        /// The profile.
        profile: String,
        /// What is wrong.
        error: NamesError,
    },
    /// A schedule cannot be kept.
    #[error("profile \"{profile}\", schedule: {what}")]
    Schedule {
        /// The profile.
        profile: String,
        /// What is wrong.
        what: String,
    },
    /// Two schedules say different things for one hour.
    #[error(
        "profile \"{profile}\": \"{one}\" and \"{other}\" hold at the same hour; let one end where the other begins"
    )]
    Overlap {
        /// The profile.
        profile: String,
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// A budget cannot be counted.
    #[error("profile \"{profile}\", budget: {what}")]
    Budget {
        /// The profile.
        profile: String,
        /// What is wrong.
        what: String,
    },
    /// A device cannot be recognised so.
    #[error(
        "device \"{device}\": {text:?} is not mac:, ip:, cidr:, hostname: or client-id: with what belongs to it"
    )]
    Match {
        /// The device.
        device: String,
        /// What was written.
        text: String,
    },
    /// Two devices are recognised by the same.
    #[error("device \"{device}\": {text} is the mark of device \"{other}\" already")]
    MatchTwice {
        /// The device.
        device: String,
        /// What was written.
        text: String,
        /// The one that has it.
        other: String,
    },
    /// Nothing can be fetched from there.
    #[error("calendar \"{calendar}\": {url:?} is no address of an iCalendar; expected https://…")]
    Address {
        /// The calendar.
        calendar: String,
        /// What was written.
        url: String,
    },
    /// No time zone of this name is known here.
    #[error("[settings] time_zone: {0}")]
    TimeZone(String),
}

impl PolicyError {
    /// The name of the profile or device that is at fault.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::UnknownTag { profile, .. } | Self::Names { profile, .. } => Some(profile),
            Self::Match { device, .. } | Self::MatchTwice { device, .. } => Some(device),
            _ => None,
        }
    }

    /// What is written in the policy where it is wrong, so that the line can be found.
    pub fn written(&self) -> Option<&str> {
        match self {
            Self::UnknownTag { id, .. } => Some(id),
            Self::Address { url, .. } => Some(url),
            Self::Names { error, .. } => error.line(),
            Self::Match { text, .. } | Self::MatchTwice { text, .. } => Some(text),
            Self::UnknownProfile { name, .. } | Self::Called { name, .. } | Self::Twice { name, .. } => {
                Some(name)
            }
            _ => None,
        }
    }
}
