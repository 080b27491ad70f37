//! `doctor`, `backup` and `restore`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Cli, println_line, unexpected};
use crate::control::{Request, Response};
use crate::doctor::{Given, Standing};
use crate::{app, store};

#[derive(Debug, Args)]
pub(super) struct File {
    /// The file
    file: PathBuf,
}

/// Looks at everything; fails where something does not work.
pub(super) fn doctor(cli: &Cli) -> Result<(), String> {
    let config = cli.load()?.config;
    let status = match cli.ask(&Request::Tried) {
        Ok(Response::Status(status)) => Ok(status),
        Ok(other) => Err(unexpected(other)),
        Err(reason) => Err(reason),
    };
    let given = Given {
        status: status.as_deref().map_err(Clone::clone),
        state_dir: &config.state_dir,
        now_s: app::now(),
    };
    let findings = given.look();
    cli.print(&findings)?;
    if findings.worst() == Standing::Bad {
        return Err("something does not work: see above".to_owned());
    }
    Ok(())
}

/// Writes everything that is kept into a file, from the running daemon or from what it left.
pub(super) fn backup(cli: &Cli, File { file }: &File) -> Result<(), String> {
    let config = cli.load()?.config;
    let octets = match cli.ask(&Request::Backup) {
        Ok(Response::Backup { octets }) => data_encoding::BASE64
            .decode(octets.as_bytes())
            .map_err(|error| error.to_string())?,
        Ok(other) => return Err(unexpected(other)),
        Err(reason) => store::last_export(&config.state_dir)
            .ok_or_else(|| format!("{reason}; and it has left no export of its state"))?,
    };
    store::write_whole(file, &octets).map_err(|error| wrong(file, &error))?;
    println_line(&format!(
        "{}: {} octets, accounts and secrets included: keep it as you keep a key",
        file.display(),
        octets.len()
    ));
    Ok(())
}

/// Puts a backup in the place of the state, at the next start.
pub(super) fn restore(cli: &Cli, File { file }: &File) -> Result<(), String> {
    let config = cli.load()?.config;
    let octets = std::fs::read(file).map_err(|error| wrong(file, &error))?;
    store::stage(&config.state_dir, &octets).map_err(|error| format!("{}: {error}", file.display()))?;
    println_line(
        "the backup is whole, and will be taken back at the next start: restart isigurtd; what is there now is kept aside",
    );
    Ok(())
}

fn wrong(file: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", file.display())
}
