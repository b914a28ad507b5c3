//! TRUST BOUNDARY 7: the key stays here.
//!
//! The CLI is given a loopback address and a token that is good for one run. The broker listens
//! there, checks token, method, path and request, puts the real key in and forwards; the answer is
//! streamed back as it comes. A stolen token is worth what is left of one run's budget.

mod answer;
mod check;
mod content;
mod forward;
mod ledger;
mod usage;

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub use ledger::{ApiFailure, Ledger, Totals};

use crate::models::Anthropic;
use crate::types::Secret;

/// Connections that one sandbox may hold; the CLI uses one or two.
const MAX_CONNECTIONS: usize = 32;

/// Lends the model API to runs.
#[derive(Debug, Clone)]
pub struct Broker {
    settings: Arc<Anthropic>,
    client: reqwest::Client,
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
    ledger: Arc<Ledger>,
}

impl Broker {
    /// A broker for the API that `settings` describe.
    pub fn new(settings: Anthropic) -> reqwest::Result<Self> {
        Ok(Self { settings: Arc::new(settings), client: super::client::new()? })
    }

    /// A fresh token: good for nothing until it is lent out.
    pub fn new_token() -> Secret {
        // 244 random bits, in a form that the CLI takes for a key.
        let (a, b) = (uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        Secret::new(format!("dreamcore-run-{a}{b}"))
    }

    /// Serves requests that come to `listener` with `token`.
    pub fn lend(&self, listener: TcpListener, token: Secret) -> Lease {
        let ledger = Arc::new(Ledger::new(&self.settings));
        let desk = Arc::new(Desk {
            settings: Arc::clone(&self.settings),
            client: self.client.clone(),
            token,
            ledger: Arc::clone(&ledger),
        });
        let server = tokio::spawn(serve(listener, desk));
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
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the broker cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true));
        let desk = Arc::clone(&desk);
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let desk = Arc::clone(&desk);
                async move { Ok::<_, std::convert::Infallible>(forward::handle(&desk, request).await) }
            });
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
            builder.http1().timer(TokioTimer::new()).max_headers(100);
            // A connection that breaks is the CLI's business; it retries.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
