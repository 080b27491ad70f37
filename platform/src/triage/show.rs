//! How cases are printed. Names are masked unless they are asked for, and nothing that somebody wrote steers the terminal.

use std::fmt::Write as _;

use isigurt_wire::secret::Secret;

use super::desk::{Case, Counts, Whole};
use super::trail::written;

/// Seconds since 1970 for people, UTC.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A name as a terminal may keep it: the first letter of each label.
fn masked(name: &str) -> String {
    let label = |label: &str| {
        label
            .chars()
            .next()
            .map_or(String::new(), |first| format!("{first}…"))
    };
    name.split('.').map(label).collect::<Vec<_>>().join(".")
}

fn name(case: &Case, names: bool) -> String {
    if names {
        case.name.clone()
    } else {
        masked(&case.name)
    }
}

/// A case as a line.
pub(super) fn line(case: &Case, names: bool) -> String {
    let kinds: Vec<String> = case
        .kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let urgent = if case.urgent { "danger" } else { "" };
    let held = case
        .held_by
        .as_ref()
        .map_or(String::new(), |who| format!("  held by {who}"));
    let (tag, name) = (written(&case.tag), name(case, names));
    let (state, reports, first) = (&case.state, case.reports, time(case.first));
    let list = case.list.as_deref().unwrap_or_default();
    let kinds = kinds.join(", ");
    format!(
        "{} {state:<10} {urgent:<6} {reports:>6} since {first}  {name}  {kinds}  {list}{held}\n",
        tag.get(..12).unwrap_or(&tag)
    )
}

/// A case as JSON.
pub(super) fn case_json(case: &Case, names: bool) -> serde_json::Value {
    serde_json::json!({
        "case": written(&case.tag), "name": name(case, names), "state": case.state, "since": case.since,
        "first": case.first, "last": case.last, "reports": case.reports, "urgent": case.urgent, "list": case.list,
        "reason": case.reason, "held_by": case.held_by, "kinds": case.kinds,
    })
}

/// A case with its reports.
pub(super) fn shown(whole: &Whole, names: bool, json: bool) -> String {
    let note = |text: &Option<Secret>| text.as_ref().filter(|_| names).cloned();
    if json {
        let mut case = case_json(&whole.case, names);
        let reports = whole.reports.iter().map(|opened| {
            serde_json::json!({ "received": opened.received, "kind": opened.report.kind,
                "note": note(&opened.report.note), "contact": note(&opened.report.contact),
                "blocked_by": opened.report.blocked_by, "language": opened.report.language })
        });
        let votes = whole.votes.iter().map(|(analyst, decision)| {
            serde_json::json!({ "analyst": analyst, "act": decision.act, "list": decision.list })
        });
        let similar = whole.similar.iter().map(|case| case_json(case, names));
        if let Some(members) = case.as_object_mut() {
            members.insert("opened".to_owned(), reports.collect());
            members.insert("votes".to_owned(), votes.collect());
            members.insert("similar".to_owned(), similar.collect());
        }
        return format!("{case:#}\n");
    }
    let mut text = line(&whole.case, names);
    for opened in &whole.reports {
        let _ = write!(text, "  {}  {}", time(opened.received), opened.report.kind);
        for what in [&opened.report.note, &opened.report.contact] {
            if let Some(what) = note(what) {
                let _ = write!(text, "  {}", what.escape_debug()); // whoever wrote it does not steer the terminal
            }
        }
        text.push('\n');
    }
    for (analyst, decision) in &whole.votes {
        let _ = writeln!(text, "  {analyst} says {:?} {}", decision.act, decision.list);
    }
    for other in &whole.similar {
        let _ = write!(text, "  like {}", line(other, names));
    }
    text
}

/// How much there is.
pub(super) fn counted(counts: &Counts, json: bool) -> String {
    let (unsorted, unreadable) = (counts.unsorted, counts.unreadable);
    let (open, second, decided) = (counts.open, counts.second, counts.decided);
    if json {
        let status = serde_json::json!({
            "unsorted": unsorted, "unreadable": unreadable, "open": open, "second": second, "decided": decided,
        });
        return format!("{status}\n");
    }
    format!(
        "reports that nobody has opened  {unsorted}\nreports that do not open        {unreadable}\n\
         cases open                      {open}\ncases that need another's word  {second}\n\
         cases decided                   {decided}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_name_tells_its_shape_only() {
        assert_eq!(masked("www.bad-site.test"), "w….b….t…");
        assert!(!masked("xn--bcher-kva.test").contains("bcher"));
    }
}
