//! Streams of server-sent events.
//!
//! A stream begins with a comment at once, because some proxies do not report that a client has
//! left before the first byte of the answer. Every event has an id. During a silence the stream
//! sends comments. A stream ends with exactly one terminal event: if the run ends without one, the
//! stream adds it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::api::ErrorCode;
use crate::runs::events::Event;
use crate::runs::failure::Failure;
use crate::runs::log::Numbered;
use crate::runs::run::RunStream;

/// The longest silence. Some proxies drop a stream after 16 s without a byte.
const HEARTBEAT: Duration = Duration::from_secs(10);

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

fn stream(mut run: RunStream) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        yield Ok(Bytes::from_static(b": ok\n\n"));
        let mut last = 0;
        loop {
            let Numbered { number, event } = match timeout(HEARTBEAT, run.next()).await {
                Err(_) => {
                    yield Ok(Bytes::from_static(b": still here\n\n"));
                    continue;
                }
                Ok(Some(next)) => next,
                Ok(None) => {
                    tracing::error!("a run ended without a terminal event");
                    let failure = Failure::new(ErrorCode::UnknownError, "the run broke off");
                    Numbered { number: last + 1, event: Arc::new(Event::Error(failure)) }
                }
            };
            yield Ok(frame(number, &event));
            if event.is_terminal() {
                return;
            }
            last = number;
        }
    }
}

fn frame(id: u64, event: &Event) -> Bytes {
    // Serializing cannot fail, because an event is plain data.
    let json = serde_json::to_string(event).unwrap_or_else(|error| {
        tracing::error!(%error, "an event has no JSON form");
        r#"{"type":"warning","message":"an event was lost"}"#.to_owned()
    });
    Bytes::from(format!("id: {id}\ndata: {json}\n\n"))
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn a_run_that_breaks_off_still_gets_its_end() {
        let text = collect(vec![status("a")]).await;
        let end = "id: 2\ndata: {\"type\":\"error\",\"code\":\"UNKNOWN_ERROR\"";
        assert!(text.contains(end), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled() {
        let (_writer, run, _) = RunStream::for_test(OnDisconnect::Cancel);
        let parts: Vec<_> = stream(run).take(3).map(|p| p.unwrap()).collect().await;
        assert_eq!(parts.concat(), b": ok\n\n: still here\n\n: still here\n\n");
    }
}
