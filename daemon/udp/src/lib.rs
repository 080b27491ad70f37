//! Datagrams in batches: one system call receives up to a batch of them, one sends the replies, and every reply leaves from
//! the address that its datagram was sent to.
//!
//! On a wildcard socket the kernel tells the destination of each datagram in a control message (IP_PKTINFO, ip(7);
//! IPV6_PKTINFO, RFC 3542) and takes it back as the source of the reply. The control messages are each packet's own:
//! sharing one over a batch answers from the wrong address on a host with several. This crate knows nothing of DNS.
//!
//! `unsafe` stands here and in no crate that knows what the octets mean: `recvmmsg` and `sendmmsg` are handed arrays of
//! pointers. Every pointer is set right before the call that uses it, to buffers that the batch owns and that nothing
//! else touches during the call.
#![allow(unsafe_code)]

mod address;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use address::Address;

/// Datagrams that are received and sent together, at most.
pub const BATCH: usize = 64;
/// Octets that there is room for in a reply from the start; a larger one makes room once.
const REPLY: usize = 592;
/// Octets for control messages: one `in6_pktinfo` with its header, and some to spare.
const CONTROL: usize = 64;

/// Binds a socket for one worker. `shared`: others of this program bind the same address beside it, and the kernel spreads
/// clients over them (SO_REUSEPORT, socket(7)).
pub fn bind(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // [::] beside 0.0.0.0
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    let _ = socket.set_recv_buffer_size(1 << 20); // bursts; the system may give less
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    dont_fragment(&socket, address);
    Ok(socket)
}

/// Has datagrams leave whole or not at all, whatever forged ICMP messages say of the path (RFC 9715, section 3.1): fragments
/// can be forged (RFC 8085, section 3.2). Beside that it spares the kernel an identification number for each. Older systems
/// that refuse go on as they did.
fn dont_fragment(socket: &UdpSocket, address: SocketAddr) {
    let _ = match address {
        SocketAddr::V4(_) => set(
            socket,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        ),
        SocketAddr::V6(_) => set(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        ),
    };
}

/// Sets an option that is an int.
fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an int; its address and size are those of a live local variable.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            length(size_of::<libc::c_int>()),
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes a socket ready to be received from; receiving waits no longer than `patience`. A socket that is bound to one
/// address needs no telling where a datagram was sent to, and saves the kernel the control messages: `false` then.
pub fn prepare(socket: &UdpSocket, patience: Duration) -> io::Result<bool> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(patience))?;
    let address = socket.local_addr()?;
    if !address.ip().is_unspecified() {
        return Ok(false);
    }
    let (level, option) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    set(socket, level, option, 1)?;
    Ok(true)
}

fn length(octets: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(octets).unwrap_or(libc::socklen_t::MAX)
}

/// Where a datagram came from and where it was sent to: all that a reply needs.
#[derive(Clone, Copy)]
pub struct Origin {
    from: Address,
    via: Via,
}

/// The address that a datagram was sent to, as the kernel gave it.
#[derive(Clone, Copy)]
enum Via {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
    Unknown,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?} via {:?}", self.peer(), self.local())
    }
}

impl Origin {
    /// Who sent the datagram.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.from.get()
    }

    /// The address of this host that it was sent to, where the kernel told.
    pub fn local(&self) -> Option<IpAddr> {
        match self.via {
            Via::V4(info) => Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes())),
            Via::V6(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            Via::Unknown => None,
        }
    }
}

/// Room for the control messages of one datagram, aligned as the kernel wants them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// A batch of datagrams and the replies to them. Everything is allocated once.
pub struct Batch {
    /// One after the other, `stride` octets apart.
    packets: Vec<u8>,
    largest: usize,
    stride: usize,
    lengths: [usize; BATCH],
    origins: [Origin; BATCH],
    replies: Vec<Vec<u8>>,
    names: [Address; BATCH],
    controls: [Control; BATCH],
    /// Room for control messages, octets; 0 where none come.
    control: usize,
    received: usize,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Batch({} received)", self.received)
    }
}

const NOWHERE: Origin = Origin {
    from: Address::NONE,
    via: Via::Unknown,
};

impl Batch {
    /// Room for datagrams of up to `largest` octets; longer ones are cut off. `destinations`: what [`prepare`] said.
    pub fn new(largest: usize, destinations: bool) -> Self {
        // Not a power of two, or all packets would compete for the same few lines of the processor's cache.
        let stride = largest.next_multiple_of(128) + 64;
        Self {
            packets: vec![0; BATCH * stride],
            largest,
            stride,
            lengths: [0; BATCH],
            origins: [NOWHERE; BATCH],
            replies: (0..BATCH).map(|_| Vec::with_capacity(REPLY)).collect(),
            names: [Address::NONE; BATCH],
            controls: [Control([0; CONTROL]); BATCH],
            control: if destinations { CONTROL } else { 0 },
            received: 0,
        }
    }

    /// Waits for at least one datagram, as long as [`prepare`] says, and takes all that are there, up to [`BATCH`]. Gives
    /// their number; an error of kind `WouldBlock` is the end of the patience.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received = 0;
        let mut places: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        });
        let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|_| empty());
        let buffers = self.packets.chunks_exact_mut(self.stride);
        for ((((header, place), buffer), name), control) in headers
            .iter_mut()
            .zip(&mut places)
            .zip(buffers)
            .zip(&mut self.names)
            .zip(&mut self.controls)
        {
            place.iov_base = buffer.as_mut_ptr().cast();
            place.iov_len = self.largest; // below the stride
            fill(
                &mut header.msg_hdr,
                place,
                name,
                Address::CAPACITY,
                control,
                self.control,
            );
        }
        // SAFETY: every header points to one iovec, one address and one control buffer of its own, all alive and unshared
        // until the call returns, with their true sizes; the kernel writes at most that much.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(BATCH).unwrap_or(0),
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (((header, length), origin), name) in headers
            .iter()
            .take(count)
            .zip(&mut self.lengths)
            .zip(&mut self.origins)
            .zip(&mut self.names)
        {
            *length = usize::try_from(header.msg_len).unwrap_or(0).min(self.largest);
            *origin = Origin {
                from: name.with_length(header.msg_hdr.msg_namelen),
                via: via(&header.msg_hdr),
            };
        }
        for reply in self.replies.iter_mut().take(count) {
            reply.clear();
        }
        self.received = count;
        Ok(count)
    }

    /// Datagram number `place` of those received, where it came from, and room for its reply. What is left empty is not
    /// sent.
    pub fn get(&mut self, place: usize) -> Option<(&[u8], &Origin, &mut Vec<u8>)> {
        if place >= self.received {
            return None;
        }
        let start = place * self.stride;
        let packet = self.packets.get(start..start + *self.lengths.get(place)?)?;
        Some((packet, self.origins.get(place)?, self.replies.get_mut(place)?))
    }

    /// Sends the replies. One that the kernel refuses (no route, no room) is left out, as the network might lose it; the
    /// number of those is given back.
    pub fn send(&mut self, socket: &UdpSocket) -> usize {
        let mut places: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        });
        let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|_| empty());
        let mut filled = 0;
        let replies = self.replies.iter_mut().take(self.received);
        for ((reply, origin), (name, control)) in replies
            .zip(&self.origins)
            .zip(self.names.iter_mut().zip(&mut self.controls))
            .filter(|((reply, _), _)| !reply.is_empty())
        {
            let (Some(header), Some(place)) = (headers.get_mut(filled), places.get_mut(filled)) else {
                break;
            };
            filled += 1;
            *name = origin.from;
            place.iov_base = reply.as_mut_ptr().cast();
            place.iov_len = reply.len();
            let used = write_via(control, origin.via);
            let named = usize::try_from(origin.from.length()).unwrap_or(0);
            fill(&mut header.msg_hdr, place, name, named, control, used);
        }
        let (mut sent, mut refused) = (0, 0);
        while sent < filled {
            let Some(rest) = headers.get_mut(sent..filled) else {
                break;
            };
            // SAFETY: as in `receive`; the kernel only reads what the headers point to.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    libc::c_uint::try_from(rest.len()).unwrap_or(0),
                    0,
                )
            };
            match usize::try_from(count) {
                Ok(count) if count > 0 => sent += count,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest is at fault: go on behind it.
                _ => {
                    sent += 1;
                    refused += 1;
                }
            }
        }
        refused
    }
}

/// Sends one datagram back to where another came from.
pub fn reply(socket: &UdpSocket, octets: &[u8], origin: &Origin) -> io::Result<()> {
    let mut control = Control([0; CONTROL]);
    let used = write_via(&mut control, origin.via);
    let mut name = origin.from;
    let named = usize::try_from(name.length()).unwrap_or(0);
    let mut place = libc::iovec {
        iov_base: octets.as_ptr().cast_mut().cast(),
        iov_len: octets.len(),
    };
    let mut header = empty();
    fill(
        &mut header.msg_hdr,
        &mut place,
        &mut name,
        named,
        &mut control,
        used,
    );
    // SAFETY: the header points to live local variables with their true sizes; the kernel only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header.msg_hdr, libc::MSG_DONTWAIT) };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn empty() -> libc::mmsghdr {
    // SAFETY: all fields are integers and pointers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

#[allow(clippy::useless_conversion)] // the field's type differs between C libraries
fn fill(
    header: &mut libc::msghdr,
    place: &mut libc::iovec,
    name: &mut Address,
    named: usize,
    control: &mut Control,
    used: usize,
) {
    header.msg_iov = place;
    header.msg_iovlen = 1_u8.into();
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = length(named);
    header.msg_control = if used == 0 {
        std::ptr::null_mut()
    } else {
        control.0.as_mut_ptr().cast()
    };
    header.msg_controllen = used.try_into().unwrap_or_default();
}

/// The destination among the control messages of a received datagram.
fn via(header: &libc::msghdr) -> Via {
    // SAFETY: the header is as the kernel left it; CMSG_FIRSTHDR and CMSG_NXTHDR stay inside its control buffer, and the
    // data behind a header of these types is the struct that is read, perhaps unaligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(head) = message.as_ref() {
            match (head.cmsg_level, head.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    return Via::V4(
                        libc::CMSG_DATA(message)
                            .cast::<libc::in_pktinfo>()
                            .read_unaligned(),
                    );
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    return Via::V6(
                        libc::CMSG_DATA(message)
                            .cast::<libc::in6_pktinfo>()
                            .read_unaligned(),
                    );
                }
                _ => message = libc::CMSG_NXTHDR(header, message),
            }
        }
    }
    Via::Unknown
}

/// Writes the control message that makes a reply leave from the address that was asked; gives its length, 0 for none.
fn write_via(control: &mut Control, via: Via) -> usize {
    match via {
        Via::Unknown => 0,
        Via::V4(info) => {
            // By whatever way the routes say, but from this address.
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: info.ipi_addr,
                ..info
            };
            write_message(control, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
        }
        Via::V6(info) => {
            // Only a link-local address needs its interface.
            let link_local = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local();
            let ipi6_ifindex = if link_local { info.ipi6_ifindex } else { 0 };
            let info = libc::in6_pktinfo { ipi6_ifindex, ..info };
            write_message(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
        }
    }
}

#[allow(clippy::useless_conversion, clippy::cast_ptr_alignment)] // the buffer is aligned for a header
fn write_message<T: Copy>(control: &mut Control, level: libc::c_int, kind: libc::c_int, data: &T) -> usize {
    let octets = libc::c_uint::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: CMSG_LEN and CMSG_SPACE only compute. The buffer is aligned for a header (repr) and holds CMSG_SPACE octets
    // of either struct, which the assertion below makes sure of at compile time.
    const {
        assert!(size_of::<T>() + size_of::<libc::cmsghdr>() + 16 <= CONTROL);
    }
    unsafe {
        let head = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
        (*head).cmsg_level = level;
        (*head).cmsg_type = kind;
        (*head).cmsg_len = libc::CMSG_LEN(octets).try_into().unwrap_or_default();
        libc::CMSG_DATA(head).cast::<T>().write_unaligned(*data);
        usize::try_from(libc::CMSG_SPACE(octets)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
