//! Accepts connections, and limits their number, their slowness and the time of their end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::places::{Busy, Place, Places};
use super::watched_io::WatchedIo;
use crate::api::ErrorCode;

/// How long the head of a request may take to arrive. An idle connection is closed after this time
/// too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take no byte of what is waiting for it. Together with `UNSENT_BYTES` this
/// gives a least speed: about half of that number of bytes per minute.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// How much of an answer the kernel keeps that it has not sent yet, in bytes. Without this limit
/// the kernel would keep megabytes for each client that reads nothing, and a slow client would seem
/// to read nothing for minutes.
const UNSENT_BYTES: u32 = 128 * 1024;
/// The largest head of a request, in bytes, and the largest number of header fields.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// The number of spare connections. When all others have requests, requests on these are refused,
/// except those to `/health/live`.
const SPARE_CONNECTIONS: usize = 64;
/// How many files may be open in addition to those of connections. Each connection may have one
/// more for its answer.
const OTHER_DESCRIPTORS: usize = 512;
/// How long connections may take to end after the last run has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves `app` until `stop` is cancelled. Then it accepts no new connections and waits until
/// `drained` resolves, after which connections have a few seconds to end.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    max_connections: usize,
    stop: CancellationToken,
    drained: impl Future<Output = ()>,
) {
    let graceful = Arc::new(GracefulShutdown::new());
    // A task of its own, so that the tasks that it spawns begin on the same thread without waking
    // another one.
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

/// Accepts connections until `stop` is cancelled.
async fn accept(
    listener: TcpListener,
    app: Router,
    max_connections: usize,
    stop: CancellationToken,
    graceful: Arc<GracefulShutdown>,
) {
    let most = with_descriptors(max_connections);
    let (places, spare) = (Places::new(most), Places::new(SPARE_CONNECTIONS));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Too many files are open, or the client has left. Neither is a reason to stop.
                    tracing::warn!(%error, "a connection could not be accepted");
                    places.close_oldest();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (place, is_spare) = match places.take().await {
            Some(place) => (place, false),
            None => match spare.take().await {
                Some(place) => (place, true),
                None => continue,
            },
        };
        tokio::spawn(connection(stream, app.clone(), place, is_spare, graceful.watcher()));
    }
}

/// Raises the limit on open files so far as `connections` connections need it. Returns for how many
/// connections the limit is enough.
fn with_descriptors(connections: usize) -> usize {
    let wanted = (connections.saturating_mul(2) + OTHER_DESCRIPTORS) as u64;
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be read");
            return connections;
        }
    };
    let allowed = wanted.min(hard).max(soft);
    if allowed > soft
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, allowed, hard)
    {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
    let most = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS) / 2;
    if most < connections {
        tracing::warn!(most, "fewer connections than set, because of the limit on open files");
    }
    connections.min(most).max(1)
}

/// Serves one connection to its end, or until its place is needed for another one.
async fn connection(
    stream: TcpStream,
    app: Router,
    place: Arc<Place>,
    is_spare: bool,
    watcher: Watcher,
) {
    let app = TowerToHyperService::new(app);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let busy = place.busy();
        if is_spare {
            request.extensions_mut().insert(Spare);
        }
        let answered = app.call(request);
        async move { answered.await.map(|response| response.map(|body| Answer { body, _busy: busy })) }
    });
    let stream = WatchedIo::new(Box::pin(with_limits(stream)));
    let blocked = stream.blocked();
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(!is_spare)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A request that has arrived is read first, so that its connection is not closed.
        biased;
        ended = watcher.watch(connection) => {
            // If a connection breaks, only its client can do something about it. Its requests were
            // logged.
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended with an error");
            }
        }
        () = place.wanted(|| !blocked.load(Ordering::Relaxed)) => {
            tracing::debug!("a connection made way for another");
        }
    }
}

/// An extension of the requests of spare connections.
#[derive(Debug, Clone, Copy)]
struct Spare;

/// Refuses the requests of spare connections.
pub(super) async fn refuse_spare(request: Request, next: Next) -> Response {
    if request.extensions().get::<Spare>().is_some() {
        return ApiError::new(ErrorCode::WorkerBusy, "too many requests at the same time")
            .into_response();
    }
    next.run(request).await
}

/// The body of an answer. The connection counts as busy until all of it has been passed on.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn with_limits(stream: TcpStream) -> TimeoutStream<TcpStream> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    // gVisor does not know this option.
    if let Err(error) = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    stream
}
