//! The control socket: how the commands talk to the running daemon.
//!
//! A UNIX socket in the state folder, for its owner only. One line of JSON asks, one line of JSON answers.

mod reports;
mod users;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use isigurt_blocklists::name::Name;
use isigurt_core::policy::model::DeviceText;
use isigurt_core::policy::{Grant, Pause};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

use crate::accounts::{Accounts, UserView};
use crate::explain::{Explanation, Whom};
use crate::policy::{self, Applied, Author, ChangeError, Imported, While};
use crate::report::{Desk, Preview, ReportShown, Taken};
use crate::status::{AddressShown, DeviceShown, ProfileShown, Status, Watch};

pub use reports::Reports;
pub use users::Users;

/// Longest line that is read, octets.
const LARGEST: u64 = 1 << 24;

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Request {
    /// How the daemon stands.
    Status,
    /// The same, after upstream servers of which nothing was heard were asked.
    Tried,
    /// What applies to a name, and why.
    Why {
        /// The name.
        name: String,
        /// The query type.
        qtype: u16,
        /// For whom.
        #[serde(default)]
        whom: Whom,
        /// When; now, where nothing is said.
        #[serde(default)]
        at: Option<Timestamp>,
    },
    /// All devices, and addresses that none is named for.
    Devices,
    /// All profiles.
    Profiles,
    /// Add a device, or give it other marks and another profile.
    PutDevice {
        /// The device.
        device: DeviceText,
    },
    /// Take devices from a spreadsheet.
    Import {
        /// Its text.
        text: String,
        /// Only say what would change.
        dry_run: bool,
    },
    /// Take the days of an iCalendar for a calendar of the policy.
    Calendar {
        /// The calendar's name.
        name: String,
        /// The iCalendar.
        text: String,
    },
    /// Everything that is said for a while.
    Said,
    /// Pause somebody: `all`, a device, a profile or an address.
    Pause {
        /// Whom.
        who: String,
        /// How long; until somebody ends it, where nothing is said.
        seconds: Option<u64>,
    },
    /// End a pause.
    Resume {
        /// Whose.
        who: String,
    },
    /// Open something for somebody, for a while.
    Grant {
        /// For whom.
        who: String,
        /// What.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// End a grant.
    Revoke {
        /// Whose.
        who: String,
        /// What.
        what: String,
    },
    /// Give minutes of today on top of a budget.
    Give {
        /// To whom.
        who: String,
        /// Of what.
        what: String,
        /// How many.
        minutes: u16,
    },
    /// Accounts.
    Users {
        /// What about them.
        asked: Users,
    },
    /// Reports to the national platform.
    Reports {
        /// What about them.
        asked: Reports,
    },
    /// The policy in force.
    Export,
    /// Replace the policy.
    Apply {
        /// The new one, TOML.
        text: String,
        /// Only say what would change.
        dry_run: bool,
    },
    /// Ask the servers of all lists now, or accept a version that was held back.
    UpdateLists {
        /// Of which list.
        accept: Option<String>,
    },
    /// Everything that is kept.
    Backup,
    /// Have the query log written to its files.
    FlushLog,
    /// Let go of cached answers.
    Flush {
        /// For this name and all below it.
        name: String,
    },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Response {
    /// How the daemon stands.
    Status(Box<Status>),
    /// What applies.
    Why(Box<Explanation>),
    /// The policy in force, TOML.
    Policy {
        /// The text.
        text: String,
    },
    /// What changed.
    Applied(Applied),
    /// Devices with their addresses, and addresses without a device.
    Devices {
        /// Those that are named.
        devices: Vec<DeviceShown>,
        /// The others.
        unknown: Vec<AddressShown>,
    },
    /// What an import changes.
    Imported(Imported),
    /// Spans of days.
    Days {
        /// Each as `2026-12-24..2027-01-07`, or one day.
        days: Vec<String>,
    },
    /// Profiles.
    Profiles {
        /// Each, and how many devices have it.
        profiles: Vec<ProfileShown>,
    },
    /// Everything that is said for a while.
    Said(While),
    /// Accounts as they are now.
    Users {
        /// All of them.
        users: Vec<UserView>,
        /// The code that claims the gateway, where there is none.
        claim: Option<String>,
    },
    /// What a report would send.
    Preview(Box<Preview>),
    /// A report was taken.
    Taken(Taken),
    /// Reports.
    Reports {
        /// Each, the newest first.
        reports: Vec<ReportShown>,
    },
    /// Everything that is kept.
    Backup {
        /// The file's octets in base64.
        octets: String,
    },
    /// Done.
    Done,
    /// How many answers went.
    Flushed {
        /// Their number.
        answers: usize,
    },
    /// Why there is no answer.
    Error {
        /// One line.
        reason: String,
    },
}

/// The socket's place in a state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Binds the socket; what an earlier run left behind is taken away. The state database's lock makes sure that no other
/// daemon serves there.
pub fn bind(state_dir: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path(state_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket until the task is ended.
pub async fn serve(listener: UnixListener, watch: Arc<Watch>, accounts: Arc<Accounts>, desk: Arc<Desk>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (watch, accounts, desk) = (watch.clone(), accounts.clone(), desk.clone());
        tokio::spawn(async move {
            let _ =
                tokio::time::timeout(Duration::from_secs(10), one(stream, &watch, &accounts, &desk)).await;
        });
    }
}

async fn one(stream: UnixStream, watch: &Watch, accounts: &Arc<Accounts>, desk: &Desk) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = Zeroizing::new(String::new()); // may be a report
    BufReader::new(from.take(LARGEST)).read_line(&mut line).await?;
    let response = match serde_json::from_str(&line) {
        Ok(request) => answer(request, watch, accounts, desk).await,
        Err(error) => refused(&error),
    };
    let mut octets = Zeroizing::new(serde_json::to_vec(&response)?);
    octets.push(b'\n');
    to.write_all(&octets).await
}

fn refused(error: &dyn std::fmt::Display) -> Response {
    let reason = error.to_string();
    Response::Error { reason }
}

async fn answer(request: Request, watch: &Watch, accounts: &Arc<Accounts>, desk: &Desk) -> Response {
    match request {
        Request::Status => Response::Status(Box::new(watch.status())),
        Request::Tried => {
            watch.engine().try_upstreams().await;
            Response::Status(Box::new(watch.status()))
        }
        Request::Why {
            name,
            qtype,
            whom,
            at,
        } => watch.why(&name, qtype, &whom, at).map_or_else(
            |reason| Response::Error { reason },
            |explanation| Response::Why(Box::new(explanation)),
        ),
        Request::UpdateLists { accept } => update_lists(watch, accept).await,
        Request::FlushLog => {
            let engine = watch.engine().clone();
            let _ = tokio::task::spawn_blocking(move || engine.log().flush()).await;
            Response::Done
        }
        Request::Backup => backup(watch).await,
        Request::Export => watch.household().export().map_or_else(
            |reason| Response::Error { reason },
            |text| Response::Policy { text },
        ),
        Request::Apply { text, dry_run } => apply(watch, accounts, &text, dry_run).await,
        Request::Users { asked } => users::answer(accounts, asked).await,
        Request::Reports { asked } => reports::answer(desk, &asked),
        Request::Devices => Response::Devices {
            devices: watch.devices(),
            unknown: watch.unknown(),
        },
        Request::Import { text, dry_run } => watch
            .household()
            .import(watch.engine(), &Author::console(), &text, dry_run)
            .map_or_else(|error| refused(&error), Response::Imported),
        Request::Calendar { name, text } => watch
            .household()
            .import_calendar(watch.engine(), &Author::console(), &name, &text)
            .map_or_else(
                |error| refused(&error),
                |days| Response::Days {
                    days: days.into_iter().map(Into::into).collect(),
                },
            ),
        Request::Profiles => Response::Profiles {
            profiles: watch.profiles(),
        },
        Request::Said
        | Request::PutDevice { .. }
        | Request::Pause { .. }
        | Request::Resume { .. }
        | Request::Grant { .. }
        | Request::Revoke { .. }
        | Request::Give { .. } => moment(watch, request).unwrap_or_else(|error| refused(&error)),
        Request::Flush { name } => match Name::parse(&name) {
            Ok(name) => Response::Flushed {
                answers: watch.engine().cache().0.flush(name.as_ref()),
            },
            Err(error) => refused(&format_args!("{name:?}: {error}")),
        },
    }
}

/// Everything that is kept.
async fn backup(watch: &Watch) -> Response {
    let store = watch.household().store().clone();
    match tokio::task::spawn_blocking(move || store.backup(&Author::console())).await {
        Ok(Ok(octets)) => Response::Backup {
            octets: data_encoding::BASE64.encode(&octets),
        },
        Ok(Err(error)) => refused(&error),
        Err(error) => refused(&error),
    }
}

/// Brings lists in and shows how they stand.
async fn update_lists(watch: &Watch, accept: Option<String>) -> Response {
    if let Some(id) = accept {
        return match watch.keeper().accept(&id) {
            Ok(true) => Response::Done,
            Ok(false) => Response::Error {
                reason: format!(
                    "no version of a list \"{id}\" is held back; `isigurtd lists status` shows all"
                ),
            },
            Err(error) => refused(&error),
        };
    }
    watch.keeper().update(Duration::from_secs(8)).await;
    Response::Status(Box::new(watch.status()))
}

/// Puts a whole policy in force; photos and accounts follow the profiles that it renames or leaves out.
async fn apply(watch: &Watch, accounts: &Arc<Accounts>, text: &str, dry_run: bool) -> Response {
    let before = watch.household().policy();
    let applied = match watch.household().apply(watch.engine(), text, dry_run) {
        Ok(applied) => applied,
        Err(reason) => return Response::Error { reason },
    };
    if !dry_run {
        let gone = policy::gone(&before, &watch.household().policy());
        let moved = watch.household().follow_photos(&Author::console(), &gone);
        let follow = accounts.work(move |accounts| {
            moved?;
            accounts.follow_profiles(&gone, &Author::console())
        });
        if let Err(error) = follow.await {
            let reason = format!("the policy is in force, but accounts were not told of it: {error}");
            return Response::Error { reason };
        }
    }
    Response::Applied(applied)
}

/// What is said for a while: shown and changed.
fn moment(watch: &Watch, request: Request) -> Result<Response, ChangeError> {
    let (engine, household) = (watch.engine(), watch.household());
    let author = Author::console();
    let after = |seconds: u64| {
        let span = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        let end = Timestamp::now().checked_add(span);
        end.map_err(|_| ChangeError::Wrong("no such time will come".to_owned()))
    };
    let none = |there: bool, what: &str| {
        if there {
            Ok(())
        } else {
            Err(ChangeError::Wrong(format!("there is no such {what}")))
        }
    };
    match request {
        Request::PutDevice { device } => household.change(engine, &author, |policy| {
            match policy.device.iter_mut().find(|other| other.name == device.name) {
                Some(other) => *other = device,
                None => policy.device.push(device),
            }
            Ok(())
        })?,
        Request::Pause { who, seconds } => household.pause(
            engine,
            &author,
            Pause {
                who: household.who(engine, &who)?,
                until: seconds.map(after).transpose()?,
            },
        )?,
        Request::Resume { who } => {
            none(
                household.resume(engine, &author, &household.who(engine, &who)?)?,
                "pause",
            )?;
        }
        Request::Grant { who, what, seconds } => {
            let grant = Grant {
                who: household.who(engine, &who)?,
                what,
                until: after(seconds)?,
            };
            household.grant(engine, &author, grant)?;
        }
        Request::Revoke { who, what } => {
            none(
                household.revoke(engine, &author, &household.who(engine, &who)?, &what)?,
                "grant",
            )?;
        }
        Request::Give { who, what, minutes } => {
            household.give(engine, &author, &household.who(engine, &who)?, &what, minutes)?;
        }
        _ => {} // only shown
    }
    Ok(Response::Said(household.said()))
}

/// Asks the daemon whose state is in `state_dir`.
pub async fn ask(state_dir: &Path, request: &Request) -> io::Result<Response> {
    let mut stream = UnixStream::connect(path(state_dir)).await?;
    let mut octets = serde_json::to_vec(request)?;
    octets.push(b'\n');
    stream.write_all(&octets).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(LARGEST))
        .read_line(&mut answer)
        .await?;
    Ok(serde_json::from_str(&answer)?)
}
