//! `isigurtd lists canonical`, `diff` and `apply`: lists in canonical form, and what changed between two of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use isigurt_blocklists::delta::{self, DeltaError, Stats, canonical};
use isigurt_blocklists::read::hashed::HashKey;
use isigurt_blocklists::read::report::Visitor;
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::Rule;
use serde::Serialize;

use super::super::Cli;
use super::write_whole;

/// Rules of all inputs; void ones are taken out at the end.
#[derive(Default)]
struct Collected {
    rules: Vec<(u32, Rule)>,
    void: Vec<Rule>,
}

impl Visitor for Collected {
    fn rule(&mut self, line: u32, rule: Rule) {
        self.rules.push((line, rule));
    }

    fn void(&mut self, rule: Rule) {
        self.void.push(rule);
    }
}

#[derive(Debug, Serialize)]
struct Written {
    output: String,
    lines: usize,
    /// Lines that have no canonical form, or could not be read.
    rejected: Vec<String>,
}

impl std::fmt::Display for Written {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rejected
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
        write!(out, "written: {} ({} lines of rules)", self.output, self.lines)
    }
}

pub(super) fn canonical(
    cli: &Cli,
    inputs: &[PathBuf],
    output: &Path,
    format: Format,
    subdomains: Option<bool>,
) -> Result<(), String> {
    let mut lines = BTreeSet::new();
    let mut rejected = Vec::new();
    let mut key: Option<HashKey> = None;
    for (place, file) in inputs.iter().enumerate() {
        let shown = file.display().to_string();
        let mut collected = Collected::default();
        let input = File::open(file).map_err(|error| format!("{shown}: {error}"))?;
        let summary = read::stream(input, format, subdomains, &mut collected)
            .map_err(|error| format!("{shown}: {error}"))?;
        if place > 0 && summary.hash_key != key {
            return Err(format!(
                "{shown}: hashes of another key cannot stand in the same list"
            ));
        }
        key = summary.hash_key;
        let refused = summary.report.rejected.iter();
        rejected.extend(refused.map(|line| format!("{shown}:{}: {}: {}", line.line, line.reason, line.text)));
        for (line, rule) in collected.rules {
            if collected.void.contains(&rule) {
                continue;
            }
            match canonical::line(&rule, key.as_ref()) {
                Some(text) => _ = lines.insert(text),
                None => rejected.push(format!(
                    "{shown}:{line}: a rule with an answer of its own has no canonical form"
                )),
            }
        }
    }
    let count = lines.len();
    write_whole(output, |out| {
        canonical::write(lines, key.as_ref(), out).map_err(|error| format!("{}: {error}", output.display()))
    })?;
    cli.print(&Written {
        output: output.display().to_string(),
        lines: count,
        rejected,
    })
}

#[derive(Debug, Serialize)]
struct Difference {
    output: String,
    kept: u64,
    removed: u64,
    added: u64,
    /// Octets of the output.
    octets: u64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            output,
            kept,
            removed,
            added,
            octets,
        } = self;
        write!(
            out,
            "written: {output} ({octets} octets; {kept} lines kept, {removed} removed, {added} added)"
        )
    }
}

pub(super) fn diff(cli: &Cli, old: &Path, new: &Path, output: &Path) -> Result<(), String> {
    let (old_list, new_list) = (open(old)?, open(new)?);
    both(cli, output, |out| delta::diff(old_list, new_list, out))
}

pub(super) fn apply(cli: &Cli, old: &Path, delta: &Path, output: &Path) -> Result<(), String> {
    let (old_list, changes) = (open(old)?, open(delta)?);
    both(cli, output, |out| delta::apply(old_list, changes, out))
}

fn open(file: &Path) -> Result<BufReader<File>, String> {
    let file = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(BufReader::new(file))
}

fn both(
    cli: &Cli,
    output: &Path,
    work: impl FnOnce(&mut BufWriter<File>) -> Result<Stats, DeltaError>,
) -> Result<(), String> {
    let mut stats = Stats::default();
    write_whole(output, |out| {
        stats = work(out).map_err(|error| error.to_string())?;
        Ok(())
    })?;
    cli.print(&Difference {
        output: output.display().to_string(),
        kept: stats.kept,
        removed: stats.removed,
        added: stats.added,
        octets: std::fs::metadata(output).map_or(0, |metadata| metadata.len()),
    })
}
