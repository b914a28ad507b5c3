//! How a worker ends: what it still does, what it refuses, and that nothing outlives it.

use std::time::Duration;

use harness::{Ids, Setup, Worker, leftovers, terminal};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::net::TcpStream;

use crate::raw::Raw;
use crate::support::{head, logged};

const END_TIMEOUT: Duration = Duration::from_secs(30);

async fn ends_well(worker: &mut Worker) {
    let status = worker.ended(END_TIMEOUT).await;
    let status = status.unwrap_or_else(|| panic!("it does not end\n{}", worker.log()));
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    assert_eq!(leftovers(worker), Vec::<String>::new());
}

#[tokio::test]
async fn with_nothing_to_do_it_ends_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // Far more than the test waits: only what is running may use it.
        let setup = Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 3600);
        let mut worker = setup.start().await;
        worker.settled().await;
        let mut idle = Raw::open(&worker).await;
        idle.send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n").await;
        assert_eq!(idle.answer().await.status, 200);
        let _silent = Raw::open(&worker).await;
        worker.signal(signal);
        ends_well(&mut worker).await;
        assert_eq!(idle.rest().await, b"");
    }
}

#[tokio::test]
async fn a_generation_gets_its_grace_and_then_an_end_of_its_own() {
    let setup = Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 1);
    let mut worker = setup.start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "before");
    let mut stream = worker.generate_stream(ids, "[script:slow] wait").await;
    stream.next_of("stream").await;
    worker.signal(Signal::SIGTERM);
    let events = stream.collect().await;
    let end = terminal(&events);
    assert_eq!(end.text("code"), "CLI_TERMINATED", "{end:?}");
    assert_eq!(end.0["recoverable"], true);
    assert_eq!(end.0["exitCode"], 143);
    let still_writing = events.iter().any(|event| event.kind() == "stream");
    assert!(still_writing, "the grace was used");
    ends_well(&mut worker).await;
    let page = std::fs::read_to_string(worker.project(ids).join("index.html"));
    assert_eq!(page.unwrap(), "before");
}

#[tokio::test]
async fn while_it_ends_it_takes_no_work_and_a_second_signal_ends_it_now() {
    let setup =
        Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 3600).var("DREAMCORE_MAX_RUNS", 2);
    let mut worker = setup.start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>");
    let mut open = Raw::open(&worker).await;
    open.send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(open.answer().await.status, 200);
    let mut second = Raw::open(&worker).await;
    second.send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(second.answer().await.status, 200);
    let mut stream = worker.generate_stream(ids, "[script:slow] wait").await;
    stream.next_of("stream").await;

    worker.signal(Signal::SIGTERM);
    logged(&worker, "\"message\":\"stopping\"").await;
    // A connection from before is still answered: no new work, files as ever.
    let other = Ids::new();
    let body = json!({"user_id": other.user, "project_id": other.project, "prompt": "a"});
    let body = body.to_string();
    let length = body.len();
    let head_of_post = head("POST", "/generate_game");
    let post = format!("{head_of_post}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    second.send(post).await;
    // The relay can only show a refusal that comes as a stream.
    assert_eq!(second.head().await.status, 200);
    let refused = String::from_utf8(second.rest().await).unwrap();
    assert!(refused.contains(r#""type":"error","code":"SHUTTING_DOWN""#), "{refused}");
    let (user, project) = (ids.user, ids.project);
    let target = format!("/get_file?user_id={user}&project_id={project}");
    open.send(format!("{}\r\n", head("GET", &target))).await;
    assert_eq!(open.answer().await.body, b"<p>");
    open.send("GET /health/ready HTTP/1.1\r\nHost: t\r\n\r\n").await;
    let ready = open.answer().await.into_answer();
    assert_eq!(ready.status, 503);
    assert!(ready.json()["problems"]["worker"].is_string());
    assert_eq!(ready.json()["running"], 1);
    // A new connection is not even taken.
    let refused = TcpStream::connect(worker.address()).await;
    assert!(refused.is_err(), "the port is closed");

    worker.signal(Signal::SIGTERM);
    let events = stream.collect().await;
    assert_eq!(terminal(&events).text("code"), "CLI_TERMINATED");
    ends_well(&mut worker).await;
}

#[tokio::test]
async fn a_generation_that_ends_within_the_grace_is_saved() {
    let setup = Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 3600);
    let mut worker = setup.start().await;
    let ids = Ids::new();
    let mut stream = worker.generate_stream(ids, "a game").await;
    stream.next_of("stream").await;
    worker.signal(Signal::SIGTERM);
    let events = stream.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:?}");
    ends_well(&mut worker).await;
    assert!(worker.project(ids).join("index.html").is_file());
    harness::has_git_identity(&worker.project(ids));
}
