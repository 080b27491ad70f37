//! `isigurtd lists compile`: lists into one index file, with a report on their lines.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use isigurt_blocklists::index::{Compiler, ListInfo, ListStats, Reading, Seed, TagKind};
use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::report::Report;
use serde::Serialize;

use super::super::Cli;
use super::{Compile, ListFile, beside, id_of, lines_of};

/// What became of one input.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    file: String,
    format: Format,
    lines: u64,
    read: u64,
    kept: u64,
    duplicate: u64,
    /// Rules that stand below a rule for a whole domain of the same list or another one.
    redundant: u64,
    not_dns: u64,
    rejected: u64,
    /// Share of refused lines among those that should be rules, percent.
    rejected_percent: f64,
    rejections: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) inputs: Vec<Line>,
    pub(super) output: String,
    /// Rules in the output.
    pub(super) rules: u64,
    /// Octets of the output.
    pub(super) octets: u64,
}

impl Line {
    pub(super) fn new(file: &Path, format: Format, report: &Report, stats: &ListStats) -> Self {
        let shown = file.display().to_string();
        let mut rejections: Vec<String> = report
            .rejected
            .iter()
            .map(|line| format!("{shown}:{}: {}: {}", line.line, line.reason, line.text))
            .collect();
        if report.rejected_more > 0 {
            rejections.push(format!("{shown}: {} more lines refused", report.rejected_more));
        }
        Self {
            file: shown,
            format,
            lines: report.lines,
            read: stats.kept + stats.duplicates + stats.redundant,
            kept: stats.kept,
            duplicate: stats.duplicates,
            redundant: stats.redundant,
            not_dns: report.not_dns,
            rejected: report.refused(),
            rejected_percent: report.refused_percent(),
            rejections,
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.inputs {
            line.rejections
                .iter()
                .try_for_each(|rejection| writeln!(out, "{rejection}"))?;
        }
        writeln!(
            out,
            "{:<8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9} {:>7}  file",
            "format", "lines", "read", "kept", "duplicate", "redundant", "not DNS", "rejected", "share"
        )?;
        for line in &self.inputs {
            let Line {
                file,
                format,
                lines,
                read,
                kept,
                duplicate,
                redundant,
                not_dns,
                rejected,
                rejected_percent,
                rejections: _,
            } = line;
            writeln!(
                out,
                "{format:<8} {lines:>9} {read:>9} {kept:>9} {duplicate:>9} {redundant:>9} {not_dns:>8} {rejected:>9} {rejected_percent:>6.2}%  {file}"
            )?;
        }
        #[allow(clippy::cast_precision_loss)] // for a person
        let per_rule = self.octets as f64 / self.rules.max(1) as f64;
        write!(
            out,
            "written: {} ({} rules, {} octets, {per_rule:.2} a rule)",
            self.output, self.rules, self.octets
        )
    }
}

pub(super) fn run(cli: &Cli, options: &Compile) -> Result<(), String> {
    let (seed, octets, newest) = sources(options)?;
    let mut compiler = Compiler::new(seed, octets);
    let tag = compiler
        .tag(TagKind::Own, "own")
        .map_err(|error| error.to_string())?;
    let mut reports = Vec::new();
    for file in &options.inputs {
        let shown = file.display().to_string();
        let info = ListInfo {
            id: id_of(file),
            tag,
            origin: shown.clone(),
            format: options.format,
            version: hash(file)
                .map_err(|error| format!("{shown}: {error}"))?
                .to_hex()
                .to_string(),
        };
        let reading = Reading {
            format: options.format,
            subdomains: options.subdomains,
        };
        let read = compiler
            .read(info, ListFile(file.clone()), reading)
            .map_err(|error| format!("{shown}: {error}"))?;
        reports.push((file, read));
    }
    let output = &options.output;
    let failed = |error: io::Error| format!("{}: {error}", output.display());
    let lines = lines_of(output);
    let (next, next_lines) = (beside(output, ".next"), beside(&lines, ".next"));
    let mut index_out = BufWriter::new(File::create(&next).map_err(failed)?);
    let mut lines_out = BufWriter::new(File::create(&next_lines).map_err(failed)?);
    let threads = std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(2);
    let stats = compiler
        .finish(newest, threads, &mut index_out, &mut lines_out)
        .map_err(|error| format!("{}: {error}", output.display()))?;
    // The old files stay whole until the new ones are.
    for (written, from, to) in [(lines_out, &next_lines, &lines), (index_out, &next, output)] {
        let file = written.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(from, to).map_err(failed)?;
    }
    let inputs = reports
        .iter()
        .zip(&stats.lists)
        .map(|((file, (format, report)), stats)| Line::new(file, *format, report, stats));
    cli.print(&Table {
        inputs: inputs.collect(),
        output: output.display().to_string(),
        rules: stats.rules,
        octets: stats.octets,
    })
}

/// The seed, the length of all inputs, and when the newest of them was changed. The same inputs give the same index, so
/// the seed is made of them (the daemon's own index has a random one), and the index is dated by them or by
/// `SOURCE_DATE_EPOCH`.
fn sources(options: &Compile) -> Result<(Seed, u64, i64), String> {
    let mut hasher = blake3::Hasher::new_derive_key("isigurt-gateway lists compile 1: seed");
    let (mut octets, mut newest) = (0, 0);
    for file in &options.inputs {
        let failed = |error: io::Error| format!("{}: {error}", file.display());
        hasher.update(hash(file).map_err(failed)?.as_bytes());
        let metadata = std::fs::metadata(file).map_err(failed)?;
        octets += metadata.len();
        newest = newest.max(std::os::unix::fs::MetadataExt::mtime(&metadata));
    }
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let dated = given.and_then(|text| text.parse().ok()).unwrap_or(newest);
    Ok((Seed(*hasher.finalize().as_bytes()), octets, dated))
}

fn hash(file: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok(hasher.finalize())
}
