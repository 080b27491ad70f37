//! What a process holds in memory leaves no trace: a child's report, a key, a password.
//!
//! ```text
//! freed, or moved to a larger block ─▶ overwritten with zeros          (the allocator of every program that links this)
//!                                  └─▶ the system has it back           ([`give_back`], after a start or a change of everything)
//! the process crashes, or somebody asks for its memory ─▶ nothing is written, nobody may look    ([`keep_in`])
//! ```
//!
//! The allocator reaches what types that wipe themselves cannot: buffers of the HTTP server, of TLS, of parsers and
//! templates. It cannot reach what is still in use, nor a thread's stack. It must never be the only thing that a secret
//! relies on where a type of our own can wipe it: see `isigurt_wire::secret`.
#![deny(unsafe_code)]

use std::alloc::System;
use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

/// From now on the kernel writes no core file of this process and hands its memory to no other process of the same user;
/// root's debugger may still look. A program that this one starts begins anew.
pub fn keep_in() -> io::Result<()> {
    // Where the service manager forbids changing limits it has set this one itself (LimitCORE=0), and a process that cannot
    // be dumped needs none: a limit alone does not hold where core files go to a program (core(5)).
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    Ok(prctl::set_dumpable(false)?)
}

/// Gives all pages that hold only freed memory back to the system: after a start, or when much was replaced, the C library
/// keeps several MB of them for what may come. Takes milliseconds. Libraries other than glibc do so by themselves, or cannot.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: malloc_trim(3) takes the locks of its arenas and touches free blocks alone; nothing has to hold for it.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_that_keeps_its_memory_in_cannot_be_dumped_and_has_no_room_for_a_core_file() {
        keep_in().unwrap();
        assert!(!prctl::get_dumpable().unwrap());
        let (soft, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CORE).unwrap();
        assert_eq!((soft, hard), (0, 0));
    }

    /// Octets of anonymous memory that are resident now.
    #[cfg(target_env = "gnu")]
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.split_whitespace().next())
            .unwrap()
            .parse::<usize>()
            .unwrap()
            << 10
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn what_was_freed_between_what_is_held_is_given_back() {
        // Blocks below the size that is mapped, each followed by one that stays: nothing of it is at the heap's end.
        let mut blocks: Vec<Vec<u8>> = (0..2048).map(|_| vec![1; 16 << 10]).collect();
        let held: Vec<Vec<u8>> = (0..16).map(|_| vec![1; 64]).collect();
        let before = resident();
        blocks.retain_mut(|block| block[0] == 0);
        give_back();
        let after = resident();
        assert!(after + (24 << 20) < before, "{before} octets, then {after}");
        assert_eq!(held.len(), 16);
    }
}
