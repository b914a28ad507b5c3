//! Ranges of files, and conditional requests (RFC 9110).

use std::io::Write as _;
use std::time::Duration;

use harness::{Answer, Ids, Setup, Worker};
use reqwest::Method;

use crate::files::most_memory_kib;
use crate::raw::Raw;
use crate::support::{head, refused};

const CONTENT: &str = "0123456789abcdefghij";

fn target(ids: Ids, path: &str) -> String {
    format!("/get_file?user_id={}&project_id={}&path={path}", ids.user, ids.project)
}

/// Sends a request for `a.txt` with these headers.
async fn ask(worker: &Worker, ids: Ids, method: Method, fields: &[(&str, &str)]) -> Answer {
    let mut request = worker.request(method, &target(ids, "a.txt"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    worker.send(request).await
}

async fn worker_with_file() -> (Worker, Ids) {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "a.txt", CONTENT);
    (worker, ids)
}

#[tokio::test]
async fn one_range_is_answered_with_that_part() {
    let (worker, ids) = worker_with_file().await;
    for (range, part, content_range) in [
        ("bytes=0-4", "01234", "bytes 0-4/20"),
        ("bytes=5-5", "5", "bytes 5-5/20"),
        ("bytes=15-", "fghij", "bytes 15-19/20"),
        ("bytes=0-", CONTENT, "bytes 0-19/20"),
        ("bytes=-3", "hij", "bytes 17-19/20"),
        ("bytes=-500", CONTENT, "bytes 0-19/20"),
        ("bytes=18-500", "ij", "bytes 18-19/20"),
    ] {
        let answer = ask(&worker, ids, Method::GET, &[("range", range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.text(), part, "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        assert_eq!(answer.header("content-length"), part.len().to_string());
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert!(!answer.header("etag").is_empty());
    }
}

#[tokio::test]
async fn a_range_with_nothing_in_it_is_refused_with_the_size() {
    let (worker, ids) = worker_with_file().await;
    for range in ["bytes=20-", "bytes=20-30", "bytes=99999-", "bytes=-0"] {
        let answer = ask(&worker, ids, Method::GET, &[("range", range)]).await;
        assert_eq!(refused(&worker, &answer, range), 416, "{range}");
        assert_eq!(answer.json()["code"], "RANGE_NOT_SATISFIABLE");
        assert_eq!(answer.header("content-range"), "bytes */20", "{range}");
    }
    worker.put(ids, "a.txt", "");
    let answer = ask(&worker, ids, Method::GET, &[("range", "bytes=0-")]).await;
    assert_eq!(refused(&worker, &answer, "empty"), 416);
    assert_eq!(answer.header("content-range"), "bytes */0");
}

#[tokio::test]
async fn what_is_no_single_byte_range_gets_the_whole_file() {
    let (worker, ids) = worker_with_file().await;
    for range in [
        "bytes=0-1,4-5",
        "bytes=0-0,-1",
        "bytes=0-4, 2-6",
        "bytes=7-3",
        "bytes=",
        "bytes=x-y",
        "bytes=1",
        "bytes",
        "lines=0-1",
        "bytes=99999999999999999999999-",
        "bytes=-",
        "bytes=0-4;",
        "",
        "bytes=0\u{e9}-4",
    ] {
        let answer = ask(&worker, ids, Method::GET, &[("range", range)]).await;
        assert_eq!(answer.status, 200, "{range}");
        assert_eq!(answer.text(), CONTENT, "{range}");
        assert_eq!(answer.header("content-range"), "", "{range}");
    }
    // A thousand ranges are ignored too.
    let many: Vec<String> = (0..1000).map(|n| format!("{n}-{n}")).collect();
    let range = format!("bytes={}", many.join(","));
    let answer = ask(&worker, ids, Method::GET, &[("range", &range)]).await;
    assert_eq!(answer.text(), CONTENT);
    let twice = [("range", "bytes=0-0"), ("range", "bytes=1-1")];
    assert_eq!(ask(&worker, ids, Method::GET, &twice).await.text(), CONTENT);
}

#[tokio::test]
async fn head_tells_of_the_whole_file_whatever_range_it_names() {
    let (worker, ids) = worker_with_file().await;
    let whole = ask(&worker, ids, Method::GET, &[]).await;
    for range in ["bytes=0-4", "bytes=99-"] {
        let answer = ask(&worker, ids, Method::HEAD, &[("range", range)]).await;
        assert_eq!(answer.status, 200, "{range}");
        assert!(answer.body.is_empty());
        for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(answer.header(name), whole.header(name), "{name}");
            assert!(!answer.header(name).is_empty(), "{name}");
        }
        assert_eq!(answer.header("content-range"), "");
    }
}

#[tokio::test]
async fn what_the_client_has_already_is_not_sent_again() {
    let (worker, ids) = worker_with_file().await;
    let first = ask(&worker, ids, Method::GET, &[]).await;
    let (etag, modified) = (first.header("etag"), first.header("last-modified"));
    assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong one: {etag}");
    let weak = format!("W/{etag}");
    let listed = format!("\"other\", {etag}");
    for method in [Method::GET, Method::HEAD] {
        for fields in [
            vec![("if-none-match", etag)],
            vec![("if-none-match", weak.as_str())],
            vec![("if-none-match", listed.as_str())],
            vec![("if-none-match", "*")],
            vec![("if-modified-since", modified)],
            // If there is a tag, the date does not count.
            vec![("if-none-match", etag), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            vec![("if-none-match", etag), ("range", "bytes=0-1")],
        ] {
            let answer = ask(&worker, ids, method.clone(), &fields).await;
            assert_eq!(answer.status, 304, "{fields:?}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), etag);
            assert_eq!(answer.header("cache-control"), "no-cache");
            assert_eq!(answer.header("content-type"), "");
        }
    }
    for fields in [
        vec![("if-none-match", "\"other\"")],
        vec![("if-none-match", "\"other\""), ("if-modified-since", modified)],
        vec![("if-none-match", "unquoted")],
        vec![("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
        vec![("if-modified-since", "yesterday")],
    ] {
        let answer = ask(&worker, ids, Method::GET, &fields).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, CONTENT), "{fields:?}");
    }
}

#[tokio::test]
async fn what_is_asked_of_one_version_is_not_answered_with_another() {
    let (worker, ids) = worker_with_file().await;
    let first = ask(&worker, ids, Method::GET, &[]).await;
    let (etag, modified) = (first.header("etag"), first.header("last-modified"));
    let weak = format!("W/{etag}");
    for (fields, status) in [
        (vec![("if-match", etag)], 200),
        (vec![("if-match", "*")], 200),
        (vec![("if-match", weak.as_str())], 412),
        (vec![("if-match", "\"other\"")], 412),
        (vec![("if-match", "unquoted")], 412),
        (vec![("if-unmodified-since", modified)], 200),
        (vec![("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 412),
        (vec![("if-match", etag), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
    ] {
        let answer = ask(&worker, ids, Method::GET, &fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
        if status == 412 {
            assert_eq!(refused(&worker, &answer, "412"), 412);
            assert_eq!(answer.json()["code"], "PRECONDITION_FAILED");
        }
    }
}

#[tokio::test]
async fn a_range_for_one_version_gets_the_whole_of_the_next() {
    let (worker, ids) = worker_with_file().await;
    let first = ask(&worker, ids, Method::GET, &[]).await;
    let etag = first.header("etag");
    let range = ("range", "bytes=0-4");
    let answer = ask(&worker, ids, Method::GET, &[range, ("if-range", etag)]).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (206, "01234"));

    let weak = format!("W/{etag}");
    for field in [weak.as_str(), "\"other\"", "unquoted", first.header("last-modified")] {
        let answer = ask(&worker, ids, Method::GET, &[range, ("if-range", field)]).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, CONTENT), "{field}");
    }

    // The file is replaced, as a save does, by one of the same size in the same second.
    worker.put(ids, "new", CONTENT.to_uppercase());
    let folder = worker.project(ids);
    std::fs::rename(folder.join("new"), folder.join("a.txt")).unwrap();
    let answer = ask(&worker, ids, Method::GET, &[range, ("if-range", etag)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), CONTENT.to_uppercase());
    assert_ne!(answer.header("etag"), etag);
    let answer = ask(&worker, ids, Method::GET, &[("if-none-match", etag)]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_page_that_stands_in_for_the_index_has_ranges_and_a_tag_of_its_own() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "b.html", "<p>the page");
    let request = worker.request(Method::GET, &target(ids, "index.html"));
    let answer = worker.send(request.header("range", "bytes=3-5")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (206, "the"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn half_a_gigabyte_costs_no_more_memory_than_a_small_file() {
    const SIZE: u64 = 500 << 20;
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "small", "x".repeat(5 << 10));
    worker.put(ids, "large", "beginning");
    let place = worker.project(ids).join("large");
    let mut file = std::fs::File::options().write(true).open(&place).unwrap();
    // A sparse file, which uses hardly any space.
    file.set_len(SIZE - 3).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"end").unwrap();
    drop(file);
    for _ in 0..50 {
        assert_eq!(worker.get(&target(ids, "small")).await.body.len(), 5 << 10);
    }
    let before = most_memory_kib(&worker);

    // Slow clients read a little and then wait.
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::open(&worker).await;
        raw.send(format!("{}\r\n", head("GET", &target(ids, "large")))).await;
        let answer = raw.head().await;
        assert_eq!(answer.header("content-length"), SIZE.to_string());
        assert!(raw.body(9).await == b"beginning");
        slow.push(raw);
    }
    // A fast client reads all of it in the meantime.
    let mut fast = worker.request(Method::GET, &target(ids, "large")).send().await.unwrap();
    let (mut seen, mut last) = (0, Vec::new());
    while let Some(chunk) = fast.chunk().await.unwrap() {
        seen += chunk.len() as u64;
        last = chunk.to_vec();
    }
    assert_eq!(seen, SIZE);
    assert!(last.ends_with(b"end"));
    let range = worker.request(Method::GET, &target(ids, "large")).header("range", "bytes=-3");
    assert_eq!(worker.send(range).await.text(), "end");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = most_memory_kib(&worker);
    assert!(after - before < 16 << 10, "the worker grew from {before} to {after} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_file_is_saved_again_and_again_every_answer_is_one_version() {
    // The smaller file is read at once, and the larger one is sent in pieces.
    for size in [20_000, 900_000] {
        let (worker, ids) = worker_with_file().await;
        let (folder, stop) = (worker.project(ids), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for version in (b'a'..=b'z').cycle() {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    // The sizes differ too, so a length of one version with bytes of the other
                    // would be noticed.
                    let content = vec![version; size + usize::from(version)];
                    std::fs::write(folder.join("new"), content).unwrap();
                    std::fs::rename(folder.join("new"), folder.join("a.txt")).unwrap();
                }
            });
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let mut seen = std::collections::BTreeMap::new();
                    while seen.len() < 30 {
                        let answer = ask(&worker, ids, Method::GET, &[]).await;
                        assert_eq!(answer.status, 200);
                        if answer.text() == CONTENT {
                            continue;
                        }
                        let version = answer.body[0];
                        assert_eq!(answer.body, vec![version; size + usize::from(version)]);
                        let etag = answer.header("etag").to_owned();
                        let part = [("range", "bytes=100-199"), ("if-range", etag.as_str())];
                        let part = ask(&worker, ids, Method::GET, &part).await;
                        if part.status == 206 {
                            assert_eq!(part.body, vec![version; 100]);
                        }
                        let known = *seen.entry(etag).or_insert(version);
                        assert_eq!(known, version, "one tag, two versions");
                    }
                });
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
