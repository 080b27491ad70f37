//! The servers that resolve what is allowed: UDP with TCP where an answer is truncated, one query for many waiting.
//!
//! Transports are hickory's: each UDP query leaves from a random port with a random id and the letters of its name in random
//! case (0x20), and an answer counts only from the right address with the right id and question. A server that does not keep
//! the case is asked over TCP, and without random case once it has shown that it never does. The answer's octets are handed on as they came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name as WireName, RecordType};
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_core::cache::Key;
use isigurt_core::step::Failure;
use isigurt_core::wire::reply::UDP_CEILING;
use isigurt_core::wire::rtype;
use tokio::sync::{Mutex, OnceCell};

use crate::config::{Scheme, Server, Strategy, Upstream as UpstreamConfig};

type Answer = Result<Arc<[u8]>, Failure>;

/// All upstream servers.
#[derive(Debug)]
pub struct Upstream {
    default: Pool,
    zones: Vec<(Name, Pool)>,
    under_way: std::sync::Mutex<HashMap<Key, Arc<OnceCell<Answer>>>>,
}

/// Servers that know the same names.
#[derive(Debug)]
struct Pool {
    servers: Vec<Arc<Peer>>,
    strategy: Strategy,
}

struct Peer {
    server: Server,
    timeout: Duration,
    /// Owns the tasks that drive the connections: when its last clone goes, they end.
    runtime: TokioRuntimeProvider,
    udp: DnsExchange<TokioRuntimeProvider>,
    tcp: Mutex<Option<DnsExchange<TokioRuntimeProvider>>>,
    /// Smoothed time of an answer, microseconds.
    rtt_us: AtomicU32,
    answered: AtomicBool,
    /// Answers that came back in another letter case, since the last in the right one; [`KEEPS`] once one was right.
    folded: AtomicU32,
}

/// The server keeps the letter case of names.
const KEEPS: u32 = u32::MAX;
/// A server that has answered so often in another case, and never in the right one, does not keep it.
const FOLDS: u32 = 4;

impl std::fmt::Debug for Peer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.server)
    }
}

impl Upstream {
    /// The servers of the configuration, `servers` standing in for `[upstream] servers`. Needs a running runtime.
    pub fn new(config: &UpstreamConfig, servers: &[Server]) -> Self {
        let timeout = Duration::from_millis(u64::from(config.timeout_ms));
        let pool = |servers: &[Server]| {
            let each = timeout / if servers.len() > 1 { 2 } else { 1 };
            let servers = servers
                .iter()
                .map(|&server| Arc::new(Peer::new(server, each)))
                .collect();
            Pool {
                servers,
                strategy: config.strategy,
            }
        };
        let zones = config
            .zones
            .iter()
            .flat_map(|zone| zone.zones.iter().map(|name| (name.clone(), pool(&zone.servers))));
        let mut zones: Vec<_> = zones.collect();
        // The longest zone that holds the name wins.
        zones.sort_by_key(|(name, _)| std::cmp::Reverse(name.as_ref().labels().count()));
        Self {
            default: pool(servers),
            zones,
            under_way: std::sync::Mutex::default(),
        }
    }

    fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        let pools = std::iter::once(&self.default).chain(self.zones.iter().map(|(_, pool)| pool));
        pools.flat_map(|pool| &pool.servers)
    }

    /// The servers as a person reads them, and whether the last query to each was answered.
    pub fn servers(&self) -> Vec<(String, bool)> {
        self.peers()
            .map(|peer| (peer.server.to_string(), peer.answered.load(Ordering::Relaxed)))
            .collect()
    }

    /// Asks the servers that were not asked yet, or did not answer the last time, for the root's servers: then it is known whether
    /// they answer.
    pub async fn try_unheard(&self) {
        let root = Key {
            name: NameRef::root().to_name(),
            qtype: rtype::NS,
            dnssec_ok: false,
            checking_disabled: false,
        };
        let Ok(request) = &request(&root) else { return };
        let unheard = self.peers().filter(|peer| !peer.was_heard());
        futures_util::future::join_all(unheard.map(|peer| peer.ask(request))).await;
    }

    /// The servers as a person reads them, with the milliseconds that an answer takes now; `None` where none came yet.
    pub fn times(&self) -> Vec<(String, Option<f32>)> {
        self.peers()
            .map(|peer| {
                let time = Duration::from_micros(peer.rtt_us.load(Ordering::Relaxed).into());
                let known = (!time.is_zero()).then_some(time.as_secs_f32() * 1e3);
                (peer.server.to_string(), known)
            })
            .collect()
    }

    /// The answer to `key`: the upstream's whole message. Queries for one key that come while one is under way wait
    /// for that one.
    pub async fn resolve(&self, key: &Key) -> Answer {
        let cell = self.under_way().entry(key.clone()).or_default().clone();
        let answer = cell.get_or_init(|| self.ask(key)).await.clone();
        let mut under_way = self.under_way();
        if under_way.get(key).is_some_and(|held| Arc::ptr_eq(held, &cell)) {
            under_way.remove(key);
        }
        answer
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<OnceCell<Answer>>>> {
        self.under_way
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn ask(&self, key: &Key) -> Answer {
        let name = key.name.as_ref();
        let zone = self
            .zones
            .iter()
            .find(|(zone, _)| name.is_at_or_below(zone.as_ref()));
        zone.map_or(&self.default, |(_, pool)| pool).ask(key).await
    }
}

impl Pool {
    async fn ask(&self, key: &Key) -> Answer {
        let request = request(key)?;
        let mut servers = self.servers.clone();
        if self.strategy != Strategy::Sequential {
            servers.sort_by_key(|peer| peer.rtt_us.load(Ordering::Relaxed));
        }
        if self.strategy == Strategy::Parallel
            && let [first, second, ..] = servers.as_slice()
        {
            let (first, second) = (first.clone(), second.clone());
            let (one, two) = (first.ask(&request), second.ask(&request));
            tokio::pin!(one, two);
            let answer = tokio::select! {
                Ok(answer) = &mut one => Some(answer),
                Ok(answer) = &mut two => Some(answer),
                else => None, // both failed
            };
            if let Some(answer) = answer {
                return Ok(answer.into_buffer().into());
            }
            servers.drain(..2);
        }
        let mut failure = Failure::Unreachable;
        let mut refused = None;
        for peer in servers {
            match peer.ask(&request).await {
                // Another server may know better than one that cannot or will not answer.
                Ok(answer)
                    if matches!(
                        answer.response_code,
                        ResponseCode::ServFail | ResponseCode::Refused
                    ) =>
                {
                    refused = Some(answer);
                }
                Ok(answer) => return Ok(answer.into_buffer().into()),
                Err(error) => failure = error,
            }
        }
        refused.map(|answer| answer.into_buffer().into()).ok_or(failure)
    }
}

impl Peer {
    fn new(server: Server, timeout: Duration) -> Self {
        let runtime = TokioRuntimeProvider::new();
        let udp = UdpClientStream::builder(server.address, runtime.clone())
            .with_timeout(Some(timeout))
            .exchange();
        Self {
            server,
            timeout,
            runtime,
            udp,
            tcp: Mutex::default(),
            rtt_us: AtomicU32::new(0),
            answered: AtomicBool::new(true),
            folded: AtomicU32::new(0),
        }
    }

    /// Whether it was asked, and answered the last time.
    fn was_heard(&self) -> bool {
        self.rtt_us.load(Ordering::Relaxed) > 0 && self.answered.load(Ordering::Relaxed)
    }

    async fn ask(&self, request: &DnsRequest) -> Result<DnsResponse, Failure> {
        let started = Instant::now();
        let answer = tokio::time::timeout(self.timeout * 2, self.exchange(request)).await;
        let answer = answer.unwrap_or(Err(Failure::Unreachable));
        let taken = match &answer {
            Ok(_) => started.elapsed(),
            Err(_) => self.timeout * 4, // so that the others are asked first for a while
        };
        let taken = u32::try_from(taken.as_micros()).unwrap_or(u32::MAX);
        let held = self.rtt_us.load(Ordering::Relaxed);
        self.rtt_us.store(held / 4 * 3 + taken / 4, Ordering::Relaxed);
        if self.answered.swap(answer.is_ok(), Ordering::Relaxed) != answer.is_ok() {
            match &answer {
                Ok(_) => tracing::info!(server = %self.server, "upstream answers again"),
                Err(_) => {
                    tracing::warn!(server = %self.server, "upstream does not answer; answers kept in the cache are served stale");
                }
            }
        }
        answer
    }

    async fn exchange(&self, request: &DnsRequest) -> Result<DnsResponse, Failure> {
        if self.server.scheme == Scheme::Udp {
            let held = self.folded.load(Ordering::Relaxed);
            let folds = held != KEEPS && held >= FOLDS;
            match self.udp.send(cased(request, !folds)).first_answer().await {
                Ok(answer) => {
                    if !folds && has_letters(request) {
                        self.folded.store(KEEPS, Ordering::Relaxed);
                    }
                    if !answer.truncation {
                        return Ok(answer);
                    }
                }
                // Either the server does not keep the case or somebody is guessing: a connection tells.
                Err(hickory_net::NetError::QueryCaseMismatch) => {
                    if held != KEEPS && self.folded.fetch_add(1, Ordering::Relaxed) + 1 == FOLDS {
                        tracing::info!(server = %self.server, "upstream does not keep the letter case of names; it is no longer varied");
                    }
                }
                Err(error) => return Err(failure(&error)),
            }
        }
        // A connection that the server has closed in the meantime is made anew once.
        for fresh in [false, true] {
            let connection = self.connection(fresh).await?;
            match connection.send(request.clone()).first_answer().await {
                Ok(answer) => return Ok(answer),
                Err(error) if fresh => return Err(failure(&error)),
                Err(_) => {}
            }
        }
        Err(Failure::Network)
    }

    async fn connection(&self, fresh: bool) -> Result<DnsExchange<TokioRuntimeProvider>, Failure> {
        let mut held = self.tcp.lock().await;
        if let (Some(connection), false) = (held.as_ref(), fresh) {
            return Ok(connection.clone());
        }
        let address: SocketAddr = self.server.address;
        let connection =
            TcpClientStream::exchange(address, None, self.timeout, Some(256), self.runtime.clone())
                .await
                .map_err(|error| failure(&error))?;
        *held = Some(connection.clone());
        Ok(connection)
    }
}

fn failure(error: &hickory_net::NetError) -> Failure {
    tracing::debug!(%error, "asking upstream");
    match error {
        hickory_net::NetError::Timeout => Failure::Unreachable,
        _ => Failure::Network,
    }
}

/// The request with the letters of its name in random case, or as it is.
fn cased(request: &DnsRequest, random: bool) -> DnsRequest {
    if !random {
        return request.clone();
    }
    let mut message = Message::clone(request);
    for query in &mut message.queries {
        query.name.randomize_label_case();
    }
    let mut options = DnsRequestOptions::default();
    options.case_randomization = true;
    DnsRequest::new(message, options)
}

/// Whether the name has enough letters for its case to tell anything.
fn has_letters(request: &DnsRequest) -> bool {
    let mut names = request.queries.iter().map(|query| &query.name);
    names.any(|name| {
        let octets = name.iter().flatten();
        octets.filter(|octet| octet.is_ascii_alphabetic()).count() >= 8
    })
}

/// The query for `key`: recursion desired, DO and CD as the client set them, no client data in it.
fn request(key: &Key) -> Result<DnsRequest, Failure> {
    let labels = key.name.as_ref().labels();
    let mut name = WireName::from_labels(labels).map_err(|_| Failure::Network)?;
    name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = key.checking_disabled;
    message.add_query(Query::query(name, RecordType::from(key.qtype)));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_CEILING);
    edns.set_dnssec_ok(key.dnssec_ok);
    message.set_edns(edns);
    Ok(DnsRequest::new(message, DnsRequestOptions::default()))
}
