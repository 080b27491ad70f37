//! Domain lists: one name a line, blocked with all names below it unless the configuration says otherwise.
//!
//! `*.name` and `.name`, as wildcard lists are published, mean the name and all below it.

use super::report::Sink;
use super::{LineReader, adblock, before_comment};
use crate::name::Name;
use crate::rule::{Pattern, Rule};

/// Reads such lists line by line.
pub(super) struct Domains {
    /// Whether a bare name means all names below it too.
    pub(super) subdomains: bool,
}

impl LineReader for Domains {
    fn line(&mut self, number: u32, line: &str, sink: &mut Sink<'_>) {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with('!') || text.starts_with("//") {
            return sink.comment();
        }
        if text.starts_with("||") || text.starts_with("@@") {
            return adblock::read_line(number, line, sink);
        }
        let text = before_comment(text);
        let (wildcard, name) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
            Some(name) => (true, name),
            None => (false, text),
        };
        let pattern = match Name::parse(name) {
            Ok(name) if name.as_ref().is_root() => {
                return sink.reject(number, "the root would block every name", text);
            }
            Ok(name) if wildcard || self.subdomains => Pattern::Suffix(name),
            Ok(name) => Pattern::Exact(name),
            Err(error) => return sink.reject(number, error.to_string(), text),
        };
        sink.rule(number, Rule::block(pattern));
        sink.accepted();
    }
}
