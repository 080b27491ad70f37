//! The national platform takes reports: over HTTP, into a real PostgreSQL.

use isigurt_tests::Postgres;

#[test]
fn a_database_starts_keeps_what_it_is_given_over_a_crash_and_ends() {
    let mut postgres = Postgres::start(&[]);
    postgres.query("CREATE TABLE kept (x int)");
    postgres.query("INSERT INTO kept VALUES (7)");
    postgres.crash(std::time::Duration::ZERO);
    assert_eq!(postgres.query("SELECT x FROM kept"), "7");
    assert!(postgres.dump().contains("CREATE TABLE public.kept"));
}
