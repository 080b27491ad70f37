//! The process that builds the index: this program, started once more with an order on its standard input.
//!
//! A process of its own gives all memory back when it ends, is the one that the kernel ends first when memory runs
//! out, and cannot take the filter with it. It opens no socket and no state database; what it wrote counts only after
//! the daemon has checked it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::build::{self, BuildError, Delivery, Order};

/// Name of the hidden command.
pub const COMMAND: &str = "build-index";

/// Where the building is done.
#[derive(Debug, Clone)]
pub enum Worker {
    /// In a process of its own: the path of this program.
    Process(PathBuf),
    /// In this process: for tests and for commands that end soon.
    Here,
}

impl Worker {
    /// A process of its own, where the path of this program can be found out.
    pub fn of_this_program() -> Self {
        std::env::current_exe().map_or(Self::Here, Self::Process)
    }

    /// Builds the index and its lines into files, which are on the disk on return.
    pub(super) fn build(&self, order: Order, index: &Path, lines: &Path) -> Result<Delivery, BuildError> {
        let order = Errand {
            order,
            index: index.to_owned(),
            lines: lines.to_owned(),
        };
        match self {
            Self::Here => run(&order),
            Self::Process(program) => match start(program, &order) {
                Ok(outcome) => outcome,
                Err(error) => {
                    tracing::warn!(program = %program.display(), %error, "the process that builds the index does not start; building here, with more memory");
                    run(&order)
                }
            },
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    order: Order,
    index: PathBuf,
    lines: PathBuf,
}

/// Starts the process and waits for it. The outer error: it did not start.
fn start(program: &Path, errand: &Errand) -> io::Result<Result<Delivery, BuildError>> {
    let mut child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&serde_json::to_vec(errand)?)?;
    }
    let output = child.wait_with_output()?;
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        Err(BuildError::Index(format!(
            "the process that builds the index ended early ({}); was there too little memory?",
            output.status
        )))
    }))
}

/// The hidden command: reads an order, builds, and answers on standard output.
pub fn serve() -> Result<(), String> {
    // When memory runs out, this process is the one to end; without the right to say so, it is not said.
    let _ = std::fs::write("/proc/self/oom_score_adj", "700");
    let errand: Errand =
        serde_json::from_reader(io::stdin().lock()).map_err(|error| format!("no order to build: {error}"))?;
    let outcome = run(&errand);
    let octets = serde_json::to_vec(&outcome).map_err(|error| error.to_string())?;
    io::stdout()
        .lock()
        .write_all(&octets)
        .map_err(|error| error.to_string())
}

fn run(errand: &Errand) -> Result<Delivery, BuildError> {
    let failed = |error: io::Error| {
        BuildError::Index(format!(
            "{}: {error}; make room on the disk, and the state folder writable",
            errand.index.display()
        ))
    };
    let mut index = BufWriter::with_capacity(256 << 10, File::create(&errand.index).map_err(failed)?);
    let mut lines = BufWriter::with_capacity(256 << 10, File::create(&errand.lines).map_err(failed)?);
    let delivery = build::build(&errand.order, &mut index, &mut lines)?;
    for file in [index, lines] {
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
    }
    Ok(delivery)
}
