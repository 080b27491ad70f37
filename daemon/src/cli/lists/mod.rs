//! `isigurtd lists …`: compile lists and try names on them.

mod compile;
mod delta;
mod hash;
mod test;

use std::path::{Path, PathBuf};

use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::hashed::Offline;

use super::{Cli, println_line, unexpected};
use crate::control::{Request, Response};
use crate::sync::ListStatus;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the running daemon's lists: version, age, next try, and why the last one failed
    Status,
    /// Ask the servers of all lists for news now
    Update {
        /// Put a version of this list in force that was held back because it lost over half of its rules
        #[arg(long, value_name = "ID")]
        accept: Option<String>,
    },
    /// Read lists, report on their lines, and compile them into one index
    Compile(Compile),
    /// Write lists as one list in canonical form: sorted, none twice, the same rules always the same octets
    Canonical {
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
    /// Write what changed between two versions of a canonical list
    Diff {
        /// The old version
        old: PathBuf,
        /// The new version
        new: PathBuf,
        /// The file to write
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Make the new version of a canonical list out of the old one and what changed
    Apply {
        /// The old version
        old: PathBuf,
        /// What changed
        delta: PathBuf,
        /// The file to write
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Try a name on a list, compiled or not
    Test {
        /// The list or index
        file: PathBuf,
        /// The name
        name: String,
        /// Query type
        #[arg(long = "type", value_name = "TYPE", default_value = "A")]
        qtype: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Compile {
    /// List files
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The file to write; the lines of its rules go into another one beside it, with `.lines` behind its name
    #[arg(short, long)]
    output: PathBuf,
    /// Format of the lists
    #[arg(long, default_value = "auto")]
    format: Format,
    /// Whether a bare name means all names below it too
    #[arg(long)]
    subdomains: Option<bool>,
    /// Write a list of keyed hashes instead of an index: it blocks the same names without naming them
    #[arg(long, requires = "key")]
    hash: bool,
    /// Key of the hashes: 64 hexadecimal digits, or a file that holds them
    #[arg(long, requires = "hash", value_name = "KEY|FILE")]
    key: Option<String>,
    /// Leading bits of each hash; below 128, a match has to be confirmed
    #[arg(long, requires = "hash", default_value_t = 128, value_name = "BITS", value_parser = bits)]
    bits: u8,
    /// What a name gets that has to be confirmed while nobody can be asked
    #[arg(long, requires = "hash", default_value = "allow", value_name = "allow|block", value_parser = offline)]
    offline: Offline,
}

pub(super) fn run(cli: &Cli, command: &Command) -> Result<(), String> {
    match command {
        Command::Status => show(cli, &Request::Status),
        Command::Update { accept } => show(
            cli,
            &Request::UpdateLists {
                accept: accept.clone(),
            },
        ),
        Command::Compile(options) if options.hash => hash::run(cli, options),
        Command::Compile(options) => compile::run(cli, options),
        Command::Canonical {
            inputs,
            output,
            format,
            subdomains,
        } => delta::canonical(cli, inputs, output, *format, *subdomains),
        Command::Diff { old, new, output } => delta::diff(cli, old, new, output),
        Command::Apply { old, delta, output } => delta::apply(cli, old, delta, output),
        Command::Test { file, name, qtype } => test::run(cli, file, name, qtype),
    }
}

/// Asks the daemon, and shows how the lists stand.
fn show(cli: &Cli, request: &Request) -> Result<(), String> {
    match cli.ask(request)? {
        Response::Status(status) => cli.print(&Shown {
            problems: status.problems,
            lists: status.lists,
        }),
        Response::Done => {
            println_line("accepted; it is in force in a moment");
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// All lists, and what is wrong.
#[derive(serde::Serialize)]
struct Shown {
    problems: Vec<String>,
    lists: Vec<ListStatus>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for problem in &self.problems {
            writeln!(out, "problem: {problem}")?;
        }
        for list in self.lists.iter().filter(|list| list.loaded_at.is_some()) {
            writeln!(out, "{list}")?;
        }
        let built_in = self.lists.iter().filter(|list| list.loaded_at.is_none());
        write!(out, "built-in lists: {}", built_in.count())
    }
}

fn bits(text: &str) -> Result<u8, String> {
    let bits = text.parse::<u8>().ok();
    bits.filter(|bits| (16..=128).contains(bits) && bits.is_multiple_of(8))
        .ok_or_else(|| "a multiple of 8 from 16 to 128".to_owned())
}

fn offline(text: &str) -> Result<Offline, String> {
    match text {
        "allow" => Ok(Offline::Allow),
        "block" => Ok(Offline::Block),
        _ => Err("allow or block".to_owned()),
    }
}

fn id_of(file: &Path) -> String {
    file.file_stem()
        .map_or_else(|| "list".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The file of lines beside an index.
fn lines_of(index: &Path) -> PathBuf {
    beside(index, ".lines")
}

/// Writes a file whole or not at all: under another name first.
fn write_whole(
    file: &Path,
    write: impl FnOnce(&mut std::io::BufWriter<std::fs::File>) -> Result<(), String>,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let next = beside(file, ".next");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&next).map_err(failed)?);
    let written = write(&mut out).and_then(|()| {
        let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
        out.sync_all().map_err(failed)?;
        std::fs::rename(&next, file).map_err(failed)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&next);
    }
    written
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A list's file, which can be read again.
struct ListFile(PathBuf);

impl isigurt_blocklists::index::Source for ListFile {
    fn open(&self) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        Ok(Box::new(std::fs::File::open(&self.0)?))
    }
}
