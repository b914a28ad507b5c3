//! Reading a project: which files are served and listed, and with which headers.

use std::io::{Seek as _, SeekFrom, Write as _};

use harness::{Ids, Setup, Worker};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::raw::Raw;
use crate::support::{head, refused};

const LARGE_BYTES: usize = 60 << 20;

fn target(ids: Ids, path: &str) -> String {
    format!("/get_file?user_id={}&project_id={}&path={path}", ids.user, ids.project)
}

/// Bytes without a repetition, so that a lost or doubled block is noticed.
fn pattern(length: usize) -> Vec<u8> {
    (0..length / 8)
        .flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

#[tokio::test]
async fn each_kind_of_file_has_its_type_and_caching() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let hour = "private, max-age=3600";
    for (path, content_type, cache) in [
        ("index.html", "text/html; charset=utf-8", "no-store"),
        ("sub/PAGE.HTML", "text/html; charset=utf-8", "no-store"),
        ("game.js", "text/javascript; charset=utf-8", "no-cache"),
        ("style.css", "text/css; charset=utf-8", "no-cache"),
        ("data.json", "application/json; charset=utf-8", "no-cache"),
        ("spec.md", "text/markdown; charset=utf-8", "no-cache"),
        ("assets/a.png", "image/png", hour),
        ("assets/a.webp", "image/webp", hour),
        ("assets/a.mp3", "audio/mpeg", hour),
        ("noext", "application/octet-stream", "no-cache"),
        ("evil.png.unknown", "application/octet-stream", "no-cache"),
    ] {
        worker.put(ids, path, "content");
        let answer = worker.get_file(ids, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text(), "content");
        assert_eq!(answer.header("content-type"), content_type, "{path}");
        assert_eq!(answer.header("cache-control"), cache, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-length"), "7");
    }
}

#[tokio::test]
async fn the_first_other_page_stands_in_for_a_missing_index_and_for_nothing_else() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "sub/a.html", "not at the top");
    worker.put(ids, ".a.html", "hidden");
    worker.put(ids, "a.htm", "another ending");
    let answer = worker.get_file(ids, "index.html").await;
    assert_eq!(refused(&worker, &answer, "no page"), 404);

    // Each of these names comes first but is not a file that can be served.
    std::fs::create_dir(worker.project(ids).join("aa.html")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", worker.project(ids).join("ab.html")).unwrap();
    worker.put(ids, "elsewhere", "second name");
    let twice = worker.project(ids).join("ac.html");
    std::fs::hard_link(worker.project(ids).join("elsewhere"), twice).unwrap();
    worker.put(ids, "c.html", "c");
    worker.put(ids, "b.html", "b");
    worker.put(ids, "Z.html", "Z");
    let answer = worker.get_file(ids, "index.html").await;
    assert_eq!(answer.text(), "Z", "capitals come first");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    std::fs::remove_file(worker.project(ids).join("Z.html")).unwrap();
    assert_eq!(worker.get_file(ids, "index.html").await.text(), "b");
    let without_path = target(ids, "").replace("&path=", "");
    assert_eq!(worker.get(&without_path).await.text(), "b");

    for path in ["index.htm", "sub/index.html", "Index.html", "game.html"] {
        assert_eq!(worker.get_file(ids, path).await.status, 404, "{path}");
    }
    worker.put(ids, "index.html", "");
    let answer = worker.get_file(ids, "index.html").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
}

#[tokio::test]
async fn names_are_taken_byte_for_byte() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let names = [
        "か\u{3099}.png",
        "が.png",
        "画像/背景 その１.png",
        "a+b c.txt",
        "100%.txt",
        "%2e%2e",
        "a&b=c;d#e?.txt",
        "emoji👨‍👩‍👧.png",
        "-rf",
        "quote\"'.txt",
        "A.txt",
        "a.txt",
    ];
    for name in names {
        worker.put(ids, name, name);
    }
    for name in names {
        let answer = worker.get_file(ids, name).await;
        assert_eq!(answer.text(), name, "{name}");
    }
    let plus = worker.get(&target(ids, "a%2Bb+c.txt")).await;
    assert_eq!(plus.text(), "a+b c.txt");
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(worker.list_files(ids).await.json(), json!({ "files": sorted }));
}

#[tokio::test]
async fn ids_are_one_folder_in_either_letter_case() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>");
    let upper = target(ids, "index.html")
        .replace(&ids.user.to_string(), &ids.user.to_string().to_ascii_uppercase());
    assert_eq!(worker.get(&upper).await.text(), "<p>");
}

#[tokio::test]
async fn the_nil_project_is_asked_for_in_a_health_check() {
    let worker = Setup::default().start().await;
    let nil = Ids { user: Uuid::nil(), project: Uuid::nil() };
    let answer = worker.list_files(nil).await;
    assert_eq!(refused(&worker, &answer, "nil"), 404);
    assert_eq!(answer.json()["files"], json!([]));
    std::fs::create_dir_all(worker.project(nil)).unwrap();
    let answer = worker.list_files(nil).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({ "files": [] }));
}

#[tokio::test]
async fn the_relays_state_can_be_read_and_is_never_listed() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, ".style-pending.json", "{\"a\":1}");
    let answer = worker.get_file(ids, ".style-pending.json").await;
    assert_eq!(answer.json(), json!({"a": 1}));
    assert_eq!(answer.header("cache-control"), "no-cache");
    for hidden in [".env", ".git/config", "sub/.hidden", ".dir/a.txt"] {
        worker.put(ids, hidden, "x");
        assert_eq!(worker.get_file(ids, hidden).await.status, 400, "{hidden}");
    }
    assert_eq!(worker.list_files(ids).await.json(), json!({ "files": [] }));
}

/// The peak memory of the worker.
pub(crate) fn most_memory_kib(worker: &Worker) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid()))
        .expect("the worker lives");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("VmHWM").parse().expect("a number")
}

#[tokio::test]
async fn a_large_file_passes_through_in_small_pieces() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let content = pattern(LARGE_BYTES);
    worker.put(ids, "assets/film.mp4", &content);
    let before = most_memory_kib(&worker);
    let mut answers = Vec::new();
    // Three slow clients at the same time.
    for _ in 0..3 {
        let request = worker.request(Method::GET, &target(ids, "assets/film.mp4"));
        answers.push((request.send().await.unwrap(), 0));
    }
    while answers.iter().any(|(_, at)| *at < LARGE_BYTES) {
        for (answer, at) in &mut answers {
            if let Some(chunk) = answer.chunk().await.unwrap() {
                assert!(content[*at..*at + chunk.len()] == chunk, "wrong at {at}");
                *at += chunk.len();
            }
        }
    }
    let grown = most_memory_kib(&worker) - before;
    assert!(grown < 24 << 10, "the worker grew by {grown} KiB");
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_sent_arrives_as_it_was() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let content = pattern(LARGE_BYTES / 2);
    worker.put(ids, "a.bin", &content);
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{}\r\n", head("GET", &target(ids, "a.bin")))).await;
    let answer = raw.head().await;
    assert_eq!(answer.status, 200);
    // More bytes are left than all buffers in between can hold.
    worker.put(ids, "new", "new");
    let place = worker.project(ids).join("a.bin");
    std::fs::rename(worker.project(ids).join("new"), place).unwrap();
    let body = raw.body(content.len()).await;
    assert!(body == content, "the old content, whole");
    assert_eq!(worker.get_file(ids, "a.bin").await.text(), "new");
}

#[tokio::test]
async fn a_file_that_changes_its_size_while_it_is_sent_is_never_padded_or_run_over() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let content = pattern(LARGE_BYTES / 2);
    worker.put(ids, "a.bin", &content);
    let path = worker.project(ids).join("a.bin");
    let file = || std::fs::File::options().write(true).open(&path).unwrap();
    let request = format!("{}\r\n", head("GET", &target(ids, "a.bin")));

    // If the file grows, the client gets exactly the announced length, and can use the connection
    // again.
    let mut raw = Raw::open(&worker).await;
    raw.send(&request).await;
    raw.head().await;
    let mut longer = file();
    longer.seek(SeekFrom::End(0)).unwrap();
    longer.write_all(b"more").unwrap();
    assert!(raw.body(content.len()).await == content);
    raw.send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);

    // If the file shrinks, the connection is closed early, so the client notices it.
    let mut raw = Raw::open(&worker).await;
    raw.send(&request).await;
    raw.head().await;
    file().set_len(0).unwrap();
    let body = raw.rest().await;
    assert!(body.len() < content.len() && content.starts_with(&body));
}
