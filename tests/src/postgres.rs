//! A real PostgreSQL for a test: its data in a folder of its own, reached over a socket in that folder, ended with the
//! test. It listens on no port, and runs as an ordinary user, since it refuses to run as root.
//!
//! The file leans on nothing else of this crate, so that the developer commands start the same server.
// Test support: a failure here is a failed test, and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc
)]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with one empty database, `isigurt`.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    folder: TempDir,
}

impl Postgres {
    /// Where Debian keeps the server's programs, the newest version first.
    pub fn programs() -> Option<PathBuf> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut found: Vec<(u32, PathBuf)> = versions
            .flatten()
            .filter_map(|entry| {
                Some((
                    entry.file_name().to_str()?.parse().ok()?,
                    entry.path().join("bin"),
                ))
            })
            .filter(|(_, programs)| programs.join("postgres").is_file())
            .collect();
        found.sort();
        found.pop().map(|(_, programs)| programs)
    }

    /// Makes the database and starts the server; `settings` go to `postgres -c`.
    pub fn start(settings: &[&str]) -> Self {
        let programs =
            Self::programs().expect("PostgreSQL is missing: run cargo xtask test, which installs it");
        let folder = tempfile::Builder::new().prefix("isigurt-pg-").tempdir().unwrap();
        let owner = owner(folder.path());
        let data = folder.path().join("data");
        let mut initdb = command(owner, &programs.join("initdb"));
        initdb
            .args([
                "--auth=trust",
                "--username=isigurt",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(&data)
            .stdout(Stdio::null());
        assert!(initdb.status().unwrap().success(), "initdb failed");
        let socket = folder.path().display();
        let mut text = format!("listen_addresses = ''\nunix_socket_directories = '{socket}'\n");
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        let file = data.join("postgresql.auto.conf");
        std::fs::write(&file, text).unwrap();
        let child = launch(owner, &programs, folder.path());
        let server = Self {
            child,
            programs,
            owner,
            folder,
        };
        server.wait();
        server.sql("postgres", "CREATE DATABASE isigurt");
        server
    }

    /// What `sqlx` and `psql` connect to.
    pub fn url(&self) -> String {
        let socket = self.folder.path().display();
        format!("postgres://isigurt@localhost/isigurt?host={socket}")
    }

    /// The folder with all that the server keeps: `data` and `log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What one statement gives, a row a line, columns with `|` between them.
    pub fn query(&self, statement: &str) -> String {
        self.sql("isigurt", statement)
    }

    /// The whole database as SQL.
    pub fn dump(&self) -> String {
        let output = Command::new(self.programs.join("pg_dump"))
            .arg("--host")
            .arg(self.folder.path())
            .args(["--username=isigurt", "isigurt"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends it at once, as a crash or a power cut would, and starts it again after `pause`.
    pub fn crash(&mut self, pause: Duration) {
        self.end("QUIT"); // "immediate shutdown": no checkpoint, the log is replayed at the next start
        std::thread::sleep(pause);
        self.child = launch(self.owner, &self.programs, self.folder.path());
        self.wait();
    }

    fn sql(&self, database: &str, statement: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .arg("--host")
            .arg(self.folder.path())
            .args([
                "--username=isigurt",
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
            ])
            .args([
                "--set=ON_ERROR_STOP=1",
                "--dbname",
                database,
                "--command",
                statement,
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn wait(&self) {
        let started = Instant::now();
        loop {
            let ready = Command::new(self.programs.join("pg_isready"))
                .arg("--quiet")
                .arg("--host")
                .arg(self.folder.path())
                .args(["--username=isigurt", "--dbname=postgres"])
                .status()
                .unwrap();
            if ready.success() {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "PostgreSQL does not start: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

/// Whom the server runs as: whoever runs the tests or, where that is root, `postgres` or else `nobody`. The folder is made
/// theirs.
fn owner(folder: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(folder).unwrap().uid() != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = accounts
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let (user, group) = of("postgres")
        .or_else(|| of("nobody"))
        .expect("an account that is not root's");
    chown(folder, Some(user), Some(group)).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    Some((user, group))
}

/// A program as that user; its process id is the program's own.
fn command(owner: Option<(u32, u32)>, program: &Path) -> Command {
    match owner {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args([
                    &format!("--reuid={user}"),
                    &format!("--regid={group}"),
                    "--clear-groups",
                    "--",
                ])
                .arg(program)
                .current_dir("/"); // the caller's own folder may be closed to that user
            command
        }
    }
}

fn launch(owner: Option<(u32, u32)>, programs: &Path, folder: &Path) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    command(owner, &programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}
