//! `isigurtd lists test`: one name on one list.

use std::path::Path;

use isigurt_blocklists::index::{Compiler, Hit, Index, Lines, ListInfo, Reading, Seed, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{Format, rdata};
use serde::Serialize;

use super::super::Cli;
use super::{ListFile, id_of, lines_of};

#[derive(Debug, Serialize)]
struct Verdict {
    name: String,
    listed: bool,
    rule: Option<String>,
    list: Option<String>,
    line: Option<u32>,
    /// Set where an exception of the list lifts the block.
    lifted: bool,
    /// Set where the name shares a short hash prefix that nobody has confirmed.
    candidate: bool,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            listed,
            rule,
            list,
            line,
            lifted,
            candidate,
        } = self;
        let (Some(rule), Some(list)) = (rule, list) else {
            return write!(out, "{name} is not on the list");
        };
        let word = match (listed, lifted, candidate) {
            (true, ..) => "blocked",
            (_, true, _) => "allowed by exception",
            (.., true) => "a candidate that has to be confirmed",
            _ => "not blocked",
        };
        write!(out, "{name} is {word}: {rule} ({list}")?;
        match line {
            Some(line) => write!(out, ", line {line})"),
            None => write!(out, ")"),
        }
    }
}

pub(super) fn run(cli: &Cli, file: &Path, name: &str, qtype: &str) -> Result<(), String> {
    let qtype = rdata::rtype(qtype).ok_or(format!("unknown record type {qtype:?}"))?;
    let name = Name::parse(name).map_err(|error| format!("{name:?}: {error}"))?;
    let (index, lines) = open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let outcome = index.lookup(name.as_ref(), qtype);
    let hit = outcome
        .blocked
        .first()
        .or(outcome.lifted.first())
        .or(outcome.candidates.first());
    cli.print(&Verdict {
        name: name.to_string(),
        listed: !outcome.blocked.is_empty(),
        rule: hit.map(Hit::pattern_text),
        list: hit.map(|hit| hit.list.origin.clone()),
        line: hit.and_then(|hit| hit.line(lines.as_ref())),
        lifted: !outcome.lifted.is_empty(),
        candidate: !outcome.candidates.is_empty(),
    })
}

/// An index and its lines, or a list compiled here and now.
fn open(file: &Path) -> Result<(Index, Option<Lines>), String> {
    let octets = isigurt_map::map(file).map_err(|error| error.to_string())?;
    if Index::is_index(&octets) {
        let index = Index::open(octets).map_err(|error| error.to_string())?;
        index.verify().map_err(|error| error.to_string())?;
        let lines = isigurt_map::map(&lines_of(file)).ok();
        let lines = lines
            .and_then(|octets| Lines::open(&octets).ok())
            .filter(|lines| lines.belongs_to(index.identity()));
        return Ok((index, lines));
    }
    let mut compiler = Compiler::new(Seed([0; 32]), octets.len() as u64);
    drop(octets); // a list is no file of ours: it is read, not mapped
    let tag = compiler
        .tag(TagKind::Own, "own")
        .map_err(|error| error.to_string())?;
    let info = ListInfo {
        id: id_of(file),
        tag,
        origin: file.display().to_string(),
        format: Format::Auto,
        version: String::new(),
    };
    compiler
        .read(info, ListFile(file.to_owned()), Reading::default())
        .map_err(|error| error.to_string())?;
    let (index, lines) = compiler.into_index(2).map_err(|error| error.to_string())?;
    Ok((index, Some(lines)))
}
