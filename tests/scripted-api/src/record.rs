//! The requests that the server has received, for tests to inspect.

use std::collections::BTreeMap;

use hyper::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request as it was received. Also the elements of `GET /_scripted/requests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The method, in capitals.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without its `?`.
    pub query: Option<String>,
    /// Those of the headers that say something about the client, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The JSON body; null without one.
    pub body: Value,
    /// What the server took it for, if it was a valid `POST /v1/messages`.
    pub taken_as: Option<TakenAs>,
}

/// The place of a request in the scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenAs {
    /// Not part of the agent's main loop.
    Side,
    /// A question that forces the form of its answer.
    Form,
    /// A turn of a conversation.
    Turn {
        /// The script's name.
        script: String,
        /// The number of the turn, from 0.
        turn: usize,
        /// The number of the attempt, from 0. Counted only for turns with faults.
        attempt: usize,
    },
}

/// The headers that are recorded, because tests check them.
const HEADERS: [&str; 10] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "authorization",
    "content-type",
    "host",
    "user-agent",
    "x-api-key",
    "x-claude-code-session-id",
    "x-stainless-retry-count",
];

impl Recorded {
    pub(crate) fn new(parts: &Parts, body: Value) -> Self {
        let header = |name: &str| {
            let value = String::from_utf8_lossy(parts.headers.get(name)?.as_bytes()).into_owned();
            Some((name.to_owned(), value))
        };
        Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: HEADERS.into_iter().filter_map(header).collect(),
            body,
            taken_as: None,
        }
    }
}
