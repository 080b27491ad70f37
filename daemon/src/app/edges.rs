//! The sockets: handed over by the service manager, or bound as the configuration says.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use super::StartError;
use crate::config::Config;

/// Everything that is open towards the outside.
#[derive(Debug, Default)]
pub struct Edges {
    /// DNS over UDP.
    pub udp: Vec<UdpSocket>,
    /// DNS over TCP.
    pub tcp: Vec<TcpListener>,
    /// The web UI.
    pub web: Vec<TcpListener>,
    /// The web UI, encrypted.
    pub https: Vec<TcpListener>,
    /// The page of blocked sites.
    pub block_page: Vec<TcpListener>,
    /// The same, encrypted.
    pub block_page_https: Vec<TcpListener>,
}

impl Edges {
    /// Takes the service manager's sockets, and binds those of the configuration that are not among them: of the web UI
    /// each, of DNS all or none.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let mut edges = Self::inherited().map_err(StartError::Inherited)?;
        edges.https = edges.take(&config.web.https);
        edges.web = edges.take(config.web.listen.as_deref().unwrap_or_default());
        edges.block_page = edges.take(&config.web.block_page);
        edges.block_page_https = edges.take(&config.web.block_page_https);
        if edges.udp.is_empty() && edges.tcp.is_empty() {
            for &address in &config.dns.listen {
                edges.bind(address, config.dns.workers())?;
            }
        } else {
            edges.share(config.dns.workers()).map_err(StartError::Inherited)?;
        }
        let (addresses, chosen) = match &config.web.listen {
            Some(addresses) => (addresses.clone(), true),
            None if config.state_dir == Path::new("./var") => {
                (vec![SocketAddr::from(([127, 0, 0, 1], 8080))], false)
            }
            None => (vec![SocketAddr::from(([0, 0, 0, 0], 8080))], false),
        };
        for address in addresses {
            if has(&edges.web, address) {
                continue;
            }
            match TcpListener::bind(address) {
                Ok(listener) => edges.web.push(listener),
                Err(error) if chosen => return Err(refused("web UI on", address, error)),
                // Filtering must not fail because a port that nobody asked for is taken.
                Err(error) => {
                    tracing::warn!(%address, %error, "the web UI is not served; set [web] listen to another address");
                }
            }
        }
        for &address in &config.web.https {
            if !has(&edges.https, address) {
                let listener = TcpListener::bind(address)
                    .map_err(|error| refused("web UI (https) on", address, error))?;
                edges.https.push(listener);
            }
        }
        for &address in &config.web.block_page {
            if !has(&edges.block_page, address) {
                let listener = bind_tcp(address).map_err(|error| refused("block page on", address, error))?;
                edges.block_page.push(listener);
            }
        }
        for &address in &config.web.block_page_https {
            if !has(&edges.block_page_https, address) {
                let listener =
                    bind_tcp(address).map_err(|error| refused("block page (https) on", address, error))?;
                edges.block_page_https.push(listener);
            }
        }
        Ok(edges)
    }

    /// Takes the listeners with these addresses out of those that were handed over.
    fn take(&mut self, addresses: &[SocketAddr]) -> Vec<TcpListener> {
        let wanted = |listener: &TcpListener| {
            let address = listener.local_addr();
            address.is_ok_and(|address| addresses.contains(&address))
        };
        let (taken, rest) = std::mem::take(&mut self.tcp).into_iter().partition(wanted);
        self.tcp = rest;
        taken
    }

    /// Addresses of DNS, and of the web UI.
    pub(super) fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let dns = self.udp.iter().filter_map(|socket| socket.local_addr().ok());
        let mut dns: Vec<SocketAddr> = dns.collect();
        dns.dedup(); // several workers share an address
        let web = self.web.iter().filter_map(|listener| listener.local_addr().ok());
        (dns, web.collect())
    }

    fn inherited() -> std::io::Result<Self> {
        let mut edges = Self::default();
        let mut handed = listenfd::ListenFd::from_env();
        for place in 0..handed.len() {
            // Each is one of the two; the other question is an error that leaves the descriptor where it is.
            if let Ok(Some(socket)) = handed.take_udp_socket(place) {
                edges.udp.push(socket);
            } else if let Some(listener) = handed.take_tcp_listener(place)? {
                edges.tcp.push(listener);
            }
        }
        Ok(edges)
    }

    /// Has as many workers as are wanted receive from the sockets that were handed over.
    fn share(&mut self, workers: usize) -> std::io::Result<()> {
        let more = self
            .udp
            .iter()
            .flat_map(|socket| (1..workers).map(|_| socket.try_clone()));
        let more: Vec<UdpSocket> = more.collect::<Result<_, _>>()?;
        self.udp.extend(more);
        Ok(())
    }

    /// Binds both transports to one address, UDP once for each worker; with port 0 to the same free port. TCP, which
    /// nobody can share, finds out whether another program has the address.
    fn bind(&mut self, address: SocketAddr, workers: usize) -> Result<(), StartError> {
        let mut last = None;
        for _ in 0..if address.port() == 0 { 20 } else { 1 } {
            let bound = isigurt_udp::bind(address, workers > 1).and_then(|first| {
                let address = first.local_addr()?;
                let tcp = bind_tcp(address)?;
                let others = (1..workers).map(|_| isigurt_udp::bind(address, true));
                let udp: Vec<UdpSocket> = std::iter::once(Ok(first))
                    .chain(others)
                    .collect::<Result<_, _>>()?;
                Ok((udp, tcp))
            });
            match bound {
                Ok((udp, tcp)) => {
                    self.udp.extend(udp);
                    self.tcp.push(tcp);
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(refused(
            "DNS on",
            address,
            last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()),
        ))
    }
}

fn has(listeners: &[TcpListener], address: SocketAddr) -> bool {
    let mut own = listeners.iter().map(TcpListener::local_addr);
    own.any(|own| own.is_ok_and(|own| own == address))
}

fn bind_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?; // a restart need not wait for old connections to fade
    socket.bind(&address.into())?;
    socket.listen(256)?;
    Ok(socket.into())
}

pub(super) fn refused(what: &'static str, address: SocketAddr, error: std::io::Error) -> StartError {
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program has it: end that one (ss -lunp shows it), or listen elsewhere"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need systemd's socket or CAP_NET_BIND_SERVICE: see docs/install.md"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: correct it in the configuration"
        }
        _ => "correct it in the configuration",
    };
    StartError::Bind {
        what,
        address,
        error,
        advice,
    }
}
