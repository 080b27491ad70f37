//! The circle: reported in one home, confirmed at the platform, published, blocked in another.

use std::time::{Duration, Instant};

use isigurt_tests::circle::Circle;

#[test]
fn what_is_reported_in_one_home_is_blocked_in_another_once_analysts_confirmed_it() {
    let circle = Circle::start();
    let round = circle.round("casino.example", "gambling", "gambling");
    eprintln!("one analyst, category: {round:?}");
    let [first, second] = &circle.gateways;
    // Also in the home that reported it, with a name below; a neighbour is not blocked.
    isigurt_tests::platform::wait_long("the block at home", || {
        !first.gets("127.0.0.1", "www.casino.example")
    });
    assert!(second.gets("127.0.0.1", "casino2.example"));
    let round = circle.round("worst.example", "abuse-material", "abuse");
    eprintln!("two analysts, mandatory list: {round:?}");
    // A mandatory name is named nowhere: not in the repository, not in the gateway's answer about it.
    let said = second.says(&["lists", "status"], true);
    assert!(!said.contains("worst"), "{said}");
    // Whoever reported it reads that something was done, once the gateway has asked again.
    let started = Instant::now();
    while first.says(&["report", "list"], true).matches("acted on").count() < 2 {
        assert!(
            started.elapsed() < Duration::from_secs(240),
            "{}",
            first.says(&["report", "list"], true)
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}
