//! `isigurtd report`: shows what would be sent, asks, sends it sealed, and says how reports stand.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use isigurt_wire::report::Kind;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Cli, eprintln_line, unexpected};
use crate::control::{Reports, Request, Response};
use crate::report::{Draft, Preview, ReportShown, Taken, Where, helplines};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Options {
    /// The site: a name, or its address from the browser, of which only the name is taken
    #[arg(required = true)]
    name: Option<String>,
    /// What was met: abuse-material, grooming, sextortion, bullying, violence, hate, gambling, fraud, wrongly-blocked, other
    #[arg(long, required = true)]
    kind: Option<Kind>,
    /// In your own words
    #[arg(long)]
    note: Option<String>,
    /// How you may be reached; without it the report is anonymous
    #[arg(long)]
    contact: Option<String>,
    /// Your language: sq or en
    #[arg(long, default_value = "sq")]
    language: String,
    /// Send without asking
    #[arg(long)]
    yes: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show reports made at the console and by accounts, and how they stand
    List,
    /// Show how one report stands
    Show {
        /// Its receipt
        receipt: String,
    },
}

pub(super) fn run(cli: &Cli, options: &Options) -> Result<(), String> {
    match &options.command {
        Some(Command::List) => list(cli, Reports::List),
        Some(Command::Show { receipt }) => list(cli, Reports::One(receipt.clone())),
        None => send(cli, options),
    }
}

fn ask(cli: &Cli, asked: Reports) -> Result<Response, String> {
    cli.ask(&Request::Reports { asked })
}

fn send(cli: &Cli, options: &Options) -> Result<(), String> {
    let draft = Draft {
        name: options.name.clone().unwrap_or_default().into(),
        kind: options.kind.map(|kind| kind.to_string()).unwrap_or_default(),
        note: options.note.clone().map(Into::into),
        contact: options.contact.clone().map(Into::into),
        language: Some(options.language.clone()),
        blocked_by: None,
    };
    if options.kind.is_some_and(Kind::may_be_danger) {
        eprintln_line(&format!(
            "Is a child in danger now? {}.",
            capital(helplines::CALL)
        ));
    }
    let Response::Preview(preview) = settled(ask(cli, Reports::Preview(draft.clone()))?)? else {
        return Err(unexpected(Response::Done));
    };
    eprintln_line(&told(&preview));
    if !options.yes && !confirmed()? {
        return Err("nothing was sent".to_owned());
    }
    match settled(ask(cli, Reports::Send(draft))?)? {
        Response::Taken(taken) => cli.print(&Shown(taken)),
        other => Err(unexpected(other)),
    }
}

/// The answer, where it is no error.
fn settled(response: Response) -> Result<Response, String> {
    match response {
        Response::Error { reason } => Err(reason),
        other => Ok(other),
    }
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    first.to_uppercase() + rest
}

/// What would be sent, for whoever sends it.
fn told(preview: &Preview) -> String {
    let report = &preview.report;
    let mut lines = vec![
        format!("This goes, sealed, to {}:", preview.to),
        format!("  site: {}", report.name),
        format!("  kind: {}", report.kind),
    ];
    lines.extend(report.note.iter().map(|note| format!("  note: {note}")));
    lines.push(match &report.contact {
        Some(contact) => format!("  contact: {contact}"),
        None => "  contact: none, the report is anonymous".to_owned(),
    });
    lines.push(format!("  language: {}", report.language));
    lines.extend(
        report
            .blocked_by
            .iter()
            .map(|list| format!("  blocked by: {list}")),
    );
    lines.push(format!(
        "Nothing else: no query history, no device, no name of yours. Sealed to the key {}, {} octets.",
        preview.key, preview.octets
    ));
    lines.join("\n")
}

fn confirmed() -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("nothing was sent: add --yes to send without being asked".to_owned());
    }
    let _ = write!(std::io::stderr(), "Send it? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "p" | "po"))
}

fn list(cli: &Cli, asked: Reports) -> Result<(), String> {
    let one = matches!(asked, Reports::One(_));
    match settled(ask(cli, asked)?)? {
        Response::Reports { reports } if one && reports.is_empty() => {
            Err("there is no report with this receipt here; one looks like ABCD-EFGH-IJKL-MNOP".to_owned())
        }
        Response::Reports { reports } => cli.print(&Listed(reports)),
        other => Err(unexpected(other)),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Taken);

impl std::fmt::Display for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "taken; receipt {}\n`isigurtd report show {}` says how it stands",
            self.0.receipt, self.0.receipt
        )
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(Vec<ReportShown>);

impl std::fmt::Display for Listed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return out.write_str("no reports");
        }
        let zone = TimeZone::system();
        let local = |at: jiff::Timestamp| {
            at.to_zoned_datetime(zone.clone())
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        };
        for (place, report) in self.0.iter().enumerate() {
            let state = match report.state {
                Where::Waiting => "on its way",
                Where::Received => "received",
                Where::UnderReview => "under review",
                Where::ActedOn => "acted on",
                Where::NotIllegal => "not illegal, here is help: 116 111",
                Where::Refused => "not taken",
            };
            if place > 0 {
                writeln!(out)?;
            }
            write!(
                out,
                "{}  {}  {state} since {}",
                report.receipt,
                local(report.at),
                local(report.since)
            )?;
            if let Some(trouble) = &report.trouble {
                write!(out, "\n    {trouble}")?;
            }
            if let Some(next) = report.next_try {
                write!(out, "\n    tried again at {}", local(next))?;
            }
        }
        Ok(())
    }
}
