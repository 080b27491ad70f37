//! Domain lists: one name a line, blocked with all names below it unless the configuration says otherwise.
//!
//! `*.name` and `.name`, as wildcard lists are published, mean the name and all below it.

use super::report::Sink;
use super::{adblock, before_comment};
use crate::name::Name;
use crate::rule::{Pattern, Rule};

pub(super) fn read<'a>(lines: impl Iterator<Item = (u32, &'a str)>, subdomains: bool, sink: &mut Sink) {
    for (number, line) in lines {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with('!') || text.starts_with("//") {
            sink.comment();
            continue;
        }
        if text.starts_with("||") || text.starts_with("@@") {
            adblock::read_line(number, line, sink);
            continue;
        }
        let text = before_comment(text);
        let (wildcard, name) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
            Some(name) => (true, name),
            None => (false, text),
        };
        match Name::parse(name) {
            Ok(name) if name.as_ref().is_root() => {
                sink.reject(number, "the root would block every name", text);
            }
            Ok(name) if wildcard || subdomains => {
                sink.rule(number, Rule::block(Pattern::Suffix(name)));
                sink.accepted();
            }
            Ok(name) => {
                sink.rule(number, Rule::block(Pattern::Exact(name)));
                sink.accepted();
            }
            Err(error) => sink.reject(number, error.to_string(), text),
        }
    }
}
