//! Builds the pages with Node where that is missing or stale, and writes the table of what is embedded.
//!
//! Where Node is missing the build goes on, with a plain page that says so: whoever works on the filter alone needs no Node.
//! Nothing is fetched but what `package-lock.json` names, by npm itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the pages are built from.
const SOURCES: &[&str] = &[
    "app",
    "messages",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
];

fn main() -> io::Result<()> {
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    for source in SOURCES.iter().chain(&["plain", "build.rs"]) {
        tell(&format!("rerun-if-changed={}", folder.join(source).display()));
    }
    let dist = match built(&folder) {
        Ok(dist) => dist,
        Err(reason) => {
            tell(&format!("warning=the web UI is not in this program: {reason}"));
            folder.join("plain")
        }
    };
    let table = table(&dist)?;
    fs::write(Path::new(&variable("OUT_DIR")?).join("assets.rs"), table)
}

/// A line for cargo.
#[allow(clippy::print_stdout)] // how a build script speaks with cargo
fn tell(line: &str) {
    println!("cargo:{line}");
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// The folder of the built pages, which is made where it is missing or older than its sources.
fn built(folder: &Path) -> Result<PathBuf, String> {
    let dist = folder.join("dist");
    let stamp = stamp(folder).map_err(|error| format!("its sources cannot be read: {error}"))?;
    let stamped = dist.join("stamp");
    if fs::read_to_string(&stamped).is_ok_and(|found| found == stamp) {
        return Ok(dist);
    }
    node()?;
    let locked = fs::read(folder.join("package-lock.json")).unwrap_or_default();
    let installed = folder.join("node_modules/.installed");
    if fs::read(&installed).ok().as_ref() != Some(&locked) {
        run(folder, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
        fs::write(&installed, locked).map_err(|error| error.to_string())?;
    }
    run(folder, &["run", "--silent", "build"])?;
    fs::write(&stamped, stamp).map_err(|error| error.to_string())?;
    Ok(dist)
}

/// Whether Node is there and new enough for the bundler.
fn node() -> Result<(), String> {
    let advice = "install Node.js 20.19 or newer, with npm, and build again";
    let said = Command::new("node").arg("--version").output();
    let said = said.map_err(|_| format!("Node.js is missing: {advice}"))?;
    let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next(), numbers.next());
    match (major, minor) {
        (Some(Ok(20)), Some(Ok(minor))) if minor >= 19 => Ok(()),
        (Some(Ok(major)), _) if major >= 22 => Ok(()),
        _ => Err(format!("Node.js {version} is too old: {advice}")),
    }
}

/// Runs npm; what it said is the error.
fn run(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let said = Command::new("npm").args(arguments).current_dir(folder).output();
    let said = said.map_err(|error| format!("npm does not start ({error}): install it and build again"))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let last: Vec<&str> = text
        .lines()
        .rev()
        .filter(|line| !line.is_empty())
        .take(6)
        .collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!(
        "npm {} failed: {}",
        arguments.join(" "),
        last.join(" | ")
    ))
}

/// Changes with every source.
fn stamp(folder: &Path) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        for (name, path) in files(&folder.join(source))? {
            hasher.write(name.as_bytes());
            hasher.write(&fs::read(path)?);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// All files of a folder by their path in it, or the file itself.
fn files(root: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path);
            found.insert(name.to_string_lossy().replace('\\', "/"), path.clone());
        }
    }
    Ok(found)
}

/// The Rust text that includes a file.
fn included(path: &Path) -> String {
    format!("include_bytes!({:?})", path.to_string_lossy())
}

/// The Rust text of the table: each file once as it is and once for each way it is compressed.
fn table(dist: &Path) -> io::Result<String> {
    let all = files(dist)?;
    let mut text = "&[\n".to_owned();
    for (name, path) in &all {
        let compressed = [".gz", ".br"].iter().any(|end| name.ends_with(end));
        if compressed || name == "stamp" || name == "style-hash" {
            continue;
        }
        let content = fs::read(path)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&content);
        let other = |end: &str| {
            let path = all.get(&format!("{name}{end}"));
            path.map_or("None".to_owned(), |path| format!("Some({})", included(path)))
        };
        let _ = writeln!(
            text,
            "Asset {{ path: {name:?}, tag: \"\\\"{:016x}\\\"\", plain: {}, gzip: {}, brotli: {} }},",
            hasher.finish(),
            included(path),
            other(".gz"),
            other(".br"),
        );
    }
    text.push_str("]\n");
    let hash = fs::read_to_string(dist.join("style-hash")).unwrap_or_default();
    tell(&format!("rustc-env=ISIGURT_STYLE_HASH={}", hash.trim()));
    Ok(text)
}
