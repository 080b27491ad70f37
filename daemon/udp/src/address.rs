//! Socket addresses as the kernel has them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an IPv4 or IPv6 socket address, in the form of `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Address {
    octets: [u8; Self::CAPACITY],
    length: u32,
}

impl Address {
    /// Octets of the larger of the two.
    pub(crate) const CAPACITY: usize = size_of::<libc::sockaddr_in6>();
    pub(crate) const NONE: Self = Self {
        octets: [0; Self::CAPACITY],
        length: 0,
    };

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.octets.as_mut_ptr()
    }

    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// The address that the kernel wrote, of so many octets.
    pub(crate) fn with_length(self, length: libc::socklen_t) -> Self {
        Self { length, ..self }
    }

    /// The address, if it is one of the two families.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        let field = |at: usize| self.octets.get(at..);
        let family = u16::from_ne_bytes(*field(0)?.first_chunk()?);
        let port = u16::from_be_bytes(*field(2)?.first_chunk()?);
        // Fields as in netinet/in.h: family, port, and address; or family, port, flow label, address and scope.
        match libc::c_int::from(family) {
            libc::AF_INET if self.length >= 8 => {
                let ip = Ipv4Addr::from(*field(4)?.first_chunk::<4>()?);
                Some(SocketAddrV4::new(ip, port).into())
            }
            libc::AF_INET6 if self.length as usize >= Self::CAPACITY => {
                let flow = u32::from_ne_bytes(*field(4)?.first_chunk()?);
                let ip = Ipv6Addr::from(*field(8)?.first_chunk::<16>()?);
                let scope = u32::from_ne_bytes(*field(24)?.first_chunk()?);
                Some(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => None,
        }
    }
}
