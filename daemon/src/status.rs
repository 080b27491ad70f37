//! How the daemon stands, for `status`, the control socket and the web UI.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::dns::engine::{Counts, Engine};
use crate::policy::Household;
use crate::sync::{Files, ListStatus};

/// How the daemon stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Program version.
    pub version: String,
    /// `ok`, or `degraded` with reasons in `problems`.
    pub state: String,
    /// What is wrong, and what it means.
    pub problems: Vec<String>,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Addresses served.
    pub listen: Vec<SocketAddr>,
    /// Upstream servers, and whether the last query to each was answered.
    pub upstreams: Vec<(String, bool)>,
    /// Rules in force.
    pub rules: u64,
    /// Queries since the start.
    pub counts: Counts,
    /// Queries that the query log had no room for.
    #[serde(default)]
    pub log_lost: u64,
    /// Answers in the cache.
    pub cache_entries: usize,
    /// Octets in the cache.
    pub cache_octets: u64,
    /// The lists.
    pub lists: Vec<ListStatus>,
}

/// What the status is taken from.
#[derive(Debug)]
pub struct Watch {
    engine: Arc<Engine>,
    household: Household,
    listen: Vec<SocketAddr>,
    lists: RwLock<Vec<ListStatus>>,
    reload_error: RwLock<Option<String>>,
    files: Files,
}

impl Watch {
    /// Watches this engine.
    pub fn new(
        engine: Arc<Engine>,
        household: Household,
        listen: Vec<SocketAddr>,
        lists: Vec<ListStatus>,
        files: Files,
    ) -> Self {
        Self {
            engine,
            household,
            listen,
            lists: RwLock::new(lists),
            reload_error: RwLock::default(),
            files,
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The policy.
    pub fn household(&self) -> &Household {
        &self.household
    }

    /// The files of the index in force.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Notes how a reload ended: the lists now in force, or why the old ones stay.
    pub fn reloaded(&self, outcome: Result<Vec<ListStatus>, String>) {
        let mut error = self.reload_error.write().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(lists) => {
                *self.lists.write().unwrap_or_else(PoisonError::into_inner) = lists;
                *error = None;
            }
            Err(reason) => *error = Some(reason),
        }
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner).clone();
        let upstreams = self.engine.upstreams();
        let mut problems = self.household.store().problems();
        for list in &lists {
            if let Some(error) = &list.last_error {
                problems.push(format!(
                    "list {}: {error}; its last good version is in force",
                    list.id
                ));
            }
        }
        if let Some(error) = self
            .reload_error
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            problems.push(format!("reload failed: {error}; what was in force before stays"));
        }
        if upstreams.is_empty() {
            problems.push(
                "no upstream server: only blocked and local names are answered; set [upstream] servers"
                    .to_owned(),
            );
        } else if upstreams.iter().all(|(_, answered)| !answered) {
            problems
                .push("no upstream server answers; answers kept in the cache are served stale".to_owned());
        }
        let (cache_entries, cache_octets) = self.engine.cache_usage();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if problems.is_empty() { "ok" } else { "degraded" }.to_owned(),
            problems,
            uptime_s: self.engine.uptime_s(),
            listen: self.listen.clone(),
            upstreams,
            rules: self.engine.snapshot().index.len() as u64,
            counts: self.engine.counts(),
            log_lost: self.engine.log().lost(),
            cache_entries,
            cache_octets,
            lists,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.listen.iter().map(SocketAddr::to_string).collect();
        writeln!(
            out,
            "isigurtd {} is {}, up {} s, on {}",
            self.version,
            self.state,
            self.uptime_s,
            listen.join(", ")
        )?;
        for problem in &self.problems {
            writeln!(out, "  problem: {problem}")?;
        }
        for (server, answered) in &self.upstreams {
            writeln!(
                out,
                "  upstream {server}: {}",
                if *answered { "ok" } else { "does not answer" }
            )?;
        }
        let Counts {
            queries,
            blocked,
            cached,
            forwarded,
            ..
        } = self.counts;
        writeln!(
            out,
            "  {queries} queries: {blocked} blocked, {cached} from the cache, {forwarded} from upstream"
        )?;
        writeln!(
            out,
            "  {} rules; cache: {} answers, {} octets",
            self.rules, self.cache_entries, self.cache_octets
        )?;
        if self.log_lost > 0 {
            writeln!(
                out,
                "  {} queries were not logged: too many at once",
                self.log_lost
            )?;
        }
        for list in self.lists.iter().filter(|list| list.loaded_at.is_some()) {
            let age = list
                .loaded_at
                .and_then(|at| jiff::Timestamp::from_second(at).ok());
            let since = age.map_or_else(String::new, |at| format!(", since {at}"));
            writeln!(
                out,
                "  list {}: {} rules, {} lines refused{since}",
                list.id, list.rules, list.rejected
            )?;
        }
        let built_in = self.lists.iter().filter(|list| list.loaded_at.is_none());
        let (count, rules) = built_in.fold((0, 0), |(count, rules), list| (count + 1, rules + list.rules));
        write!(out, "  built-in lists: {count}, {rules} rules")
    }
}
