//! More connections than there are places, and clients that are slow on purpose. Whatever they do,
//! the worker says within a second that it lives, and takes a bounded memory.

use std::time::{Duration, Instant};

use harness::{Ids, Setup, Worker};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::raw::Raw;
use crate::support::head;

/// The most memory that a worker may take, whatever is done to it.
const MAX_WORKER_BYTES: u64 = 300 << 20;
/// The latest answer to the question whether it lives.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Nearly as many connections as a worker serves by default.
const MANY: usize = 1900;
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n";

/// Lets this process open as many files as it may, and returns how many connections that allows.
fn connections(wanted: usize) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("a limit can be raised to its end");
    wanted.min(usize::try_from(hard).expect("a number of files") / 2)
}

/// Opens connections that each send this.
async fn open(worker: &Worker, count: usize, sent: &str) -> Vec<Raw> {
    let mut all = Vec::new();
    for _ in 0..count {
        let raw = Raw::open(worker).await;
        raw.send_now(sent);
        all.push(raw);
    }
    all
}

/// Asks for a few seconds whether it lives, each time by a new connection. Returns the longest wait.
async fn lives(worker: &Worker) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(Raw::ask(worker, LIVE).await.status, 200);
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    longest
}

#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
fn judge(what: &str, worker: &Worker, longest: Duration) {
    let peak = worker.peak_memory_bytes();
    eprintln!("{what}: {} MB, health after at most {longest:?}", peak >> 20);
    assert!(peak < MAX_WORKER_BYTES, "{what}: {peak}");
    assert!(longest < MAX_WAIT, "{what}: {longest:?}");
}

#[tokio::test]
async fn ten_thousand_idle_connections_make_way_for_one_that_asks() {
    let worker = Setup::default().start().await;
    let idle = open(&worker, connections(10_000), "").await;
    judge("10,000 idle connections", &worker, lives(&worker).await);
    // The oldest had to go, and the youngest are served when they ask.
    let mut all = idle.into_iter();
    let (mut oldest, mut youngest) = (all.next().expect("one"), all.next_back().expect("another"));
    assert_eq!(oldest.rest().await, b"");
    youngest.send(LIVE).await;
    assert_eq!(youngest.answer().await.status, 200);
}

#[tokio::test]
async fn slow_heads_make_way_too_and_take_a_bounded_memory() {
    let worker = Setup::default().start().await;
    let part = format!("GET / HTTP/1.1\r\nHost: t\r\nX-A: {}", "a".repeat(31_000));
    let slow = open(&worker, connections(3 * MANY), &part).await;
    judge("5,700 heads of 31 kB that never end", &worker, lives(&worker).await);
    drop(slow);
}

#[tokio::test]
async fn where_all_connections_have_requests_the_others_are_told_so() {
    let places = 100;
    let worker = Setup::default().var("DREAMCORE_MAX_CONNECTIONS", places).start().await;
    let begun = format!("{}Content-Length: 100\r\n\r\n{{", head("POST", "/generate_game"));
    let mut busy = open(&worker, places + 20, &begun).await;
    // Once the places are taken, others are answered at once.
    let list = format!("{}\r\n", head("GET", "/get_versions?user_id=x"));
    let deadline = Instant::now() + Duration::from_secs(5);
    let answer = loop {
        let answer = Raw::ask(&worker, &list).await;
        if answer.status == 503 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    };
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(answer.into_answer().json()["code"], "WORKER_BUSY");
    judge("all connections have requests", &worker, lives(&worker).await);
    // Those that were served are told that their body did not come, and then there is room again.
    let statuses = futures_util::future::join_all(busy.iter_mut().map(Raw::answer)).await;
    let late = statuses.iter().filter(|answer| answer.status == 408).count();
    let refused = statuses.iter().filter(|answer| answer.status == 503).count();
    assert_eq!((late, refused), (places, 20));
    assert_eq!(Raw::ask(&worker, &list).await.status, 400);
}

/// A project with a file of some megabytes, and the request for it.
fn large_file(worker: &Worker) -> (Ids, String) {
    let ids = Ids::new();
    worker.put(ids, "large.bin", "0123456789abcdef".repeat(256 * 1024).as_bytes());
    let Ids { user, project } = ids;
    let target = format!("/get_file?user_id={user}&project_id={project}&path=large.bin");
    (ids, format!("{}\r\n", head("GET", &target)))
}

#[tokio::test]
async fn downloads_that_nobody_reads_take_a_bounded_memory_and_end() {
    let worker = Setup::default().start().await;
    let (ids, request) = large_file(&worker);
    let mut stalled = open(&worker, connections(MANY), &request).await;
    let longest = lives(&worker).await;
    // Somebody who reads gets all of it meanwhile.
    assert_eq!(worker.get_file(ids, "large.bin").await.body.len(), 4 << 20);
    judge("1,900 downloads that nobody reads", &worker, longest);
    tokio::time::sleep(Duration::from_secs(65)).await;
    for raw in &mut stalled {
        assert!(raw.rest().await.len() < 4 << 20, "the rest was not sent");
    }
}

#[tokio::test]
async fn a_slow_reader_who_goes_on_gets_the_whole_file() {
    let worker = Setup::default().start().await;
    let (_, request) = large_file(&worker);
    let mut raw = Raw::with_small_window(&worker).await;
    raw.send(&request).await;
    assert_eq!(raw.head().await.status, 200);
    let began = Instant::now();
    let mut left = 4 << 20;
    // Longer than a client that reads nothing is waited for.
    while began.elapsed() < Duration::from_secs(75) {
        left -= raw.body(16 << 10).await.len();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    raw.body(left).await;
}

#[tokio::test]
async fn uploads_that_stall_take_a_bounded_memory_and_keep_nobody_out() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let target = format!("/upload_asset?user_id={}&filename=a.gif", ids.user);
    let sent = format!(
        "{}Content-Length: 1000000\r\n\r\nGIF89a{}",
        head("POST", &target),
        "x".repeat(250_000)
    );
    let stalled = open(&worker, connections(MANY), &sent).await;
    let longest = lives(&worker).await;
    let files = json!([{"path": "a.txt", "content": "x"}]);
    let save = json!({"user_id": ids.user, "project_id": ids.project, "files": files});
    let answer = worker.post("apply_files", &save).await;
    assert!(answer.text().contains("\"type\":\"done\""), "{}", answer.text());
    judge("1,900 uploads that stall", &worker, longest);
    drop(stalled);
}

#[tokio::test]
async fn prompts_that_wait_take_a_bounded_memory() {
    let worker = Setup::default().var("DREAMCORE_QUEUE_TIMEOUT_S", 5).start().await;
    let prompt = "x".repeat(1_000_000);
    let asked = (0..300).map(|_| {
        let ids = Ids::new();
        let body = json!({"user_id": ids.user, "project_id": ids.project, "prompt": prompt});
        let body = body.to_string();
        let head = head("POST", "/generate_game");
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    });
    let mut all = Vec::new();
    for request in asked {
        let mut raw = Raw::open(&worker).await;
        all.push(tokio::spawn(async move {
            raw.send(request).await;
            raw
        }));
    }
    let longest = lives(&worker).await;
    judge("300 prompts of 1 MB", &worker, longest);
    all.iter().for_each(tokio::task::JoinHandle::abort);
}
