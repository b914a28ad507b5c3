//! Requests that are legal, or nearly, and that no ordinary client sends.

use std::time::Duration;

use harness::{Ids, Setup, Worker};

use crate::raw::{Raw, RawAnswer};
use crate::support::head;

/// The most memory that a worker may take, whatever it is sent.
const MAX_WORKER_BYTES: u64 = 300 << 20;
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n";

/// Sends all of this, and reads the answer at the same time.
async fn exchange(worker: &Worker, request: Vec<u8>) -> RawAnswer {
    let mut raw = Raw::open(worker).await;
    raw.send(request).await;
    raw.answer().await
}

#[tokio::test]
async fn chunks_are_bounded_in_all_their_parts() {
    let worker = Setup::default().start().await;
    let begin = format!("{}Transfer-Encoding: chunked\r\n\r\n", head("POST", "/generate_game"));
    let long = "a".repeat(1 << 20);
    let bodies = [
        ("an extension without end", format!("2;{long}\r\n{{}}\r\n0\r\n\r\n")),
        ("trailers without end", format!("2\r\n{{}}\r\n0\r\nX-A: {long}\r\n\r\n")),
        ("many trailers", format!("2\r\n{{}}\r\n0\r\n{}\r\n", "X-A: b\r\n".repeat(50_000))),
        ("a size without end", format!("{}2\r\n{{}}\r\n0\r\n\r\n", "0".repeat(1 << 20))),
        ("the largest size", "FFFFFFFFFFFFFFFF\r\n{}".to_owned()),
        ("more than the limit in small chunks", format!("400\r\n{}\r\n", "a".repeat(1024))),
        ("a million chunks", "1\r\n \r\n".repeat(1_000_000) + "2\r\n{}\r\n0\r\n\r\n"),
    ];
    for (what, body) in bodies {
        let body = if what.starts_with("more") { body.repeat(9000) } else { body };
        let asked = exchange(&worker, format!("{begin}{body}").into_bytes());
        let (answer, times) = worker.pulse_during(asked).await;
        assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
        let longest = times.last().copied().unwrap_or_default();
        assert!(longest < Duration::from_secs(1), "{what}: {longest:?}");
    }
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES / 2, "{}", worker.peak_memory_bytes());
    // The twin: what is in bounds is read, and trailers are passed over.
    let fine = format!("{begin}2;a=b\r\n{{}}\r\n0\r\nX-A: b\r\n\r\n{LIVE}");
    let mut raw = Raw::open(&worker).await;
    raw.send(fine).await;
    assert_eq!(raw.answer().await.status, 400);
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn requests_that_are_sent_without_reading_answers_wait() {
    let worker = Setup::default().start().await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::open(&worker).await;
        all.push(tokio::spawn(async move {
            raw.send(LIVE.repeat(100_000)).await;
            raw
        }));
    }
    let work = tokio::time::sleep(Duration::from_secs(5));
    let ((), times) = worker.pulse_during(work).await;
    assert!(times.last().is_some_and(|longest| *longest < Duration::from_secs(1)), "{times:?}");
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES / 2, "{}", worker.peak_memory_bytes());
    all.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_answered_or_cut_off_and_holds_nothing() {
    let worker = Setup::default().var("DREAMCORE_MAX_CONNECTIONS", 2).start().await;
    for _ in 0..10 {
        let mut raw = Raw::open(&worker).await;
        raw.send(LIVE).await;
        raw.close_own_side().await;
        raw.rest().await;
        let mut raw = Raw::open(&worker).await;
        let head = head("POST", "/generate_game");
        raw.send(format!("{head}Content-Length: 100\r\n\r\n{{")).await;
        raw.close_own_side().await;
        raw.rest().await;
    }
    assert_eq!(Raw::ask(&worker, LIVE).await.status, 200);
}

#[tokio::test]
async fn a_form_is_not_held_in_memory_for_what_is_no_file() {
    let worker = Setup::default().start().await;
    let target = format!("/upload_asset?user_id={}", Ids::new().user);
    let begin = format!(
        "{}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 40000000\r\n\r\n",
        head("POST", &target)
    );
    let filler = "a".repeat(39_000_000);
    for part in ["", "--x\r\nContent-Disposition: form-data; name=", "--x\r\nX-A: b\r\n"] {
        let asked = (0..10).map(|_| {
            let mut request = format!("{begin}{part}{filler}").into_bytes();
            request.resize(begin.len() + 40_000_000, b'a');
            exchange(&worker, request)
        });
        let asked = futures_util::future::join_all(asked);
        let (answers, _) = worker.pulse_during(asked).await;
        for answer in answers {
            assert_eq!(answer.status, 400, "{part:?}: {answer:?}");
            assert_eq!(answer.into_answer().json()["code"], "INVALID_REQUEST");
        }
    }
    assert!(worker.peak_memory_bytes() < MAX_WORKER_BYTES / 2, "{}", worker.peak_memory_bytes());
}
