//! What became of each line of a list: the sink that every reader writes to, and the report that a person reads.
//!
//! A bad line never rejects its list: it is counted and kept with its number and reason.

use serde::{Deserialize, Serialize};

use crate::rule::{Located, Rule};

/// Why a line gave no rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Line number, from 1.
    pub line: u32,
    /// One line for a person: what is wrong, and with which part.
    pub reason: String,
    /// The start of the line, at most 120 characters, control characters escaped.
    pub text: String,
}

/// What became of the lines of one list. Every non-blank line that is no comment is counted in exactly one of
/// `with_rules`, `not_dns` and `rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// All lines, blank ones and comments included.
    pub lines: u64,
    /// Blank lines, comments and headers.
    pub comments: u64,
    /// Lines that gave at least one rule, or stated one that another line made void.
    pub with_rules: u64,
    /// Valid lines that say nothing about DNS (cosmetic rules, `127.0.0.1 localhost` and its kin).
    pub not_dns: u64,
    /// Rules that say what an earlier one of the same list said.
    pub duplicates: u64,
    /// Lines that gave no rule although they should have, each with its reason.
    pub rejected: Vec<Rejected>,
}

/// Where a reader puts what it finds.
#[derive(Debug, Default)]
pub struct Sink {
    pub(crate) rules: Vec<Located>,
    pub(crate) report: Report,
}

impl Sink {
    /// One rule of line `line`; call [`Sink::accepted`] once for the line beside it.
    pub fn rule(&mut self, line: u32, rule: Rule) {
        self.rules.push(Located { rule, line });
    }

    /// The line was understood and stated rules.
    pub fn accepted(&mut self) {
        self.report.with_rules += 1;
    }

    /// The line is blank, a comment or a header.
    pub fn comment(&mut self) {
        self.report.comments += 1;
    }

    /// The line is valid but not about DNS.
    pub fn not_dns(&mut self) {
        self.report.not_dns += 1;
    }

    /// The line is refused; `text` is the line itself.
    pub fn reject(&mut self, line: u32, reason: impl Into<String>, text: &str) {
        let text = text.chars().take(120).flat_map(char::escape_debug).collect();
        self.report.rejected.push(Rejected {
            line,
            reason: reason.into(),
            text,
        });
    }
}
