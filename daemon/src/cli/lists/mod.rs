//! `isigurtd lists …`: compile lists and try names on them.

mod compile;
mod hash;
mod test;

use std::path::{Path, PathBuf};

use isigurt_blocklists::read::Format;
use isigurt_blocklists::read::hashed::Offline;

use super::{Cli, status};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the running daemon's lists
    Status,
    /// Read lists, report on their lines, and compile them into one index
    Compile(Compile),
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
        Command::Status => status(cli),
        Command::Compile(options) if options.hash => hash::run(cli, options),
        Command::Compile(options) => compile::run(cli, options),
        Command::Test { file, name, qtype } => test::run(cli, file, name, qtype),
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
