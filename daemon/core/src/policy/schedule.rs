//! Schedules: at which hours something holds, in the gateway's time zone.
//!
//! A span belongs to the day it begins on, also where it crosses midnight. Its ends are hours of the clock on the wall: in the
//! night that has one hour less or more, the span has too. An hour that the clock leaps over counts as that much later, one
//! that it shows twice as the first (RFC 5545, section 3.3.5, as jiff's "compatible" reads it).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// What a schedule does while it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is answered but helplines.
    Off,
    /// Only what the profile allows by name.
    AllowList,
    /// No service of `blocklists/data/services.toml`.
    NoServices,
}

/// Days of the week: `mon-fri`, `sat,sun`, `fri-mon`, `daily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Days(u8);

/// Seconds.
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Days {
    /// Every day.
    pub const DAILY: Self = Self(0x7f);
    /// Monday to Friday.
    pub const WEEKDAYS: Self = Self(0x1f);

    /// Whether a day of the week is one of them.
    pub fn contains(self, day: Weekday) -> bool {
        self.0 >> day.to_monday_zero_offset() & 1 == 1
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no days of the week; write \"mon-fri\", \"sat,sun\" or \"daily\"");
        let day = |name: &str| {
            let name = name.trim().to_ascii_lowercase();
            NAMES.iter().position(|known| *known == name).ok_or_else(wrong)
        };
        if text.trim().eq_ignore_ascii_case("daily") {
            return Ok(Self::DAILY);
        }
        let mut mask = 0;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            let mut at = first;
            loop {
                mask |= 1 << at;
                if at == last {
                    break;
                }
                at = (at + 1) % 7;
            }
        }
        Ok(Self(mask))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::DAILY {
            return out.write_str("daily");
        }
        let mut at = 0;
        let mut first = true;
        while let Some(name) = NAMES.get(at) {
            if self.0 >> at & 1 == 0 {
                at += 1;
                continue;
            }
            let run = (at..7).take_while(|day| self.0 >> day & 1 == 1).count();
            let last = NAMES.get(at + run - 1).unwrap_or(name);
            if !first {
                out.write_str(",")?;
            }
            first = false;
            match run {
                1 => out.write_str(name)?,
                2 => write!(out, "{name},{last}")?,
                _ => write!(out, "{name}-{last}")?,
            }
            at += run;
        }
        Ok(())
    }
}

impl TryFrom<String> for Days {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Days> for String {
    fn from(days: Days) -> Self {
        days.to_string()
    }
}

/// An hour of the day: `21:00`, `07:30:15`; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hour(pub Time);

impl FromStr for Hour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no hour of the day; write \"21:00\" or \"07:30\"");
        if text == "24:00" {
            return Ok(Self(Time::midnight()));
        }
        let mut parts = text.split(':').map(|part| {
            let digits = part.len() == 2 && part.bytes().all(|octet| octet.is_ascii_digit());
            if digits { part.parse::<i8>().ok() } else { None }
        });
        let hour = parts.next().flatten().ok_or_else(wrong)?;
        let minute = parts.next().flatten().ok_or_else(wrong)?;
        let second = parts.next().map_or(Ok(0), |second| second.ok_or_else(wrong))?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        Time::new(hour, minute, second, 0).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:02}:{:02}", self.0.hour(), self.0.minute())?;
        match self.0.second() {
            0 => Ok(()),
            second => write!(out, ":{second:02}"),
        }
    }
}

impl TryFrom<String> for Hour {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Hour> for String {
    fn from(hour: Hour) -> Self {
        hour.to_string()
    }
}

/// Days of the calendar from the first to the last: `2026-12-24..2027-01-07`, or one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dates {
    /// The first day.
    pub first: Date,
    /// The last day, which is one of them.
    pub last: Date,
}

impl FromStr for Dates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no days; write \"2026-12-24\" or \"2026-12-24..2027-01-07\"");
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let date = |text: &str| text.trim().parse::<Date>().map_err(|_| wrong());
        let (first, last) = (date(first)?, date(last)?);
        if last < first {
            return Err(format!("{text:?}: the last day is before the first"));
        }
        Ok(Self { first, last })
    }
}

impl TryFrom<String> for Dates {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Dates> for String {
    fn from(dates: Dates) -> Self {
        if dates.first == dates.last {
            dates.first.to_string()
        } else {
            format!("{}..{}", dates.first, dates.last)
        }
    }
}

/// Days of a calendar that a schedule keeps to, or leaves out.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The calendar's days.
    pub dates: Arc<[Dates]>,
    /// Whether the schedule holds on those days alone, or on all others.
    pub only: bool,
}

/// A schedule made ready.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What it is called, for a person.
    pub label: String,
    /// The days that spans begin on.
    pub days: Days,
    /// The hour that a span begins at.
    pub from: Time,
    /// The hour that it ends at; the day after where that is not later than `from`.
    pub to: Time,
    /// What it does.
    pub mode: Mode,
    /// Days of calendars.
    pub keeping: Vec<Keeping>,
}

impl Schedule {
    /// The end of the span that holds at `now`, if one does.
    pub fn until(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let spans = self.spans(now, zone).into_iter().flatten();
        spans
            .filter(|(start, end)| *start <= now && now < *end)
            .map(|(_, end)| end)
            .max()
    }

    /// When to look again at the latest: where a span begins or ends next, or in a day.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let spans = self.spans(now, zone).into_iter().flatten();
        let edges = spans.flat_map(|(start, end)| [start, end]);
        let day = now.checked_add(24.hours()).ok();
        edges.filter(|edge| *edge > now).chain(day).min()
    }

    /// Whether both hold at some hour of a week, whatever calendars say.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.week().any(|(start, end)| {
            other.week().any(|(first, last)| {
                // A week on, for spans that reach over its end.
                [-WEEK, 0, WEEK]
                    .into_iter()
                    .any(|shift| start < last + shift && first + shift < end)
            })
        })
    }

    /// Its spans in seconds of a week that begins on Monday.
    fn week(&self) -> impl Iterator<Item = (i64, i64)> {
        let second = |time: Time| {
            i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
        };
        let (from, to, days) = (second(self.from), second(self.to), self.days.0);
        let length = if to > from { to - from } else { to + DAY - from };
        (0..7_i64)
            .filter(move |day| days >> day & 1 == 1)
            .map(move |day| (day * DAY + from, day * DAY + from + length))
    }

    /// The spans that begin the day before, on the day, and on the two days after.
    fn spans(&self, now: Timestamp, zone: &TimeZone) -> [Option<(Timestamp, Timestamp)>; 4] {
        let today = zone.to_datetime(now).date();
        [-1_i64, 0, 1, 2].map(|days| self.span(today.checked_add(days.days()).ok()?, zone))
    }

    /// The span that begins on this day.
    fn span(&self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let kept = self.keeping.iter().all(|keeping| {
            let named = |dates: &Dates| dates.first <= date && date <= dates.last;
            keeping.dates.iter().any(named) == keeping.only
        });
        if !kept || !self.days.contains(date.weekday()) {
            return None;
        }
        let last = if self.to > self.from {
            date
        } else {
            date.tomorrow().ok()?
        };
        let at = |date: Date, time: Time| zone.to_timestamp(date.to_datetime(time)).ok();
        Some((at(date, self.from)?, at(last, self.to)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ZonedDateTime;

    fn schedule(days: &str, from: &str, to: &str) -> Schedule {
        Schedule {
            label: "bedtime".to_owned(),
            days: days.parse().unwrap(),
            from: from.parse::<Hour>().unwrap().0,
            to: to.parse::<Hour>().unwrap().0,
            mode: Mode::Off,
            keeping: Vec::new(),
        }
    }

    fn at(text: &str) -> (Timestamp, TimeZone) {
        let zoned: ZonedDateTime = format!("{text}[Europe/Tirane]").parse().unwrap();
        (zoned.timestamp(), zoned.time_zone().clone())
    }

    #[test]
    fn spans_hold_from_the_first_second_to_before_the_last() {
        // 2026-11-24 is a Tuesday.
        for (days, from, to, now, until) in [
            ("mon-fri", "21:00", "07:00", "2026-11-24T20:59:59", None),
            (
                "mon-fri",
                "21:00",
                "07:00",
                "2026-11-24T21:00",
                Some("2026-11-25T07:00"),
            ),
            (
                "mon-fri",
                "21:00",
                "07:00",
                "2026-11-25T06:59:59",
                Some("2026-11-25T07:00"),
            ),
            ("mon-fri", "21:00", "07:00", "2026-11-25T07:00", None),
            // Friday's night ends on Saturday; Sunday's does not begin.
            (
                "mon-fri",
                "21:00",
                "07:00",
                "2026-11-28T06:00",
                Some("2026-11-28T07:00"),
            ),
            ("mon-fri", "21:00", "07:00", "2026-11-29T22:00", None),
            ("mon-fri", "21:00", "07:00", "2026-11-30T06:00", None),
            (
                "daily",
                "00:00",
                "24:00",
                "2026-11-24T12:00",
                Some("2026-11-25T00:00"),
            ),
            (
                "tue",
                "08:00",
                "08:00",
                "2026-11-25T07:59",
                Some("2026-11-25T08:00"),
            ),
            (
                "sun-mon",
                "10:00",
                "11:00",
                "2026-11-30T10:30",
                Some("2026-11-30T11:00"),
            ),
            (
                "tue",
                "10:00",
                "10:00:30",
                "2026-11-24T10:00:29",
                Some("2026-11-24T10:00:30"),
            ),
        ] {
            let (now, zone) = at(now);
            let until = until.map(|until| at(until).0);
            assert_eq!(
                schedule(days, from, to).until(now, &zone),
                until,
                "{days} {from} {to} {now}"
            );
        }
    }

    #[test]
    fn clocks_that_leap_change_the_length_of_a_span_and_not_its_hours() {
        // 2027-03-28: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        let night = schedule("daily", "21:00", "07:00");
        for (evening, morning, hours) in [
            ("2027-03-27T21:00", "2027-03-28T07:00", 9),
            ("2026-10-24T21:00", "2026-10-25T07:00", 11),
        ] {
            let ((evening, zone), (morning, _)) = (at(evening), at(morning));
            assert_eq!(morning.as_second() - evening.as_second(), hours * 3600);
            assert_eq!(night.until(evening, &zone), Some(morning));
            assert_eq!(night.next(evening, &zone), Some(morning));
        }
        // 02:30 does not exist on the first of these nights: the span begins at 03:30.
        let missing = schedule("daily", "02:30", "05:00");
        let (before, zone) = at("2027-03-28T01:59");
        assert_eq!(missing.next(before, &zone), Some(at("2027-03-28T03:30").0));
        // and twice on the second: it begins at the first one, and holds for an hour more.
        let (twice, zone) = at("2026-10-25T01:00");
        let start = missing.next(twice, &zone).unwrap();
        let end = missing.until(start, &zone).unwrap();
        assert_eq!(end.as_second() - start.as_second(), 3 * 3600 + 1800);
    }

    #[test]
    fn calendars_keep_a_schedule_or_lift_it() {
        let dates: Arc<[Dates]> = vec!["2026-11-25..2026-11-26".parse().unwrap()].into();
        let mut night = schedule("daily", "21:00", "07:00");
        night.keeping = vec![Keeping {
            dates: dates.clone(),
            only: false,
        }];
        let holds = |schedule: &Schedule, text: &str| {
            let (now, zone) = at(text);
            schedule.until(now, &zone).is_some()
        };
        assert!(
            holds(&night, "2026-11-25T06:00"),
            "the night before began on a school day"
        );
        assert!(!holds(&night, "2026-11-25T22:00"));
        assert!(!holds(&night, "2026-11-27T06:00"));
        assert!(holds(&night, "2026-11-27T22:00"));
        night.keeping = vec![Keeping { dates, only: true }];
        assert!(holds(&night, "2026-11-25T22:00"));
        assert!(!holds(&night, "2026-11-27T22:00"));
    }

    #[test]
    fn the_next_look_is_at_an_edge_or_within_a_day() {
        let (now, zone) = at("2026-11-24T12:00");
        for (days, next) in [
            ("tue", "2026-11-24T21:00"),
            ("wed", "2026-11-25T12:00"),
            ("sun", "2026-11-25T12:00"),
        ] {
            assert_eq!(
                schedule(days, "21:00", "22:00").next(now, &zone),
                Some(at(next).0),
                "{days}"
            );
        }
    }

    #[test]
    fn schedules_overlap_where_they_hold_at_one_hour_of_the_week() {
        for (one, other, overlap) in [
            (("daily", "21:00", "07:00"), ("mon-fri", "16:00", "18:00"), false),
            (("daily", "21:00", "07:00"), ("sat", "06:59", "08:00"), true),
            (("sun", "21:00", "07:00"), ("mon", "06:00", "08:00"), true),
            (("sun", "21:00", "07:00"), ("sun", "06:00", "08:00"), false),
            (("mon", "08:00", "08:00"), ("tue", "08:00", "09:00"), false),
            (("mon", "00:00", "24:00"), ("mon", "23:59", "24:00"), true),
        ] {
            let schedule = |(days, from, to)| schedule(days, from, to);
            let (one, other) = (schedule(one), schedule(other));
            assert_eq!(one.overlaps(&other), overlap, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), overlap, "{one:?} {other:?}");
        }
    }

    #[test]
    fn days_and_hours_read_as_they_are_written() {
        for (text, written) in [
            ("mon-fri", "mon-fri"),
            ("Sat, Sun", "sat,sun"),
            ("sat-mon", "mon,sat,sun"),
            ("mon,tue,wed,fri", "mon-wed,fri"),
            ("mon-sun", "daily"),
            ("daily", "daily"),
        ] {
            assert_eq!(text.parse::<Days>().unwrap().to_string(), written, "{text}");
        }
        for text in ["", "mo", "mon-", "mon--fri", "weekdays", "mon fri"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
        for text in ["7:00", "25:00", "12:60", "12", "12:00:00:00", "+1:00", "noon", ""] {
            assert!(text.parse::<Hour>().is_err(), "{text}");
        }
        for text in ["2026-13-01", "2026-11-30..2026-11-01", "", ".."] {
            assert!(text.parse::<Dates>().is_err(), "{text}");
        }
    }
}
