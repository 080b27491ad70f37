//! `isigurtd run`: the daemon in the foreground, until it is told to end.

use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UdpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Cli, println_line};
use crate::app::{App, Edges, StartError};
use crate::log;
use crate::store::Store;
use crate::sync::worker::Worker;

pub(super) fn run(cli: &Cli) -> Result<(), String> {
    let loaded = cli.load()?;
    log::start();
    for warning in &loaded.warnings {
        tracing::warn!(line = warning.line, "{}", warning.what);
    }
    if crate::app::now() < 1_763_856_000 {
        // A router without a battery boots in 1970. Filtering does not hang on it; times in the status do.
        tracing::warn!("the clock is in the past; set it (NTP), else ages of lists are wrong");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Runtime(error).to_string())?;
    runtime.block_on(async {
        // Before anything is served: a signal that comes with the first answer must find its handler.
        let signals = Signals::install().map_err(|error| StartError::Runtime(error).to_string())?;
        let store = Store::open(&loaded.config.state_dir).map_err(|error| error.to_string())?;
        let edges = Edges::open(&loaded.config).map_err(|error| error.to_string())?;
        let first_try = loaded.file.is_none();
        let worker = Worker::of_this_program();
        let app =
            App::build(loaded, cli.state.clone(), store, edges, worker).map_err(|error| error.to_string())?;
        welcome(&app, first_try);
        serve(app, signals).await;
        Ok(())
    })
}

/// Says where to look, and one line to try.
fn welcome(app: &App, first_try: bool) {
    let addresses: Vec<String> = app.dns().iter().map(SocketAddr::to_string).collect();
    tracing::info!(dns = %addresses.join(", "), rules = app.rules(), "serving");
    if let Some(code) = app.accounts().claim_code() {
        println_line(&format!(
            "Nobody owns this gateway yet: claim it in the web UI with the code {code}"
        ));
    }
    let (true, Some(dns)) = (first_try, app.dns().first()) else {
        return;
    };
    println_line(&format!("iSigurt Gateway filters DNS on {dns} (UDP and TCP)"));
    if let Some(web) = app.web().first() {
        println_line(&format!("  look:  http://{web}"));
    }
    println_line(&format!(
        "  try:   dig @{} -p {} bet365.com        # blocked: gambling",
        dns.ip(),
        dns.port()
    ));
    let program = std::env::args().next().unwrap_or_else(|| "isigurtd".to_owned());
    println_line(&format!("  why:   {program} why bet365.com"));
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// How often what was freed is given back to the system, beside when much was.
const GIVEN_BACK: Duration = Duration::from_secs(600);

/// Serves until SIGTERM or SIGINT; SIGHUP reloads.
async fn serve(mut app: App, signals: Signals) {
    let Signals {
        mut hangup,
        mut terminate,
        mut interrupt,
    } = signals;
    notify(&[NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog(app.dns().first().copied()));
    let mut daily = tokio::time::interval(Duration::from_secs(24 * 3600));
    daily.tick().await; // the first comes at once, and opening has done that
    let mut quiet = tokio::time::interval(GIVEN_BACK);
    loop {
        isigurt_memory::give_back(); // a start, a reload, new lists or a policy build much that is dropped again
        tokio::select! {
            _ = quiet.tick() => {}
            _ = daily.tick() => app.tend().await,
            _ = hangup.recv() => {
                notify(&[NotifyState::Reloading, reload_time()]);
                app.reload().await;
                notify(&[NotifyState::Ready]);
            }
            () = app.news() => app.relist().await,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!("ending; queries under way are answered first");
    watchdog.abort();
    app.drain().await;
}

fn reload_time() -> NotifyState<'static> {
    NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "telling the service manager");
    }
}

/// Tells the service manager that the gateway lives, each time a real query has gone down the line and come back.
async fn watchdog(dns: Option<SocketAddr>) {
    let (Some(every), Some(mut to)) = (sd_notify::watchdog_enabled(), dns) else {
        return;
    };
    if to.ip().is_unspecified() {
        to.set_ip(if to.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    loop {
        match alive(to, every / 4).await {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(error) => tracing::error!(%error, "the gateway does not answer its own query"),
        }
        tokio::time::sleep(every / 3).await;
    }
}

/// Asks for `localhost`, which is answered here by the same code as any other query.
async fn alive(to: SocketAddr, patience: Duration) -> std::io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    socket
        .send(b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01")
        .await?;
    let mut answer = [0; 512];
    tokio::time::timeout(patience, socket.recv(&mut answer)).await??;
    Ok(())
}
