//! What is sent, in words: Albanian and English.

use isigurt_blocklists::data;
use serde::Serialize;

use super::{Alert, Language};

/// A message, for people and for programs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Message {
    /// Form of the document that a webhook gets.
    pub(super) version: u8,
    /// Whether it is only a test.
    pub(super) test: bool,
    /// One line.
    pub(super) subject: String,
    /// All of it, plain text.
    pub(super) text: String,
    /// What it is about.
    pub(super) alerts: Vec<Alert>,
}

/// The message of alerts that are sent together.
pub(super) fn message(language: Language, alerts: Vec<Alert>) -> Message {
    let danger = alerts.iter().any(|alert| alert.about == "danger");
    let subject = match (language, danger, alerts.first()) {
        (Language::Sq, true, _) => "iSigurt: u raportua rrezik".to_owned(),
        (Language::En, true, _) => "iSigurt: danger was reported".to_owned(),
        (_, false, Some(alert)) => format!("iSigurt: {}", kind(language, alert)),
        (_, false, None) => "iSigurt".to_owned(),
    };
    let mut text = String::new();
    for alert in &alerts {
        text.push_str(&line(language, alert));
        text.push('\n');
    }
    text.push_str(match language {
        Language::Sq => {
            "\nEmri i faqes nuk dërgohet. Një kërkesë e bllokuar nuk është provë: flisni me fëmijën me qetësi.\n\
             Ndihmë: ALO 116 111 (falas, 24 orë), Policia 129, emergjenca 112.\n"
        }
        Language::En => {
            "\nThe site's name is not sent. A blocked request proves nothing: talk to the child calmly.\n\
             Help: ALO 116 111 (free, 24 hours), police 129, emergency 112.\n"
        }
    });
    Message {
        version: 1,
        test: false,
        subject,
        text,
        alerts,
    }
}

/// The message of the test button.
pub(super) fn test(language: Language) -> Message {
    let (subject, text) = match language {
        Language::Sq => (
            "iSigurt: provë",
            "Kjo është një provë. Njoftimet e portës iSigurt do të mbërrijnë këtu.\n",
        ),
        Language::En => (
            "iSigurt: test",
            "This is a test. Alerts of the iSigurt gateway will arrive here.\n",
        ),
    };
    Message {
        version: 1,
        test: true,
        subject: subject.to_owned(),
        text: text.to_owned(),
        alerts: Vec::new(),
    }
}

/// What an alert is about, in words.
fn kind(language: Language, alert: &Alert) -> String {
    match (language, alert.about.as_str()) {
        (Language::Sq, "danger") => "u raportua rrezik".to_owned(),
        (Language::En, "danger") => "danger was reported".to_owned(),
        (Language::Sq, "gateway") => "porta ka nevojë për vëmendje".to_owned(),
        (Language::En, "gateway") => "the gateway needs attention".to_owned(),
        (language, about) => {
            let id = about.strip_prefix("category:").unwrap_or(about);
            let categories = data::built_in().map(|data| data.categories).unwrap_or_default();
            let found = categories.into_iter().find(|category| category.id == id);
            let name = found.map_or_else(
                || id.to_owned(),
                |category| match language {
                    Language::Sq => category.name.sq,
                    Language::En => category.name.en,
                },
            );
            match language {
                Language::Sq => format!("u bllokua “{name}”"),
                Language::En => format!("“{name}” was blocked"),
            }
        }
    }
}

fn line(language: Language, alert: &Alert) -> String {
    let what = kind(language, alert);
    if !alert.problem.is_empty() {
        return format!("{what}: {}", alert.problem);
    }
    let devices = alert.devices.join(", ");
    let whose = if devices.is_empty() {
        alert.profile.clone()
    } else {
        format!("{} ({devices})", alert.profile)
    };
    match (language, alert.count) {
        (_, 0 | 1) => format!("{whose}: {what}"),
        (Language::Sq, count) => format!("{whose}: {what}, {count} herë"),
        (Language::En, count) => format!("{whose}: {what}, {count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_happened_on_whose_device_in_the_recipients_language() {
        let alert = Alert {
            at: jiff::Timestamp::UNIX_EPOCH,
            about: "category:self-harm".to_owned(),
            profile: "class-7a".to_owned(),
            devices: vec!["tablet 3".to_owned()],
            count: 4,
            problem: String::new(),
            to: "lead".to_owned(),
        };
        let english = message(Language::En, vec![alert.clone()]);
        assert!(
            english.text.starts_with("class-7a (tablet 3): "),
            "{}",
            english.text
        );
        assert!(english.text.contains("4 times"), "{}", english.text);
        let albanian = message(Language::Sq, vec![alert]);
        assert!(albanian.text.contains("4 herë") && albanian.subject != english.subject);
        assert!(albanian.text.contains("116 111"));
    }
}
