//! Reading streams as the relay does: line by line, of which those count that begin with `data: `.

use std::time::Duration;

use serde_json::Value;

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct Event(pub Value);

impl Event {
    /// The event's type.
    pub fn kind(&self) -> &str {
        self.0["type"].as_str().unwrap_or_default()
    }

    /// A field as text; empty if it is missing.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// Whether the event ends the stream.
    pub fn is_terminal(&self) -> bool {
        matches!(self.kind(), "done" | "error")
    }
}

/// A stream that is being read.
#[derive(Debug)]
pub struct Stream {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// All bytes that have arrived so far.
    pub raw: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { response, buffer: Vec::new(), raw: Vec::new() }
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// Waits for the next event. `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data: ") {
                    return Some(Event(serde_json::from_slice(data).expect("events are JSON")));
                }
                continue;
            }
            let next = tokio::time::timeout(Duration::from_secs(150), self.response.chunk());
            let chunk = next.await.expect("a stream is never silent").expect("a whole stream")?;
            self.raw.extend_from_slice(&chunk);
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// Waits for the next event of this type. Panics if the stream ends before.
    pub async fn next_of(&mut self, kind: &str) -> Event {
        while let Some(event) = self.next().await {
            if event.kind() == kind {
                return event;
            }
        }
        panic!("the stream ended without {kind}");
    }

    /// Reads all events to the end of the stream.
    pub async fn collect(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The last event, which must be the only one that ends the stream. Panics otherwise.
pub fn terminal(events: &[Event]) -> &Event {
    let ends = events.iter().filter(|event| event.is_terminal()).count();
    assert_eq!(ends, 1, "exactly one terminal event: {events:#?}");
    let last = events.last().expect("a stream has events");
    assert!(last.is_terminal(), "nothing follows the end: {events:#?}");
    last
}
