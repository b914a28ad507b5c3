//! A worker that is told to end while it saves.

use std::time::Duration;

use harness::{Ids, Setup};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::strace::Strace;
use crate::support::{about, healthy, write};

#[tokio::test]
async fn a_save_that_takes_long_is_finished_and_answered() {
    let mut worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "index.html", "1").await;
    worker.put(ids, "unsaved.txt", "x");
    // Far longer than connections have at the end.
    let strace = Strace::attach_to_all(&worker, "syncfs", "delay_enter=4000000");
    let request = worker.request(reqwest::Method::POST, "create_version_snapshot");
    let request = request.json(&about(ids, &json!({ "message": "snapshot" })));
    let answer = tokio::spawn(request.send());
    for _ in 0..1000 {
        let ready = worker.get("health/ready").await.json();
        if ready["volume"]["saves"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.signal(Signal::SIGTERM);
    let answer = answer.await.expect("it ends").expect("it is answered");
    let text = answer.text().await.expect("a body");
    assert!(text.contains("\"created\":true"), "{text}");
    let status = worker.ended(Duration::from_secs(30)).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    assert!(worker.log().contains("\"saves\":1"), "{}", worker.log());
    assert!(strace.detach(), "no save was slow");
    healthy(&worker.project(ids));
}
