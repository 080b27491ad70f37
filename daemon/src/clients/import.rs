//! Devices from a spreadsheet: text in, a list of what would change out. Nothing is changed and no file is read here.
//!
//! Schools keep their devices in Excel, so all that Excel writes is read: `;`, `,` or tabs, quotes, a byte order mark, UTF-16,
//! Windows-1252, `sep=;` in the first line. The header says what the columns are, in English or Albanian: a name, a profile,
//! and any number of `match`, `mac`, `ip`, `cidr`, `hostname` and `client-id` columns, whose cells may hold several values. A row
//! that is wrong says line, column and what was expected, and is left out whole; it never becomes half a device.

mod columns;
mod matching;
mod text;

use std::collections::HashMap;

use columns::{Column, Columns};

pub use text::decoded;

/// Most rows that are read, and longest name, characters.
const MOST: usize = 100_000;
const LONGEST_NAME: usize = 100;
/// Most matches of one device.
const MOST_MATCHES: usize = 64;

/// A device as the policy has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name, unique.
    pub name: String,
    /// How it is recognised: `mac:aa:bb:cc:dd:ee:ff`, `ip:192.168.1.20`, `cidr:10.3.0.0/16`, `hostname:ana-tab`, `client-id:ana`.
    pub matches: Vec<String>,
    /// The name of its profile.
    pub profile: String,
}

/// What a row would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is no device of this name.
    Added(Device),
    /// There is one, and it would be another.
    Changed {
        /// The device as it is.
        before: Device,
        /// The device as the row has it.
        after: Device,
    },
    /// The device is so already.
    Unchanged(String),
}

/// What is wrong with a place in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct Wrong {
    /// From 1, as an editor counts.
    pub line: u64,
    /// The field, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub what: String,
}

/// What an import would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryRun {
    /// What right rows would do, with their lines, in their order.
    pub changes: Vec<(u64, Change)>,
    /// What is wrong, in the order of lines.
    pub wrong: Vec<Wrong>,
    /// Columns that mean nothing here, and were passed over.
    pub ignored: Vec<String>,
}

impl DryRun {
    /// The devices that would be put in place: those that are added or changed.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.changes.iter().filter_map(|(_, change)| match change {
            Change::Added(device) | Change::Changed { after: device, .. } => Some(device),
            Change::Unchanged(_) => None,
        })
    }
}

/// What rows are held against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Present<'p> {
    /// The devices that there are.
    pub devices: &'p [Device],
    /// The names of profiles; none = any is right.
    pub profiles: &'p [String],
    /// The profile of rows that name none.
    pub default_profile: Option<&'p str>,
}

/// Reads the text of a spreadsheet; octets go through [`decoded`] first.
pub fn read(text: &str, present: Present) -> DryRun {
    let (text, lines_before, separator) = text::prepared(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut run = DryRun::default();
    let mut row = csv::StringRecord::new();
    let mut rows = Rows::new(present);
    let mut columns = None;
    loop {
        match reader.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let line = reader.position().line() + lines_before;
                run.wrong.push(wrong(line, 1, error.to_string()));
                break;
            }
        }
        let line = row.position().map_or(0, |start| first_line(text, start)) + lines_before;
        if row.iter().all(str::is_empty) {
            continue;
        }
        let Some(columns) = &columns else {
            match Columns::read(&row, present.default_profile.is_some()) {
                Ok(read) => {
                    run.ignored.clone_from(&read.ignored);
                    columns = Some(read);
                    continue;
                }
                Err(what) => {
                    run.wrong.push(wrong(line, 1, what));
                    return run;
                }
            }
        };
        if rows.read >= MOST {
            run.wrong
                .push(wrong(line, 1, format!("more than {MOST} rows; split the file")));
            break;
        }
        match rows.row(columns, &row, line) {
            Ok(change) => run.changes.push((line, change)),
            Err(wrong) => run.wrong.push(wrong),
        }
    }
    rows.settle(&mut run);
    if columns.is_none() {
        let what = "the file is empty; a header like name,match,profile is expected";
        run.wrong.push(wrong(1, 1, what));
    }
    run
}

/// The line that a row begins on: the reader counts empty lines before it to the row.
fn first_line(text: &str, start: &csv::Position) -> u64 {
    let from = usize::try_from(start.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let empty = rest.iter().take_while(|octet| matches!(octet, b'\r' | b'\n'));
    start.line() + empty.fold(0, |lines, &octet| lines + u64::from(octet == b'\n'))
}

fn wrong(line: u64, column: usize, what: impl Into<String>) -> Wrong {
    Wrong {
        line,
        column,
        what: what.into(),
    }
}

/// Rows read so far, and what they are held against.
#[derive(Debug)]
struct Rows<'p> {
    present: Present<'p>,
    by_name: HashMap<&'p str, &'p Device>,
    /// Lines of names and of matches.
    names: HashMap<String, u64>,
    matches: HashMap<String, u64>,
    /// Devices that have a match already, and rows that want it: whose it is, the row's name, and what to say.
    taken: HashMap<String, &'p str>,
    contested: Vec<(&'p str, String, Wrong)>,
    read: usize,
}

impl<'p> Rows<'p> {
    fn new(present: Present<'p>) -> Self {
        let devices = present.devices;
        let canonical = |text: &String| matching::canonical(text, None).unwrap_or_else(|_| text.clone());
        Self {
            present,
            by_name: devices
                .iter()
                .map(|device| (device.name.as_str(), device))
                .collect(),
            taken: devices
                .iter()
                .flat_map(|device| {
                    device
                        .matches
                        .iter()
                        .map(|text| (canonical(text), device.name.as_str()))
                })
                .collect(),
            names: HashMap::new(),
            matches: HashMap::new(),
            contested: Vec::new(),
            read: 0,
        }
    }

    fn row(&mut self, columns: &Columns, row: &csv::StringRecord, line: u64) -> Result<Change, Wrong> {
        self.read += 1;
        if row.len() > columns.kinds.len() {
            let what = "more fields than the header has; put text that holds the separator in quotes";
            return Err(wrong(line, row.len(), what));
        }
        let mut device = Device {
            name: String::new(),
            matches: Vec::new(),
            profile: String::new(),
        };
        let own = row.get(columns.name).unwrap_or_default();
        for (place, (cell, kind)) in row.iter().zip(&columns.kinds).enumerate() {
            let at = |what: String| wrong(line, place + 1, what);
            match kind {
                Column::Name => device.name = self.name(cell).map_err(at)?,
                Column::Profile => device.profile = self.profile(cell).map_err(at)?,
                Column::Match(kind) => {
                    for value in cell
                        .split([' ', ';', ',', '\n', '\r', '\t', '\u{a0}'])
                        .filter(|value| !value.is_empty())
                    {
                        let matching = matching::canonical(value, *kind).map_err(at)?;
                        self.free(&matching, own, line, place + 1)?;
                        if !device.matches.contains(&matching) {
                            device.matches.push(matching);
                        }
                    }
                }
                Column::Ignored => {}
            }
        }
        self.whole(&mut device, columns, line)?;
        Ok(self.change(device, line))
    }

    /// What cells alone do not show.
    fn whole(&self, device: &mut Device, columns: &Columns, line: u64) -> Result<(), Wrong> {
        if device.name.is_empty() {
            return Err(wrong(line, columns.name + 1, "a name is expected"));
        }
        if device.profile.is_empty() {
            let Some(profile) = self.present.default_profile else {
                return Err(wrong(
                    line,
                    columns.profile.unwrap_or(0) + 1,
                    "a profile is expected",
                ));
            };
            profile.clone_into(&mut device.profile);
        }
        if device.matches.is_empty() || device.matches.len() > MOST_MATCHES {
            let what = format!(
                "1 to {MOST_MATCHES} ways to recognise the device are expected, such as mac:aa:bb:cc:dd:ee:ff"
            );
            return Err(wrong(line, columns.first_match + 1, what));
        }
        Ok(())
    }

    fn name(&self, cell: &str) -> Result<String, String> {
        if cell.is_empty() {
            return Err("a name is expected".to_owned());
        }
        if cell.chars().count() > LONGEST_NAME || cell.chars().any(char::is_control) {
            return Err(format!(
                "a name of at most {LONGEST_NAME} characters on one line is expected"
            ));
        }
        match self.names.get(cell) {
            Some(line) => Err(format!(
                "{cell:?} is on line {line} already; names are unique, one row may have several matches"
            )),
            None => Ok(cell.to_owned()),
        }
    }

    fn profile(&self, cell: &str) -> Result<String, String> {
        let profiles = self.present.profiles;
        if cell.is_empty() || profiles.is_empty() || profiles.iter().any(|profile| profile == cell) {
            return Ok(cell.to_owned());
        }
        // A spreadsheet may have it in another case.
        let other_case = profiles
            .iter()
            .find(|profile| profile.to_lowercase() == cell.to_lowercase());
        let known = profiles.join(", ");
        let shown: String = cell.chars().take(40).collect();
        other_case
            .cloned()
            .ok_or_else(|| format!("there is no profile {shown:?}; there are: {known}"))
    }

    /// Whether no earlier row has a match. Where a device that is there has it, that is settled at the end: its own row may come.
    fn free(&mut self, matching: &str, own: &str, line: u64, column: usize) -> Result<(), Wrong> {
        if let Some(line_before) = self.matches.get(matching) {
            let what =
                format!("{matching} is on line {line_before} already; a device is recognised by it alone");
            return Err(wrong(line, column, what));
        }
        if let Some(&owner) = self.taken.get(matching).filter(|owner| **owner != own) {
            let what = format!("{matching} belongs to the device {owner:?}; change or remove that one first");
            self.contested
                .push((owner, own.to_owned(), wrong(line, column, what)));
        }
        Ok(())
    }

    /// Puts aside the rows that take a match from a device which this file leaves as it is.
    fn settle(mut self, run: &mut DryRun) {
        loop {
            let stays = |owner: &str| !self.names.contains_key(owner);
            let here = |(owner, own, wrong): &(&str, String, Wrong)| {
                stays(owner) && self.names.get(own) == Some(&wrong.line)
            };
            let Some(place) = self.contested.iter().position(here) else {
                break;
            };
            let (_, own, wrong) = self.contested.swap_remove(place);
            self.names.remove(&own); // it too stays as it is, with what it has
            run.changes.retain(|(line, _)| *line != wrong.line);
            run.wrong.push(wrong);
        }
        run.wrong.sort_by_key(|wrong| (wrong.line, wrong.column));
    }

    fn change(&mut self, device: Device, line: u64) -> Change {
        self.names.insert(device.name.clone(), line);
        self.matches
            .extend(device.matches.iter().map(|matching| (matching.clone(), line)));
        let Some(&before) = self.by_name.get(device.name.as_str()) else {
            return Change::Added(device);
        };
        let sorted = |device: &Device| {
            let canonical = device
                .matches
                .iter()
                .map(|text| matching::canonical(text, None).unwrap_or_else(|_| text.clone()));
            let mut matches: Vec<String> = canonical.collect();
            matches.sort_unstable();
            matches
        };
        if before.profile == device.profile && sorted(before) == sorted(&device) {
            return Change::Unchanged(device.name);
        }
        Change::Changed {
            before: before.clone(),
            after: device,
        }
    }
}

#[cfg(test)]
mod tests;
