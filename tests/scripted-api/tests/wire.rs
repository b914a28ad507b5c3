//! The shape of the answers on the wire, seen by a client that understands nothing but bytes:
//! a real HTTP library would hide the chunks and the broken ends that are looked at here.

#![expect(clippy::unwrap_used, reason = "helpers of tests; what fails here fails the test")]

use std::time::Duration;

use scripted_api::{
    Fault, Options, Script, ScriptSet, ScriptedApi,
    record::{Recorded, TakenAs},
    text, tool,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What came back until the server closed or fell silent.
struct Seen {
    head: String,
    body: String,
    closed: bool,
}

impl Seen {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The events' names, in order.
    fn events(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
    }

    /// A chunked body that ends as it must.
    fn is_whole(&self) -> bool {
        self.body.ends_with("0\r\n\r\n")
    }
}

async fn send(api: &ScriptedApi, request: String) -> Seen {
    let mut stream = TcpStream::connect(api.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let closed = timeout(Duration::from_millis(400), stream.read_to_end(&mut bytes)).await.is_ok();
    let all = String::from_utf8(bytes).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    Seen { head: head.to_lowercase(), body: body.to_owned(), closed }
}

async fn bare(api: &ScriptedApi, method: &str, path: &str) -> Seen {
    send(api, format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

async fn post(api: &ScriptedApi, path: &str, key: &str, body: &Value) -> Seen {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    send(api, head + &body).await
}

fn question(stream: bool) -> Value {
    json!({
        "model": "claude-x", "stream": stream, "tools": [{"name": "Write"}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "system", "content": " - Primary working directory: /p\n"},
        ],
    })
}

async fn ask(api: &ScriptedApi) -> Seen {
    post(api, "/v1/messages?beta=true", "k", &question(true)).await
}

fn write() -> Script {
    Script::new()
        .turn([text("hello"), tool("Write", json!({"file_path": "{{cwd}}/a", "content": "b"}))])
}

const ALL: [&str; 12] = [
    "message_start",
    "ping",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "",
];

#[tokio::test]
async fn a_stream_is_chunked_events_from_start_to_stop() {
    let api = ScriptedApi::with(write()).await.unwrap();
    let seen = ask(&api).await;
    assert_eq!(seen.status(), 200);
    assert!(seen.head.contains("content-type: text/event-stream"), "{}", seen.head);
    assert!(seen.head.contains("transfer-encoding: chunked"), "{}", seen.head);
    assert!(seen.head.contains("request-id: req_scripted"), "{}", seen.head);
    assert_eq!(seen.events(), ALL[..11]);
    assert!(seen.is_whole());
    assert!(seen.body.contains(r#"{\"content\":\"b\",\"file_path\":\"/p/a\"}"#), "{}", seen.body);
}

#[tokio::test]
async fn without_a_stream_the_same_message_is_json() {
    let api = ScriptedApi::with(write()).await.unwrap();
    let seen = post(&api, "/v1/messages", "k", &question(false)).await;
    let message = seen.json();
    assert_eq!(message["content"][0], json!({"type": "text", "text": "hello"}));
    assert_eq!(message["content"][1]["input"]["file_path"], "/p/a");
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["model"], "claude-x");
}

#[tokio::test]
async fn the_other_endpoints_answer() {
    let api = ScriptedApi::with(write()).await.unwrap();
    let count = post(&api, "/v1/messages/count_tokens", "k", &question(false)).await;
    assert!(count.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 10));
    assert_eq!(bare(&api, "GET", "/api/hello").await.status(), 200);
    let head = bare(&api, "HEAD", "/api/hello").await;
    assert_eq!((head.status(), head.body.as_str()), (200, ""));
    let missing = bare(&api, "GET", "/v1/models").await;
    assert_eq!(missing.status(), 404);
    assert_eq!(missing.json()["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_the_right_one_is_not() {
    let options = Options { expect_key: Some("right".into()), ..Options::default() };
    let api = ScriptedApi::start(ScriptSet::new("a", write()), options).await.unwrap();
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let refused = post(&api, path, "wrong", &question(true)).await;
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.json()["error"]["type"], "authentication_error");
        assert_eq!(post(&api, path, "right", &question(true)).await.status(), 200);
    }
}

#[tokio::test]
async fn what_was_received_can_be_looked_at_from_inside_and_outside() {
    let api = ScriptedApi::with(write()).await.unwrap();
    ask(&api).await;
    let inside = api.requests();
    let outside: Vec<Recorded> =
        serde_json::from_str(&bare(&api, "GET", "/_scripted/requests").await.body).unwrap();
    assert_eq!(inside, outside);
    let [request] = inside.as_slice() else { panic!("{inside:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/messages"));
    assert_eq!(request.query.as_deref(), Some("beta=true"));
    assert_eq!(request.headers["x-api-key"], "k");
    assert_eq!(request.body, question(true));
    let turn = TakenAs::Turn { script: "only".into(), turn: 0, attempt: 0 };
    assert_eq!(request.taken_as, Some(turn));
    api.clear_requests();
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn a_fault_comes_first_and_the_answer_next() {
    let fault = Fault::status(529, "overloaded_error", "Overloaded").retry_after(3);
    let api = ScriptedApi::with(write().fault(fault)).await.unwrap();
    let first = ask(&api).await;
    assert_eq!(first.status(), 529);
    assert!(first.head.contains("retry-after: 3"), "{}", first.head);
    assert_eq!(first.json()["error"]["type"], "overloaded_error");
    assert!(ask(&api).await.is_whole());
}

#[tokio::test]
async fn a_cut_closes_within_the_body_after_the_events_before_it() {
    let api = ScriptedApi::with(write().fault(Fault::cut_after(4))).await.unwrap();
    let seen = ask(&api).await;
    assert_eq!(seen.events(), ALL[..4]);
    assert!(seen.closed && !seen.is_whole());
}

#[tokio::test]
async fn a_stall_keeps_the_connection_open_in_silence() {
    let api = ScriptedApi::with(write().fault(Fault::stall_after(3, None))).await.unwrap();
    let seen = ask(&api).await;
    assert_eq!(seen.events(), ALL[..3]);
    assert!(!seen.closed);
}

#[tokio::test]
async fn a_short_stall_or_hang_ends_with_the_answer() {
    let script = write().fault(Fault::stall_after(3, 50)).fault(Fault::hang(50));
    let api = ScriptedApi::with(script).await.unwrap();
    assert_eq!(ask(&api).await.events(), ALL[..11]);
    assert_eq!(ask(&api).await.events(), ALL[..11]);
}

#[tokio::test]
async fn a_hang_sends_not_even_a_status() {
    let api = ScriptedApi::with(write().fault(Fault::hang(None))).await.unwrap();
    let seen = ask(&api).await;
    assert!(seen.head.is_empty() && !seen.closed);
}

#[tokio::test]
async fn a_close_sends_nothing_and_closes() {
    let api = ScriptedApi::with(write().fault(Fault::CloseBeforeHeaders)).await.unwrap();
    let seen = ask(&api).await;
    assert!(seen.head.is_empty() && seen.closed);
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn an_error_event_ends_a_stream_in_good_order() {
    let fault = Fault::error_event_after(3, "overloaded_error");
    let api = ScriptedApi::with(write().fault(fault)).await.unwrap();
    let seen = ask(&api).await;
    assert_eq!(seen.events(), ["message_start", "ping", "content_block_start", "error"]);
    assert!(seen.is_whole());
}

#[tokio::test]
async fn garbage_is_a_success_that_is_not_one() {
    let api = ScriptedApi::with(write().fault(Fault::garbage("<html>"))).await.unwrap();
    let seen = ask(&api).await;
    assert_eq!((seen.status(), seen.body.as_str()), (200, "<html>"));
    assert!(seen.head.contains("content-type: text/html"), "{}", seen.head);
}

#[tokio::test]
async fn a_status_that_http_does_not_know_is_reported() {
    let api = ScriptedApi::with(write().fault(Fault::status(9, "x", "x"))).await.unwrap();
    let seen = ask(&api).await;
    assert_eq!(seen.status(), 500);
    assert!(seen.body.contains("HTTP cannot say"), "{}", seen.body);
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections() {
    let api = ScriptedApi::with(write().fault(Fault::hang(None))).await.unwrap();
    let mut stream = TcpStream::connect(api.addr()).await.unwrap();
    stream.write_all(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let addr = api.addr();
    drop(api);
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "still open");
    assert!(TcpStream::connect(addr).await.is_err());
}
