//! The ways in which an answer can go wrong.
//!
//! Each one is something that a real API, a proxy on the way or a network does. They are data,
//! not code, so that a script file can ask for them too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a request meets instead of, or in the middle of, its answer.
///
/// Where a fault waits, `ms: None` means for ever (until the client leaves). `events` counts the
/// server-sent events of the real answer that are sent first: `message_start` is the first, `ping`
/// the second. A request that does not stream meets the same fault in the middle of its JSON body.
///
/// What the CLI (2.1.330) does with them matters when a script is written. It may ask again
/// without a stream, which counts as the next attempt. And when a stream is cut after a whole
/// content block, it keeps that block and asks to go on: the answer so far is an assistant
/// message, so the next request is the *next turn* of the script, and a tool call that was lost
/// has to be repeated there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An error answer, in Anthropic's JSON form.
    Status {
        /// The HTTP status.
        status: u16,
        /// `error.type`, for example `rate_limit_error`.
        error_type: String,
        /// `error.message`.
        message: String,
        /// The `retry-after` header, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
        /// More headers, for example `x-should-retry`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// Nothing at all is sent for that long, then the real answer.
    HangBeforeHeaders {
        /// Milliseconds; none is for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// The answer stops for that long and then goes on.
    StallAfter {
        /// Events sent first.
        events: usize,
        /// Milliseconds; none is for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// The connection is dropped in the middle of the body.
    CutAfter {
        /// Events sent first.
        events: usize,
    },
    /// The stream ends with an `error` event, as it does when the API is overloaded.
    ErrorEventAfter {
        /// Events sent first.
        events: usize,
        /// `error.type`, for example `overloaded_error`.
        error_type: String,
        /// `error.message`.
        #[serde(default = "default_message")]
        message: String,
    },
    /// Status 200 with a body that is neither JSON nor events, as a captive proxy sends.
    Garbage {
        /// The body.
        body: String,
        /// Its `content-type`.
        #[serde(default = "html")]
        content_type: String,
    },
    /// The connection is accepted, the request read, and the connection closed.
    CloseBeforeHeaders,
}

fn default_message() -> String {
    "Overloaded".into()
}

fn html() -> String {
    "text/html".into()
}

impl Fault {
    /// An error status.
    pub fn status(status: u16, error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Status {
            status,
            error_type: error_type.into(),
            message: message.into(),
            retry_after_s: None,
            headers: BTreeMap::new(),
        }
    }

    /// Adds a `retry-after` header to an error status; other faults are left as they are.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        if let Self::Status { retry_after_s, .. } = &mut self {
            *retry_after_s = Some(seconds);
        }
        self
    }

    /// Adds a header to an error status; other faults are left as they are.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.insert(name.into(), value.into());
        }
        self
    }

    /// No answer for `ms` milliseconds, or for ever.
    pub fn hang(ms: impl Into<Option<u64>>) -> Self {
        Self::HangBeforeHeaders { ms: ms.into() }
    }

    /// Silence for `ms` milliseconds, or for ever, after so many events.
    pub fn stall_after(events: usize, ms: impl Into<Option<u64>>) -> Self {
        Self::StallAfter { events, ms: ms.into() }
    }

    /// The connection is lost after so many events.
    pub fn cut_after(events: usize) -> Self {
        Self::CutAfter { events }
    }

    /// An `error` event of that type after so many events.
    pub fn error_event_after(events: usize, error_type: impl Into<String>) -> Self {
        Self::ErrorEventAfter { events, error_type: error_type.into(), message: default_message() }
    }

    /// Status 200 with this body, called HTML.
    pub fn garbage(body: impl Into<String>) -> Self {
        Self::Garbage { body: body.into(), content_type: html() }
    }
}
