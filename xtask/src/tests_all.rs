//! All tests, with what they need.

use std::process::{Command, Stdio};

use anyhow::bail;

use crate::{cargo, step};

/// Programs that the tests start, the Debian package of each, and what it is for.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("chromium", "chromium", "the web UI in a real browser"),
    ("dig", "bind9-dnsutils", "queries as an administrator makes them"),
    (
        "faketime",
        "faketime",
        "a gateway whose clock is in the test's hand",
    ),
    ("ip", "iproute2", "addresses in a network namespace"),
    ("kdig", "knot-dnsutils", "queries by a second client"),
    (
        "nginx",
        "nginx-light",
        "a real web server before the published lists",
    ),
    ("node", "nodejs", "builds the web UI and drives the browser"),
    ("npm", "npm", "what the web UI is built with"),
    ("nsd", "nsd", "a real authoritative server behind the gateway"),
    ("psql", "postgresql", "the national platform's database"),
    (
        "unbound",
        "unbound",
        "another resolver, whose answers ours are compared with",
    ),
    ("systemd-analyze", "systemd", "the units' sandbox"),
    (
        "tinyproxy",
        "tinyproxy-bin",
        "a real proxy on the way to the lists",
    ),
];

pub(crate) fn run(rest: &[String]) -> anyhow::Result<()> {
    install_missing()?;
    // The black-box tests start the built programs.
    step(
        "building the programs",
        cargo(&["build", "--workspace", "--bins", "--locked"]),
    )?;
    with_python("stix2", STIX, "it reads our STIX bundles")?;
    with_python(
        "xmlschema",
        XMLSCHEMA,
        "it holds our IODEF documents against their schema",
    )?;
    with_python("s3", S3, "an S3 server, and the client of the documented script")?;
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    install_oidc_provider()?;
    tests.args(rest).env("PATH", with_schemathesis()?);
    step("tests", tests)
}

/// What makes requests from the description of the API, and its version.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// The field's own reader of STIX, which ours is held against.
const STIX: &str = "stix2==3.0.2";
/// A validator of XML schemas, with those of the W3C in it.
const XMLSCHEMA: &str = "xmlschema==4.3.2";
/// A server that speaks S3, and the AWS CLI.
const S3: &str = "moto[s3]==5.2.5 flask==3.1.3 flask-cors==6.0.5 awscli==1.46.3";

/// `PATH` with schemathesis in it, which is installed below `target` where it is missing.
fn with_schemathesis() -> anyhow::Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    if present("schemathesis") {
        return Ok(path);
    }
    let bin = with_python(
        "schemathesis",
        SCHEMATHESIS,
        "it tries the API against its description",
    )?;
    Ok(format!("{}:{path}", bin.display()))
}

/// Programs of an environment below `target` that has these Python packages, which are installed where they are missing.
fn with_python(name: &str, packages: &str, purpose: &str) -> anyhow::Result<std::path::PathBuf> {
    let folder = crate::root().join("target").join(name);
    let (bin, done) = (folder.join("bin"), folder.join("installed"));
    if std::fs::read_to_string(&done).is_ok_and(|known| known == packages) {
        return Ok(bin);
    }
    println!("==> {name} is missing ({purpose}): installing it below target");
    let environment = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(&folder);
        python
    };
    if step("python environment", environment()).is_err() {
        step("apt-get install", apt(&["install", "-y", "python3-venv"]))?;
        step("python environment", environment())?;
    }
    let mut pip = Command::new(bin.join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(packages.split(' '));
    step(name, pip)?;
    std::fs::write(done, packages)?;
    Ok(bin)
}

/// A school's service that signs users in, and its version.
const OIDC_PROVIDER: &str = "oidc-provider@9.13.3";

/// Installs it below `target` where it is missing.
fn install_oidc_provider() -> anyhow::Result<()> {
    let folder = crate::root().join("target/oidc");
    if folder.join("node_modules/oidc-provider").is_dir() {
        return Ok(());
    }
    println!("==> oidc-provider is missing (a service that signs users in): installing it below target");
    std::fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--silent",
        "--prefix",
    ])
    .arg(&folder)
    .arg(OIDC_PROVIDER);
    step("oidc-provider", npm)
}

/// `apt-get` with these arguments, as root.
fn apt(arguments: &[&str]) -> Command {
    let mut words = if present("sudo") && !is_root() {
        vec!["sudo"]
    } else {
        Vec::new()
    };
    words.push("apt-get");
    words.extend(arguments);
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or("apt-get"));
    command
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn install_missing() -> anyhow::Result<()> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, ..)| !present(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (program, package, purpose) in &missing {
        println!("==> {program} is missing ({purpose}): installing Debian package {package}");
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    if !present("apt-get") {
        bail!("install these by hand, then run again: {}", packages.join(" "));
    }
    // A package may start its service when installed; the tests start their own on free ports.
    step("apt-get update", apt(&["update"]))?;
    step(
        "apt-get install",
        apt(&[&["install", "-y", "--no-install-recommends"][..], &packages].concat()),
    )
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// Whether a program is found where programs are, administrators' folders included.
fn present(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| std::path::Path::new(folder).join(program).is_file())
}
