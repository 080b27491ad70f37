//! Adblock-style DNS rules: `||name^`, `@@`, modifiers after `$`, regular expressions between slashes.
//!
//! What a browser does with a rule and a resolver cannot (cosmetic rules, paths, `$script` and its kin) is no DNS
//! rule and says nothing here; a modifier that would change the meaning and is not supported (`$client`, `$ctag`)
//! refuses its rule, because to apply it to everyone would be wrong.

mod modifiers;
mod pattern;

use std::net::IpAddr;

use super::LineReader;
use super::report::Sink;
use crate::name::Name;
use crate::rule::{Effect, Pattern, Rule};
use modifiers::Modifiers;

/// Why a line gives no rule.
pub(crate) enum NoRule {
    /// It is not about DNS.
    NotDns,
    /// It is wrong, or not supported.
    Refused(String),
}

impl From<String> for NoRule {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// Reads such lists line by line.
pub(super) struct Adblock;

impl LineReader for Adblock {
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        read_line(number, line, sink);
    }
}

/// Reads one such line, in a list of this format or of another one.
pub(super) fn read_line(number: u32, line: &str, sink: &mut Sink<'_>) {
    let text = line.trim();
    if text.is_empty() || text.starts_with('!') || text.starts_with('[') && text.ends_with(']') {
        return sink.comment();
    }
    if is_cosmetic(text) {
        return sink.not_dns();
    }
    if text.starts_with('#') {
        return sink.comment();
    }
    match rules(text) {
        Ok((rules, void)) => {
            for rule in rules {
                if void {
                    sink.void(rule);
                } else {
                    sink.rule(number, rule);
                }
            }
            sink.accepted();
        }
        Err(NoRule::NotDns) => sink.not_dns(),
        Err(NoRule::Refused(reason)) => sink.reject(number, reason, text),
    }
}

/// Rules on a page's elements and scripts.
fn is_cosmetic(text: &str) -> bool {
    ["##", "#@#", "#%#", "#$#", "#?#", "#@%#", "#@$#", "$$", "$@$"]
        .iter()
        .any(|mark| text.contains(mark))
        && !text.starts_with('/')
}

/// The rules of one line, and whether the line makes them void (`$badfilter`).
fn rules(text: &str) -> Result<(Vec<Rule>, bool), NoRule> {
    let (exception, body) = match text.strip_prefix("@@") {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (pattern_text, modifier_text) = split_modifiers(body);
    let modifiers = Modifiers::parse(modifier_text.unwrap_or_default(), exception)?;
    let limited = modifiers.types.is_some() || !modifiers.except.is_empty();
    let rewrite = modifiers.rewrite.is_some();
    let void = modifiers.void;
    let plain = modifier_text.is_none() && !exception;
    let patterns = match hosts_style(pattern_text) {
        Some(names) => names?,
        None => vec![pattern::pattern(
            pattern_text,
            plain || void && !exception && !rewrite,
            limited,
        )?],
    };
    let effect = modifiers.effect(exception);
    let rules = patterns
        .into_iter()
        .map(|pattern| Rule {
            pattern,
            effect: effect.clone(),
            important: modifiers.important,
            types: modifiers.types.clone(),
            except: modifiers.except.clone(),
        })
        .collect();
    Ok((rules, void))
}

/// Splits a rule at the `$` that starts its modifiers.
fn split_modifiers(body: &str) -> (&str, Option<&str>) {
    let from = if body.starts_with('/') {
        // A regular expression may hold `$`; its modifiers start behind the last slash.
        match body.rfind("/$") {
            Some(place) if place > 0 => place + 1,
            _ if body.ends_with('/') => return (body, None),
            _ => 0,
        }
    } else {
        0
    };
    let rest = body.get(from..).unwrap_or_default();
    match rest.find('$') {
        Some(place) => {
            let at = from + place;
            (body.get(..at).unwrap_or_default(), body.get(at + 1..))
        }
        None => (body, None),
    }
}

/// `0.0.0.0 name…` inside such a list: the names alone. `None` where the text is nothing of the kind.
fn hosts_style(text: &str) -> Option<Result<Vec<Pattern>, NoRule>> {
    let mut words = text.split('#').next().unwrap_or_default().split_whitespace();
    let address: IpAddr = words.next()?.parse().ok()?;
    let mut words = words.peekable();
    words.peek()?;
    if !address.is_unspecified() && !address.is_loopback() {
        return Some(Err(NoRule::Refused(
            "a hosts line with a real address; use a list of format hosts".to_owned(),
        )));
    }
    let names = words.map(|word| {
        Name::parse(word)
            .map(Pattern::Exact)
            .map_err(|error| NoRule::Refused(format!("{word:?}: {error}")))
    });
    Some(names.collect())
}

impl Modifiers {
    fn effect(&self, exception: bool) -> Effect {
        match (&self.rewrite, exception) {
            (None, false) => Effect::Block(crate::rule::Answer::Configured),
            (None, true) => Effect::Allow,
            (Some(answer), true) => Effect::AllowRewrite(answer.clone()),
            (Some(Some(answer)), false) => Effect::Block(answer.clone()),
            (Some(None), false) => Effect::Void, // refused while parsing
        }
    }
}

#[cfg(test)]
mod tests;
