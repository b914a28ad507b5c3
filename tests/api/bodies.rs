//! Bodies that are slow, large, many, or not what they seem.

use std::time::{Duration, Instant};

use harness::{Answer, Ids, Setup, Worker};
use reqwest::Method;
use serde_json::json;

use crate::raw::Raw;
use crate::support::{ID, head, refused};

/// The most memory that a worker may take, whatever it is sent.
const MAX_WORKER_BYTES: u64 = 300 << 20;

/// A body of `apply_files` with one file of this many bytes.
fn save(ids: Ids, bytes: usize) -> String {
    let Ids { user, project } = ids;
    let content = r"x\n".repeat(bytes / 2);
    let files = format!(r#"[{{"path":"a.txt","content":"{content}"}}]"#);
    format!(r#"{{"user_id":"{user}","project_id":"{project}","files":{files}}}"#)
}

async fn post(worker: &Worker, endpoint: &str, body: String) -> Answer {
    let request = worker.request(Method::POST, endpoint).header("content-type", "application/json");
    worker.send(request.body(body)).await
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let worker = Setup::default().start().await;
    let file = json!(["a.txt", "content"]);
    for (endpoint, body) in [
        ("generate_game", json!([ID, ID, "prompt"])),
        ("apply_files", json!([ID, ID, null, []])),
        ("apply_files", json!({"user_id": ID, "project_id": ID, "files": [file]})),
        ("chat_haiku", json!({"message": "x", "conversation_history": [["user", "y"]]})),
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
    let large = async { post(&worker, "apply_files", save(ids, 4_000_000)).await };
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
    let body = save(Ids::new(), 600_000);
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
async fn items_without_end_are_refused_before_they_are_built() {
    let worker = Setup::default().start().await;
    let ids = format!(r#""user_id":"{ID}","project_id":"{ID}""#);
    let urls: Vec<String> = (0..500_000).map(|n| format!(r#""{n:x}":"""#)).collect();
    let (urls, entry) = (urls.join(","), r#"{"role":""},"#);
    for (endpoint, body) in [
        (
            "generate_game",
            format!(r#"{{{ids},"prompt":"x","skills":[{}"a"]}}"#, r#""a","#.repeat(1_500_000)),
        ),
        ("generate_game", format!(r#"{{{ids},"prompt":"x","asset_urls":{{{urls}}}}}"#)),
        (
            "apply_files",
            format!(r#"{{{ids},"files":[{}{{}}]}}"#, r#"{"path":""},"#.repeat(4_000_000)),
        ),
        (
            "chat_haiku",
            format!(
                r#"{{"message":"x","conversation_history":[{}{{}}]}}"#,
                entry.repeat(4_000_000)
            ),
        ),
        ("get_skill_content", format!(r#"{{"skill_names":[{}""]}}"#, r#""","#.repeat(2_000_000))),
    ] {
        let answer = post(&worker, endpoint, body).await;
        assert_eq!(refused(&worker, &answer, endpoint), 400, "{endpoint}");
        assert!(answer.text().contains("more than"), "{}", answer.text());
    }
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES / 2, "{}", worker.peak_memory_bytes());
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
async fn the_largest_bodies_at_once_take_a_bounded_memory() {
    let worker = Setup::default().var("DREAMCORE_MAX_FILE_BYTES", 64 << 20).start().await;
    let bodies: Vec<_> = (0..4).map(|_| save(Ids::new(), 40_000_000)).collect();
    let all = bodies.into_iter().map(|body| post(&worker, "apply_files", body));
    let all = futures_util::future::join_all(all);
    let (answers, _) = worker.pulse_during(all).await;
    for answer in answers {
        assert!(answer.text().contains("\"type\":\"done\""), "{}", answer.text());
    }
    eprintln!("four bodies of 60 MB: {} MB", worker.peak_memory_bytes() >> 20);
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES, "{}", worker.peak_memory_bytes());
}

/// Sends a small body that URLs make as large as they may.
async fn grow(worker: &Worker) -> Answer {
    let ids = Ids::new();
    let url = format!("/{}", "u".repeat(2000));
    let files = json!([{"path": "a.js", "content": "assets/a ".repeat(8000)}]);
    let body = json!({
        "user_id": ids.user, "project_id": ids.project, "files": files, "asset_urls": {"a": url},
    });
    worker.post("apply_files", &body).await
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
async fn urls_that_make_code_longer_are_put_in_when_there_is_room() {
    let worker = Setup::default().var("DREAMCORE_MAX_FILE_BYTES", 64 << 20).start().await;
    let all = futures_util::future::join_all((0..40).map(|_| grow(&worker)));
    let (answers, _) = worker.pulse_during(all).await;
    for answer in answers {
        let is_done = answer.text().contains("\"type\":\"done\"");
        assert!(is_done || answer.status == 503, "{}", answer.text());
    }
    eprintln!("40 saves that grow by 16 MB: {} MB", worker.peak_memory_bytes() >> 20);
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES, "{}", worker.peak_memory_bytes());
}

/// Nearly as many connections as a worker serves by default.
const MANY: usize = 1900;

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
async fn many_small_bodies_that_stall_take_a_bounded_memory_and_keep_nobody_out() {
    let worker = Setup::default().start().await;
    let head = head("POST", "/generate_game");
    let sent = format!("{head}Content-Length: 262144\r\n\r\n{}", " ".repeat(250_000));
    let mut stalled = Vec::new();
    for _ in 0..MANY {
        let raw = Raw::open(&worker).await;
        // What the worker does not read stays on this side.
        raw.send_now(&sent);
        stalled.push(raw);
    }
    let medium = async { post(&worker, "apply_files", save(Ids::new(), 100_000)).await };
    let small = async { post(&worker, "apply_files", save(Ids::new(), 1000)).await };
    let began = Instant::now();
    let ((small, medium), pulses) =
        worker.pulse_during(futures_util::future::join(small, medium)).await;
    eprintln!(
        "{MANY} bodies of 250 kB: {} MB, another after {:?}, health after {:?}",
        worker.peak_memory_bytes() >> 20,
        began.elapsed(),
        pulses.last(),
    );
    for answer in [small, medium] {
        assert!(answer.text().contains("\"type\":\"done\""), "{}", answer.text());
    }
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES, "{}", worker.peak_memory_bytes());
    for raw in &mut stalled {
        assert_eq!(raw.answer().await.status, 408);
    }
}
