//! `isigurtd lists compile --hash`: lists into one list of keyed hashes.

use std::fs::File;
use std::io::Write as _;

use isigurt_blocklists::index::ListStats;
use isigurt_blocklists::read::hashed::HashKey;
use isigurt_blocklists::read::report::{Rejected, Visitor};
use isigurt_blocklists::read::{self, Format};
use isigurt_blocklists::rule::{Pattern, Rule};

use super::super::Cli;
use super::compile::{Line, Table};
use super::{Compile, write_whole};

/// Hashes that were collected: hash, and whether the name alone is meant.
struct Hashing {
    key: HashKey,
    hashes: Vec<([u8; 16], bool)>,
    refused: Vec<u32>,
}

impl Visitor for Hashing {
    fn rule(&mut self, line: u32, rule: Rule) {
        let plain = rule == Rule::block(rule.pattern.clone());
        match &rule.pattern {
            Pattern::Exact(name) | Pattern::Suffix(name) if plain => {
                let exact = matches!(rule.pattern, Pattern::Exact(_));
                let digest = self.key.digest(name.to_string().as_bytes());
                self.hashes.push((digest, exact));
            }
            _ => self.refused.push(line),
        }
    }

    fn void(&mut self, _rule: Rule) {}
}

pub(super) fn run(cli: &Cli, options: &Compile) -> Result<(), String> {
    let key = HashKey {
        key: key(options.key.as_deref().unwrap_or_default())?,
        bits: options.bits,
        offline: options.offline,
    };
    let mut all = Vec::new();
    let mut inputs = Vec::new();
    for file in &options.inputs {
        let shown = file.display().to_string();
        let mut hashing = Hashing {
            key,
            hashes: Vec::new(),
            refused: Vec::new(),
        };
        let input = File::open(file).map_err(|error| format!("{shown}: {error}"))?;
        let mut summary = read::stream(input, options.format, options.subdomains, &mut hashing)
            .map_err(|error| format!("{shown}: {error}"))?;
        summary
            .report
            .rejected
            .extend(hashing.refused.iter().take(1000).map(|&line| Rejected {
                line,
                reason: "only plain rules for a name, or a name and all below it, can be hashed".to_owned(),
                text: String::new(),
            }));
        let read = hashing.hashes.len();
        hashing.hashes.sort_unstable();
        hashing.hashes.dedup();
        let stats = ListStats {
            kept: hashing.hashes.len() as u64,
            duplicates: (read - hashing.hashes.len()) as u64,
            redundant: 0,
        };
        inputs.push(Line::new(file, summary.format, &summary.report, &stats));
        all.append(&mut hashing.hashes);
    }
    // In order of the hashes, so that the order of the names is not told.
    all.sort_unstable();
    all.dedup();
    let mut text = key.header();
    for (digest, exact) in &all {
        text.push_str(&key.text(digest, *exact));
        text.push('\n');
    }
    let output = &options.output;
    write_whole(output, |out| {
        out.write_all(text.as_bytes())
            .map_err(|error| format!("{}: {error}", output.display()))
    })?;
    cli.print(&Table {
        inputs,
        output: format!("{} (format {})", output.display(), Format::Hashed),
        rules: all.len() as u64,
        octets: text.len() as u64,
    })
}

/// 64 hexadecimal digits, or a file that holds them.
fn key(text: &str) -> Result<[u8; 32], String> {
    if let Ok(key) = blake3::Hash::from_hex(text.trim()) {
        return Ok(*key.as_bytes());
    }
    let held = std::fs::read_to_string(text).map_err(|error| {
        format!("--key {text}: neither 64 hexadecimal digits nor a readable file: {error}")
    })?;
    blake3::Hash::from_hex(held.trim())
        .map(|key| *key.as_bytes())
        .map_err(|_| format!("--key {text}: the file does not hold 64 hexadecimal digits"))
}
