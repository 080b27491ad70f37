//! How many reports a device may make: enough for whoever met something, too few to bury the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use super::ReportError;

/// Reports of one device in [`SPAN_S`].
const DEVICE: u32 = 10;
/// Reports of all devices in [`SPAN_S`].
const ALL: u32 = 60;
/// Seconds that are counted together.
const SPAN_S: i64 = 3_600;
/// Devices that are counted apart.
const COUNTED: usize = 10_000;

/// What was taken in the span that runs.
#[derive(Debug, Default)]
pub(super) struct Limits {
    began_s: i64,
    all: u32,
    devices: HashMap<IpAddr, u32>,
}

impl Limits {
    /// Counts one report from `address`; the console, which has none, is not bounded.
    pub(super) fn allow(&mut self, address: Option<IpAddr>, now_s: i64) -> Result<(), ReportError> {
        if !(0..SPAN_S).contains(&(now_s - self.began_s)) {
            *self = Self {
                began_s: now_s,
                ..Self::default()
            };
        }
        let Some(address) = address.map(network) else {
            return Ok(());
        };
        let wait = u64::try_from(SPAN_S - (now_s - self.began_s)).unwrap_or(0);
        let counted = self.devices.get(&address).copied().unwrap_or(0);
        if counted >= DEVICE || self.all >= ALL || counted == 0 && self.devices.len() >= COUNTED {
            return Err(ReportError::Wait(wait.max(1)));
        }
        self.all += 1;
        self.devices.insert(address, counted + 1);
        Ok(())
    }
}

/// An address of IPv6 stands for its /64, in which a device makes up as many as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_reports_too_often_waits_and_the_others_do_not() {
        let mut limits = Limits::default();
        let one = |last: u16| Some(IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, last]));
        for last in 0..10 {
            limits.allow(one(last), 1_000_000).unwrap();
        }
        assert!(matches!(
            limits.allow(one(99), 1_000_600),
            Err(ReportError::Wait(3_000))
        ));
        limits
            .allow(Some(IpAddr::from([192, 168, 1, 2])), 1_000_600)
            .unwrap();
        limits.allow(None, 1_000_600).unwrap();
        limits.allow(one(99), 1_003_600).unwrap();
        for device in 0..ALL {
            let address = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + device));
            let _ = limits.allow(Some(address), 1_003_601);
        }
        assert!(
            limits
                .allow(Some(IpAddr::from([192, 168, 1, 3])), 1_003_602)
                .is_err()
        );
        limits
            .allow(Some(IpAddr::from([192, 168, 1, 3])), 900_000)
            .unwrap(); // the clock went back
    }
}
