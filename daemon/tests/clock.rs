//! A clock that runs, leaps and goes back: what holds follows it at the next look.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use isigurt_core::cache::Cache;
use isigurt_core::limit::Limiter;
use isigurt_core::policy::Who;
use isigurtd::app::{self, Run};
use isigurtd::config::Config;
use isigurtd::dns::engine::Engine;
use isigurtd::dns::upstream::Upstream;
use isigurtd::log::queries::{Keeping, QueryLog};
use isigurtd::policy::{Author, Household};
use isigurtd::store::Store;
use isigurtd::sync::Loading;
use isigurtd::sync::worker::Worker;
use jiff::Timestamp;

fn household() -> (tempfile::TempDir, Household, Arc<Engine>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::load(None).unwrap().config;
    folder.path().clone_into(&mut config.state_dir);
    let loading = Loading {
        config: &config,
        store: None,
        worker: &Worker::Here,
        threads: 1,
        now: 0,
        first: true,
    };
    let rules = loading.load().unwrap();
    let household = Household::new(Store::in_memory(folder.path()), &config).unwrap();
    let parts = household.start(&rules.index).unwrap();
    let nothing = Keeping {
        nothing: true,
        anonymous: true,
        blocked_only: true,
    };
    let log = QueryLog::start(nothing, folder.path(), (Duration::ZERO, 0), 0).unwrap();
    let engine = Engine::new(
        app::snapshot(&config, rules, parts, &Run::default()),
        Cache::new(1 << 20, 0),
        Upstream::new(&config.upstream, &[]),
        Limiter::new(0),
        log,
    );
    (folder, household, engine)
}

#[test]
fn what_holds_follows_a_clock_that_runs_leaps_and_goes_back() {
    let (_folder, household, engine) = household();
    let text = "[settings]\ntime_zone = \"Europe/Tirane\"\n[[profile]]\nname = \"child\"\n\
        [[profile.schedule]]\npreset = \"bedtime\"\n\
        [[profile.budget]]\nwhat = [\"service:tiktok\"]\nminutes = 5\n";
    household.apply(&engine, text, false).unwrap();
    for (now, off, day) in [
        ("2026-11-24T12:00:00+01:00", false, 20781),
        ("2026-11-24T20:59:59+01:00", false, 20781),
        ("2026-11-24T21:00:00+01:00", true, 20781),
        // Back by nine hours, as when a wrong clock is set right.
        ("2026-11-24T12:00:00+01:00", false, 20781),
        ("2026-11-25T00:00:00+01:00", true, 20782),
        ("2026-11-25T07:00:00+01:00", false, 20782),
        // A box without a clock starts in the past, and leaps over years when it learns the time; no day begins anew for it.
        ("1970-01-01T00:00:05+01:00", true, 20782),
        ("2027-03-28T06:59:59+02:00", true, 20905),
        ("2027-03-28T07:00:00+02:00", false, 20905),
        ("2026-11-24T23:00:00+01:00", true, 20781),
    ] {
        let at: Timestamp = now.parse().unwrap();
        household.look(&engine, at);
        let present = engine.snapshot().present.clone();
        assert_eq!(present.of(0, None).off.is_some(), off, "{now}");
        assert_eq!(present.day, day, "{now}");
        assert!(present.next.is_some_and(|next| next > at), "{now}");
    }
}

#[test]
fn the_lines_own_time_is_set_right_where_the_clock_leaps() {
    let (_folder, household, engine) = household();
    for now in [
        // A box without a clock starts in 1970, and learns the time.
        "1970-01-01T00:00:20Z",
        "2026-11-24T12:00:00Z",
        "2026-11-24T12:00:01Z",
        "2036-01-01T00:00:00Z",
        "2026-11-24T12:00:02Z",
    ] {
        let at: Timestamp = now.parse().unwrap();
        household.look(&engine, at);
        let (_, now_ms) = engine.cache();
        let line = engine.snapshot().wall_s(now_ms);
        assert!(
            line.abs_diff(u64::try_from(at.as_second()).unwrap()) <= 1,
            "{now}: {line}"
        );
    }
}

#[test]
fn a_box_that_starts_without_a_clock_does_not_begin_the_days_minutes_anew() {
    let (_folder, household, engine) = household();
    let text =
        "[[profile]]\nname = \"child\"\n[[profile.budget]]\nwhat = [\"service:tiktok\"]\nminutes = 5\n";
    household.apply(&engine, text, false).unwrap();
    household.look(&engine, Timestamp::now());
    let today = engine.snapshot().present.day;
    let (author, child) = (Author::console(), Who::Profile("child".to_owned()));
    household
        .give(&engine, &author, &child, "service:tiktok", 7)
        .unwrap();
    household.look(&engine, "1970-01-01T00:00:20Z".parse().unwrap());
    assert_eq!(
        engine.snapshot().present.day,
        today,
        "the day that was counted last"
    );
    household.keep(&engine);
    household.look(&engine, Timestamp::now());
    let snapshot = engine.snapshot();
    let readings = snapshot.policy.readings(snapshot.present.day);
    assert!(
        readings.iter().any(|(.., reading)| reading.bonus == 7),
        "{readings:?}"
    );
}
