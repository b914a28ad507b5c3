//! Requests that two parsers could understand differently, and targets that name an endpoint only
//! after normalization. The worker does not normalize, and no request can hide in another one.

use std::time::Duration;

use harness::{SECRET, Setup, Worker};

use crate::raw::Raw;
use crate::support::{head, query, refused};

/// The request that is hidden in another one. Its answer would be a 200, and it would end the
/// connection.
const HIDDEN: &str = "GET /version HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";

/// Sends bytes, and returns everything that the worker answers until it closes the connection.
async fn all_answers(worker: &Worker, bytes: &[u8]) -> String {
    let mut raw = Raw::open(worker).await;
    raw.send(bytes).await;
    match tokio::time::timeout(Duration::from_secs(5), raw.rest()).await {
        Ok(answers) => String::from_utf8_lossy(&answers).into_owned(),
        Err(_) => "HTTP/1.1 2: still open".to_owned(),
    }
}

#[tokio::test]
async fn a_target_is_compared_as_it_stands() {
    let worker = Setup::default().start().await;
    let query = query("index.html");
    for path in [
        "/get_file/..",
        "/get_file/../..",
        "/get_file/../list_files",
        "/./get_file",
        "/get_file/.",
        "/x/../get_file",
        "/get_file/%2e%2e/version",
        "/get_file%2f",
        "/get_file%2F..%2F..%2Fversion",
        "/%2fget_file",
        "/%2Fversion",
        "/%67et_file",
        "/get%2Dfile",
        "/get_file%00",
        "/get_file%0a",
        "/get_file%20",
        "/get_file+",
        "/get_file;a=b",
        "/get_file;/../version",
        "/get_file..;/version",
        "/get_file\\..\\version",
        "/get_file%5c..",
        "/get_file,list_files",
        "///version",
        "//host/version",
        "/health/../version",
        "/health%2flive",
        "/health/live/",
        "/health/live/..",
        "/.git/config",
        "/etc/passwd",
        "/proc/self/environ",
        "/%EF%BC%8Fversion",
        "/get\u{ff3f}file",
    ] {
        for origin in ["", "http://127.0.0.1", "http://elsewhere.example:80"] {
            let target = format!("{origin}{path}?{query}");
            let request = format!("{}\r\n", head("GET", &target));
            let answer = Raw::ask(&worker, request).await.into_answer();
            assert_eq!(refused(&worker, &answer, &target), 404, "{target}");
        }
    }
}

#[tokio::test]
async fn whoever_has_no_secret_reaches_nothing_through_an_open_endpoint() {
    let worker = Setup::default().start().await;
    let query = query("index.html");
    for path in [
        "/health/live/../../get_file",
        "/health/live/..;/get_file",
        "/health/live%2f..%2f..%2fget_file",
        "/version/get_file",
        "/version%2fget_file",
        "/version;/get_file",
        "/version/%2e%2e/get_file",
        "//get_file",
        "/get_file",
        "http://127.0.0.1/get_file",
        "http://127.0.0.1/version/../get_file",
    ] {
        let request = format!("GET {path}?{query} HTTP/1.1\r\nHost: t\r\n\r\n");
        let answer = Raw::ask(&worker, request).await.into_answer();
        assert_eq!(refused(&worker, &answer, path), 401, "{path}");
    }
    // A secret in another header, or a second secret, does not count.
    for header in [
        format!("X_Modal_Secret: {SECRET}\r\n"),
        format!("X-Modal-Secret: wrong\r\nX-Modal-Secret: {SECRET}\r\n"),
        format!("X-Modal-Secret: wrong\r\nX-A: b\nX-Modal-Secret: {SECRET}\r\n"),
        format!("X-Modal-Secret: {SECRET},\r\n"),
        format!("X-Original-URL: /version\r\nAuthorization: Bearer {SECRET}\r\n"),
        format!("Cookie: X-Modal-Secret={SECRET}\r\n"),
        "X-Rewrite-URL: /version\r\nX-Forwarded-For: 127.0.0.1\r\n".to_owned(),
    ] {
        let request = format!("GET /list_files?{query} HTTP/1.1\r\nHost: t\r\n{header}\r\n");
        let answer = Raw::ask(&worker, request).await.into_answer();
        assert_eq!(refused(&worker, &answer, &header), 401, "{header}");
    }
}

#[tokio::test]
async fn other_forms_of_a_target_name_nothing() {
    let worker = Setup::default().start().await;
    for line in [
        "GET get_file",
        "GET version",
        "GET ..",
        "GET ../version",
        "GET *",
        "OPTIONS *",
        "GET ?",
        "GET http:/version",
        "GET http://",
        "GET file:///etc/passwd",
        "GET http://[::1/version",
        "GET http://a@b@c/get_file",
        "CONNECT 127.0.0.1:80",
        "CONNECT /version",
        "TRACE /version",
        "get /version",
        "GET\t/version",
        "GET  /version",
        " GET /version",
        "GET /version\0",
        "GET /\0",
        "GET /version HTTP/1.1 HTTP/1.1\r\nX: ",
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let answers = all_answers(&worker, request.as_bytes()).await;
        let is_refusal = answers.is_empty() || answers.starts_with("HTTP/1.1 4");
        assert!(is_refusal, "{line:?}: {answers}");
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{line:?}: {answers}");
    }
}

#[tokio::test]
async fn no_request_hides_in_the_body_of_another() {
    let worker = Setup::default().start().await;
    let length = HIDDEN.len();
    let mut wrong = Vec::new();
    // Whichever of the two lengths counts, the rest must not be parsed as a request.
    for (headers, body) in [
        (format!("Content-Length: 0\r\nContent-Length: {length}"), String::new()),
        (format!("Content-Length: {length}\r\nContent-Length: 0"), String::new()),
        (format!("Content-Length: 0, {length}"), String::new()),
        ("Content-Length: -1".to_owned(), String::new()),
        ("Content-Length: 0x0".to_owned(), String::new()),
        ("Content-Length: 18446744073709551616".to_owned(), String::new()),
        ("Content-Length:\u{b}0".to_owned(), String::new()),
        ("Content-Length: ".to_owned(), String::new()),
        ("Transfer-Encoding: identity".to_owned(), String::new()),
        ("Transfer-Encoding: xchunked".to_owned(), String::new()),
        ("Transfer-Encoding: chunked, x".to_owned(), "0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x".to_owned(), "0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: \u{b}chunked".to_owned(), "0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: \"chunked\"".to_owned(), "0\r\n\r\n".to_owned()),
        ("Transfer-Encoding : chunked".to_owned(), "0\r\n\r\n".to_owned()),
        ("Transfer-Encoding\u{a0}: chunked".to_owned(), "0\r\n\r\n".to_owned()),
        (" Transfer-Encoding: chunked".to_owned(), "0\r\n\r\n".to_owned()),
        ("X: a\r\n Transfer-Encoding: chunked".to_owned(), "0\r\n\r\n".to_owned()),
        ("X\0: a".to_owned(), String::new()),
        ("X: a\0b".to_owned(), String::new()),
        ("X: a\rContent-Length: 5".to_owned(), String::new()),
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), "0\r\n\r\n".to_owned()),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), "0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "0x0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "-0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "+0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "10000000000000000\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "1\r\nab0\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "0;a\nb\r\n\r\n".to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), "0\rX\n\r\n".to_owned()),
    ] {
        let request = head("POST", "/generate_game");
        let request = format!("{request}{headers}\r\n\r\n{body}{HIDDEN}");
        let answers = all_answers(&worker, request.as_bytes()).await;
        let shown = format!("{headers:?} {body:?}: {answers}");
        if answers.contains("HTTP/1.1 2") || answers.contains("HTTP/1.1 5") {
            wrong.push(shown);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // For comparison: two separate requests are both answered.
    let request = head("POST", "/generate_game");
    for (headers, body) in
        [("Content-Length: 2", "{}"), ("Transfer-Encoding: chunked", "0\r\n\r\n")]
    {
        let two = format!("{request}{headers}\r\n\r\n{body}{HIDDEN}");
        let answers = all_answers(&worker, two.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 400 "), "{answers}");
        assert!(answers.contains("HTTP/1.1 200 "), "{answers}");
    }
}
