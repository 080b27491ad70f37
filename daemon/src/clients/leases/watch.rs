//! Lease files, read again when they change.
//!
//! Their folders are watched (inotify), not the files: a server may write a file anew and put it in the old one's place. Every
//! 30 seconds size and time are looked at as well, for file systems that tell nothing. A file that is not there yet is no
//! error; the last leases of one that cannot be read stay.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufReader};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{Lease, MOST_LEASES};

/// How long a file is left alone after a change, so that it is read when it is written.
const SETTLED: Duration = Duration::from_millis(100);
/// How often files are looked at that said nothing.
const LOOK: Duration = Duration::from_secs(30);

/// The lease files and what they held when they were read last.
#[derive(Debug)]
pub(in crate::clients) struct LeaseFiles {
    inotify: Option<Inotify>,
    files: Files,
    look_at: Instant,
}

impl LeaseFiles {
    /// Starts to watch these files; their first reading is due at once.
    pub(in crate::clients) fn watch(named: Vec<PathBuf>) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).inspect_err(
            |error| tracing::warn!(%error, "lease files are looked at every 30 seconds only: no inotify"),
        );
        let mut watched = Self {
            inotify: inotify.ok(),
            files: Files::default(),
            look_at: Instant::now(),
        };
        watched.name(named);
        watched
    }

    /// Watches these files from now on. Folders of earlier ones stay watched; what happens there is passed over.
    pub(in crate::clients) fn name(&mut self, named: Vec<PathBuf>) {
        self.files.named = named;
        self.look_at = Instant::now();
    }

    /// What is to be waited for.
    pub(in crate::clients) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd())
    }

    /// When there is something to do, even where nothing happens.
    pub(in crate::clients) fn due(&self) -> Instant {
        self.look_at
    }

    /// Takes in what has happened, and reads files where that is due; whether other leases are known now.
    pub(in crate::clients) fn turn(&mut self, now: Instant) -> bool {
        if self.happened() {
            self.look_at = self.look_at.min(now + SETTLED);
        }
        if now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK;
        self.watch_folders();
        self.files.look()
    }

    /// The leases of all files.
    pub(in crate::clients) fn leases(&self) -> Vec<Lease> {
        self.files.all()
    }

    /// Whether something happened to a file that is watched.
    fn happened(&self) -> bool {
        let Some(inotify) = &self.inotify else {
            return false;
        };
        let ours = |name: &Option<OsString>| match name {
            Some(name) => self.files.named.iter().any(|file| file.file_name() == Some(name)),
            None => true, // events were lost, or the folder itself went
        };
        let mut happened = false;
        for _ in 0..64 {
            let Ok(events) = inotify.read_events() else { break };
            happened |= events.iter().any(|event| ours(&event.name));
        }
        happened
    }

    /// A folder that is watched already stays so, and one that is missing is tried again at the next look.
    fn watch_folders(&self) {
        let Some(inotify) = &self.inotify else { return };
        let what = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE;
        for file in &self.files.named {
            let folder = match file.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            };
            let _ = inotify.add_watch(folder, what);
        }
    }
}

/// How a file was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    size: u64,
    inode: u64,
    changed: (i64, i64),
}

/// The files as they were read last.
#[derive(Debug, Default)]
struct Files {
    named: Vec<PathBuf>,
    read: HashMap<PathBuf, (State, Vec<Lease>)>,
    /// Those that could not be read, which has been said.
    unreadable: Vec<PathBuf>,
}

impl Files {
    /// Reads those that changed; whether any did.
    fn look(&mut self) -> bool {
        let before = self.read.len();
        self.read.retain(|file, _| self.named.contains(file));
        let mut changed = self.read.len() < before;
        let mut unreadable = Vec::new();
        for file in &self.named {
            match look(file, self.read.get(file).map(|(state, _)| *state)) {
                Ok(None) => {}
                Ok(Some(read)) => {
                    self.read.insert(file.clone(), read);
                    changed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    changed |= self.read.remove(file).is_some();
                }
                Err(error) => {
                    if !self.unreadable.contains(file) {
                        tracing::warn!(file = %file.display(), %error, "a lease file is not readable; let this user read it");
                    }
                    unreadable.push(file.clone());
                }
            }
        }
        self.unreadable = unreadable;
        changed
    }

    fn all(&self) -> Vec<Lease> {
        let files = self.named.iter().filter_map(|file| self.read.get(file));
        files
            .flat_map(|(_, leases)| leases.iter().cloned())
            .take(MOST_LEASES)
            .collect()
    }
}

/// Reads a file unless it is still as it was.
fn look(file: &Path, before: Option<State>) -> io::Result<Option<(State, Vec<Lease>)>> {
    let meta = std::fs::metadata(file)?;
    let state = State {
        size: meta.size(),
        inode: meta.ino(),
        changed: (meta.mtime(), meta.mtime_nsec()),
    };
    if before == Some(state) {
        return Ok(None);
    }
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file")); // a pipe would be waited for
    }
    let read = super::read(BufReader::new(std::fs::File::open(file)?))?;
    if read.cut {
        tracing::warn!(file = %file.display(), leases = read.leases.len(), "a lease file is too large: the rest of it is not read");
    }
    Ok(Some((state, read.leases)))
}
