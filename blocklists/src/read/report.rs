//! What became of each line of a list: the sink that every reader writes to, and the report that a person reads.
//!
//! A bad line never rejects its list: it is counted and kept with its number and reason.

use serde::{Deserialize, Serialize};

use super::Format;
use crate::rule::Rule;

/// Refused lines that a report keeps with text and reason; the others are only counted, so that a hostile list
/// cannot fill the memory.
pub const REJECTED_KEPT: usize = 1000;

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
/// `with_rules`, `not_dns` and `rejected` (with `rejected_more`).
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
    /// Rules that say what an earlier one of the same list said. Only known once the whole list is compiled.
    pub duplicates: u64,
    /// Lines that gave no rule although they should have, each with its reason; the first [`REJECTED_KEPT`].
    pub rejected: Vec<Rejected>,
    /// How many more such lines there are.
    pub rejected_more: u64,
}

impl Report {
    /// Lines that gave no rule although they should have.
    pub fn refused(&self) -> u64 {
        self.rejected.len() as u64 + self.rejected_more
    }

    /// Share of refused lines among those that should be rules, percent.
    #[allow(clippy::cast_precision_loss)] // a share for a person
    pub fn refused_percent(&self) -> f64 {
        let all = (self.with_rules + self.refused()).max(1);
        self.refused() as f64 * 100.0 / all as f64
    }
}

/// Takes the rules of a list, one by one, as its lines are read.
pub trait Visitor {
    /// The list is of this format, never [`Format::Auto`]; comes before its rules.
    fn start(&mut self, _format: Format) {}

    /// Line `line` states this rule.
    fn rule(&mut self, line: u32, rule: Rule);

    /// A line says that this rule of the same list, wherever it stands, does not count (`$badfilter`).
    fn void(&mut self, rule: Rule);
}

/// Where a reader puts what it finds.
pub struct Sink<'v> {
    visitor: &'v mut dyn Visitor,
    /// Counts so far.
    pub(crate) report: Report,
}

impl<'v> Sink<'v> {
    /// Hands rules on to `visitor`.
    pub fn new(visitor: &'v mut dyn Visitor) -> Self {
        Self {
            visitor,
            report: Report::default(),
        }
    }

    /// One rule of line `line`; call [`Sink::accepted`] once for the line beside it.
    pub fn rule(&mut self, line: u32, rule: Rule) {
        self.visitor.rule(line, rule);
    }

    /// A rule that does not count.
    pub fn void(&mut self, rule: Rule) {
        self.visitor.void(rule);
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
        if self.report.rejected.len() >= REJECTED_KEPT {
            self.report.rejected_more += 1;
            return;
        }
        let text = text.chars().take(120).flat_map(char::escape_debug).collect();
        self.report.rejected.push(Rejected {
            line,
            reason: reason.into(),
            text,
        });
    }
}
