//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use std::net::IpAddr;

use super::neighbours::message::{self, News};
use super::{Mac, leases};

/// The leases of a file: address, hardware address, host name.
pub fn leases(octets: &[u8]) -> Vec<(IpAddr, Option<Mac>, Option<String>)> {
    let read = leases::read(octets).unwrap_or_default();
    let leases = read.leases.into_iter();
    leases
        .map(|lease| (lease.address, lease.mac, lease.hostname))
        .collect()
}

/// What the kernel says of addresses, and how many messages there were in all.
pub fn neighbours(octets: &[u8]) -> (Vec<(IpAddr, Option<Mac>)>, usize) {
    let news: Vec<News> = message::news(octets).collect();
    let told = news.iter().filter_map(|news| match news {
        News::Neighbour(neighbour) => Some((neighbour.address, neighbour.mac)),
        _ => None,
    });
    (told.collect(), news.len())
}
