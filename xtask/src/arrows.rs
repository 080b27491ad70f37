//! The architecture, checked: which crate may depend on what, and which module of the daemon may import which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::{metadata, root};

/// Crates that must stay pure, and what they therefore never reach, directly or through others.
const PURE: &[&str] = &["isigurt-blocklists", "isigurt-core", "isigurt-wire"];
const IMPURE: &[&str] = &[
    "tokio",
    "axum",
    "hyper",
    "sled",
    "nix",
    "socket2",
    "mio",
    "hickory-net",
    "hickory-resolver",
    "reqwest",
    "listenfd",
];

/// Crates of the workspace that each may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("isigurt-blocklists", &[]),
    ("isigurt-core", &["isigurt-blocklists"]),
    ("isigurt-map", &[]),
    ("isigurt-memory", &[]),
    ("isigurt-webui", &[]),
    ("isigurt-wire", &[]),
    (
        "isigurt-platform",
        &["isigurt-blocklists", "isigurt-memory", "isigurt-wire"],
    ),
    (
        "isigurtd",
        &[
            "isigurt-blocklists",
            "isigurt-core",
            "isigurt-map",
            "isigurt-memory",
            "isigurt-udp",
            "isigurt-webui",
            "isigurt-wire",
        ],
    ),
    ("isigurt-tests", &["isigurt-blocklists", "isigurt-wire"]), // tests see the programs from outside
    (
        "isigurt-readers",
        &["isigurt-blocklists", "isigurt-core", "isigurt-wire", "isigurtd"],
    ), // gives octets to every reader
    ("xtask", &["isigurt-blocklists", "isigurt-wire"]), // measures what opening an index costs, sends sealed reports
];

/// Modules of `isigurtd` that each may import, bottom first.
const MODULES: &[(&str, &[&str])] = &[
    ("http", &[]),
    ("log", &[]),
    ("stats", &["log"]),
    ("store", &[]),
    ("config", &["http"]),
    ("accounts", &["store"]),
    ("oidc", &["accounts", "config", "http"]), // signs a school's staff in
    ("tls", &["config"]),                      // one certificate for all that is encrypted
    ("explain", &[]),
    ("clients", &["store"]), // knows no profiles and nobody who asks
    ("sync", &["config", "http", "store"]),
    ("dns", &["config", "http", "log"]), // knows nothing of the web UI
    ("policy", &["clients", "config", "dns", "http", "store"]),
    ("alerts", &["accounts", "http", "store"]), // who may hear of what
    ("report", &["http", "store"]),             // knows nobody's queries
    (
        "status",
        &["clients", "dns", "explain", "policy", "report", "sync", "tls"],
    ),
    (
        "preview",
        &["config", "http", "log", "policy", "status", "store", "sync"],
    ), // what a list would do
    ("doctor", &["dns", "report", "status", "sync"]),
    (
        "control",
        &[
            "accounts", "dns", "explain", "policy", "report", "status", "store",
        ],
    ),
    (
        "web",
        &[
            "accounts", "alerts", "dns", "doctor", "explain", "log", "oidc", "policy", "preview", "report",
            "stats", "status", "store", "sync", "tls",
        ],
    ),
    (
        "app",
        &[
            "accounts", "alerts", "clients", "config", "control", "dns", "http", "log", "oidc", "policy",
            "preview", "report", "stats", "status", "store", "sync", "tls", "web",
        ],
    ),
    (
        "cli",
        &[
            "accounts", "app", "clients", "config", "control", "doctor", "explain", "log", "policy",
            "report", "status", "store", "sync", "tls", "web",
        ],
    ), // nothing imports it
];

pub(crate) fn check() -> anyhow::Result<()> {
    let mut wrong = crates()?;
    let sources = root().join("daemon/src");
    for (module, file, text) in files(&sources)? {
        wrong.extend(
            imports(&module, &text)
                .into_iter()
                .map(|line| format!("{file}: {line}")),
        );
    }
    if !wrong.is_empty() {
        bail!("against the arrows of ARCHITECTURE.md:\n{}", wrong.join("\n"));
    }
    println!("==> arrows: all imports and dependencies run along them");
    Ok(())
}

/// Dependencies that run against the arrows.
fn crates() -> anyhow::Result<Vec<String>> {
    let metadata = metadata()?;
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for package in metadata["packages"].as_array().context("packages")? {
        names.insert(
            package["id"].as_str().unwrap_or_default(),
            package["name"].as_str().unwrap_or_default(),
        );
    }
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().context("nodes")? {
        let name = names
            .get(node["id"].as_str().unwrap_or_default())
            .copied()
            .unwrap_or_default();
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let normal = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            if normal && let Some(needed) = names.get(dependency["pkg"].as_str().unwrap_or_default()) {
                needs.entry(name).or_default().insert(needed);
            }
        }
    }
    let mut wrong = Vec::new();
    for (name, allowed) in CRATES {
        for needed in needs.get(name).into_iter().flatten() {
            if CRATES.iter().any(|(other, _)| other == needed) && !allowed.contains(needed) {
                wrong.push(format!("crate {name} depends on {needed}"));
            }
        }
    }
    for pure in PURE {
        let (mut open, mut reached) = (vec![*pure], BTreeSet::new());
        while let Some(name) = open.pop() {
            open.extend(
                needs
                    .get(name)
                    .into_iter()
                    .flatten()
                    .filter(|needed| reached.insert(**needed)),
            );
        }
        wrong.extend(
            IMPURE
                .iter()
                .filter(|name| reached.contains(**name))
                .map(|name| format!("pure crate {pure} reaches {name}")),
        );
    }
    Ok(wrong)
}

/// Module, path and text of each source file of the daemon but `main.rs` and `lib.rs`.
fn files(sources: &Path) -> anyhow::Result<Vec<(String, String, String)>> {
    let mut found = Vec::new();
    let mut open = vec![sources.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let inside = path.strip_prefix(sources)?.display().to_string();
            let module = inside.split(['/', '.']).next().unwrap_or_default().to_owned();
            if path.extension().is_some_and(|extension| extension == "rs")
                && module != "main"
                && module != "lib"
            {
                found.push((module, inside, std::fs::read_to_string(&path)?));
            }
        }
    }
    Ok(found)
}

/// Lines of `text`, a file of `module`, that import what the module may not.
fn imports(module: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "module {module} is not in the table of arrows: give it a place"
        )];
    };
    let mut wrong = Vec::new();
    let flat = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    for rest in flat.split("crate::").skip(1) {
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name
                .trim()
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            let known = MODULES.iter().any(|(other, _)| *other == name);
            if known && name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{module} imports {name}"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_runs_along_its_arrows() {
        check().unwrap();
    }

    #[test]
    fn an_import_against_the_arrows_is_found() {
        assert_eq!(imports("dns", "use crate::web::serve;"), ["dns imports web"]);
        assert_eq!(
            imports("dns", "use crate::{config::Config, cli};"),
            ["dns imports cli"]
        );
        assert_eq!(
            imports("store", "fn f() { crate::app::now() }"),
            ["store imports app"]
        );
        assert_eq!(imports("nowhere", "").len(), 1);
        assert!(imports("dns", "use crate::config::Config;\n// crate::web is above us").is_empty());
    }
}
