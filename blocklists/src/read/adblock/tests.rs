//! One construct a row.

use super::*;
use crate::read::{Format, read as read_list};
use crate::rule::{Answer, Types};

fn rules_of(text: &str) -> Vec<Rule> {
    read_list(text.as_bytes(), Format::Adblock, None)
        .unwrap()
        .rules
        .into_iter()
        .map(|located| located.rule)
        .collect()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn names_become_names_and_the_rest_regular_expressions() {
    for (text, expected) in [
        ("||a.example^", Pattern::Suffix(name("a.example"))),
        ("||a.example^|", Pattern::Suffix(name("a.example"))),
        ("||A.Example^", Pattern::Suffix(name("a.example"))),
        (
            "||müller.example^",
            Pattern::Suffix(name("xn--mller-kva.example")),
        ),
        ("|a.example^", Pattern::Exact(name("a.example"))),
        ("a.example", Pattern::Exact(name("a.example"))),
        ("0.0.0.0 a.example", Pattern::Exact(name("a.example"))),
        ("||*.a.example^", Pattern::Below(name("a.example"))),
        ("||a.example", Pattern::Regex(r"(?:^|\.)a\.example".into())),
        ("a.example|", Pattern::Regex(r"a\.example$".into())),
        ("|pfx-", Pattern::Regex("^pfx-".into())),
        ("-telemetry-", Pattern::Regex("-telemetry-".into())),
        (
            "||ad*.a.example^",
            Pattern::Regex(r"(?:^|\.)ad.*\.a\.example$".into()),
        ),
        (r"/^ads[0-9]+\./", Pattern::Regex(r"^ads[0-9]+\.".into())),
    ] {
        let rules = rules_of(text);
        assert_eq!(rules.first().map(|rule| &rule.pattern), Some(&expected), "{text}");
    }
}

#[test]
fn modifiers_limit_and_rank_a_rule() {
    let rules = rules_of("||a.example^$dnstype=~A|~cname,important,denyallow=x.a.example|y.a.example");
    assert!(rules[0].important);
    assert_eq!(rules[0].types, Some(Types::Except(vec![1, 5])));
    assert_eq!(rules[0].except, [name("x.a.example"), name("y.a.example")]);
    assert_eq!(
        rules_of("||a.example^$dnstype=~A|AAAA")[0].types,
        Some(Types::Only(vec![28]))
    );
    assert_eq!(rules_of("*$denyallow=com|net").len(), 1);
    assert_eq!(rules_of("@@||a.example^")[0].effect, Effect::Allow);
}

#[test]
fn rewrites_carry_their_answer() {
    let answer = |text: &str| match &rules_of(&format!("|a.example^$dnsrewrite={text}"))[0].effect {
        Effect::Block(answer) => answer.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(answer("NXDOMAIN;;"), Answer::NxDomain);
    assert_eq!(answer("REFUSED"), Answer::Refused);
    assert_eq!(answer("NOERROR;;"), Answer::NoData);
    assert_eq!(
        answer("t.example"),
        Answer::Alias {
            target: name("t.example"),
            below: false
        }
    );
    assert!(matches!(answer("192.0.2.1"), Answer::Records(records) if records[0].rtype == 1));
    assert!(
        matches!(answer("NOERROR;HTTPS;32 s.example alpn=h3"), Answer::Records(records) if records[0].rtype == 65)
    );
    assert_eq!(
        rules_of("@@||a.example^$dnsrewrite")[0].effect,
        Effect::AllowRewrite(None)
    );
}

#[test]
fn badfilter_voids_the_rule_of_the_same_text() {
    assert!(rules_of("||a.example^\n||a.example^$badfilter").is_empty());
    assert!(rules_of("127.0.0.1 a.example\n127.0.0.1 a.example$badfilter").is_empty());
    assert_eq!(
        rules_of("||a.example^$important\n||a.example^$badfilter").len(),
        1
    );
}

#[test]
fn what_gives_no_rule_is_counted_where_it_belongs() {
    let text = "! comment\n# comment\n[Adblock Plus 2.0]\n\na.example##.ad\n||a.example^$script\n||a.example/x.js\n\
                ||a.example^$client=192.0.2.1\n||a.example^$nosuch\n/[unclosed/\n||*^\n||203.0.113.1^\n\
                ||a.example^$dnstype=BOGUS\n||a.example^$denyallow\n||a.example^$dnsrewrite=BADKEYWORD\n\
                ||a.example^$denyallow=~x.example\n/(a|b|)*/\n";
    let list = read_list(text.as_bytes(), Format::Adblock, None).unwrap();
    assert!(list.rules.is_empty(), "{:?}", list.rules);
    let report = &list.report;
    assert_eq!(
        (report.comments, report.not_dns, report.rejected.len()),
        (4, 3, 10),
        "{report:#?}"
    );
    assert!(report.rejected.iter().all(|rejected| !rejected.reason.is_empty()));
}
