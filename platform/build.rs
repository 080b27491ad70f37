//! Has the crate built anew when a migration is added: those are embedded when it is compiled.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // how a build script speaks with cargo

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
