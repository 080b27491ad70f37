//! The platform's database: connecting, bringing its tables up to date, and telling a fault that passes from one that stays.
//!
//! It never puts the connection's URL, which may hold a password, into an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the database does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// The URL says nothing that can be connected to.
    #[error("database: not a URL of PostgreSQL; expected such as \"postgres://isigurt@localhost/isigurt\"")]
    Url,
    /// The tables cannot be brought up to date.
    #[error("database: cannot bring its tables up to date: {0}; does the account own the database?")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The server says no, or is not there.
    #[error("database: {0}; is PostgreSQL running, and does the account exist?")]
    Sql(#[from] sqlx::Error),
}

/// Connects, waiting `patience` for the server, and brings the tables up to date.
pub(crate) async fn open(url: &str, connections: u32, patience: Duration) -> Result<PgPool, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(|_| DatabaseError::Url)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .connect_with(options.application_name("isigurt-platform"))
        .await?;
    MIGRATIONS.run(&pool).await?;
    Ok(pool)
}

/// Whether the same may succeed a little later: the server restarts, a connection broke, two transactions met.
pub(crate) fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        // Classes of SQLSTATE: connection, rollback, resources, operator's intervention, system.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
