//! From whatever somebody typed to a report: a name is found in what was pasted, the rest is bounded, and nothing is added.
//!
//! What is wrong is said by member and expectation; an error must never repeat what was written.

use std::fmt;

use isigurt_blocklists::name::Name;
use isigurt_wire::report::{CONTACT, FORMAT, Kind, NOTE, Report};
use isigurt_wire::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::ReportError;

/// What somebody wants to report.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The site: a name, or an address pasted from the browser, of which only the name is taken.
    #[schema(value_type = String)]
    pub name: Secret,
    /// `abuse-material`, `grooming`, `sextortion`, `bullying`, `violence`, `hate`, `gambling`, `fraud`,
    /// `wrongly-blocked` or `other`.
    pub kind: String,
    /// In their own words; up to 4,000 octets.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub note: Option<Secret>,
    /// How they may be reached, if they want to be; up to 200 octets.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub contact: Option<Secret>,
    /// Language of the one who reports: `sq` (the default) or `en`.
    #[serde(default)]
    pub language: Option<String>,
    /// For a wrong block, the list that blocks the name; the gateway fills it in where nothing is said.
    #[serde(default)]
    pub blocked_by: Option<String>,
}

// What is reported must not get into a log by way of a debugging line.
impl fmt::Debug for Draft {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Draft(…)")
    }
}

impl Draft {
    /// The report that it is.
    pub fn read(&self) -> Result<Report, ReportError> {
        let kind: Kind = self.kind.parse().map_err(|_| wrong("kind", kinds()))?;
        let language = match self.language.as_deref() {
            None | Some("" | "sq") => "sq",
            Some("en") => "en",
            Some(_) => return Err(wrong("language", "sq or en is expected".to_owned())),
        };
        let blocked_by = text("blocked_by", self.blocked_by.as_deref(), 100)?;
        Ok(Report {
            format: FORMAT,
            kind,
            name: name(&self.name)?,
            note: text("note", self.note.as_deref(), NOTE)?,
            contact: text("contact", self.contact.as_deref(), CONTACT)?,
            language: language.to_owned(),
            blocked_by: blocked_by
                .filter(|_| kind == Kind::WronglyBlocked)
                .map(|list| list.to_string()),
        })
    }
}

fn kinds() -> String {
    let known: Vec<&str> = Kind::ALL.map(Kind::as_str).into();
    format!("one of {} is expected", known.join(", "))
}

fn wrong(field: &'static str, what: String) -> ReportError {
    ReportError::Field { field, what }
}

/// The canonical name in a name or a URL.
fn name(typed: &str) -> Result<Secret, ReportError> {
    let expected = || {
        let what = "the name of a site is expected, such as example.org, or its address from the browser";
        wrong("name", what.to_owned())
    };
    let typed = typed.trim();
    if typed.len() > 4_096 {
        return Err(expected());
    }
    let rest = match typed.split_once("://") {
        Some(("http" | "https" | "HTTP" | "HTTPS" | "Http" | "Https", rest)) => rest,
        Some(_) => return Err(expected()),
        None => typed,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
        _ => host,
    };
    let name = Name::parse(host).map_err(|_| expected())?;
    let labels: Vec<&[u8]> = name.as_ref().labels().collect();
    let own = |zone: &str| Name::parse(zone).is_ok_and(|zone| name.as_ref().is_at_or_below(zone.as_ref()));
    let number = |label: &&[u8]| label.iter().all(u8::is_ascii_digit);
    if labels.len() < 2 || labels.last().is_none_or(number) {
        return Err(expected());
    }
    if ["localhost", "local", "home.arpa", "in-addr.arpa", "ip6.arpa"]
        .into_iter()
        .any(own)
    {
        let what = "this name exists on your own network alone; nobody outside can look at it";
        return Err(wrong("name", what.to_owned()));
    }
    Ok(name.to_string().into())
}

/// A text without control characters but for new lines; `None` where nothing is left.
fn text(field: &'static str, typed: Option<&str>, most: usize) -> Result<Option<Secret>, ReportError> {
    let Some(typed) = typed else { return Ok(None) };
    // Never larger than what was typed, so that it does not move and leave a copy behind.
    let mut clean = Zeroizing::new(String::with_capacity(typed.len()));
    clean.extend(
        typed
            .chars()
            .filter(|character| !character.is_control() || matches!(character, '\n' | '\t')),
    );
    let clean = clean.trim();
    if clean.len() > most {
        return Err(wrong(
            field,
            format!("it is too long; {most} octets at most are expected"),
        ));
    }
    Ok((!clean.is_empty()).then(|| clean.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft(name: &str) -> Draft {
        Draft {
            name: name.into(),
            kind: "other".to_owned(),
            ..Draft::default()
        }
    }

    #[test]
    fn the_name_is_found_in_what_was_pasted_and_the_rest_of_the_address_is_left() {
        for (typed, name) in [
            ("Bad.Example", "bad.example"),
            (" bad.example. ", "bad.example"),
            ("https://www.bad.example/a/b?c=d#e", "www.bad.example"),
            ("http://user:word@bad.example:8080/", "bad.example"),
            ("bad.example/path", "bad.example"),
            ("https://përmbajtje.example/", "xn--prmbajtje-v4a.example"),
        ] {
            let read = draft(typed).read().unwrap();
            assert_eq!(read.name, name, "{typed}");
            assert!(read.note.is_none(), "{typed}");
        }
        for typed in [
            "",
            "word",
            "192.0.2.1",
            "https://[2001:db8::1]/",
            "javascript://bad.example",
            "nas.home.arpa",
            "printer.local",
            "1.2.0.192.in-addr.arpa",
            "https:///path",
            "a b.example",
        ] {
            let error = draft(typed).read().unwrap_err().to_string();
            assert!(error.starts_with("name: "), "{typed}: {error}");
            assert!(
                typed.is_empty() || !error.contains(typed),
                "{error} repeats what was written"
            );
        }
    }

    #[test]
    fn texts_are_bounded_and_a_list_is_named_only_for_a_wrong_block() {
        let mut long = draft("bad.example");
        long.note = Some("x".repeat(NOTE + 1).into());
        assert!(long.read().unwrap_err().to_string().starts_with("note: "));
        long.note = Some("  a\r\nb\u{1b}[2J  ".into());
        long.contact = Some(" ".into());
        long.blocked_by = Some("adult".to_owned());
        let read = long.read().unwrap();
        assert_eq!(
            (read.note.as_deref(), read.contact, read.blocked_by),
            (Some("a\nb[2J"), None, None)
        );
        long.kind = "wrongly-blocked".to_owned();
        assert_eq!(long.read().unwrap().blocked_by.as_deref(), Some("adult"));
        long.kind = "csam".to_owned();
        assert!(long.read().unwrap_err().to_string().contains("abuse-material"));
        assert_eq!(format!("{long:?}"), "Draft(…)");
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_a_report_or_an_error_that_does_not_repeat_it(
            name in "\\PC{0,80}", note in "\\PC{0,40}", kind in "[a-z-]{0,20}"
        ) {
            let mut typed = draft(&name);
            typed.note = Some(note.into());
            if let Ok(report) = typed.read() {
                prop_assert!(report.name.contains('.') && report.name.is_ascii());
            }
            typed.kind = kind;
            let _ = typed.read();
        }
    }
}
