//! TRUST BOUNDARY 7: the key stays here.
//!
//! The CLI is given a loopback address and a token that is good for one run. The broker listens
//! there, checks token, method, path and request, puts the real key in and forwards; the answer is
//! streamed back as it comes. A stolen token is worth what is left of one run's budget.
//!
//! Everything in the sandbox has the token, so a run's requests are an attack on the worker as well
//! as on the key. What a run may take of the worker is bounded here: connections, requests, bytes,
//! memory, processor time, and how long each step may last. A run that goes beyond what any run
//! needs is ended.

mod answer;
mod body;
mod check;
mod content;
mod forward;
mod head;
mod ledger;
mod relay;
mod room;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

pub use check::Request;
pub use ledger::{ApiFailure, Ledger, Overuse, Totals};

use crate::models::Anthropic;
use crate::types::Secret;
use room::{Pool, Room};

/// Connections that one sandbox may hold; the CLI uses one or two.
const MAX_CONNECTIONS: usize = 32;
/// Messages, and counts of tokens, that one sandbox may ask for at the same time; the CLI asks for
/// one or two. Others wait.
const MAX_MESSAGES: usize = 4;
const MAX_COUNTS: usize = 2;
/// Bodies of one run that may arrive at the same time. Together they find room, so none of them
/// waits for another one's end.
const MAX_ARRIVALS: usize = 2;
/// Large bodies that are checked at the same time for all runs together.
const MAX_LARGE_CHECKS: usize = 2;
/// Largest head of a request and most header fields. It is the size of a connection's buffer too.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 64;
/// Longest time for a head to arrive; an idle connection ends after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time in which nothing of an answer is read that waits to be read.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Lends the model API to runs.
#[derive(Debug, Clone)]
pub struct Broker {
    settings: Arc<Anthropic>,
    client: reqwest::Client,
    pool: Pool,
    large_checks: Arc<Semaphore>,
}

/// One run's access. It ends, with every request under way, when this is dropped.
#[derive(Debug)]
pub struct Lease {
    ledger: Arc<Ledger>,
    _server: AbortOnDropHandle<()>,
}

/// What one connection needs to know.
#[derive(Debug)]
struct Desk {
    settings: Arc<Anthropic>,
    client: reqwest::Client,
    token: Secret,
    /// Whether only the run's own processes reach the listener, so that all requests are its own.
    is_private: bool,
    ledger: Arc<Ledger>,
    room: Room,
    messages: Arc<Semaphore>,
    counts: Arc<Semaphore>,
    arrivals: Semaphore,
    checks: Semaphore,
    large_checks: Arc<Semaphore>,
}

impl Broker {
    /// A broker for the API that `settings` describe.
    pub fn new(settings: Anthropic) -> reqwest::Result<Self> {
        Ok(Self {
            settings: Arc::new(settings),
            client: super::client::new()?,
            pool: Pool::default(),
            large_checks: Arc::new(Semaphore::new(MAX_LARGE_CHECKS)),
        })
    }

    /// A fresh token: good for nothing until it is lent out.
    pub fn new_token() -> Secret {
        // 244 random bits, in a form that the CLI takes for a key.
        let (a, b) = (uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        Secret::new(format!("dreamcore-run-{a}{b}"))
    }

    /// Serves requests that come to `listener` with `token`. Where the listener `is_private`, nobody
    /// but the run's processes can reach it, and requests without the token count as theirs.
    pub fn lend(&self, listener: TcpListener, token: Secret, is_private: bool) -> Lease {
        let ledger = Arc::new(Ledger::new(&self.settings));
        let desk = Arc::new(Desk {
            settings: Arc::clone(&self.settings),
            client: self.client.clone(),
            token,
            is_private,
            ledger: Arc::clone(&ledger),
            room: Room::new(&self.pool),
            messages: Arc::new(Semaphore::new(MAX_MESSAGES)),
            counts: Arc::new(Semaphore::new(MAX_COUNTS)),
            arrivals: Semaphore::new(MAX_ARRIVALS),
            checks: Semaphore::new(1),
            large_checks: Arc::clone(&self.large_checks),
        });
        let server = tokio::spawn(serve(listener, desk).in_current_span());
        Lease { ledger, _server: AbortOnDropHandle::new(server) }
    }
}

impl Lease {
    /// What the run has used, and how the API has answered.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    // Dropped with this task, and then every connection ends.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            drop(connections.join_next().await);
        }
        match listener.accept().await {
            // The run is about to be ended, and whoever connects now is told nothing any more.
            Ok(_) if desk.is_private && desk.ledger.arrived().is_err() => {}
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&desk)).in_current_span());
            }
            Err(error) => {
                tracing::warn!(%error, "the broker cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, desk: Arc<Desk>) {
    drop(stream.set_nodelay(true));
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(forward::handle(&desk, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    // A connection that breaks is the CLI's business; it retries.
    drop(connection.await);
}
