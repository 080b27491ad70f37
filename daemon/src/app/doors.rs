//! The doors of the web: what the gateway is called by, and a task for each listener.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::StartError;
use super::edges::refused;
use crate::accounts::SystemClock;
use crate::config::{ClientNet, Config};
use crate::http;
use crate::oidc::Provider;
use crate::web;
use crate::web::gate::Hosts;

/// Names that the gateway is called by: configured, in its certificate, and those of the machine.
pub(super) fn names(config: &Config) -> Vec<String> {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    let domain = config.local.domain.to_string();
    let domain = domain.trim_end_matches('.');
    let mut names = config.web.hosts.clone();
    names.extend(config.dns.tls.as_ref().map(|tls| tls.hostname.clone()));
    if !machine.is_empty() {
        names.extend([
            machine.to_owned(),
            format!("{machine}.{domain}"),
            format!("{machine}.local"),
        ]);
    }
    names.extend([format!("gateway.{domain}"), format!("isigurt.{domain}")]);
    names
}

/// What a `Host` header may say.
pub(super) fn hosts(config: &Config) -> Arc<Hosts> {
    Arc::new(Hosts::new(names(config), ClientNet::Private.nets()))
}

/// The service that signs a school's staff in, where one is configured.
pub(super) fn provider(config: &Config, http: &http::Client) -> Result<Option<Arc<Provider>>, StartError> {
    let Some(settings) = config.web.oidc.clone() else {
        return Ok(None);
    };
    let clock = Arc::new(SystemClock::default());
    let provider = Provider::new(settings, http.clone(), clock).map_err(StartError::Oidc)?;
    Ok(Some(Arc::new(provider)))
}

/// Opens the web's doors: in clear, encrypted, and where blocked sites arrive.
pub(super) fn open(
    (clear, encrypted): (Vec<TcpListener>, Vec<TcpListener>),
    (block_page, block_page_https): (Vec<TcpListener>, Vec<TcpListener>),
    site: &web::Site,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut doors = Vec::new();
    for listener in clear {
        let wrong = wrong("web UI on", &listener);
        let served = web::serve(listener, site.clone()).map_err(wrong)?;
        doors.push(tokio::spawn(served));
    }
    let server = site.certificates.server(web::PROTOCOLS)?;
    for listener in encrypted {
        let wrong = wrong("web UI (https) on", &listener);
        let served = web::serve_encrypted(listener, server.clone(), site.clone()).map_err(wrong)?;
        doors.push(tokio::spawn(served));
    }
    for listener in block_page {
        let wrong = wrong("block page on", &listener);
        let listener = super::stream(listener).map_err(wrong)?;
        doors.push(tokio::spawn(web::pages::serve(listener, site.clone())));
    }
    // Whoever comes for a foreign site speaks HTTP/1.1: then each request names its site itself.
    let server = site.certificates.server(&[b"http/1.1"])?;
    for listener in block_page_https {
        let wrong = wrong("block page (https) on", &listener);
        let served = web::pages::serve_encrypted(listener, server.clone(), site.clone()).map_err(wrong)?;
        doors.push(tokio::spawn(served));
    }
    Ok(doors)
}

fn wrong(what: &'static str, listener: &TcpListener) -> impl Fn(std::io::Error) -> StartError + use<> {
    let address = listener.local_addr();
    move |error| {
        let unknown = || std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        refused(
            what,
            address.as_ref().copied().unwrap_or_else(|_| unknown()),
            error,
        )
    }
}
