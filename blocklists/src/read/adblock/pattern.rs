//! The part of a rule before its modifiers: which names it means.
//!
//! Whatever says "this name" or "this name and all below" becomes exactly that, so that it lives in the index; only
//! what is left becomes a regular expression.

use std::net::IpAddr;

use regex::bytes::RegexBuilder;

use super::NoRule;
use crate::index::REGEX_LIMIT;
use crate::name::Name;
use crate::rule::Pattern;

/// Where a pattern is tied to the start of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// `||`: at the start of a label.
    Label,
    /// `|`: at the start of the name.
    Name,
    /// Anywhere.
    Free,
}

/// Reads the pattern. `plain`: the line has neither modifiers nor `@@`, so that a bare name means that name alone.
/// `limited`: modifiers limit the rule, so that it may mean every name.
pub(super) fn pattern(text: &str, plain: bool, limited: bool) -> Result<Pattern, NoRule> {
    let text = text.trim();
    if let Some(inner) = text
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .filter(|_| text.len() > 2)
    {
        return regex(inner);
    }
    let (start, body) = match text.strip_prefix("||") {
        Some(body) => (Start::Label, body),
        None => match text.strip_prefix('|') {
            Some(body) => (Start::Name, body),
            None => (Start::Free, text),
        },
    };
    let trimmed = body.strip_suffix('|').unwrap_or(body);
    let trimmed = trimmed
        .strip_suffix("^*")
        .or_else(|| trimmed.strip_suffix('^'))
        .unwrap_or(trimmed);
    let ends = trimmed.len() < body.len();
    let body = trimmed;
    if body.parse::<IpAddr>().is_ok() {
        return Err("a rule on an answer's address, not on a name".to_owned().into());
    }
    if body.contains(['/', ':', '?', '=', '&']) {
        return Err(NoRule::NotDns); // a path or a scheme, which a resolver never sees
    }
    if body.trim_matches(['*', '.']).is_empty() {
        return if limited {
            Ok(Pattern::Regex(String::new()))
        } else {
            Err("the pattern would mean every name".to_owned().into())
        };
    }
    if !body.contains('*')
        && let Some(pattern) = name_pattern(start, body, ends, plain)?
    {
        return Ok(pattern);
    }
    if let (Start::Label, Some(below), true) = (start, body.strip_prefix("*."), ends)
        && !below.contains('*')
    {
        return Name::parse(below)
            .map(Pattern::Below)
            .map_err(|error| error.to_string().into());
    }
    translated(start, body, ends)
}

/// The patterns that are a name.
fn name_pattern(start: Start, body: &str, ends: bool, plain: bool) -> Result<Option<Pattern>, NoRule> {
    let name = Name::parse(body.trim_end_matches('.'));
    match (start, ends, name) {
        (Start::Label, true, Ok(name)) => Ok(Some(Pattern::Suffix(name))),
        (Start::Name, true, Ok(name)) => Ok(Some(Pattern::Exact(name))),
        (Start::Free, false, Ok(name)) if plain && body.contains('.') && !body.starts_with(['-', '.']) => {
            Ok(Some(Pattern::Exact(name)))
        }
        (Start::Label | Start::Name, true, Err(error)) => Err(format!("{body:?}: {error}").into()),
        _ => Ok(None),
    }
}

/// Anything else: wildcards, parts of names, open ends.
fn translated(start: Start, body: &str, ends: bool) -> Result<Pattern, NoRule> {
    let mut regex = String::from(match start {
        Start::Label => r"(?:^|\.)",
        Start::Name => "^",
        Start::Free => "",
    });
    for character in body.chars() {
        match character {
            '*' => regex.push_str(".*"),
            '.' => regex.push_str(r"\."),
            // In a name the only separator is its end.
            '^' => regex.push('$'),
            'a'..='z' | '0'..='9' | '-' | '_' => regex.push(character),
            'A'..='Z' => regex.push(character.to_ascii_lowercase()),
            other => return Err(format!("character {other:?} is not allowed in a domain name").into()),
        }
    }
    if ends {
        regex.push('$');
    }
    checked(regex)
}

/// A regular expression as written, `\/` unescaped.
fn regex(inner: &str) -> Result<Pattern, NoRule> {
    checked(inner.replace("\\/", "/"))
}

fn checked(regex: String) -> Result<Pattern, NoRule> {
    let built = RegexBuilder::new(&regex)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(REGEX_LIMIT)
        .build();
    match built {
        Ok(built) if built.is_match(b"") => Err("the pattern would mean every name".to_owned().into()),
        Ok(_) => Ok(Pattern::Regex(regex)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            Err(format!("regular expression refused: {reason}").into())
        }
    }
}
