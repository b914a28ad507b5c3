//! Streams of server-sent events.
//!
//! A stream begins with a comment at once, because some proxies do not report that a client has
//! left before the first byte of the answer. Every event has an id. During a silence the stream
//! sends comments. A stream ends with exactly one terminal event. Clients take a stream that ends
//! without one for a success, so if the run ends without one, the connection is broken off.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::runs::events::Event;
use crate::runs::log::Numbered;
use crate::runs::run::RunStream;

/// The longest silence. Some proxies drop a stream after 16 s without a byte.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Why a connection is broken off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the run ended without a terminal event")]
    NoEnd,
    #[error("an event has no JSON form: {0}")]
    NoForm(#[from] serde_json::Error),
}

/// A response that streams the events of a run, and holds `held` for as long as it does.
pub(super) fn respond(run: RunStream, held: impl Send + 'static) -> Response {
    let events = stream(run).map(move |event| {
        let _ = &held;
        event
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn stream(mut run: RunStream) -> impl futures_util::Stream<Item = Result<Bytes, Broken>> {
    async_stream::stream! {
        yield Ok(Bytes::from_static(b": ok\n\n"));
        loop {
            let Ok(next) = timeout(HEARTBEAT, run.next()).await else {
                yield Ok(Bytes::from_static(b": still here\n\n"));
                continue;
            };
            let framed = match &next {
                Some(Numbered { number, event }) => frame(*number, event),
                None => Err(Broken::NoEnd),
            };
            if let Err(error) = &framed {
                tracing::error!(%error, "a stream is broken off");
                // What was said before is sent first: the server does so when it has to wait.
                tokio::task::yield_now().await;
            }
            let is_last = framed.is_err() || next.is_some_and(|next| next.event.is_terminal());
            yield framed;
            if is_last {
                return;
            }
        }
    }
}

fn frame(id: u64, event: &Event) -> Result<Bytes, Broken> {
    let json = serde_json::to_string(event)?;
    Ok(Bytes::from(format!("id: {id}\ndata: {json}\n\n")))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::runs::run::OnDisconnect;

    async fn collect(events: Vec<Event>) -> String {
        let (writer, run, _) = RunStream::for_test(OnDisconnect::Cancel);
        for event in events {
            writer.write(event).await;
        }
        drop(writer);
        let parts: Vec<_> = stream(run).map(|part| part.unwrap()).collect().await;
        String::from_utf8(parts.concat()).unwrap()
    }

    fn status(message: &str) -> Event {
        Event::Status { message: message.to_owned() }
    }

    #[tokio::test]
    async fn frames_are_one_line_of_json_each() {
        let done = Event::Done { exit_code: 0, duration_ms: 1, generator: Some("claude") };
        let text = collect(vec![status("a\nb"), done, status("after")]).await;
        assert_eq!(
            text,
            ": ok\n\nid: 1\ndata: {\"type\":\"status\",\"message\":\"a\\nb\"}\n\n\
             id: 2\ndata: {\"type\":\"done\",\"exit_code\":0,\"duration_ms\":1,\"generator\":\"claude\"}\n\n"
        );
    }

    /// What comes over a connection that asks for the stream of a run that says `events`.
    async fn received(events: Vec<Event>) -> String {
        let (writer, run, _) = RunStream::for_test(OnDisconnect::Cancel);
        for event in events {
            writer.write(event).await;
        }
        drop(writer);
        let run = Arc::new(Mutex::new(Some(run)));
        let once = async move || respond(run.lock().unwrap().take().unwrap(), ());
        let app = axum::Router::new().route("/", axum::routing::get(once));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_run_that_breaks_off_breaks_the_connection_off() {
        // The empty chunk is the end of a body that is whole.
        let text = received(vec![status("a")]).await;
        assert!(text.contains("id: 1\ndata: ") && !text.contains("id: 2"), "{text}");
        assert!(!text.ends_with("\r\n0\r\n\r\n"), "{text}");
        let done = Event::Done { exit_code: 0, duration_ms: 1, generator: None };
        let text = received(vec![status("a"), done]).await;
        assert!(text.ends_with("\r\n0\r\n\r\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled() {
        let (_writer, run, _) = RunStream::for_test(OnDisconnect::Cancel);
        let parts: Vec<_> = stream(run).take(3).map(|p| p.unwrap()).collect().await;
        assert_eq!(parts.concat(), b": ok\n\n: still here\n\n: still here\n\n");
    }
}
