//! What is in flight on the volume: seen from outside, and waited for at the end.

use std::time::{Duration, Instant};

use harness::{Ids, Setup, Worker};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::assets::png;
use crate::raw::Raw;
use crate::support::{head, logged};

/// More than all buffers between the worker and its client can hold.
const LARGE_BYTES: usize = 64 << 20;

async fn in_flight(worker: &Worker) -> Value {
    worker.get("health/ready").await.json()["volume"].clone()
}

async fn becomes(worker: &Worker, expected: &Value) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = in_flight(worker).await;
        if now == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{now} is not {expected}\n{}", worker.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn nothing_but(what: &str) -> Value {
    let mut counts = json!({ "reads": 0, "copies": 0, "uploads": 0, "saves": 0, "commits": 0 });
    if !what.is_empty() {
        counts[what] = 1.into();
    }
    counts
}

#[tokio::test]
async fn a_file_is_in_flight_until_its_last_byte_has_been_read() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "small.txt", "x");
    worker.put(ids, "large.bin", vec![0; LARGE_BYTES]);
    assert_eq!(in_flight(&worker).await, nothing_but(""));
    assert_eq!(worker.get_file(ids, "small.txt").await.text(), "x");
    assert_eq!(worker.list_files(ids).await.status, 200);
    becomes(&worker, &nothing_but("")).await;

    let target =
        format!("/get_file?user_id={}&project_id={}&path=large.bin", ids.user, ids.project);
    let mut reader = Raw::open(&worker).await;
    reader.send(format!("{}\r\n", head("GET", &target))).await;
    assert_eq!(reader.head().await.status, 200);
    becomes(&worker, &nothing_but("reads")).await;
    reader.body(LARGE_BYTES).await;
    becomes(&worker, &nothing_but("")).await;

    // A client that leaves in the middle.
    reader.send(format!("{}\r\n", head("GET", &target))).await;
    assert_eq!(reader.head().await.status, 200);
    becomes(&worker, &nothing_but("reads")).await;
    drop(reader);
    becomes(&worker, &nothing_but("")).await;
}

#[tokio::test]
async fn an_upload_that_is_whole_within_the_grace_becomes_an_asset() {
    let mut worker = Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 3600).start().await;
    let (user, bytes) = (Uuid::new_v4(), png(700_000));
    let target = format!("/upload_asset?user_id={user}&filename=a.png");
    let mut client = Raw::open(&worker).await;
    let length = bytes.len();
    client.send(format!("{}Content-Length: {length}\r\n\r\n", head("POST", &target))).await;
    client.send(&bytes[..500_000]).await;
    becomes(&worker, &nothing_but("uploads")).await;

    worker.signal(Signal::SIGTERM);
    logged(&worker, "\"message\":\"stopping\"").await;
    // Longer than connections have when there is nothing to wait for.
    assert_eq!(worker.ended(Duration::from_secs(7)).await, None);
    client.send(&bytes[500_000..]).await;
    let answer = client.answer().await.into_answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let asset = worker.data().join(answer.json()["path"].as_str().expect("a path"));
    let status = worker.ended(Duration::from_secs(30)).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    assert!(std::fs::read(asset).expect("it is there") == bytes);
}

#[tokio::test]
async fn an_upload_that_is_not_whole_in_time_is_broken_off_and_leaves_nothing() {
    let mut worker = Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 3600).start().await;
    let user = Uuid::new_v4();
    let target = format!("/upload_asset?user_id={user}&filename=a.png");
    let mut client = Raw::open(&worker).await;
    client.send(format!("{}Content-Length: 700000\r\n\r\n", head("POST", &target))).await;
    client.send(&png(500_000)).await;
    becomes(&worker, &nothing_but("uploads")).await;
    // The second signal ends the grace.
    worker.signal(Signal::SIGTERM);
    logged(&worker, "\"message\":\"stopping\"").await;
    worker.signal(Signal::SIGTERM);
    let status = worker.ended(Duration::from_secs(30)).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    let assets = worker.data().join(format!("users/{user}/assets"));
    assert_eq!(std::fs::read_dir(assets).expect("a folder").count(), 0);
}
