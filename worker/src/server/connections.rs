//! Accepting connections: how many, how slow they may be, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// Longest time for the head of a request to arrive; an idle connection ends after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time in which a client reads nothing of what is waiting for it.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// Largest head of a request, in bytes, and most header fields.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// How long connections may take to end after the last run has.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves `app` until `stop` is cancelled, then takes no new connections and waits until `drained`
/// resolves, after which connections have a few seconds to end.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    max_connections: usize,
    stop: CancellationToken,
    drained: impl Future<Output = ()>,
) {
    let graceful = Arc::new(GracefulShutdown::new());
    // A task of its own: what it spawns then begins on the same thread, and nobody is woken for it.
    let accepting =
        tokio::spawn(accept(listener, app, max_connections, stop, Arc::clone(&graceful)));
    if let Err(error) = accepting.await {
        tracing::error!(%error, "accepting connections ended");
    }
    drained.await;
    let Some(graceful) = Arc::into_inner(graceful) else {
        return;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end");
    }
}

/// Takes connections until `stop` is cancelled, and then none any more.
async fn accept(
    listener: TcpListener,
    app: Router,
    max_connections: usize,
    stop: CancellationToken,
    graceful: Arc<GracefulShutdown>,
) {
    let places = Arc::new(Semaphore::new(max_connections));
    loop {
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => return,
            next = next_connection(&listener, &places) => next,
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(
                TokioIo::new(Box::pin(with_timeout(stream))),
                TowerToHyperService::new(app.clone()),
            );
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // Broken connections are the clients' affair; what they asked for was logged.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended with an error");
            }
            drop(place);
        });
    }
}

async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed; if it were, there would be nothing to limit.
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                // Too many open files, or a client that left; neither is a reason to stop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn with_timeout(stream: TcpStream) -> TimeoutStream<TcpStream> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    stream
}
