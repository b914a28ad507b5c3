//! Connections that are slow, many, broken or unusual.

use std::collections::HashSet;

use harness::{Setup, Worker};
use reqwest::Method;
use serde_json::json;

use crate::raw::Raw;
use crate::support::{anonymous, head, logged, query};

const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n";

async fn is_served(worker: &Worker) {
    let answer = Raw::ask(worker, LIVE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn slow_clients_hinder_nobody() {
    let worker = Setup::default().start().await;
    let mut slow = Vec::new();
    for n in 0..60 {
        let mut raw = Raw::open(&worker).await;
        let part = match n % 4 {
            0 => "",
            1 => "G",
            2 => "GET /health/live HTTP/1.1\r\nHost: t\r\nX-A: ",
            _ => {
                "POST /generate_game HTTP/1.1\r\nHost: t\r\nX-Modal-Secret: \
                  wrong\r\nContent-Length: 100\r\n"
            }
        };
        raw.send(part).await;
        slow.push(raw);
    }
    for raw in &mut slow {
        raw.send("x").await;
        is_served(&worker).await;
    }
    // A slow one that makes an effort is served as well.
    let mut raw = Raw::open(&worker).await;
    for byte in LIVE.as_bytes() {
        raw.send([*byte]).await;
    }
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn a_slow_body_hinders_nobody() {
    let worker = Setup::default().start().await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut raw = Raw::open(&worker).await;
        let head = head("POST", "/generate_game");
        raw.send(format!("{head}Content-Length: 1000000\r\n\r\n{{")).await;
        slow.push(raw);
    }
    let answer = worker.get(&format!("list_files?{}", query("a"))).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn heads_have_a_limit() {
    let worker = Setup::default().start().await;
    let long = "a".repeat(64 * 1024);
    let many: String = "X-A: b\r\n".repeat(200);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: t\r\n\r\n"),
        format!("GET /?{long} HTTP/1.1\r\nHost: t\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: t\r\nX-A: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{many}\r\n"),
    ] {
        let answer = Raw::ask(&worker, &request).await;
        let status = answer.status;
        assert!(matches!(status, 400 | 414 | 431), "{answer:?}");
    }
    is_served(&worker).await;
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_cut_off() {
    let worker = Setup::default().start().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\x00\x00\x00\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-A : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-A: b\0c\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        // Lengths that two readers could understand differently.
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\na",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\na",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\na",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut raw = Raw::open(&worker).await;
        raw.send(garbage).await;
        let rest = String::from_utf8_lossy(&raw.rest().await).into_owned();
        let shown = String::from_utf8_lossy(garbage);
        assert!(!rest.starts_with("HTTP/1.1 2"), "{shown:?}: {rest}");
        assert!(rest.matches("HTTP/1.1 ").count() <= 1, "{shown:?}: {rest}");
    }
    is_served(&worker).await;
}

#[tokio::test]
async fn a_get_that_promises_a_body_is_answered_without_it() {
    let worker = Setup::default().start().await;
    for target in ["/health/live", "/version"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
        assert_eq!(Raw::ask(&worker, request).await.status, 200);
    }
    let request = head("GET", &format!("/list_files?{}", query("a")));
    let answer = Raw::ask(&worker, format!("{request}Content-Length: 5\r\n\r\n")).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn one_connection_carries_many_requests_in_order() {
    let worker = Setup::default().start().await;
    let mut raw = Raw::open(&worker).await;
    for _ in 0..20 {
        raw.send(LIVE).await;
        assert_eq!(raw.answer().await.status, 200);
    }
    // Sent without waiting; answered one after the other.
    let names = ["/version", "/health/live", "/nothing", "/version"];
    let requests = names.map(|name| format!("GET {name} HTTP/1.1\r\nHost: t\r\n\r\n"));
    raw.send(requests.concat()).await;
    let mut statuses = Vec::new();
    for _ in names {
        statuses.push(raw.answer().await.status);
    }
    assert_eq!(statuses, [200, 200, 401, 200]);
}

#[tokio::test]
async fn connections_end_when_the_client_wants_it() {
    let worker = Setup::default().start().await;
    for request in [
        "GET /version HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        "GET /version HTTP/1.0\r\n\r\n",
    ] {
        let mut raw = Raw::open(&worker).await;
        raw.send(request).await;
        assert_eq!(raw.answer().await.status, 200, "{request}");
        assert_eq!(raw.rest().await, b"", "{request}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let worker = Setup::default().start().await;
    let body = r#"{"user_id":"x"}"#;
    let head = head("POST", "/generate_game");
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len())).await;
    assert_eq!(raw.head().await.status, 100);
    raw.send(body).await;
    assert_eq!(raw.answer().await.status, 400);
}

#[tokio::test]
async fn connections_that_ask_for_nothing_make_way_for_others() {
    let worker = Setup::default().var("DREAMCORE_MAX_CONNECTIONS", 40).start().await;
    let mut all = Vec::new();
    for n in 0..100 {
        let mut raw = Raw::open(&worker).await;
        match n % 3 {
            0 => {}
            1 => raw.send("GET / HT").await,
            _ => {
                raw.send(LIVE).await;
                assert_eq!(raw.answer().await.status, 200);
            }
        }
        all.push(raw);
    }
    is_served(&worker).await;
    // Those that came first are closed, and the last one can go on.
    for raw in all.iter_mut().take(50) {
        assert_eq!(raw.rest().await, b"");
    }
    let mut last = all.pop().expect("one");
    last.send(if all.len() % 3 == 1 { "TP/1.1\r\nHost: t\r\n\r\n" } else { LIVE }).await;
    assert!(matches!(last.answer().await.status, 200 | 401));
}

#[tokio::test]
async fn clients_that_leave_give_their_places_back() {
    let worker = Setup::default().var("DREAMCORE_MAX_CONNECTIONS", 4).start().await;
    for n in 0..40 {
        let mut raw = Raw::open(&worker).await;
        match n % 4 {
            0 => {}
            1 => raw.send("GET / HT").await,
            2 => raw.send(LIVE).await,
            _ => raw.send("garbage\r\n\r\n").await,
        }
    }
    is_served(&worker).await;
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_that_stands_in_the_log() {
    let worker = Setup::default().start().await;
    let mut ids = HashSet::new();
    let mut count = 0;
    for _ in 0..10 {
        let files = format!("list_files?{}", query("a"));
        let chosen = worker.request(Method::GET, &files);
        let chosen = chosen.header("X-Request-Id", "chosen-by-the-client");
        let answers = [
            worker.send(anonymous(&worker, Method::GET, "/version")).await,
            worker.send(anonymous(&worker, Method::GET, "/")).await,
            worker.get("/nothing").await,
            worker.post("/list_files", &json!({})).await,
            worker.post("/generate_game", &json!({})).await,
            worker.send(chosen).await,
        ];
        let statuses = answers.each_ref().map(|answer| answer.status.as_u16());
        assert_eq!(statuses, [200, 401, 404, 405, 400, 404]);
        for answer in answers {
            assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
            let id = answer.header("x-request-id").to_owned();
            id.parse::<uuid::Uuid>().expect("a UUID");
            logged(&worker, &id).await;
            let has_status = |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
                line["span"]["id"] == *id && line["status"] == answer.status.as_u16()
            };
            assert!(worker.log().lines().any(has_status), "{}", worker.log());
            ids.insert(id);
            count += 1;
        }
    }
    assert_eq!(ids.len(), count);
    let chosen = worker.log().contains("chosen-by-the-client");
    assert!(!chosen, "what a client sends stays out of the log");
}
