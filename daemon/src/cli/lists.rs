//! `isigurtd lists …`: compile lists and try names on them.

use std::path::{Path, PathBuf};

use isigurt_blocklists::compiled::{self, CompiledList};
use isigurt_blocklists::index::{Index, ListInfo, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};
use serde::Serialize;

use super::{Cli, status};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the running daemon's lists
    Status,
    /// Read lists, report on their lines, and write them as one checksummed file
    Compile {
        /// List files
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
        /// The file to write
        #[arg(short, long)]
        output: PathBuf,
        /// Format of the lists
        #[arg(long, default_value = "auto")]
        format: Format,
        /// Whether a bare name means all names below it too
        #[arg(long)]
        subdomains: Option<bool>,
    },
    /// Try a name on a list, compiled or not
    Test {
        /// The list
        file: PathBuf,
        /// The name
        name: String,
        /// Query type
        #[arg(long = "type", value_name = "TYPE", default_value = "A")]
        qtype: String,
    },
}

pub(super) fn run(cli: &Cli, command: &Command) -> Result<(), String> {
    match command {
        Command::Status => status(cli),
        Command::Compile {
            inputs,
            output,
            format,
            subdomains,
        } => compile(cli, inputs, output, *format, *subdomains),
        Command::Test { file, name, qtype } => test(cli, file, name, qtype),
    }
}

/// What became of one input.
#[derive(Debug, Serialize)]
struct Line {
    file: String,
    format: Format,
    lines: u64,
    read: u64,
    kept: u64,
    duplicate: u64,
    not_dns: u64,
    rejected: u64,
    /// Share of refused lines among those that should be rules, percent.
    rejected_percent: f64,
    rejections: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Table {
    inputs: Vec<Line>,
    output: String,
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
            "{:<8} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9} {:>7}  file",
            "format", "lines", "read", "kept", "duplicate", "not DNS", "rejected", "share"
        )?;
        for line in &self.inputs {
            let Line {
                file,
                format,
                lines,
                read,
                kept,
                duplicate,
                not_dns,
                rejected,
                rejected_percent,
                ..
            } = line;
            writeln!(
                out,
                "{format:<8} {lines:>9} {read:>9} {kept:>9} {duplicate:>9} {not_dns:>8} {rejected:>9} {rejected_percent:>6.2}%  {file}"
            )?;
        }
        write!(out, "written: {}", self.output)
    }
}

fn compile(
    cli: &Cli,
    inputs: &[PathBuf],
    output: &Path,
    format: Format,
    subdomains: Option<bool>,
) -> Result<(), String> {
    let (mut table, mut lists) = (Vec::new(), Vec::new());
    for file in inputs {
        let shown = file.display().to_string();
        let octets = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
        let list = read::read(&octets, format, subdomains).map_err(|error| format!("{shown}: {error}"))?;
        let report = &list.report;
        let kept = list.rules.len() as u64;
        let rejected = report.rejected.len() as u64;
        let applicable = (report.with_rules + rejected).max(1);
        #[allow(clippy::cast_precision_loss)] // a share for a person
        let rejected_percent = rejected as f64 * 100.0 / applicable as f64;
        table.push(Line {
            file: shown.clone(),
            format: list.format,
            lines: report.lines,
            read: kept + report.duplicates,
            kept,
            duplicate: report.duplicates,
            not_dns: report.not_dns,
            rejected,
            rejected_percent,
            rejections: report
                .rejected
                .iter()
                .map(|line| format!("{shown}:{}: {}: {}", line.line, line.reason, line.text))
                .collect(),
        });
        lists.push(CompiledList {
            id: id_of(file),
            origin: shown,
            format: list.format,
            rules: list.rules,
        });
    }
    let mut octets = Vec::new();
    compiled::write(&lists, &mut octets).map_err(|error| error.to_string())?;
    write_whole(output, &octets).map_err(|error| format!("{}: {error}", output.display()))?;
    cli.print(&Table {
        inputs: table,
        output: output.display().to_string(),
    })
}

fn id_of(file: &Path) -> String {
    file.file_stem()
        .map_or_else(|| "list".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Writes beside the file first, so that an old one stays whole until the new one is.
fn write_whole(file: &Path, octets: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut name = file.as_os_str().to_owned();
    name.push(".next");
    let mut out = std::fs::File::create(&name)?;
    out.write_all(octets)?;
    out.sync_all()?;
    std::fs::rename(&name, file)
}

#[derive(Debug, Serialize)]
struct Verdict {
    name: String,
    listed: bool,
    rule: Option<String>,
    list: Option<String>,
    line: Option<u32>,
    /// Set where an exception of the list lifts the block.
    lifted: bool,
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
        } = self;
        let (Some(rule), Some(list), Some(line)) = (rule, list, line) else {
            return write!(out, "{name} is not on the list");
        };
        let word = if *listed {
            "blocked"
        } else if *lifted {
            "allowed by exception"
        } else {
            "not blocked"
        };
        write!(out, "{name} is {word}: {rule} ({list}, line {line})")
    }
}

fn test(cli: &Cli, file: &Path, name: &str, qtype: &str) -> Result<(), String> {
    let shown = file.display().to_string();
    let qtype = read::rdata::rtype(qtype).ok_or(format!("unknown record type {qtype:?}"))?;
    let name = Name::parse(name).map_err(|error| format!("{name:?}: {error}"))?;
    let octets = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    let lists = if compiled::is_compiled(&octets) {
        compiled::read(&octets).map_err(|error| format!("{shown}: {error}"))?
    } else {
        let list = read::read(&octets, Format::Auto, None).map_err(|error| format!("{shown}: {error}"))?;
        vec![CompiledList {
            id: id_of(file),
            origin: shown.clone(),
            format: list.format,
            rules: list.rules,
        }]
    };
    let mut builder = Index::builder();
    let tag = builder
        .tag(TagKind::Own, "own")
        .map_err(|error| error.to_string())?;
    for CompiledList {
        id,
        origin,
        format,
        rules,
    } in lists
    {
        builder.add(
            ListInfo {
                id,
                tag,
                origin,
                format,
            },
            rules,
        );
    }
    let index = builder.finish().map_err(|error| error.to_string())?;
    let outcome = index.lookup(name.as_ref(), qtype);
    let hit = outcome.blocked.first().or(outcome.lifted.first());
    cli.print(&Verdict {
        name: name.to_string(),
        listed: !outcome.blocked.is_empty(),
        rule: hit.map(isigurt_blocklists::index::Hit::pattern_text),
        list: hit.map(|hit| hit.list.origin.clone()),
        line: hit.map(|hit| hit.line),
        lifted: !outcome.lifted.is_empty(),
    })
}
