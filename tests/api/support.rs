//! Shared code of these tests: checks of refusals and of the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Answer, SECRET, Worker};
use reqwest::{Method, RequestBuilder};

/// A valid id.
pub(crate) const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

/// Checks that an answer is a refusal as the contract defines it: a 4xx with a text, a code and a
/// request id, and without a path of the machine. Returns the status.
pub(crate) fn refused(worker: &Worker, answer: &Answer, what: &str) -> u16 {
    let status = answer.status.as_u16();
    assert!((400..500).contains(&status), "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}: {answer:?}");
    let body = answer.json();
    let error = body["error"].as_str().unwrap_or_default();
    assert!(!error.is_empty(), "{what}: {body}");
    let code = body["code"].as_str().unwrap_or_default();
    let well_formed = |b: u8| b.is_ascii_uppercase() || b == b'_';
    assert!(!code.is_empty() && code.bytes().all(well_formed), "{what}: {body}");
    let data = worker.data().display().to_string();
    assert!(!answer.text().contains(&data), "{what}: {body}");
    assert!(!answer.header("x-request-id").is_empty(), "{what}");
    status
}

/// Makes a request without the secret.
pub(crate) fn anonymous(worker: &Worker, method: Method, path: &str) -> RequestBuilder {
    let mut url: reqwest::Url = worker.base_url().parse().expect("a URL");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    url.set_path(path);
    url.set_query((!query.is_empty()).then_some(query));
    reqwest::Client::builder().no_proxy().build().expect("an HTTP client").request(method, url)
}

/// The query of a valid request.
pub(crate) fn query(path: &str) -> String {
    format!("user_id={ID}&project_id={ID}&path={path}")
}

/// The head of a request with the secret, without the empty line at its end.
pub(crate) fn head(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\nX-Modal-Secret: {SECRET}\r\n")
}

/// All entries below the worker's folders, with kind and size.
pub(crate) async fn everything(worker: &Worker) -> Vec<String> {
    worker.settled().await;
    let mut found = Vec::new();
    for folder in [worker.data(), worker.scratch(), worker.global()] {
        list(&folder, &mut found);
    }
    found.sort();
    found
}

fn list(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry").path();
        let meta = path.symlink_metadata().expect("it is there");
        let size = if meta.is_dir() { 0 } else { meta.len() };
        found.push(format!("{} {:?} {size}", path.display(), meta.file_type()));
        if meta.is_dir() {
            list(&path, found);
        }
    }
}

/// Waits until the worker has logged this text. The log is written after the answer.
pub(crate) async fn logged(worker: &Worker, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !worker.log().contains(text) {
        assert!(Instant::now() < deadline, "never logged: {text}\n{}", worker.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
