//! Licences of all dependencies, against the list in deny.toml.

use anyhow::{Context as _, bail};

use crate::{metadata, root};

pub(crate) fn check() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root().join("deny.toml")).context("deny.toml")?;
    let allowed = allowed(&text);
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("");
        if !satisfied(licence, &allowed) {
            wrong.push(format!("{} {}: {licence:?}", package["name"], package["version"]));
        }
    }
    if !wrong.is_empty() {
        bail!("licences that deny.toml does not allow:\n{}", wrong.join("\n"));
    }
    println!("==> licences: {} packages, all allowed", packages.len());
    Ok(())
}

/// The quoted words of `allow = [ … ]`.
fn allowed(deny: &str) -> Vec<String> {
    let list = deny
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression is satisfied by allowed licences: any of the alternatives, all of its parts.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let every = |part: &str| {
        part.split(" AND ")
            .all(|one| allowed.iter().any(|licence| licence == one.trim()))
    };
    !expression.trim().is_empty() && expression.split(" OR ").any(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_and_parts_are_told_apart() {
        let allowed = ["MIT".to_owned(), "ISC".to_owned()];
        assert!(satisfied("MIT OR GPL-3.0", &allowed));
        assert!(satisfied("Apache-2.0/MIT", &allowed));
        assert!(satisfied("MIT AND ISC", &allowed));
        assert!(!satisfied("MIT AND GPL-3.0", &allowed));
        assert!(!satisfied("GPL-3.0", &allowed));
        assert!(!satisfied("", &allowed));
    }

    #[test]
    fn every_dependency_is_allowed() {
        check().unwrap();
    }
}
