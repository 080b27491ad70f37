//! The kernel's neighbour table: which hardware address stands behind an address now.
//!
//! The table is asked for once and then watched (rtnetlink, group RTNLGRP_NEIGH); it is asked for anew only where the
//! kernel says that it could not tell everything. An address that fades away is remembered for an hour with the hardware
//! address that it had, so that a sleeping tablet does not become a stranger. IPv6 privacy addresses (RFC 8981) need nothing
//! more: each has an entry of its own with the same hardware address. Where two interfaces disagree about an address, nothing
//! is said of it. Nothing here polls, and nothing ends the daemon.

pub(super) mod message;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt,
    socket, sockopt,
};

use super::Mac;
use message::{Neighbour, News};

/// How long an address keeps the hardware address it had.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Most addresses that are remembered: three for each device of a large school.
const MOST: usize = 65_536;
/// The multicast group of neighbours, as a bit.
const GROUP: u32 = 1 << 2;
/// Room for messages that wait to be read. The kernel may grant less.
const WAITING: usize = 1 << 20;
/// The kernel tells up to 32 KiB at once.
const ROOM: usize = 1 << 16;
/// Least time between two questions for the whole table, and how long one is waited for.
const AGAIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// The neighbour table as the kernel told it so far.
#[derive(Debug)]
pub(super) struct Neighbours {
    socket: Option<OwnedFd>,
    table: Table,
    /// When the whole table is to be asked for; while it is told, when that takes too long.
    ask_at: Option<Instant>,
    telling: bool,
    told: bool,
    sequence: u32,
    room: Vec<u8>,
}

impl Neighbours {
    /// Starts to watch. Where the system does not let us, that is said once and nothing is known from here.
    pub(super) fn watch() -> Self {
        let socket = open().inspect_err(|error| {
            tracing::warn!(%error, "the neighbour table is not to be had: devices are known by lease files and addresses \
                only; allow AF_NETLINK, or run on Linux with the clients on the same network");
        });
        Self {
            ask_at: socket.is_ok().then(Instant::now),
            telling: false,
            told: socket.is_err(),
            socket: socket.ok(),
            table: Table::default(),
            sequence: 0,
            room: vec![0; ROOM],
        }
    }

    /// What is to be waited for.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|socket| socket.as_fd())
    }

    /// When there is something to do, even where nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Whether the table has been told whole once, as far as it is to be had at all.
    pub(super) fn told(&self) -> bool {
        self.told
    }

    /// Takes in what has arrived and asks where that is due; whether an address has another hardware address now.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        let heard = self.table.read(socket, &mut self.room, now);
        if heard.again || heard.refused {
            self.ask_at = Some(now + AGAIN);
            self.telling = false;
        } else if heard.done && self.telling {
            self.ask_at = None;
            self.telling = false;
            self.told = true;
        }
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now);
        }
        heard.changed
    }

    /// Forgets what was remembered long enough.
    pub(super) fn forget(&mut self, now: Instant) {
        self.table.forget(now);
    }

    /// What is known of each address.
    pub(super) fn known(&self) -> HashMap<IpAddr, Seen> {
        self.table.known()
    }

    fn ask(&mut self, now: Instant) {
        let Some(socket) = &self.socket else { return };
        self.sequence = self.sequence.wrapping_add(1);
        self.ask_at = Some(now + PATIENCE);
        match send(
            socket.as_raw_fd(),
            &message::question(self.sequence),
            MsgFlags::empty(),
        ) {
            Ok(_) => {
                self.table.begin();
                self.telling = true;
            }
            Err(error) => tracing::debug!(%error, "asking for the neighbour table"),
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let route = SockProtocol::NetlinkRoute;
    let opened = socket(AddressFamily::Netlink, SockType::Raw, flags, route)?;
    let _ = setsockopt(&opened, sockopt::RcvBuf, &WAITING); // else what the system gives
    bind(opened.as_raw_fd(), &NetlinkAddr::new(0, GROUP))?;
    Ok(opened)
}

/// What was learned from all that waited to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    changed: bool,
    done: bool,
    again: bool,
    refused: bool,
}

/// What is known of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its hardware address; `None` where interfaces disagree.
    pub(super) mac: Option<Mac>,
    /// Whether that holds now, or did within the hour.
    pub(super) now: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    mac: Mac,
    gone: Option<Instant>,
    /// The telling of the whole table that it was heard in last.
    telling: u32,
}

/// Hardware addresses by interface and address.
#[derive(Debug, Default)]
struct Table {
    entries: HashMap<(u32, IpAddr), Entry>,
    telling: u32,
}

impl Table {
    /// Reads what waits, up to a bound, so that others have their turn. Lost messages are a reason to ask again, never an error.
    fn read(&mut self, socket: &OwnedFd, room: &mut [u8], now: Instant) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..64 {
            match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), room) {
                // Only the kernel is believed.
                Ok((length, Some(from))) if from.pid() == 0 => {
                    let octets = room.get(..length).unwrap_or_default();
                    for news in message::news(octets) {
                        self.take(news, now, &mut heard);
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return heard,
                Err(Errno::ENOBUFS) => heard.again = true,
                Err(error) => {
                    tracing::debug!(%error, "reading the neighbour table");
                    heard.again = true;
                    return heard;
                }
            }
        }
        heard
    }

    fn take(&mut self, news: News, now: Instant, heard: &mut Heard) {
        match news {
            News::Neighbour(neighbour) => heard.changed |= self.entry(neighbour, now),
            News::Done => {
                heard.done = true;
                if !heard.again {
                    heard.changed |= self.sweep(now);
                }
            }
            News::Again => heard.again = true,
            News::Refused(error) => {
                tracing::debug!(error, "the question for the neighbour table was refused");
                heard.refused = true;
            }
        }
    }

    fn begin(&mut self) {
        self.telling = self.telling.wrapping_add(1);
    }

    fn entry(&mut self, neighbour: Neighbour, now: Instant) -> bool {
        let key = (neighbour.interface, neighbour.address);
        let Some(mac) = neighbour.mac else {
            let entry = self.entries.get_mut(&key).filter(|entry| entry.gone.is_none());
            return entry.map(|entry| entry.gone = Some(now)).is_some();
        };
        if self.entries.len() >= MOST && !self.entries.contains_key(&key) && !self.make_room() {
            return false;
        }
        let entry = Entry {
            mac,
            gone: None,
            telling: self.telling,
        };
        let old = self.entries.insert(key, entry);
        old.is_none_or(|old| old.mac != mac || old.gone.is_some())
    }

    /// Forgets the older half of what is remembered; whether there is room then. What is present stays.
    fn make_room(&mut self) -> bool {
        let mut gone: Vec<Instant> = self.entries.values().filter_map(|entry| entry.gone).collect();
        gone.sort_unstable();
        if let Some(&limit) = gone.get(gone.len() / 2) {
            self.entries
                .retain(|_, entry| entry.gone.is_none_or(|gone| gone > limit));
        }
        self.entries.len() < MOST
    }

    /// The table has been told whole: what was not in it is gone.
    fn sweep(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for entry in self.entries.values_mut() {
            if entry.gone.is_none() && entry.telling != self.telling {
                entry.gone = Some(now);
                changed = true;
            }
        }
        changed
    }

    fn forget(&mut self, now: Instant) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            entry
                .gone
                .is_none_or(|gone| now.saturating_duration_since(gone) < REMEMBERED)
        });
        self.entries.len() < before
    }

    /// What holds of each address over all interfaces: what is present goes before what is remembered, and what is
    /// contradicted is not believed.
    fn known(&self) -> HashMap<IpAddr, Seen> {
        let mut known: HashMap<IpAddr, Seen> = HashMap::with_capacity(self.entries.len());
        for (&(_, address), entry) in &self.entries {
            let seen = Seen {
                mac: Some(entry.mac),
                now: entry.gone.is_none(),
            };
            let present = known.entry(address).or_insert(seen);
            if seen.now && !present.now {
                *present = seen;
            } else if seen.now == present.now && seen.mac != present.mac {
                present.mac = None;
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
    const B: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);

    fn news(interface: u32, last: u8, mac: Option<Mac>) -> News {
        News::Neighbour(Neighbour {
            interface,
            address: [192, 0, 2, last].into(),
            mac,
        })
    }

    fn take(table: &mut Table, news: News, now: Instant) -> Heard {
        let mut heard = Heard::default();
        table.take(news, now, &mut heard);
        heard
    }

    fn seen(table: &Table, last: u8) -> Option<(Option<Mac>, bool)> {
        let known = table.known();
        let seen = known.get(&IpAddr::from([192, 0, 2, last]));
        seen.map(|seen| (seen.mac, seen.now))
    }

    #[test]
    fn an_address_that_fades_is_remembered_for_an_hour() {
        let (mut table, start) = (Table::default(), Instant::now());
        assert!(take(&mut table, news(1, 1, Some(A)), start).changed);
        assert!(!take(&mut table, news(1, 1, Some(A)), start).changed, "no news");
        assert!(take(&mut table, news(1, 1, None), start).changed);
        assert!(!take(&mut table, news(1, 1, None), start).changed);
        assert_eq!(seen(&table, 1), Some((Some(A), false)));
        assert!(!table.forget(start + Duration::from_secs(3599)));
        assert!(table.forget(start + Duration::from_secs(3600)));
        assert_eq!(seen(&table, 1), None);
        assert!(!take(&mut table, news(1, 2, None), start).changed, "never known");
    }

    #[test]
    fn the_newest_mac_of_an_address_holds() {
        let (mut table, start) = (Table::default(), Instant::now());
        take(&mut table, news(1, 1, Some(A)), start);
        assert!(take(&mut table, news(1, 1, Some(B)), start).changed);
        assert_eq!(seen(&table, 1), Some((Some(B), true)));
    }

    #[test]
    fn interfaces_that_disagree_are_not_believed_and_memory_gives_way() {
        let (mut table, start) = (Table::default(), Instant::now());
        take(&mut table, news(1, 1, Some(A)), start);
        take(&mut table, news(2, 1, Some(B)), start);
        assert_eq!(seen(&table, 1), Some((None, true)));
        take(&mut table, news(1, 1, None), start);
        assert_eq!(seen(&table, 1), Some((Some(B), true)));
    }

    #[test]
    fn what_a_whole_telling_leaves_out_is_gone_unless_it_was_interrupted() {
        let (mut table, start) = (Table::default(), Instant::now());
        for last in 1..=3 {
            take(&mut table, news(1, last, Some(A)), start);
        }
        table.begin();
        take(&mut table, news(1, 1, Some(A)), start);
        let mut heard = Heard::default();
        table.take(News::Again, start, &mut heard);
        table.take(News::Done, start, &mut heard);
        assert!(heard.again && !heard.changed);
        table.begin();
        take(&mut table, news(1, 2, Some(A)), start);
        assert!(take(&mut table, News::Done, start).changed);
        assert_eq!(
            [1, 2, 3].map(|last| seen(&table, last).unwrap().1),
            [false, true, false]
        );
    }

    #[test]
    fn memory_is_bounded_and_what_is_present_stays() {
        let (mut table, start) = (Table::default(), Instant::now());
        take(&mut table, news(1, 1, Some(A)), start);
        for number in 0..200_000_u32 {
            let address = IpAddr::from((0xfd00_u128 << 112 | u128::from(number)).to_be_bytes());
            let mut heard = Heard::default();
            for mac in [Some(B), None] {
                let news = News::Neighbour(Neighbour {
                    interface: 1,
                    address,
                    mac,
                });
                table.take(news, start + Duration::from_millis(u64::from(number)), &mut heard);
            }
        }
        assert!(table.entries.len() <= MOST);
        assert_eq!(seen(&table, 1), Some((Some(A), true)));
    }
}
