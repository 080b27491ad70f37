//! Diagnostics: what is looked at, how it stands, and what to do where it stands badly.
//!
//! ```text
//! Given (configuration, what the running daemon says, the machine) ─▶ checks ─▶ findings ─▶ `doctor`, the web UI, support bundle
//! ```
//!
//! It only looks, and changes nothing. What it finds holds no name of a person, device or site, so that it may be shown to
//! whoever helps.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::status::Status;
use crate::sync::Newer;

/// Octets that the disk of the state should have free.
const ROOM: u64 = 256 << 20;
/// Seconds after which a list is old.
const OLD_S: i64 = 7 * 86_400;
/// Seconds after which a report should have arrived.
const WAITED_S: i64 = 86_400;
/// Seconds since 1970 before which this program was not made: a clock that says less is wrong.
const MADE_S: i64 = 1_764_000_000;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As it should.
    Good,
    /// Worth a look.
    Look,
    /// Something does not work.
    Bad,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What was found, as a word that texts in other languages go by: the check, a dot, the case, such as `disk.low`.
    pub code: String,
    /// What those texts have holes for, such as `mib`.
    pub values: BTreeMap<String, String>,
    /// What was looked at: `daemon`, `clock`, `upstreams`, `lists`, `disk`, `cache`, `log`, `state`, `exposure`,
    /// `version`, `reports`.
    pub check: String,
    /// How it stands.
    pub standing: Standing,
    /// What was found, in English.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// In the order of looking.
    pub findings: Vec<Finding>,
}

/// What is looked at.
#[derive(Debug)]
pub struct Given<'g> {
    /// What the running daemon says; why it says nothing, where it does not.
    pub status: Result<&'g Status, String>,
    /// The state folder.
    pub state_dir: &'g Path,
    /// Seconds since 1970 on the system's clock.
    pub now_s: i64,
}

impl Given<'_> {
    /// Looks at everything.
    pub fn look(&self) -> Findings {
        let mut findings = vec![self.clock(), self.disk()];
        match &self.status {
            Ok(status) => {
                findings.push(good("daemon.runs", "it runs".to_owned()));
                findings.extend([
                    upstreams(status),
                    self.lists(status),
                    cache(status),
                    log(status),
                    exposure(status),
                    reports(status, self.now_s),
                ]);
                findings.extend(status.newer.as_ref().map(version));
                findings.extend(status.problems.iter().map(|problem| {
                    let advice = "see the log of isigurtd (journalctl -u isigurtd)";
                    look("state.problem", problem.clone(), advice)
                }));
            }
            Err(reason) => {
                let advice = "start it: systemctl start isigurtd";
                findings.push(bad("daemon.silent", reason.clone(), advice));
            }
        }
        Findings { findings }
    }

    fn clock(&self) -> Finding {
        if self.now_s < MADE_S {
            let found = "the clock says that this program was not made yet".to_owned();
            let advice = "set the time, or wait for it to be fetched: schedules and signatures depend on it";
            return bad("clock.wrong", found, advice);
        }
        let fetched = Path::new("/run/systemd/timesync/synchronized").exists();
        let service = Path::new("/run/systemd/timesync").exists();
        if service && !fetched {
            let found = "the time was not fetched from the network yet".to_owned();
            return look(
                "clock.unfetched",
                found,
                "check the network, and `timedatectl status`",
            );
        }
        good("clock.plausible", "the time is plausible".to_owned())
    }

    #[allow(clippy::useless_conversion)] // narrower where the system has 32 bits
    fn disk(&self) -> Finding {
        match nix::sys::statvfs::statvfs(self.state_dir) {
            Ok(disk) => {
                let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
                let (mib, found) = (free >> 20, format!("{} MiB free for the state", free >> 20));
                let finding = if free < ROOM / 8 {
                    bad("disk.full", found, "make room: lists and settings cannot be kept")
                } else if free < ROOM {
                    look("disk.low", found, "make room, or lower [log] max_mib")
                } else {
                    good("disk.free", found)
                };
                finding.with("mib", &mib)
            }
            Err(error) => {
                let found = format!("the state folder cannot be looked at: {error}");
                let advice = "run as the user of the daemon, or name the folder with --state";
                bad("disk.unknown", found, advice)
            }
        }
    }

    fn lists(&self, status: &Status) -> Finding {
        let failing = status
            .lists
            .iter()
            .filter(|list| list.last_error.is_some())
            .count();
        let newest = status.lists.iter().filter_map(|list| list.loaded_at).max();
        if status.rules == 0 {
            let found = "no rule is in force".to_owned();
            return bad("lists.none", found, "see `isigurtd lists status`");
        }
        let unheard = status.lists.iter().filter(|list| list.last_error.is_some());
        let age = unheard
            .filter_map(|list| Some(self.now_s - list.checked_at?))
            .max();
        if let Some(age) = age.filter(|age| *age >= OLD_S) {
            let days = age / 86_400;
            let found = format!("nothing new came for {days} days: what was found since is not blocked here");
            let advice = "mend the way to the servers now, then `isigurtd lists update`; `isigurtd lists status` has the reason";
            return bad("lists.unheard", found, advice).with("days", &days);
        }
        if failing > 0 {
            let found = format!(
                "{failing} list(s) could not be brought up to date; the last good version is in force"
            );
            let advice = "see `isigurtd lists status` for the reason";
            return look("lists.failing", found, advice).with("lists", &failing);
        }
        match newest {
            Some(newest) if self.now_s - newest > OLD_S => {
                let days = (self.now_s - newest) / 86_400;
                let found = format!("the newest list is {days} days old");
                let advice = "check the way to the internet, then `isigurtd lists update`";
                look("lists.old", found, advice).with("days", &days)
            }
            _ => good("lists.fresh", format!("{} rules in force", status.rules)).with("rules", &status.rules),
        }
    }
}

/// Whether reports arrive.
fn reports(status: &Status, now_s: i64) -> Finding {
    let queue = &status.reports;
    let Some(counted) = queue.counted() else {
        return good("reports.none", "none waits for the national platform".to_owned());
    };
    let hours = queue.age_s(now_s) / 3_600;
    let found = format!("{counted}, the oldest for {hours} hours");
    let finding = if queue.age_s(now_s) >= WAITED_S {
        let advice = "check the way to the platform (`isigurtd status` has the reason); who needs help now calls 116 111";
        bad("reports.late", found, advice)
    } else if queue.last_error.is_some() {
        let advice = "nothing yet: delivery is tried again by itself";
        look("reports.failing", found, advice)
    } else {
        good("reports.leaving", found)
    };
    finding.with("count", &queue.waiting).with("hours", &hours)
}

fn upstreams(status: &Status) -> Finding {
    let all = status.upstreams.len();
    let answering = status.upstreams.iter().filter(|(_, answers)| *answers).count();
    let found = format!("{answering} of {all} upstream servers answer");
    let finding = if answering == 0 {
        let advice = "check the way to the internet and [upstream] servers";
        bad("upstreams.silent", found, advice)
    } else if answering < all {
        let advice = "take out of [upstream] servers what never answers";
        look("upstreams.some", found, advice)
    } else {
        good("upstreams.answer", found)
    };
    finding.with("answering", &answering).with("all", &all)
}

fn cache(status: &Status) -> Finding {
    let asked = status.counts.cached + status.counts.forwarded;
    let share = (status.counts.cached * 100).checked_div(asked).unwrap_or(0);
    let found = format!("{share} of 100 answers come from the cache");
    let finding = if asked > 100_000 && share < 20 {
        look("cache.small", found, "give it more room: [dns.cache] size_mib")
    } else {
        good("cache.helps", found)
    };
    finding.with("share", &share)
}

fn log(status: &Status) -> Finding {
    if status.log_lost > 0 {
        let found = format!("{} queries were not logged: too many at once", status.log_lost);
        let advice = "nothing, if it stays at that: answers never wait for the log";
        return look("log.lost", found, advice).with("queries", &status.log_lost);
    }
    good("log.whole", "every query that is to be logged is".to_owned())
}

/// A newer version of the program.
fn version(newer: &Newer) -> Finding {
    let (number, day) = (&newer.version, &newer.released);
    let advice = "update the package: see docs/install.md";
    let finding = if newer.security {
        let found = format!("version {number} of {day} is out and mends a security hole");
        bad("version.mends", found, advice)
    } else {
        look(
            "version.newer",
            format!("version {number} of {day} is out"),
            advice,
        )
    };
    finding.with("version", number).with("day", day)
}

/// Whether it is served to where clients are.
fn exposure(status: &Status) -> Finding {
    if status.listen.iter().all(|address| address.ip().is_loopback()) {
        let found = "DNS is served to this machine alone".to_owned();
        let advice = "for a network: [dns] listen = [\"0.0.0.0:53\", \"[::]:53\"]";
        return look("exposure.alone", found, advice);
    }
    let addresses = status.listen.len();
    good(
        "exposure.network",
        format!("DNS is served on {addresses} address(es)"),
    )
    .with("addresses", &addresses)
}

fn finding(code: &str, standing: Standing, found: String, advice: &str) -> Finding {
    Finding {
        code: code.to_owned(),
        values: BTreeMap::new(),
        check: code.split('.').next().unwrap_or_default().to_owned(),
        standing,
        found,
        advice: advice.to_owned(),
    }
}

fn good(code: &str, found: String) -> Finding {
    finding(code, Standing::Good, found, "")
}

fn look(code: &str, found: String, advice: &str) -> Finding {
    finding(code, Standing::Look, found, advice)
}

fn bad(code: &str, found: String, advice: &str) -> Finding {
    finding(code, Standing::Bad, found, advice)
}

impl Finding {
    fn with(mut self, name: &str, value: &impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Findings {
    /// The worst standing.
    pub fn worst(&self) -> Standing {
        let all = self.findings.iter().map(|finding| finding.standing);
        all.max().unwrap_or(Standing::Good)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.findings.iter().enumerate() {
            let mark = match finding.standing {
                Standing::Good => "ok  ",
                Standing::Look => "look",
                Standing::Bad => "BAD ",
            };
            if place > 0 {
                writeln!(out)?;
            }
            write!(out, "{mark} {}: {}", finding.check, finding.found)?;
            if !finding.advice.is_empty() {
                write!(out, "\n     {}", finding.advice)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::engine::Counts;
    use crate::report::Queue;

    fn status() -> Status {
        Status {
            version: "1".to_owned(),
            state: "ok".to_owned(),
            problems: Vec::new(),
            uptime_s: 5,
            listen: vec!["192.0.2.1:53".parse().unwrap()],
            upstreams: vec![("udp://192.0.2.53:53".to_owned(), true)],
            rules: 10,
            counts: Counts::default(),
            log_lost: 0,
            cache_entries: 0,
            cache_octets: 0,
            lists: Vec::new(),
            newer: None,
            reports: Queue::default(),
        }
    }

    fn standing(status: Result<&Status, String>, check: &str, now_s: i64) -> Standing {
        let folder = tempfile::tempdir().unwrap();
        let given = Given {
            status,
            state_dir: folder.path(),
            now_s,
        };
        let findings = given.look().findings;
        let found = findings.iter().find(|finding| finding.check == check).unwrap();
        assert_eq!(
            found.standing == Standing::Good,
            found.advice.is_empty(),
            "{found:?}"
        );
        found.standing
    }

    #[test]
    fn each_check_says_what_to_do_where_something_is_wrong() {
        let now = 1_800_000_000;
        let well = status();
        for check in [
            "daemon",
            "upstreams",
            "lists",
            "cache",
            "log",
            "exposure",
            "reports",
        ] {
            assert_eq!(standing(Ok(&well), check, now), Standing::Good, "{check}");
        }
        assert_eq!(standing(Ok(&well), "clock", 12), Standing::Bad, "1970");
        for (hours, expected) in [(1, Standing::Look), (25, Standing::Bad)] {
            let mut waiting = status();
            waiting.reports = Queue {
                waiting: 1,
                oldest: jiff::Timestamp::from_second(now - hours * 3_600).ok(),
                next_try: None,
                last_error: Some("no network".to_owned()),
            };
            assert_eq!(standing(Ok(&waiting), "reports", now), expected, "{hours} hours");
        }
        assert_eq!(
            standing(Err("nothing answers".to_owned()), "daemon", now),
            Standing::Bad
        );
        let mut ill = status();
        ill.upstreams[0].1 = false;
        ill.rules = 0;
        ill.log_lost = 7;
        ill.listen = vec!["127.0.0.1:5353".parse().unwrap()];
        ill.problems.push("something".to_owned());
        for (check, expected) in [
            ("upstreams", Standing::Bad),
            ("lists", Standing::Bad),
            ("log", Standing::Look),
            ("exposure", Standing::Look),
            ("state", Standing::Look),
        ] {
            assert_eq!(standing(Ok(&ill), check, now), expected, "{check}");
        }
    }

    /// `(found, advice)` of a language's messages.
    fn told(messages: &serde_json::Value, part: &str, code: &str) -> bool {
        messages[format!("doctor.{part}.{code}")]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    }

    #[test]
    fn every_finding_is_told_in_every_language() {
        let source = include_str!("doctor.rs").split("#[cfg(test)]").next().unwrap();
        let made = regex::Regex::new(r#"\b(good|look|bad)\(\s*"([a-z]+\.[a-z]+)""#).unwrap();
        let codes: Vec<_> = made
            .captures_iter(source)
            .map(|found| (found[1].to_owned(), found[2].to_owned()))
            .collect();
        assert!(codes.len() >= 20, "{codes:?}");
        for (language, text) in [
            ("sq", include_str!("../../webui/messages/sq.json")),
            ("en", include_str!("../../webui/messages/en.json")),
        ] {
            let messages: serde_json::Value = serde_json::from_str(text).unwrap();
            for (standing, code) in &codes {
                // What a problem of the state is, it says itself.
                let says_itself = code == "state.problem";
                assert!(
                    says_itself || told(&messages, "found", code),
                    "{language}: {code}"
                );
                assert!(
                    standing == "good" || told(&messages, "advice", code),
                    "{language}: {code}"
                );
            }
        }
    }
}
