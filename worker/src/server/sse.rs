//! Streams of server-sent events.
//!
//! A stream begins with a comment at once, because a proxy in between tells nothing of the client
//! until it has a first byte. Every event has an id. Silence is filled with comments. It ends with
//! exactly one terminal event: should the run break off without one, the stream adds it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use crate::api::ErrorCode;
use crate::runs::events::Event;
use crate::runs::failure::Failure;

/// Longest silence. Things in between have been seen to drop streams after 16 s.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A response that streams what comes out of `events`. `guard` is dropped when the client leaves or
/// the stream ends.
pub(super) fn respond(events: mpsc::Receiver<Event>, guard: DropGuard) -> Response {
    let mut response = Response::new(Body::from_stream(stream(events, guard)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn stream(
    mut events: mpsc::Receiver<Event>,
    guard: DropGuard,
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        let _guard = guard;
        yield Ok(Bytes::from_static(b": ok\n\n"));
        let mut id = 0_u64;
        loop {
            let event = match timeout(HEARTBEAT, events.recv()).await {
                Err(_) => {
                    yield Ok(Bytes::from_static(b": still here\n\n"));
                    continue;
                }
                Ok(Some(event)) => event,
                Ok(None) => {
                    tracing::error!("a run ended without a terminal event");
                    Event::Error(Failure::new(ErrorCode::UnknownError, "the run broke off"))
                }
            };
            id += 1;
            yield Ok(frame(id, &event));
            if event.is_terminal() {
                return;
            }
        }
    }
}

fn frame(id: u64, event: &Event) -> Bytes {
    // An event is plain data; it always has a JSON form.
    let json = serde_json::to_string(event).unwrap_or_else(|error| {
        tracing::error!(%error, "an event has no JSON form");
        r#"{"type":"warning","message":"an event was lost"}"#.to_owned()
    });
    Bytes::from(format!("id: {id}\ndata: {json}\n\n"))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn collect(events: Vec<Event>) -> String {
        let (sender, receiver) = mpsc::channel(8);
        for event in events {
            sender.send(event).await.unwrap();
        }
        drop(sender);
        let guard = CancellationToken::new().drop_guard();
        let parts: Vec<_> = stream(receiver, guard).map(|part| part.unwrap()).collect().await;
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

    #[tokio::test]
    async fn a_run_that_breaks_off_still_gets_its_end() {
        let text = collect(vec![status("a")]).await;
        assert!(text.contains("\"type\":\"error\",\"code\":\"UNKNOWN_ERROR\""), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled() {
        let (_sender, receiver) = mpsc::channel(8);
        let guard = CancellationToken::new().drop_guard();
        let parts: Vec<_> = stream(receiver, guard).take(3).map(|p| p.unwrap()).collect().await;
        assert_eq!(parts.concat(), b": ok\n\n: still here\n\n: still here\n\n");
    }

    #[tokio::test]
    async fn leaving_cancels() {
        let (_sender, receiver) = mpsc::channel(8);
        let token = CancellationToken::new();
        let mut stream = Box::pin(stream(receiver, token.clone().drop_guard()));
        drop(stream.next().await);
        assert!(!token.is_cancelled());
        drop(stream);
        assert!(token.is_cancelled());
    }
}
