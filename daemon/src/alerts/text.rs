//! What is sent, in words: Albanian and English.

use isigurt_blocklists::data;
use serde::Serialize;

use super::push::Detail;
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

/// What the service worker shows (`webui/public/sw.js`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Notice {
    /// Form of this document.
    version: u8,
    title: &'static str,
    body: String,
    lang: Language,
    /// The page that it opens.
    url: &'static str,
    /// A later one of the same takes its place.
    tag: &'static str,
    /// Whether somebody may be in danger.
    pub(super) urgent: bool,
}

/// Letters of a notification; screens show fewer.
const SHOWN: usize = 400;

/// The notification of alerts that are sent together.
pub(super) fn notice(language: Language, detail: Detail, alerts: &[Alert]) -> Notice {
    let only = |about: &str| alerts.iter().all(|alert| alert.about == about);
    let lines: Vec<String> = match detail {
        Detail::Nothing => vec![
            match language {
                Language::Sq => "Diçka kërkon vëmendjen tuaj. Hapeni për ta parë.",
                Language::En => "Something needs your look. Open it to see what.",
            }
            .to_owned(),
        ],
        Detail::Kind => alerts
            .iter()
            .map(|alert| counted(language, kind(language, alert), alert.count))
            .collect(),
        Detail::Whose => alerts.iter().map(|alert| line(language, alert)).collect(),
    };
    Notice {
        version: 1,
        title: "iSigurt",
        body: lines.join("\n").chars().take(SHOWN).collect(),
        lang: language,
        url: if only("gateway") {
            "/system"
        } else if only("danger") {
            "/"
        } else {
            "/activity?verdict=blocked"
        },
        tag: "alert",
        urgent: alerts
            .iter()
            .any(|alert| matches!(alert.about.as_str(), "danger" | "category:self-harm")),
    }
}

/// The notification of the test button.
pub(super) fn test_notice(language: Language) -> Notice {
    Notice {
        version: 1,
        title: "iSigurt",
        body: match language {
            Language::Sq => "Kjo është një provë. Njoftimet e portës do të shfaqen kështu.",
            Language::En => "This is a test. Notifications of the gateway will look like this.",
        }
        .to_owned(),
        lang: language,
        url: "/account",
        tag: "test",
        urgent: false,
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
    counted(language, format!("{whose}: {what}"), alert.count)
}

fn counted(language: Language, what: String, count: u32) -> String {
    match (language, count) {
        (_, 0 | 1) => what,
        (Language::Sq, count) => format!("{what}, {count} herë"),
        (Language::En, count) => format!("{what}, {count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_shows_as_much_as_its_user_chose_and_never_more() {
        let alert = |about: &str, profile: &str| Alert {
            at: jiff::Timestamp::UNIX_EPOCH,
            about: about.to_owned(),
            profile: profile.to_owned(),
            devices: vec!["Era's tablet".to_owned()],
            count: 4,
            problem: String::new(),
            to: "Ana".to_owned(),
        };
        let harm = alert("category:self-harm", "Era");
        let shown = |language, detail| notice(language, detail, std::slice::from_ref(&harm)).body;
        for (language, nothing) in [(Language::Sq, "Diçka kërkon"), (Language::En, "Something needs")] {
            let little = shown(language, Detail::Nothing);
            assert!(little.starts_with(nothing), "{little}");
            assert!(!little.contains("Era"), "{little}");
            let kind = shown(language, Detail::Kind);
            assert!(
                !kind.contains("Era") && kind.contains('4') && kind != little,
                "{kind}"
            );
            let whose = shown(language, Detail::Whose);
            assert!(whose.contains("Era's tablet"), "{whose}");
        }
        let many = vec![harm.clone(); 100];
        assert!(notice(Language::En, Detail::Whose, &many).body.chars().count() <= SHOWN);
        assert!(notice(Language::En, Detail::Nothing, &many).urgent);
        let opens = |alerts: &[Alert]| notice(Language::En, Detail::Nothing, alerts).url;
        assert_eq!(opens(&[alert("gateway", "")]), "/system");
        assert_eq!(opens(&[alert("danger", "")]), "/");
        assert_eq!(opens(&[alert("danger", ""), harm]), "/activity?verdict=blocked");
    }

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
