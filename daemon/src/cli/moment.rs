//! `isigurtd pause`, `grant` and `bonus`: what is said for a while.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::{Cli, println_line, unexpected};
use crate::config::Span;
use crate::control::{Request, Response};
use crate::policy::While;

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// `all`, a device, a profile, or a device's address
    who: Option<String>,
    /// How long, such as 30m or 2h; without it, until it is ended
    #[arg(long = "for", value_name = "SPAN", requires = "who")]
    span: Option<String>,
    /// End the pause
    #[arg(long, requires = "who", conflicts_with = "span")]
    end: bool,
}

#[derive(Debug, Args)]
pub(super) struct Grant {
    /// `all`, a device, a profile, or a device's address
    #[arg(requires = "what")]
    who: Option<String>,
    /// A name, a service such as youtube, category:ID, or `schedule`: hours do not hold meanwhile
    what: Option<String>,
    /// How long, such as 30m or 2h
    #[arg(
        long = "for",
        value_name = "SPAN",
        default_value = "30m",
        conflicts_with = "end"
    )]
    span: String,
    /// End the grant
    #[arg(long, requires = "who")]
    end: bool,
}

#[derive(Debug, Args)]
pub(super) struct Bonus {
    /// `all`, a device, a profile, or a device's address
    who: String,
    /// A service such as youtube, or category:ID
    what: String,
    /// Minutes of today
    minutes: u16,
}

/// What is said for a while, for a person.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(While);

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let While { pauses, grants } = &self.0;
        let zone = jiff::tz::TimeZone::system();
        let until = |at: jiff::Timestamp| {
            at.to_zoned_datetime(zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S %:z")
                .to_string()
        };
        if pauses.is_empty() && grants.is_empty() {
            return out.write_str("nothing is paused, nothing is granted");
        }
        let pauses = pauses.iter().map(|pause| {
            let end = pause.until.map_or_else(|| "it is ended".to_owned(), until);
            format!("paused: {} until {end}", pause.who)
        });
        let grants = grants.iter().map(|grant| {
            format!(
                "granted: {} for {} until {}",
                grant.what,
                grant.who,
                until(grant.until)
            )
        });
        out.write_str(&pauses.chain(grants).collect::<Vec<_>>().join("\n"))
    }
}

fn ask(cli: &Cli, request: &Request) -> Result<(), String> {
    match cli.ask(request)? {
        Response::Said(said) => cli.print(&Shown(said)),
        other => Err(unexpected(other)),
    }
}

fn seconds(span: &str) -> Result<u64, String> {
    let span = Span::try_from(span.to_owned()).map_err(|error| format!("--for: {error}"))?;
    Ok(span.0.as_secs())
}

pub(super) fn pause(cli: &Cli, options: &Pause) -> Result<(), String> {
    let request = match (&options.who, options.end) {
        (None, _) => Request::Said,
        (Some(who), true) => Request::Resume { who: who.clone() },
        (Some(who), false) => Request::Pause {
            who: who.clone(),
            seconds: options.span.as_deref().map(seconds).transpose()?,
        },
    };
    ask(cli, &request)
}

pub(super) fn grant(cli: &Cli, options: &Grant) -> Result<(), String> {
    let request = match (&options.who, &options.what, options.end) {
        (Some(who), Some(what), true) => Request::Revoke {
            who: who.clone(),
            what: what.clone(),
        },
        (Some(who), Some(what), false) => Request::Grant {
            who: who.clone(),
            what: what.clone(),
            seconds: seconds(&options.span)?,
        },
        _ => Request::Said,
    };
    ask(cli, &request)
}

pub(super) fn bonus(cli: &Cli, options: &Bonus) -> Result<(), String> {
    let Bonus { who, what, minutes } = options;
    let request = Request::Give {
        who: who.clone(),
        what: what.clone(),
        minutes: *minutes,
    };
    match cli.ask(&request)? {
        Response::Said(said) if cli.json => cli.print(&Shown(said)),
        Response::Said(_) => {
            println_line(&format!("{who}: {minutes} more minutes of {what} today"));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}
