//! Room on the disk that is kept for opening the state: a file that means nothing, and goes where there is no other room.
//!
//! sled writes when it is opened. Without this a gateway whose power is cut while the disk is full would not start, and
//! whoever waits for it would have no filter. Its octets are random, because some file systems make nothing of zeros.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Octets that are kept free.
const OCTETS: u64 = 1 << 20;
/// Octets that are left to others when there are few: a session, a change of the policy, a report.
const LEFT: u64 = 256 << 10;
/// Octets that are written at once.
const PIECE: usize = 64 << 10;

fn place(folder: &Path) -> PathBuf {
    folder.join("db.reserve")
}

/// Gives the room up; whether there was some.
pub(super) fn give_up(folder: &Path) -> bool {
    let file = place(folder);
    let there = std::fs::metadata(&file).is_ok_and(|data| data.len() > 0);
    there && std::fs::remove_file(file).is_ok()
}

/// Keeps as much room as there is, at most [`OCTETS`]; what cannot be kept is no error.
pub(super) fn keep(folder: &Path) {
    let file = place(folder);
    let there = std::fs::metadata(&file).map_or(0, |data| data.len());
    let missing = OCTETS
        .saturating_sub(there)
        .min(free(folder).saturating_sub(LEFT));
    if missing > 0 {
        let more = OpenOptions::new().create(true).append(true).open(file);
        let _ = more.and_then(|file| fill(file, missing));
    }
}

#[allow(clippy::useless_conversion)] // narrower where the system has 32 bits
fn free(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder).map_or(0, |disk| {
        u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()))
    })
}

fn fill(mut file: File, mut missing: u64) -> std::io::Result<()> {
    let mut octets = vec![0; PIECE];
    getrandom::fill(&mut octets)?;
    while missing > 0 {
        let piece = usize::try_from(missing).unwrap_or(PIECE).min(PIECE);
        file.write_all(octets.get(..piece).unwrap_or_default())?;
        missing -= piece as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_once_given_up_once_and_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!give_up(folder.path()));
        keep(folder.path());
        let kept = || {
            std::fs::metadata(place(folder.path()))
                .map(|data| data.len())
                .ok()
        };
        assert_eq!(kept(), Some(OCTETS));
        std::fs::write(place(folder.path()), b"a part").unwrap();
        keep(folder.path());
        assert_eq!(kept(), Some(OCTETS), "it is filled up");
        assert!(give_up(folder.path()) && !give_up(folder.path()));
    }
}
