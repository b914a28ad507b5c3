//! A client without the secret gets nothing and learns nothing about the endpoints.

use harness::{SECRET, Setup, Worker};
use reqwest::Method;

use crate::raw::Raw;
use crate::support::{anonymous, everything, query};

const PREVIOUS: &str = "the-secret-before-0123456789abcdef0123";

async fn status_with(worker: &Worker, secrets: &[&[u8]]) -> u16 {
    let mut request = anonymous(worker, Method::GET, &format!("/list_files?{}", query("a")));
    for secret in secrets {
        request = request.header("X-Modal-Secret", *secret);
    }
    worker.send(request).await.status.as_u16()
}

#[tokio::test]
async fn only_the_exact_secret_opens_once() {
    let worker = Setup::default().start().await;
    let secret = SECRET.as_bytes();
    // 404 means that the request was accepted: the project does not exist.
    assert_eq!(status_with(&worker, &[secret]).await, 404);
    let with_space = format!("{SECRET} x");
    let upper = SECRET.to_uppercase();
    let prefix = secret.split_last().expect("it is not empty").1;
    let longer = [secret, b"0"].concat();
    for wrong in [
        &b""[..],
        b"wrong",
        prefix,
        &longer,
        with_space.as_bytes(),
        upper.as_bytes(),
        b"\xff\xfe",
        b"undefined",
        b"null",
    ] {
        assert_eq!(status_with(&worker, &[wrong]).await, 401, "{wrong:?}");
    }
    for many in
        [vec![secret, secret], vec![b"wrong", secret], vec![secret, b"wrong"], vec![b"", secret]]
    {
        assert_eq!(status_with(&worker, &many).await, 401, "{many:?}");
    }
}

#[tokio::test]
async fn the_previous_secret_opens_where_it_is_set_and_nowhere_else() {
    let worker = Setup::default().start().await;
    assert_eq!(status_with(&worker, &[PREVIOUS.as_bytes()]).await, 401);
    let rotating = Setup::default().var("MODAL_INTERNAL_SECRET_PREVIOUS", PREVIOUS);
    let worker = rotating.start().await;
    assert_eq!(status_with(&worker, &[PREVIOUS.as_bytes()]).await, 404);
    assert_eq!(status_with(&worker, &[SECRET.as_bytes()]).await, 404);
    assert_eq!(status_with(&worker, &[b""]).await, 401);
}

#[tokio::test]
async fn the_secret_counts_in_its_header_only() {
    let worker = Setup::default().start().await;
    for target in [
        format!("/list_files?x-modal-secret={SECRET}&{}", query("a")),
        format!("/list_files?secret={SECRET}&{}", query("a")),
        format!("/{SECRET}/list_files?{}", query("a")),
    ] {
        let answer = worker.send(anonymous(&worker, Method::GET, &target)).await;
        assert_eq!(answer.status, 401, "{target}");
    }
    for (name, value) in [
        ("Authorization", format!("Bearer {SECRET}")),
        ("Cookie", format!("x-modal-secret={SECRET}")),
        ("X-Api-Key", SECRET.to_owned()),
        ("X-Modal-Secrets", SECRET.to_owned()),
        ("Modal-Secret", SECRET.to_owned()),
    ] {
        let request = anonymous(&worker, Method::GET, &format!("/list_files?{}", query("a")));
        let answer = worker.send(request.header(name, value)).await;
        assert_eq!(answer.status, 401, "{name}");
    }
}

/// The answer to a client without the secret, without the parts that differ from answer to answer.
async fn what_a_stranger_sees(worker: &Worker, request: reqwest::RequestBuilder) -> String {
    let mut answer = worker.send(request).await;
    answer.headers.remove("date");
    answer.headers.remove("x-request-id");
    format!("{answer:?}")
}

#[tokio::test]
async fn strangers_see_one_answer_whatever_they_ask() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let first = anonymous(&worker, Method::GET, "/list_files");
    let first = what_a_stranger_sees(&worker, first).await;
    assert!(first.contains("401"), "{first}");
    let body = worker.send(anonymous(&worker, Method::GET, "/")).await;
    assert_eq!(body.json()["error"], "Unauthorized");
    assert_eq!(body.json()["code"], "UNAUTHORIZED");

    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/no_such_endpoint"),
        (Method::GET, "/health"),
        (Method::GET, "/health/live/x"),
        (Method::GET, "/generate_game"),
        (Method::POST, "/get_file"),
        (Method::DELETE, "/list_files"),
        (Method::OPTIONS, "/generate_game"),
        (Method::GET, "/get_file?path=../../etc/passwd"),
        (Method::GET, "/get-file?user_id=%ff"),
    ] {
        let plain = anonymous(&worker, method.clone(), path);
        let seen = what_a_stranger_sees(&worker, plain).await;
        assert_eq!(seen, first, "{method} {path}");
        let wrong = anonymous(&worker, method.clone(), path).header("X-Modal-Secret", "wrong");
        let seen = what_a_stranger_sees(&worker, wrong).await;
        assert_eq!(seen, first, "{method} {path} with a wrong secret");
    }
    for (kind, body) in [("application/json", "{"), ("application/json", "{}"), ("text/plain", "x")]
    {
        let request = anonymous(&worker, Method::POST, "/generate_game");
        let request = request.header("Content-Type", kind).body(body);
        assert_eq!(what_a_stranger_sees(&worker, request).await, first);
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn a_strangers_body_is_not_even_read() {
    let worker = Setup::default().start().await;
    let head = "POST /generate_game HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n";
    for length in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        let request = format!("{head}{length}\r\nExpect: 100-continue\r\n\r\n");
        let answer = Raw::ask(&worker, request).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

#[tokio::test]
async fn health_and_version_are_open_and_say_nothing_of_secrets() {
    let worker = Setup::default().start().await;
    worker.settled().await;
    for path in ["/health/live", "/health/ready", "/version"] {
        let answer = worker.send(anonymous(&worker, Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let text = answer.text();
        let folder = worker.data().display().to_string();
        for hidden in [SECRET, harness::REAL_KEY, &folder, &worker.api.base_url()] {
            assert!(!text.contains(hidden), "{path}: {text}");
        }
    }
}
