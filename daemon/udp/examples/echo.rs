//! The floor of `cargo xtask bench line`: a server that does nothing but receive a batch of queries and send each back with
//! one fixed A record behind its question. What it costs is the kernel's price of a datagram.
//!
//! `echo ADDRESS:PORT` runs until it is ended.
#![allow(unsafe_code, clippy::print_stderr, clippy::indexing_slicing)] // a measuring device, as bare as can be

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Datagrams a call.
const BATCH: usize = 64;
/// Octets of a datagram.
const LARGEST: usize = 1500;
/// An A record of 192.0.2.1 for the name at octet 12.
const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];

fn main() -> std::io::Result<()> {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: echo ADDRESS:PORT");
        std::process::exit(2);
    };
    let socket = UdpSocket::bind(address)?;
    let mut buffers = vec![[0_u8; LARGEST]; BATCH];
    // SAFETY: all fields are integers and pointers, for which zero is a value.
    let mut names: [libc::sockaddr_in; BATCH] = unsafe { std::mem::zeroed() };
    let mut places: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    loop {
        for place in 0..BATCH {
            places[place].iov_base = buffers[place].as_mut_ptr().cast();
            places[place].iov_len = LARGEST;
            let header = &mut headers[place].msg_hdr;
            header.msg_iov = &raw mut places[place];
            header.msg_iovlen = 1_u8.into();
            header.msg_name = (&raw mut names[place]).cast();
            header.msg_namelen = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(0);
        }
        let all = libc::c_uint::try_from(BATCH).unwrap_or(0);
        // SAFETY: every header points to an iovec, a buffer and an address of its own, which outlive the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                all,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).unwrap_or(0);
        for (buffer, place) in buffers.iter_mut().zip(&mut places).take(received) {
            buffer[2] |= 0x80;
            buffer[7] = 1;
            let mut at = 12;
            while buffer[at] != 0 && at < 300 {
                at += usize::from(buffer[at]) + 1;
            }
            at += 5;
            buffer[at..at + RECORD.len()].copy_from_slice(&RECORD);
            place.iov_len = at + RECORD.len();
        }
        // SAFETY: as above; the kernel only reads.
        unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(received).unwrap_or(0),
                0,
            )
        };
    }
}
