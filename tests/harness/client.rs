//! A client that sends requests as the relay does.

use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::events::{Event, Stream};
use crate::project::Ids;
use crate::worker::Worker;

/// The secret of every worker in the tests.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef-test";

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// A header as text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Worker {
    /// A request with the secret.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/{}", self.base_url(), path.trim_start_matches('/'));
        self.http.request(method, url).header("X-Modal-Secret", SECRET)
    }

    /// Waits until the worker has finished its self-test, and returns its answer to
    /// `/health/ready`.
    pub async fn settled(&self) -> Answer {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let ready = self.get("health/ready").await;
            if ready.json()["problems"]["confinement"] != "is being tested" {
                return ready;
            }
            assert!(Instant::now() < deadline, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request
            .timeout(Duration::from_mins(1))
            .send()
            .await
            .unwrap_or_else(|e| panic!("the worker does not answer: {e}\n{}", self.log()));
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the body arrives whole").to_vec();
        Answer { status, headers, body }
    }

    /// Sends a GET with the secret.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Asks for a file of a project.
    pub async fn get_file(&self, ids: Ids, path: &str) -> Answer {
        let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
        let (user, project) = (ids.user, ids.project);
        self.get(&format!("get_file?user_id={user}&project_id={project}&path={path}")).await
    }

    /// Asks for the list of a project's files.
    pub async fn list_files(&self, ids: Ids) -> Answer {
        self.get(&format!("list_files?user_id={}&project_id={}", ids.user, ids.project)).await
    }

    /// Sends a POST with JSON and the secret.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Starts a generation, and returns its stream.
    pub async fn generate_stream(&self, ids: Ids, prompt: &str) -> Stream {
        let body = json!({ "user_id": ids.user, "project_id": ids.project, "prompt": prompt });
        self.stream("generate_game", &body).await
    }

    /// Sends a POST whose answer is a stream.
    pub async fn stream(&self, path: &str, body: &Value) -> Stream {
        let request = self.request(Method::POST, path).json(body);
        let response = request.send().await.expect("the worker answers");
        assert_eq!(response.status(), StatusCode::OK, "{}", self.log());
        Stream::new(response)
    }

    /// Runs a whole generation, and returns its events.
    pub async fn generate(&self, ids: Ids, prompt: &str) -> Vec<Event> {
        self.generate_stream(ids, prompt).await.collect().await
    }
}
