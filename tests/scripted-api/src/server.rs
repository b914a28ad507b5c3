//! The HTTP server: listens, reads requests, and plays what the state plans.
//!
//! hyper is used without a framework, because two of the faults (closing before the headers,
//! dropping a connection in the middle of a body) are errors that a framework would turn into
//! answers.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Response, Uri, body::Incoming, http::request::Parts, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::{
    google::{self, Google},
    plan::{Answer, Plan},
    play::{self, Body},
    question::tokens,
    record::Recorded,
    script::{Script, ScriptSet},
    state::State,
    wire,
};

/// The real API's limit for a request.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The only `x-api-key` that `/v1/…` accepts, if any is required.
    pub expect_key: Option<String>,
    /// What every path begins with, as of a proxy that knows its clients by it: `/a/SECRET`.
    pub path: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            expect_key: None,
            path: String::new(),
        }
    }
}

/// A running server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct ScriptedApi {
    addr: SocketAddr,
    server: Arc<Server>,
    accepting: AbortHandle,
}

struct Server {
    state: State,
    google: Google,
    expect_key: Option<String>,
    path: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl ScriptedApi {
    /// Starts a server on the current tokio runtime. It accepts connections from now on. Fails if
    /// it cannot listen there.
    pub async fn start(scripts: ScriptSet, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let server = Arc::new(Server {
            state: State::new(scripts),
            google: Google::default(),
            expect_key: options.expect_key,
            path: options.path,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&server))).abort_handle();
        Ok(Self { addr, server, accepting })
    }

    /// Starts a server with one script, on a free port of loopback.
    pub async fn with(script: Script) -> io::Result<Self> {
        Self::start(ScriptSet::new("only", script), Options::default()).await
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What `ANTHROPIC_BASE_URL` has to be.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, self.server.path)
    }

    /// What was received so far, oldest first: the last 500 requests.
    pub fn requests(&self) -> Vec<Recorded> {
        self.server.state.seen()
    }

    /// Where `DREAMCORE_VERTEX_BASE_URL` has to point.
    pub fn vertex_url(&self) -> String {
        format!("{}/v1", self.base_url())
    }

    /// What lets clients in to Vertex AI.
    pub fn google(&self) -> &Google {
        &self.server.google
    }

    /// The configuration with which a client exchanges an identity token here.
    pub fn federation(&self, impersonates: bool) -> String {
        google::federation(&self.base_url(), impersonates)
    }

    /// Forgets what was received so far; attempts stay counted.
    pub fn clear_requests(&self) {
        self.server.state.forget();
    }
}

impl Drop for ScriptedApi {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The connections belong to this task: they end with it.
async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&server)));
                }
                // Out of descriptors, or the client has left already: do not spin on it.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>) {
    // Small deltas must not wait for each other. If it cannot be set, they do.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| server.answer(request));
    // A connection's error is the client's leaving, or a fault that was asked for.
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

impl Server {
    /// The route table.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
        let (mut parts, body) = request.into_parts();
        match within(&parts.uri, &self.path) {
            Some(uri) => parts.uri = uri,
            None => return Ok(self.respond(no_such(&parts)).await),
        }
        if (&parts.method, parts.uri.path()) == (&Method::GET, "/_scripted/requests") {
            let seen = wire::to_json(&self.state.seen());
            return Ok(self.respond(Answer::whole(200, wire::JSON, seen)).await);
        }
        let Ok(collected) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            let answer = Answer::error(413, "request_too_large", "Request too large");
            return Ok(self.respond(answer).await);
        };
        let bytes = collected.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let mut recorded = Recorded::new(&parts, body);

        let answer = match (&parts.method, parts.uri.path()) {
            (&Method::GET | &Method::HEAD, "/api/hello") => hello(),
            (&Method::POST, path) if google::is_token_server(path) => {
                match self.google.token(path, &parts.headers, &bytes) {
                    Plan::Answer(answer) => answer,
                    Plan::Close => return Err(Closed),
                }
            }
            (&Method::POST, path) if path.starts_with(google::PROJECTS) => {
                match self.vertex(&mut recorded, &parts, bytes.len()) {
                    Plan::Answer(answer) => answer,
                    Plan::Close => {
                        self.state.record(recorded);
                        return Err(Closed);
                    }
                }
            }
            (_, path) if path.starts_with("/v1/") && !self.has_key(&parts) => {
                Answer::error(401, "authentication_error", "invalid x-api-key")
            }
            (&Method::POST, "/v1/messages") => {
                let (plan, taken_as) = self.state.plan(&recorded.body, bytes.len());
                recorded.taken_as = taken_as;
                match plan {
                    Plan::Answer(answer) => answer,
                    Plan::Close => {
                        self.state.record(recorded);
                        return Err(Closed);
                    }
                }
            }
            (&Method::POST, "/v1/messages/count_tokens") => {
                let count = json!({"input_tokens": tokens(bytes.len())});
                Answer::whole(200, wire::JSON, wire::to_json(&count))
            }
            _ => no_such(&parts),
        };
        self.state.record(recorded);
        Ok(self.respond(answer).await)
    }

    /// Claude on Vertex AI: the model stands in the path, and the body is of another form.
    fn vertex(&self, recorded: &mut Recorded, parts: &Parts, bytes: usize) -> Plan {
        if let Err(answer) = self.google.lets_in(&parts.headers) {
            return Plan::Answer(answer);
        }
        let Some((model, method)) = google::called(parts.uri.path()) else {
            return Plan::Answer(google::error(404, "NOT_FOUND", "no such method"));
        };
        if let Err(message) = google::check(&recorded.body, model, method) {
            return Plan::Answer(Answer::error(400, "invalid_request_error", &message));
        }
        if model == google::COUNTER {
            let count = json!({"input_tokens": tokens(bytes)});
            return Plan::Answer(Answer::whole(200, wire::JSON, wire::to_json(&count)));
        }
        let mut body = recorded.body.clone();
        body["model"] = json!(model);
        let (plan, taken_as) = self.state.plan(&body, bytes);
        recorded.taken_as = taken_as;
        plan
    }

    fn has_key(&self, parts: &Parts) -> bool {
        let sent = parts.headers.get("x-api-key").map(hyper::header::HeaderValue::as_bytes);
        self.expect_key.as_ref().is_none_or(|key| sent == Some(key.as_bytes()))
    }

    async fn respond(&self, answer: Answer) -> Response<Body> {
        if let Some(wait) = answer.hang {
            play::pass(wait).await;
        }
        let mut response = Response::builder()
            .status(answer.status)
            .header("content-type", answer.content_type)
            .header("cache-control", "no-cache")
            .header("request-id", self.state.id("req"));
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        // Only a script's own status or header can be wrong here.
        response.body(play::body(answer.steps)).unwrap_or_else(|error| {
            let message = format!("the script asks for what HTTP cannot say: {error}");
            let mut response = Response::new(play::full(wire::error_json("api_error", &message)));
            *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }
}

/// The same address without what all of them begin with.
fn within(uri: &Uri, prefix: &str) -> Option<Uri> {
    uri.path_and_query()?.as_str().strip_prefix(prefix)?.parse().ok()
}

/// Repeats the path, as many servers do.
fn no_such(parts: &Parts) -> Answer {
    let message = format!("no such endpoint: {} {}", parts.method, parts.uri.path());
    Answer::error(404, "not_found_error", &message)
}

fn hello() -> Answer {
    Answer::whole(200, wire::JSON, Bytes::from_static(br#"{"message":"hello"}"#))
}

/// Makes hyper close the connection without an answer.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by the script")
    }
}

impl std::error::Error for Closed {}
