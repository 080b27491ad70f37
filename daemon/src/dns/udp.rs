//! The UDP door: one task a socket, answers from the address that was asked.
//!
//! On a wildcard socket the address that a datagram was sent to comes as a control message (IP_PKTINFO, RFC 3542) and
//! goes back with the reply; else a host with several addresses would answer from the wrong one.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use isigurt_core::step::{Peer, Transport};
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::engine::{Engine, Next};

/// Largest query that is read, octets; what is longer is cut off and so malformed.
const LARGEST: usize = 4096;

/// The address that a datagram was sent to, as the kernel wants it back.
#[derive(Clone, Copy)]
enum Via {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
    Unknown,
}

impl Via {
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::V4(info) => Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)))),
            Self::V6(info) => Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))),
            Self::Unknown => None,
        }
    }
}

/// Asks the kernel for the destination of each datagram.
pub fn prepare(socket: &std::net::UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.local_addr()? {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Serves one socket until the task is ended.
pub async fn serve(engine: Arc<Engine>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let local = socket
        .local_addr()
        .ok()
        .map(|address| address.ip())
        .filter(|address| !address.is_unspecified());
    let mut packet = [0_u8; LARGEST];
    let mut out = Vec::with_capacity(LARGEST);
    loop {
        let (length, from, via) = match receive(&socket, &mut packet).await {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error of an earlier reply, or memory pressure: neither ends the service.
                tracing::debug!(%error, "receiving a datagram");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let peer = Peer {
            addr: from,
            local: via.address().or(local),
            transport: Transport::Udp,
        };
        let Some(packet) = packet.get(..length) else {
            continue;
        };
        match engine.serve(&peer, packet, &mut out) {
            Next::Send => reply(&socket, &out, from, via).await,
            Next::Nothing => {}
            Next::Wait(job) => {
                let (engine, socket) = (engine.clone(), socket.clone());
                tokio::spawn(async move {
                    let mut out = Vec::new();
                    if engine.resolve(&job, &mut out).await {
                        reply(&socket, &out, from, via).await;
                    }
                });
            }
        }
    }
}

async fn receive(socket: &UdpSocket, packet: &mut [u8]) -> io::Result<(usize, SocketAddr, Via)> {
    socket
        .async_io(Interest::READABLE, || {
            let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
            let mut places = [IoSliceMut::new(packet)];
            let received = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut places,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            )?;
            let from = received
                .address
                .as_ref()
                .and_then(address)
                .ok_or(io::ErrorKind::InvalidData)?;
            let mut via = Via::Unknown;
            for message in received.cmsgs()? {
                match message {
                    ControlMessageOwned::Ipv4PacketInfo(info) => via = Via::V4(info),
                    ControlMessageOwned::Ipv6PacketInfo(info) => via = Via::V6(info),
                    _ => {}
                }
            }
            Ok((received.bytes, from, via))
        })
        .await
}

async fn reply(socket: &UdpSocket, out: &[u8], to: SocketAddr, via: Via) {
    let sent = socket
        .async_io(Interest::WRITABLE, || {
            let to = SockaddrStorage::from(to);
            let places = [IoSlice::new(out)];
            let v4;
            let v6;
            let control: &[ControlMessage<'_>] = match via {
                Via::V4(info) => {
                    // Leave from the address that was asked, by whatever way the routes say.
                    v4 = libc::in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: info.ipi_addr,
                        ..info
                    };
                    &[ControlMessage::Ipv4PacketInfo(&v4)]
                }
                Via::V6(info) => {
                    // Only a link-local address needs its interface.
                    let link_local = Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local();
                    let ipi6_ifindex = if link_local { info.ipi6_ifindex } else { 0 };
                    v6 = libc::in6_pktinfo { ipi6_ifindex, ..info };
                    &[ControlMessage::Ipv6PacketInfo(&v6)]
                }
                Via::Unknown => &[],
            };
            Ok(sendmsg(
                socket.as_raw_fd(),
                &places,
                control,
                MsgFlags::MSG_DONTWAIT,
                Some(&to),
            )?)
        })
        .await;
    if let Err(error) = sent {
        tracing::debug!(%error, %to, "sending a reply");
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddr::V6(std::net::SocketAddrV6::new(
        v6.ip(),
        v6.port(),
        v6.flowinfo(),
        v6.scope_id(),
    )))
}
