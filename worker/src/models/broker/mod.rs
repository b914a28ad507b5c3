//! TRUST BOUNDARY 7: from a sandbox's requests to the model API, with the key.
//!
//! The CLI gets a loopback address and a token that is valid for one run. The broker listens at
//! that address, checks token, method, path and body of each request, adds the real key and
//! forwards the request. It streams the answer back as it arrives. So the key stays in the worker,
//! and a stolen token is worth only the rest of one run's budget.
//!
//! Every process in the sandbox has the token, so requests may be attacks on the worker too. The
//! broker bounds what a run can use of the worker: connections, requests, bytes, memory, processor
//! time, and the time of each step. A run that exceeds what any run needs is ended.

mod answer;
mod body;
mod check;
mod content;
mod forward;
mod head;
mod ledger;
mod relay;
mod rewrite;
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

pub use check::{Form, Request};
pub use head::Operation;
pub use ledger::{Ledger, Overuse, Totals};
pub use rewrite::rewritten;

use crate::models::{Lending, ProviderKind, Providers};
use crate::types::Secret;
use room::{Pool, Room};

/// How many connections one sandbox may have open. The CLI uses one or two.
const MAX_CONNECTIONS: usize = 32;
/// How many messages, and counts of tokens, one sandbox may ask for at the same time. Further
/// requests wait. The CLI asks for one or two.
const MAX_MESSAGES: usize = 4;
const MAX_COUNTS: usize = 2;
/// How many bodies of one run may arrive at the same time. There is room for this many of the
/// largest bodies, so none of them waits for another one.
const MAX_ARRIVALS: usize = 2;
/// How many large bodies are checked at the same time, of all runs together.
const MAX_LARGE_CHECKS: usize = 2;
/// The largest head of a request, in bytes, which is also the size of a connection's buffer; and
/// the largest number of header fields.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 64;
/// How long the head of a request may take to arrive. An idle connection is closed after this time
/// too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may leave an answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Whose form of a request the CLI speaks.
///
/// Where Vertex is one of the providers, the CLI speaks Vertex's, and leaves out by itself what Vertex
/// does not know. The Anthropic API takes all that is left once the model stands in the body, so
/// either provider can answer. The other way round the broker would have to know, version by
/// version, which fields and betas Vertex refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The Anthropic API's.
    Anthropic,
    /// That of Vertex AI.
    Vertex,
}

/// Lends the model API to runs.
#[derive(Debug, Clone)]
pub struct Broker {
    settings: Arc<Lending>,
    providers: Arc<Providers>,
    dialect: Dialect,
    client: reqwest::Client,
    pool: Pool,
    large_checks: Arc<Semaphore>,
}

/// One run's access to the model API. It ends, with all requests that are going on, when this value
/// is dropped.
#[derive(Debug)]
pub struct Lease {
    ledger: Arc<Ledger>,
    _server: AbortOnDropHandle<()>,
}

/// What the connections of one run share.
#[derive(Debug)]
struct Desk {
    settings: Arc<Lending>,
    providers: Arc<Providers>,
    dialect: Dialect,
    client: reqwest::Client,
    token: Secret,
    /// Whether only the run's processes can reach the listener, so that all requests are from the
    /// run.
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
    /// A broker for these providers.
    pub fn new(settings: Lending, providers: Arc<Providers>, client: reqwest::Client) -> Self {
        let has_vertex = providers.kinds().any(|kind| kind == ProviderKind::Vertex);
        Self {
            settings: Arc::new(settings),
            providers,
            dialect: if has_vertex { Dialect::Vertex } else { Dialect::Anthropic },
            client,
            pool: Pool::default(),
            large_checks: Arc::new(Semaphore::new(MAX_LARGE_CHECKS)),
        }
    }

    /// The form of requests that the CLI has to speak.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Makes a new token. It is valid only while a lease uses it.
    pub fn new_token() -> Secret {
        // 244 random bits, in the form of a key, which the CLI requires.
        let (a, b) = (uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        Secret::new(format!("dreamcore-run-{a}{b}"))
    }

    /// Serves requests that come to `listener` with `token`. If the listener `is_private`, only the
    /// run's processes can reach it, and requests without the token count as the run's too.
    pub fn lend(&self, listener: TcpListener, token: Secret, is_private: bool) -> Lease {
        let ledger = Arc::new(Ledger::new(&self.settings));
        let desk = Arc::new(Desk {
            settings: Arc::clone(&self.settings),
            providers: Arc::clone(&self.providers),
            dialect: self.dialect,
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
    /// The ledger of the run.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    // The set is dropped with this task, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            drop(connections.join_next().await);
        }
        match listener.accept().await {
            // The run is about to be ended, so the connection is dropped without an answer.
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
    // If a connection breaks, the CLI tries again.
    drop(connection.await);
}
