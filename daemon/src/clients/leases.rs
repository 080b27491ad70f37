//! Lease files of a DHCP server on this host: which device has which address, and what it calls itself.
//!
//! dnsmasq's and odhcpd's forms are told apart line by line. What a device calls itself is hostile input: it becomes one
//! valid label or nothing. So are the files' sizes: what goes beyond the bounds is not read. A hardware address inside a DHCPv6
//! identifier (DUID) is what the client likes to claim, and never taken for its own.

mod hostname;
mod watch;

use std::io::{BufRead, Read};
use std::net::IpAddr;

use super::Mac;

pub(super) use hostname::clean;
pub(super) use watch::LeaseFiles;

/// Most octets of a file that are read, and most leases that are kept of all files: 20,000 devices have some 4 MiB.
const MOST_OCTETS: u64 = 16 << 20;
const MOST_LEASES: usize = 100_000;
/// Most octets of a line; longer ones are passed over.
const LONGEST: usize = 4096;
/// Expiry below this is a duration, of a box without a clock: 9 September 2001.
const CLOCK: i64 = 1_000_000_000;
/// How long past its end a lease is believed, for clocks that differ and files that are written late.
const GRACE_S: i64 = 3600;

/// One address that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: IpAddr,
    pub(super) mac: Option<Mac>,
    pub(super) hostname: Option<String>,
    /// Seconds since 1970; `None` where it never ends, or nobody can tell.
    pub(super) until: Option<i64>,
}

impl Lease {
    /// Whether it holds at a time (seconds since 1970).
    pub(super) fn holds(&self, now_s: i64) -> bool {
        self.until
            .is_none_or(|until| now_s < CLOCK || now_s < until.saturating_add(GRACE_S))
    }
}

/// What was read of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leases {
    pub(super) leases: Vec<Lease>,
    /// Whether the bounds were reached.
    pub(super) cut: bool,
}

/// Reads a lease file. A last line without its end is not read: the server is about to write the rest of it.
pub(super) fn read(file: impl BufRead) -> std::io::Result<Leases> {
    let mut file = file.take(MOST_OCTETS);
    let mut read = Leases::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let longest = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        let length = (&mut file).take(longest).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            if length == LONGEST {
                file.skip_until(b'\n')?;
                continue;
            }
            read.cut |= file.limit() == 0;
            return Ok(read);
        }
        // Names in other encodings lose what is no ASCII anyway.
        let text = String::from_utf8_lossy(&line);
        for lease in lease(&text) {
            if read.leases.len() >= MOST_LEASES {
                read.cut = true;
                return Ok(read);
            }
            read.leases.push(lease);
        }
    }
}

/// The leases of one line; none where it is of another kind (`duid`, the hosts lines of odhcpd) or wrong.
fn lease(line: &str) -> Vec<Lease> {
    let mut fields = line.split_ascii_whitespace();
    match fields.next() {
        Some("#") => odhcpd(fields).unwrap_or_default(),
        Some(expiry) => expiry
            .parse()
            .ok()
            .and_then(|expiry| dnsmasq(expiry, fields))
            .into_iter()
            .collect(),
        None => Vec::new(),
    }
}

/// `expiry mac address hostname client-id`; for DHCPv6 an association id stands in the place of the hardware address.
fn dnsmasq<'t>(expiry: i64, mut fields: impl Iterator<Item = &'t str>) -> Option<Lease> {
    let (id, address, hostname) = (fields.next()?, fields.next()?, fields.next()?);
    let address = device_address(address)?;
    let mac = id.parse().ok().filter(|mac: &Mac| mac.is_of_a_device());
    Some(Lease {
        mac: mac.filter(|_| address.is_ipv4()),
        address,
        hostname: clean(hostname),
        until: (expiry >= CLOCK).then_some(expiry),
    })
}

/// `# interface id association hostname until assigned length address/length …`; the association of IPv4 is `ipv4`, and the
/// id then a hardware address without separators.
fn odhcpd<'t>(mut fields: impl Iterator<Item = &'t str>) -> Option<Vec<Lease>> {
    let (_interface, id, association) = (fields.next()?, fields.next()?, fields.next()?);
    let hostname = hostname::unescaped(fields.next()?);
    let until: i64 = fields.next()?.parse().ok()?;
    let mac = (association == "ipv4").then(|| id.parse::<Mac>().ok()).flatten();
    let hostname = hostname.and_then(|hostname| clean(&hostname));
    if until == 0 {
        return None; // it has ended
    }
    let leases = fields.skip(2).take(64).filter_map(|prefix| {
        let (address, length) = prefix.split_once('/')?;
        let address = device_address(address)?;
        let whole = if address.is_ipv4() { "32" } else { "128" };
        // A shorter one is a prefix that was delegated to a router.
        (length == whole).then(|| Lease {
            address,
            mac: mac.filter(|mac| mac.is_of_a_device() && address.is_ipv4()),
            hostname: hostname.clone(),
            until: (until >= CLOCK).then_some(until),
        })
    });
    Some(leases.collect())
}

fn device_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok()?.to_canonical();
    let any = address.is_multicast() || address.is_unspecified() || address.is_loopback();
    (!any).then_some(address)
}

#[cfg(test)]
mod tests;
