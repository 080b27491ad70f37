//! `isigurtd user`: accounts from the console. Passwords are read from the terminal without echo, else from the first
//! line of standard input; never from the command line, which other processes see.

use std::fmt;
use std::io::{IsTerminal as _, Read as _, Write as _};

use clap::Subcommand;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use serde::Serialize;

use super::{Cli, unexpected};
use crate::accounts::{Language, NewUser, Role, UserView};
use crate::control::{Request, Response, Users};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an account; the password is read from the terminal or from standard input
    Add {
        /// What is typed to sign in
        name: String,
        /// owner, admin, staff or viewer
        #[arg(long)]
        role: Role,
        /// Profile that a staff account is limited to; may be given several times
        #[arg(long = "profile", value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Pages in English instead of Albanian
        #[arg(long)]
        english: bool,
    },
    /// Set a password; ends sessions and tokens, and removes the second step
    Passwd {
        /// The account
        name: String,
    },
    /// Show accounts; where there is none, the code that claims the gateway
    List,
}

/// Accounts for a person.
#[derive(Serialize)]
struct Shown {
    users: Vec<UserView>,
    claim: Option<String>,
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.claim {
            write!(
                out,
                "no account yet; claim the gateway in its web UI with the code {code}"
            )?;
        }
        for (place, user) in self.users.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            let step = if user.second_step { "  second step" } else { "" };
            write!(out, "{end}{:<8} {}{step}", user.role.word(), user.name)?;
            if user.role == Role::Staff {
                write!(out, "  [{}]", user.profiles.join(", "))?;
            }
        }
        Ok(())
    }
}

pub(super) fn run(cli: &Cli, command: &Command) -> Result<(), String> {
    let asked = match command {
        Command::List => Users::List,
        Command::Add {
            name,
            role,
            profiles,
            english,
        } => Users::Add(NewUser {
            name: name.clone(),
            role: *role,
            profiles: profiles.clone(),
            language: if *english { Language::En } else { Language::Sq },
            password: password(name)?,
        }),
        Command::Passwd { name } => Users::Recover {
            name: name.clone(),
            password: password(name)?,
        },
    };
    match cli.ask(&Request::Users { asked })? {
        Response::Users { users, claim } => cli.print(&Shown { users, claim }),
        other => Err(unexpected(other)),
    }
}

/// A new password.
fn password(name: &str) -> Result<String, String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        let mut text = String::new();
        let read = input.lock().take(4096).read_to_string(&mut text);
        read.map_err(|error| format!("the password cannot be read from standard input: {error}"))?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    let first = typed(&format!("Password for {name}: "))?;
    if typed("Once more: ")? != first {
        return Err("the two passwords differ; try again".to_owned());
    }
    Ok(first)
}

/// A line from the terminal, without echo.
fn typed(prompt: &str) -> Result<String, String> {
    let input = std::io::stdin();
    let failed = |error: String| format!("the terminal cannot be read: {error}");
    let before = tcgetattr(&input).map_err(|error| failed(error.to_string()))?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&input, SetArg::TCSAFLUSH, &silent).map_err(|error| failed(error.to_string()))?;
    let _ = std::io::stderr().write_all(prompt.as_bytes());
    let mut line = String::new();
    let read = input.read_line(&mut line);
    let _ = tcsetattr(&input, SetArg::TCSAFLUSH, &before);
    let _ = std::io::stderr().write_all(b"\n");
    read.map_err(|error| failed(error.to_string()))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
