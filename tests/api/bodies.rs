//! Bodies that are slow, large, many, or not what they seem.

use std::time::{Duration, Instant};

use harness::{Ids, Setup};
use serde_json::json;

use crate::raw::Raw;
use crate::support::{ID, head, refused};

/// The most memory that a worker may take, whatever it is sent.
const MAX_WORKER_BYTES: u64 = 300 << 20;

/// A body of `apply_files` with one file of this many bytes.
fn save(ids: Ids, bytes: usize) -> serde_json::Value {
    let content = "x\n".repeat(bytes / 2);
    let files = json!([{"path": "a.txt", "content": content}]);
    json!({"user_id": ids.user, "project_id": ids.project, "files": files})
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let worker = Setup::default().start().await;
    for (endpoint, body) in [
        ("generate_game", json!([ID, ID, "prompt"])),
        ("apply_files", json!([ID, ID, null, []])),
        ("restore_version", json!([ID, ID, "abcdef1"])),
        ("create_version_snapshot", json!([ID, ID, null])),
        ("copy_project", json!([ID, ID, null, ID, false, null])),
        ("delete_asset", json!([ID, ID])),
        ("restore_asset", json!([ID, ID])),
    ] {
        let answer = worker.post(endpoint, &body).await;
        assert_eq!(refused(&worker, &answer, endpoint), 400, "{endpoint}");
        assert_eq!(answer.json()["code"], "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn stalled_bodies_keep_nobody_out() {
    let worker = Setup::default().start().await;
    let mut stalled = Vec::new();
    // Most send a little of much, and a few as much as needs a place.
    for n in 0..300 {
        let mut raw = Raw::open(&worker).await;
        let head = head("POST", "/apply_files");
        let sent = if n % 60 == 0 { 1_000_000 } else { 1000 };
        raw.send(format!("{head}Content-Length: 60000000\r\n\r\n{}", " ".repeat(sent))).await;
        stalled.push(raw);
    }
    let ids = Ids::new();
    let began = Instant::now();
    let large = async { worker.post("apply_files", &save(ids, 4_000_000)).await };
    let (answer, _) = worker.pulse_during(large).await;
    assert!(answer.text().contains("\"type\":\"done\""), "{}", answer.text());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Each of them is told so in the end.
    for mut raw in stalled {
        assert_eq!(raw.answer().await.status, 408);
    }
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES, "{}", worker.peak_memory_bytes());
}

#[tokio::test]
async fn a_slow_body_that_goes_on_is_served() {
    let worker = Setup::default().start().await;
    let body = save(Ids::new(), 600_000).to_string();
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{}Content-Length: {}\r\n\r\n", head("POST", "/apply_files"), body.len()))
        .await;
    for piece in body.as_bytes().chunks(body.len() / 12) {
        raw.send(piece).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(raw.head().await.status, 200);
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
async fn the_largest_bodies_at_once_take_a_bounded_memory() {
    let worker = Setup::default().var("DREAMCORE_MAX_FILE_BYTES", 64 << 20).start().await;
    let bodies: Vec<_> = (0..4).map(|_| save(Ids::new(), 40_000_000)).collect();
    let all = futures_util::future::join_all(bodies.iter().map(|b| worker.post("apply_files", b)));
    let (answers, _) = worker.pulse_during(all).await;
    for answer in answers {
        assert!(answer.text().contains("\"type\":\"done\""), "{}", answer.text());
    }
    eprintln!("four bodies of 60 MB: {} MB", worker.peak_memory_bytes() >> 20);
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES, "{}", worker.peak_memory_bytes());
}
