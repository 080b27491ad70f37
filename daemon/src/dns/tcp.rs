//! The TCP door (RFC 7766): many queries on a connection, answered as they are ready, out of order if need be.
//!
//! A client gets a bounded number of connections, a bounded number of queries under way on each, and a bounded time
//! for a message; a malformed message gets its FORMERR and the connection is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use isigurt_core::step::{Peer, TCP_IDLE_S, Transport};
use isigurt_core::wire::HEADER;
use isigurt_core::wire::query::{Fault, Query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::crowd::Crowd;
use super::engine::{Engine, Next};

/// Connections in all.
const CONNECTIONS: usize = 1024;
/// Connections of one client.
const PER_CLIENT: usize = 32;
/// Queries under way on one connection.
const UNDER_WAY: usize = 64;
/// Idle time after which a connection is closed.
const IDLE: Duration = Duration::from_secs(TCP_IDLE_S as u64);
/// Time for the rest of a message whose first octet has come.
const MESSAGE: Duration = Duration::from_secs(5);

/// Serves one listener until the task is ended.
pub async fn serve(engine: Arc<Engine>, listener: TcpListener) {
    let crowd = Crowd::new(CONNECTIONS, PER_CLIENT);
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: let some end
                continue;
            }
        };
        let Some(place) = crowd.enter(from.ip()) else {
            continue; // too many; the client sees a closed connection
        };
        let engine = engine.clone();
        tokio::spawn(async move {
            connection(engine, stream, from).await;
            drop(place);
        });
    }
}

async fn connection(engine: Arc<Engine>, stream: TcpStream, from: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let peer = Peer {
        addr: from,
        local: stream.local_addr().ok().map(|local| local.ip()),
        transport: Transport::Tcp,
    };
    let (mut from_client, mut to_client) = stream.into_split();
    let (answers, mut ready) = mpsc::channel::<Vec<u8>>(UNDER_WAY);
    let writer = tokio::spawn(async move {
        while let Some(answer) = ready.recv().await {
            let Ok(length) = u16::try_from(answer.len()) else {
                continue;
            };
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            match timeout(MESSAGE, to_client.write_all(&framed)).await {
                Ok(Ok(())) => {}
                _ => break,
            }
        }
    });
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    while let Some(packet) = message(&mut from_client).await {
        let malformed = matches!(Query::parse(&packet), Err(Fault::Drop | Fault::Header { .. }));
        let mut out = Vec::new();
        match engine.serve(&peer, &packet, &mut out) {
            Next::Send => {
                if answers.send(out).await.is_err() {
                    break;
                }
            }
            Next::SendAndRefresh(job) => {
                let engine = engine.clone();
                tokio::spawn(async move { engine.refresh(&job).await });
                if answers.send(out).await.is_err() {
                    break;
                }
            }
            Next::Nothing => {}
            Next::Wait(job) => {
                let Ok(place) = under_way.clone().acquire_owned().await else {
                    break;
                };
                let (engine, answers) = (engine.clone(), answers.clone());
                tokio::spawn(async move {
                    if engine.resolve(&job, &mut out).await {
                        let _ = answers.send(out).await;
                    }
                    drop(place);
                });
            }
        }
        if malformed {
            break;
        }
    }
    drop(answers);
    let _ = timeout(IDLE, writer).await;
}

/// The next message; `None` at the end, after too long a silence, or where the length cannot be that of a query.
async fn message(from_client: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    let (first, second) = length.split_at_mut(1);
    timeout(IDLE, from_client.read_exact(first)).await.ok()?.ok()?;
    timeout(MESSAGE, from_client.read_exact(second))
        .await
        .ok()?
        .ok()?;
    let length = usize::from(u16::from_be_bytes(length));
    if length < HEADER {
        return None;
    }
    let mut packet = vec![0; length];
    timeout(MESSAGE, from_client.read_exact(&mut packet))
        .await
        .ok()?
        .ok()?;
    Some(packet)
}
