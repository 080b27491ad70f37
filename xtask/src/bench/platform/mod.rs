//! `cargo xtask bench platform`: the national platform against its bars, with the release build.

mod intake;
#[allow(dead_code, unreachable_pub)] // written for the tests, which use more of it
#[path = "../../../../tests/src/postgres.rs"]
mod postgres;
mod publish;
mod sync;

use std::path::PathBuf;

use super::{Table, machine};
use crate::{cargo, root, step};

/// Measures and prints.
pub(crate) fn platform() -> anyhow::Result<()> {
    step(
        "release build",
        cargo(&[
            "build",
            "--release",
            "--locked",
            "-p",
            "isigurt-platform",
            "-p",
            "isigurtd",
        ]),
    )?;
    let folder = root().join("target/bench/platform");
    std::fs::create_dir_all(&folder)?;
    let mut table = Table::default();
    publish::measure(&mut table, &folder)?;
    intake::measure(&mut table, &folder)?;
    sync::measure(&mut table, &folder)?;
    println!("\n{}\n{}", machine(), table.text());
    table.end()
}

/// The release build of the platform.
fn program() -> PathBuf {
    root().join("target/release/isigurt-platform")
}
