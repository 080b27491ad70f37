//! Domain lists in the form of the v2fly community: `domain:`, `full:`, `keyword:`, `regexp:`, attributes after `@`.
//!
//! A bare name means `domain:`. `include:` names another file, which only who holds the folder can follow; such a
//! line says nothing about names itself.

use regex::bytes::RegexBuilder;

use super::report::Sink;
use super::{LineReader, before_comment};
use crate::index::REGEX_LIMIT;
use crate::name::Name;
use crate::rule::{Pattern, Rule};

/// Reads such lists line by line.
pub(super) struct V2fly;

impl LineReader for V2fly {
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        // `#` starts a comment, except inside a regular expression.
        let text = if line.trim().starts_with("regexp:") {
            line.trim()
        } else {
            before_comment(line)
        };
        let rule = text.split_whitespace().next().unwrap_or_default();
        if rule.is_empty() {
            return sink.comment();
        }
        let name = |text: &str| Name::parse(text).map_err(|error| error.to_string());
        let pattern = match rule.split_once(':') {
            Some(("include", _)) => return sink.not_dns(),
            Some(("full", text)) => name(text).map(Pattern::Exact),
            Some(("domain", text)) => name(text).map(Pattern::Suffix),
            None => name(rule).map(Pattern::Suffix),
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
