//! Domain lists in the form of the v2fly community: `domain:`, `full:`, `keyword:`, `regexp:`, attributes after `@`.
//!
//! A bare name means `domain:`. `include:` names another file, which only who holds the folder can follow; such a
//! line says nothing about names itself.

use regex::bytes::RegexBuilder;

use super::before_comment;
use super::report::Sink;
use crate::index::REGEX_LIMIT;
use crate::name::Name;
use crate::rule::{Pattern, Rule};

pub(super) fn read<'a>(lines: impl Iterator<Item = (u32, &'a str)>, sink: &mut Sink) {
    for (number, line) in lines {
        // `#` starts a comment, except inside a regular expression.
        let text = if line.trim().starts_with("regexp:") {
            line.trim()
        } else {
            before_comment(line)
        };
        let rule = text.split_whitespace().next().unwrap_or_default();
        if rule.is_empty() {
            sink.comment();
            continue;
        }
        let pattern = match rule.split_once(':') {
            Some(("include", _)) => {
                sink.not_dns();
                continue;
            }
            Some(("full", name)) => Name::parse(name)
                .map(Pattern::Exact)
                .map_err(|error| error.to_string()),
            Some(("domain", name)) => Name::parse(name)
                .map(Pattern::Suffix)
                .map_err(|error| error.to_string()),
            None => Name::parse(rule)
                .map(Pattern::Suffix)
                .map_err(|error| error.to_string()),
            Some(("keyword", word)) => Ok(Pattern::Regex(regex::escape(word))),
            Some(("regexp", regex)) => regex_pattern(regex),
            Some((key, _)) => Err(format!("unknown kind of rule {key:?}")),
        };
        match pattern {
            Ok(pattern) => {
                sink.rule(number, Rule::block(pattern));
                sink.accepted();
            }
            Err(reason) => sink.reject(number, reason, text),
        }
    }
}

fn regex_pattern(regex: &str) -> Result<Pattern, String> {
    let built = RegexBuilder::new(regex)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(REGEX_LIMIT)
        .build();
    match built {
        Ok(_) => Ok(Pattern::Regex(regex.to_owned())),
        Err(error) => Err(format!(
            "regular expression refused: {}",
            error.to_string().replace('\n', " ")
        )),
    }
}
