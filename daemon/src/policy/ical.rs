//! Days from an iCalendar (RFC 5545): school terms and holidays, as ministries and schools publish them.
//!
//! Only days are taken: of each event its days in the gateway's time zone, with daily, weekly and yearly repetition. An event
//! that repeats in another way is an error that names its line, because a holiday that is silently missing is worse.

use std::collections::BTreeSet;

use isigurt_core::policy::schedule::Dates;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// Largest calendar, octets.
pub const LARGEST: usize = 1 << 20;
/// Most spans of days in one calendar.
const MOST: usize = 2_000;
/// Repetition is followed for so many years behind the day of reading; the calendar is to be read anew before.
const YEARS: i16 = 5;
/// Most repetitions that are looked at in one calendar: some 40 events that are daily.
const REPETITIONS: u32 = 100_000;

/// Why a text is no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// More than anybody's holidays.
    #[error("a calendar may have {} KiB, this one has {} KiB; take one that has only the holidays", LARGEST >> 10, .0 >> 10)]
    Large(usize),
    /// Not a calendar at all.
    #[error("this is no iCalendar: it does not begin with BEGIN:VCALENDAR")]
    None,
    /// It ends before its end.
    #[error("the calendar breaks off: END:VCALENDAR is missing; fetch it again")]
    Cut,
    /// A line cannot be used.
    #[error("line {line}: {what}")]
    Line {
        /// From 1, as an editor counts.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// More days than a policy should hold.
    #[error("more than {MOST} spans of days; take a calendar that has only the holidays")]
    Many,
    /// More repetitions than anybody's holidays have.
    #[error("more than {REPETITIONS} repetitions; take a calendar that has only the holidays")]
    Repetitions,
}

/// An event while it is read.
#[derive(Default)]
struct Event {
    line: usize,
    start: Option<When>,
    end: Option<When>,
    /// Days that it lasts, where `DURATION` says so.
    days: Option<i64>,
    repeats: Option<Repeats>,
    except: BTreeSet<Date>,
    cancelled: bool,
}

/// A day, and whether an hour was said too.
#[derive(Clone, Copy)]
struct When {
    date: Date,
    /// An hour later than midnight.
    within: bool,
}

/// `RRULE`, as far as it is followed.
struct Repeats {
    every: Every,
    interval: i64,
    count: Option<usize>,
    until: Option<Date>,
    /// By their place in a week that begins on Monday.
    days: BTreeSet<i8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Every {
    Day,
    Week,
    Year,
}

/// The days of a calendar, in order, neighbours together. What ended over a year before `today` is left out.
pub fn read(text: &str, zone: &TimeZone, today: Date) -> Result<Vec<Dates>, CalendarError> {
    if text.len() > LARGEST {
        return Err(CalendarError::Large(text.len()));
    }
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text
        .get(..15)
        .is_some_and(|head| head.eq_ignore_ascii_case("BEGIN:VCALENDAR"))
    {
        return Err(CalendarError::None);
    }
    let mut all = BTreeSet::new();
    let mut event: Option<Event> = None;
    let (mut whole, mut repetitions) = (false, REPETITIONS);
    for (line, unfolded) in unfolded(text) {
        let wrong = |what: &str| CalendarError::Line {
            line,
            what: what.to_owned(),
        };
        let Some((head, value)) = split(&unfolded) else {
            continue; // a line without a value says nothing about days
        };
        let mut parts = head.split(';');
        let name = parts.next().unwrap_or_default().to_ascii_uppercase();
        match (name.as_str(), &mut event) {
            ("BEGIN", None) if value.eq_ignore_ascii_case("VEVENT") => {
                event = Some(Event {
                    line,
                    ..Event::default()
                });
            }
            ("END", Some(_)) if value.eq_ignore_ascii_case("VEVENT") => {
                if let Some(event) = event.take().filter(|event| !event.cancelled) {
                    spans(&event, today, &mut repetitions, &mut all)?;
                }
                if all.len() > MOST {
                    return Err(CalendarError::Many);
                }
            }
            ("END", None) => whole |= value.eq_ignore_ascii_case("VCALENDAR"),
            (name, Some(event)) => {
                let zone = named_zone(parts, zone);
                let when = || when(value, &zone).ok_or_else(|| wrong("this is no day"));
                match name {
                    "DTSTART" => event.start = Some(when()?),
                    "DTEND" => event.end = Some(when()?),
                    "DURATION" => {
                        event.days = Some(lasting(value).ok_or_else(|| wrong("this is no duration"))?);
                    }
                    "RRULE" => event.repeats = Some(repeats(value, &zone).map_err(|what| wrong(&what))?),
                    "EXDATE" => {
                        for value in value.split(',') {
                            let day = self::when(value, &zone).ok_or_else(|| wrong("this is no day"))?;
                            event.except.insert(day.date);
                        }
                    }
                    "RDATE" => {
                        return Err(wrong(
                            "single days of repetition (RDATE) are not read; give each an event",
                        ));
                    }
                    "STATUS" => event.cancelled = value.eq_ignore_ascii_case("CANCELLED"),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    if !whole {
        return Err(CalendarError::Cut); // what came is not all that holds
    }
    Ok(joined(all))
}

/// Lines with those that were folded onto the next put together again (section 3.1), and the number of the first.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, before))) => before.push_str(rest),
            _ => lines.push((number + 1, line.to_owned())),
        }
    }
    lines
}

/// Name with parameters, and value: parted at the first colon outside quotes.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = line.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == ':' && !quoted).then_some(at)
    })?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

fn named_zone<'p>(parameters: impl Iterator<Item = &'p str>, zone: &TimeZone) -> TimeZone {
    let mut names = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("TZID").then(|| value.trim_matches('"'))
    });
    names
        .find_map(|name| TimeZone::get(name).ok())
        .unwrap_or_else(|| zone.clone())
}

fn when(value: &str, zone: &TimeZone) -> Option<When> {
    let (value, utc) = match value.strip_suffix('Z') {
        Some(value) => (value, true),
        None => (value, false),
    };
    let (date, time) = value.split_once('T').unwrap_or((value, "000000"));
    let digits =
        |text: &str, length: usize| text.len() == length && text.bytes().all(|octet| octet.is_ascii_digit());
    if !digits(date, 8) || !digits(time, 6) {
        return None;
    }
    let number = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<i16>().ok();
    let small = |text: &str, from: usize, to: usize| i8::try_from(number(text, from, to)?).ok();
    let date = Date::new(number(date, 0, 4)?, small(date, 4, 6)?, small(date, 6, 8)?).ok()?;
    let second = small(time, 4, 6)?.min(59); // a leap second is the one before it
    let time = Time::new(small(time, 0, 2)?, small(time, 2, 4)?, second, 0).ok()?;
    let mut local: DateTime = date.to_datetime(time);
    if utc {
        let instant: Timestamp = TimeZone::UTC.to_timestamp(local).ok()?;
        local = zone.to_datetime(instant);
    }
    Some(When {
        date: local.date(),
        within: local.time() != Time::midnight(),
    })
}

/// Days of a duration such as `P7D`, `P2W`, `PT8H` (section 3.3.6); hours are part of the day they begin on.
fn lasting(value: &str) -> Option<i64> {
    let rest = value.trim_start_matches('+').strip_prefix('P')?;
    let date = rest.split('T').next()?;
    if date.is_empty() {
        return rest.contains('T').then_some(1);
    }
    let (number, unit) = date.split_at_checked(date.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|days| (0..=3660).contains(days))?;
    match unit {
        "D" => Some(number),
        "W" => Some(number * 7),
        _ => None,
    }
}

fn repeats(value: &str, zone: &TimeZone) -> Result<Repeats, String> {
    let mut every = None;
    let mut repeats = Repeats {
        every: Every::Day,
        interval: 1,
        count: None,
        until: None,
        days: BTreeSet::new(),
    };
    for part in value.split(';') {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is no part of a rule"))?;
        let wrong = || format!("{part:?} is not understood");
        match name.to_ascii_uppercase().as_str() {
            "FREQ" => {
                every = Some(match value.to_ascii_uppercase().as_str() {
                    "DAILY" => Every::Day,
                    "WEEKLY" => Every::Week,
                    "YEARLY" => Every::Year,
                    other => return Err(format!("repetition {other} is not read; give each day an event")),
                });
            }
            "INTERVAL" => {
                let interval = value.parse().ok().filter(|interval| (1..=100).contains(interval));
                repeats.interval = interval.ok_or_else(wrong)?;
            }
            "COUNT" => repeats.count = Some(value.parse().map_err(|_| wrong())?),
            "UNTIL" => repeats.until = Some(when(value, zone).ok_or_else(wrong)?.date),
            "BYDAY" => {
                for day in value.split(',') {
                    repeats.days.insert(weekday(day).ok_or_else(wrong)?);
                }
            }
            // What the start says anyway.
            "WKST" | "BYMONTH" | "BYMONTHDAY" => {}
            _ => return Err(wrong()),
        }
    }
    repeats.every = every.ok_or("the rule has no FREQ")?;
    if !repeats.days.is_empty() && repeats.every != Every::Week {
        return Err("days of the week are read in weekly repetition only".to_owned());
    }
    Ok(repeats)
}

fn weekday(text: &str) -> Option<i8> {
    let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let place = names.iter().position(|name| text.eq_ignore_ascii_case(name))?;
    i8::try_from(place).ok()
}

/// Adds the days of an event and of its repetitions; `left_over`: how many repetitions may be looked at yet.
fn spans(
    event: &Event,
    today: Date,
    left_over: &mut u32,
    all: &mut BTreeSet<(Date, Date)>,
) -> Result<(), CalendarError> {
    let wrong = |what: &str| CalendarError::Line {
        line: event.line,
        what: what.to_owned(),
    };
    let start = event.start.ok_or_else(|| wrong("the event has no DTSTART"))?.date;
    let length = match (event.end, event.days) {
        // The end is the moment behind the event: a day of its own only where it has an hour.
        (Some(end), _) => {
            let days = start.until(end.date).map_or(0, |span| i64::from(span.get_days()));
            if end.within { days } else { days - 1 }
        }
        (None, Some(days)) => days - 1,
        (None, None) => 0,
    }
    .max(0);
    let horizon = today.saturating_add((YEARS).years());
    let mut add = |first: Date| {
        let last = first.saturating_add(length.days());
        if last.saturating_add(1.year()) >= today && !event.except.contains(&first) {
            all.insert((first, last));
        }
    };
    let Some(repeats) = &event.repeats else {
        add(start);
        return Ok(());
    };
    let end = repeats.until.unwrap_or(horizon).min(horizon);
    let mut left = repeats.count.unwrap_or(usize::MAX);
    for step in first_step(
        repeats,
        start,
        today.saturating_sub(1.year()).saturating_sub(length.days()),
    )..
    {
        *left_over = left_over.checked_sub(1).ok_or(CalendarError::Repetitions)?;
        let begun = match repeats.every {
            Every::Day => start.checked_add((step * repeats.interval).days()),
            Every::Week => start.checked_add((step * repeats.interval).weeks()),
            Every::Year => start.checked_add((step * repeats.interval).years()),
        };
        let Ok(begun) = begun else { break };
        let monday = begun.saturating_sub(i64::from(begun.weekday().to_monday_zero_offset()).days());
        let mut firsts: Vec<Date> = repeats
            .days
            .iter()
            .map(|day| monday.saturating_add(i64::from(*day).days()))
            .filter(|first| *first >= start)
            .collect();
        if repeats.days.is_empty() {
            firsts.push(begun);
        }
        for first in firsts {
            if first > end || left == 0 {
                return Ok(());
            }
            left -= 1;
            add(first);
        }
        if monday > end {
            break;
        }
    }
    Ok(())
}

/// The repetition to begin with: what ended before `since` is of no use, but has to be counted where the rule counts.
fn first_step(repeats: &Repeats, start: Date, since: Date) -> i64 {
    if repeats.count.is_some() || since <= start {
        return 0;
    }
    let days = start.until(since).map_or(0, |span| i64::from(span.get_days()));
    let unit = match repeats.every {
        Every::Day => 1,
        Every::Week => 7,
        Every::Year => 366,
    };
    (days / (unit * repeats.interval) - 1).max(0)
}

/// Spans that touch become one.
fn joined(all: BTreeSet<(Date, Date)>) -> Vec<Dates> {
    let mut joined: Vec<Dates> = Vec::new();
    for (first, last) in all {
        match joined.last_mut() {
            Some(before) if first <= before.last.saturating_add(1.day()) => {
                before.last = before.last.max(last);
            }
            _ => joined.push(Dates { first, last }),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    fn days(events: &str) -> Result<Vec<String>, String> {
        let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n");
        let zone = TimeZone::get("Europe/Tirane").unwrap();
        let dates = read(&text, &zone, date(2026, 11, 24)).map_err(|error| error.to_string())?;
        Ok(dates.into_iter().map(String::from).collect())
    }

    fn event(lines: &str) -> String {
        format!(
            "BEGIN:VEVENT\r\nSUMMARY:x\r\n{}\r\nEND:VEVENT\r\n",
            lines.replace(' ', "\r\n")
        )
    }

    #[test]
    fn events_become_their_days_in_the_gateways_zone() {
        for (lines, expected) in [
            ("DTSTART;VALUE=DATE:20261128", "2026-11-28"),
            (
                "DTSTART;VALUE=DATE:20261224 DTEND;VALUE=DATE:20270111",
                "2026-12-24..2027-01-10",
            ),
            (
                "DTSTART;VALUE=DATE:20261224 DURATION:P2W",
                "2026-12-24..2027-01-06",
            ),
            ("DTSTART:20261224T080000 DTEND:20261224T140000", "2026-12-24"),
            ("DTSTART:20261224T080000 DTEND:20261225T000000", "2026-12-24"),
            // 23:30 in UTC is the next day in Tirana.
            ("DTSTART:20261223T233000Z DURATION:PT8H", "2026-12-24"),
            (
                "DTSTART;TZID=Europe/Tirane:20261224T000000 DTEND;TZID=Europe/Tirane:20261226T000000",
                "2026-12-24..2026-12-25",
            ),
            ("DTSTART;VALUE=DATE:20261128 STATUS:CANCELLED", ""),
            ("DTSTART;VALUE=DATE:20200101", ""),
        ] {
            assert_eq!(days(&event(lines)).unwrap().join(","), expected, "{lines}");
        }
    }

    #[test]
    fn repetition_is_followed_to_its_end_or_for_five_years() {
        let yearly = days(&event("DTSTART;VALUE=DATE:20121128 RRULE:FREQ=YEARLY")).unwrap();
        assert_eq!(
            (yearly.first().map(String::as_str), yearly.len()),
            (Some("2025-11-28"), 6)
        );
        let weekly = days(&event(
            "DTSTART;VALUE=DATE:20261123 RRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=4 EXDATE;VALUE=DATE:20261125",
        ))
        .unwrap();
        assert_eq!(weekly, ["2026-11-23", "2026-11-30", "2026-12-02"]);
        let daily = days(&event(
            "DTSTART;VALUE=DATE:20261123 RRULE:FREQ=DAILY;INTERVAL=2;UNTIL=20261127",
        ))
        .unwrap();
        assert_eq!(daily, ["2026-11-23", "2026-11-25", "2026-11-27"]);
        let old = days(&event("DTSTART;VALUE=DATE:19000101 RRULE:FREQ=DAILY;INTERVAL=3")).unwrap();
        assert_eq!(
            (old.len(), old[0].as_str()),
            (731, "2025-11-25"),
            "begun 126 years ago"
        );
        let old = days(&event(
            "DTSTART;VALUE=DATE:19000105 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=FR,FR;UNTIL=20251220",
        ))
        .unwrap();
        assert_eq!(old, ["2025-12-05", "2025-12-19"]);
        let touching =
            days(&(event("DTSTART;VALUE=DATE:20261125") + &event("DTSTART;VALUE=DATE:20261124"))).unwrap();
        assert_eq!(touching, ["2026-11-24..2026-11-25"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (lines, part) in [
            ("DTSTART;VALUE=DATE:20261332", "line 5: this is no day"),
            ("DTSTART:20261224T328878", "line 5: this is no day"),
            ("DTSTART:20261224T240000Z", "line 5: this is no day"),
            ("DTEND;VALUE=DATE:20261224", "line 3: the event has no DTSTART"),
            (
                "DTSTART;VALUE=DATE:20261128 RRULE:FREQ=MONTHLY",
                "line 6: repetition MONTHLY is not read",
            ),
            (
                "DTSTART;VALUE=DATE:20261128 RRULE:FREQ=YEARLY;BYDAY=1MO",
                "line 6",
            ),
            ("DTSTART;VALUE=DATE:20261128 RDATE:20261129", "line 6"),
            (
                "DTSTART;VALUE=DATE:20261128 DURATION:P5Y",
                "line 6: this is no duration",
            ),
        ] {
            let error = days(&event(lines)).unwrap_err();
            assert!(error.contains(part), "{lines}: {error}");
        }
        let zone = TimeZone::UTC;
        let today = date(2026, 11, 24);
        assert_eq!(read("<html>", &zone, today), Err(CalendarError::None));
        let large = "BEGIN:VCALENDAR\n".to_owned() + &"X-A:b\n".repeat(200_000);
        assert_eq!(read(&large, &zone, today), Err(CalendarError::Large(large.len())));
        let many: String = (0..3000).fold(String::new(), |text, number| {
            let day = date(2026, 1, 1).saturating_add((number * 2).days());
            text + &event(&format!("DTSTART;VALUE=DATE:{}", day.strftime("%Y%m%d")))
        });
        assert!(days(&many).unwrap_err().contains("more than 2000"));
        let forever = event("DTSTART;VALUE=DATE:00010101 RRULE:FREQ=DAILY;COUNT=50000");
        let (begun, error) = (
            std::time::Instant::now(),
            days(&forever.repeat(10_000)).unwrap_err(),
        );
        assert!(error.contains("repetitions"), "{error}");
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
        assert_eq!(
            days("BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:2026\r\n 1128\r\nEND:VEVENT\r\n").unwrap(),
            ["2026-11-28"],
            "folded"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(BEGIN:VEVENT\n|END:VEVENT\n|DTSTART:|DTEND:|RRULE:FREQ=|DAILY|WEEKLY|YEARLY|;BYDAY=|;COUNT=|[0-9TZ:;=,]{0,9}|\n|.){0,60}") {
            let text = format!("BEGIN:VCALENDAR\n{text}\nEND:VEVENT\n");
            let _ = read(&text, &TimeZone::UTC, date(2026, 11, 24));
        }
    }
}
