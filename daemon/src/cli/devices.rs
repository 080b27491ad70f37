//! `isigurtd device` and `isigurtd profile`.

use std::fmt;
use std::path::PathBuf;

use clap::Subcommand;
use isigurt_core::policy::model::DeviceText;
use serde::Serialize;

use super::{Cli, println_line, unexpected};
use crate::clients::import;
use crate::control::{Request, Response};
use crate::policy::{Imported, ical};
use crate::status::{AddressShown, DeviceShown, ProfileShown};

#[derive(Debug, Subcommand)]
pub(super) enum Device {
    /// Devices with their addresses, and addresses that none is named for
    List,
    /// Add a device, or give one other marks and another profile
    Add {
        /// Its name
        name: String,
        /// Its profile
        #[arg(long)]
        profile: String,
        /// How it is recognised, such as mac:aa:bb:cc:dd:ee:ff or ip:192.168.1.20; may be given several times
        #[arg(long = "match", value_name = "MARK", required = true)]
        matches: Vec<String>,
    },
    /// Take devices from a spreadsheet (CSV): columns name, profile, match, mac, ip, cidr, hostname, client-id
    Import {
        /// The file
        file: PathBuf,
        /// Only print what would change
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Profile {
    /// Profiles, and how many devices have each
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Calendar {
    /// Take the days of an iCalendar file, such as school holidays, for the calendar of this name
    Import {
        /// The calendar's name
        name: String,
        /// The file
        file: PathBuf,
    },
}

pub(super) fn calendar(cli: &Cli, command: &Calendar) -> Result<(), String> {
    let Calendar::Import { name, file } = command;
    let wrong = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
    let size = std::fs::metadata(file).map_err(|error| wrong(&error))?.len();
    if size > ical::LARGEST as u64 {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        return Err(wrong(&ical::CalendarError::Large(size)));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    match cli.ask(&Request::Calendar {
        name: name.clone(),
        text,
    })? {
        Response::Days { days } => {
            println_line(&format!("{name}: {}", days.join(", ")));
            Ok(())
        }
        Response::Error { reason } => Err(wrong(&reason)),
        other => Err(unexpected(other)),
    }
}

#[derive(Serialize)]
struct Devices {
    devices: Vec<DeviceShown>,
    unknown: Vec<AddressShown>,
}

impl fmt::Display for Devices {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for device in &self.devices {
            let addresses: Vec<String> = device.addresses.iter().map(ToString::to_string).collect();
            let now = if addresses.is_empty() {
                "not seen".to_owned()
            } else {
                addresses.join(" ")
            };
            let marks = device.matches.join(" ");
            lines.push(format!("{} [{}] {marks}: {now}", device.name, device.profile));
        }
        for other in &self.unknown {
            let mac = other.mac.as_deref().unwrap_or("no hardware address known");
            let vendor = match (&other.vendor, other.randomised) {
                (Some(vendor), _) => vendor,
                (None, true) => "a made-up address, as phones use for privacy",
                (None, false) => "maker unknown",
            };
            let name = other.hostname.as_deref().unwrap_or("-");
            let asked = if other.first_names.is_empty() {
                String::new()
            } else {
                format!(", asked first for {}", other.first_names.join(" "))
            };
            lines.push(format!(
                "unknown: {} {mac} ({vendor}) {name}{asked}",
                other.address
            ));
        }
        if lines.is_empty() {
            return out.write_str("no device is named, and none is seen on the network");
        }
        out.write_str(&lines.join("\n"))
    }
}

pub(super) fn device(cli: &Cli, command: &Device) -> Result<(), String> {
    match command {
        Device::List => match cli.ask(&Request::Devices)? {
            Response::Devices { devices, unknown } => cli.print(&Devices { devices, unknown }),
            other => Err(unexpected(other)),
        },
        Device::Add {
            name,
            profile,
            matches,
        } => {
            let device = DeviceText {
                name: name.clone(),
                matches: matches.clone(),
                profile: profile.clone(),
            };
            match cli.ask(&Request::PutDevice { device })? {
                Response::Said(_) => {
                    println_line(&format!("{name} has profile {profile} now"));
                    Ok(())
                }
                other => Err(unexpected(other)),
            }
        }
        Device::Import { file, dry_run } => {
            let octets = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let request = Request::Import {
                text: import::decoded(&octets).into_owned(),
                dry_run: *dry_run,
            };
            match cli.ask(&request)? {
                Response::Imported(imported) if imported.wrong.is_empty() => cli.print(&Shown(imported)),
                Response::Imported(imported) => Err(format!(
                    "{}: nothing is taken, because\n{}",
                    file.display(),
                    imported.wrong.join("\n")
                )),
                other => Err(unexpected(other)),
            }
        }
    }
}

/// What an import changes.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Imported);

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Imported {
            added,
            changed,
            unchanged,
            ignored,
            in_force,
            ..
        } = &self.0;
        for name in added {
            writeln!(out, "+ {name}")?;
        }
        for name in changed {
            writeln!(out, "~ {name}")?;
        }
        for column in ignored {
            writeln!(out, "column {column:?} means nothing here")?;
        }
        let end = if *in_force {
            "in force"
        } else {
            "not taken (dry run)"
        };
        write!(
            out,
            "{} added, {} changed, {unchanged} as they were: {end}",
            added.len(),
            changed.len()
        )
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Profiles(Vec<ProfileShown>);

impl fmt::Display for Profiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.iter().map(|profile| {
            let default = if profile.default {
                ", and whoever no device is named for"
            } else {
                ""
            };
            format!("{}: {} device(s){default}", profile.name, profile.devices)
        });
        out.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

pub(super) fn profiles(cli: &Cli) -> Result<(), String> {
    match cli.ask(&Request::Profiles)? {
        Response::Profiles { profiles } => cli.print(&Profiles(profiles)),
        other => Err(unexpected(other)),
    }
}
