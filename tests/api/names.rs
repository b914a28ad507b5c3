//! The names and methods of endpoints: which are served, and how others are refused.

use dreamcore_worker::api::{ENDPOINTS, Method as Of, Takes};
use harness::{Ids, Setup, Worker};
use reqwest::Method;
use serde_json::json;

use crate::raw::Raw;
use crate::support::{anonymous, head, query, refused};

#[tokio::test]
async fn every_endpoint_answers_the_same_in_both_spellings() {
    let worker = Setup::default().start().await;
    let asked = |takes: &Takes| !matches!(takes, Takes::Nothing);
    for endpoint in ENDPOINTS.iter().filter(|endpoint| asked(&endpoint.takes)) {
        let mut known_methods = Vec::new();
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let mut answers = Vec::new();
            for name in [endpoint.name.to_owned(), endpoint.name.replace('_', "-")] {
                // An empty body, with which no endpoint does anything.
                let request = worker.request(method.clone(), &name).json(&json!({}));
                let answer = worker.send(request).await;
                let status = refused(&worker, &answer, &format!("{method} {name}"));
                answers.push((status, answer.json()));
            }
            assert_eq!(answers[0], answers[1], "{method} {}", endpoint.name);
            let (status, body) = &answers[0];
            match status {
                405 => assert_eq!(body["code"], "METHOD_NOT_ALLOWED"),
                400 => known_methods.push(method),
                other => panic!("{method} {}: {other} {body}", endpoint.name),
            }
        }
        let method = match endpoint.method {
            Of::Get => Method::GET,
            Of::Post => Method::POST,
        };
        assert_eq!(known_methods, [method], "{}", endpoint.name);
    }
}

#[tokio::test]
async fn the_relay_finds_endpoints_by_replacing_a_name_in_its_url() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>");
    for base in ["generate_game", "generate-game"] {
        let derived = base.replacen(base, "get-file", 1);
        let (user, project) = (ids.user, ids.project);
        let target = format!("{derived}?user_id={user}&project_id={project}");
        assert_eq!(worker.get(&target).await.text(), "<p>");
    }
}

#[tokio::test]
async fn names_that_are_nearly_right_are_not_found() {
    let worker = Setup::default().start().await;
    for path in [
        "/",
        "/get_file/",
        "//get_file",
        "/get-File",
        "/GET_FILE",
        "/getfile",
        "/get_file/index.html",
        "/get%5Ffile",
        "/list_files;x",
        "/health",
        "/health/live/",
        "/../version",
        "/%2e%2e/version",
        "/.git/config",
        "/index.html",
        "/%E7%94%BB",
    ] {
        // Written by hand, because HTTP clients normalize the path.
        let raw = Raw::ask(&worker, format!("{}\r\n", head("GET", path))).await;
        let answer = raw.into_answer();
        assert_eq!(refused(&worker, &answer, path), 404, "{path}");
        assert_eq!(answer.json()["code"], "NOT_FOUND", "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_refused_in_json_on_open_endpoints_too() {
    let worker = Setup::default().start().await;
    for path in ["/health/live", "/health/ready", "/version", "/get_file"] {
        let answer = worker.post(path, &json!({})).await;
        assert_eq!(refused(&worker, &answer, path), 405, "{path}");
        assert_eq!(answer.json()["code"], "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{path}");
    }
}

#[tokio::test]
async fn head_says_what_get_would_without_the_body() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "game.js", "let a = 1;");
    let (user, project) = (ids.user, ids.project);
    for (path, status, length) in [("game.js", 200, "10"), ("none.js", 404, "")] {
        let target = format!("get_file?user_id={user}&project_id={project}&path={path}");
        let answer = worker.send(worker.request(Method::HEAD, &target)).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.is_empty());
        if !length.is_empty() {
            assert_eq!(answer.header("content-length"), length);
            assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
        }
    }
}

#[tokio::test]
async fn the_root_stands_for_the_endpoint_that_is_set() {
    for spelling in ["get_file", "get-file", "/get-file"] {
        let setup = Setup::default().var("DREAMCORE_ROOT_ENDPOINT", spelling);
        let worker = setup.start().await;
        let ids = Ids::new();
        worker.put(ids, "a.txt", "from the root");
        let (user, project) = (ids.user, ids.project);
        for name in ["", "get_file", "get-file"] {
            let target = format!("{name}?user_id={user}&project_id={project}&path=a.txt");
            assert_eq!(worker.get(&target).await.text(), "from the root");
        }
        let stranger = anonymous(&worker, Method::GET, &format!("/?{}", query("a.txt")));
        assert_eq!(worker.send(stranger).await.status, 401);
        let answer = worker.post("/", &json!({})).await;
        assert_eq!(refused(&worker, &answer, "POST /"), 405);
    }
}

#[tokio::test]
async fn the_root_stands_for_the_endpoint_that_the_host_names() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "a.txt", "from the host");
    let target = format!("user_id={}&project_id={}&path=a.txt", ids.user, ids.project);
    let asked = async |worker: &Worker, host: &str, path: &str| {
        let target = format!("{}?{target}", path.trim_start_matches('/'));
        let request = worker.request(Method::GET, &target);
        worker.send(request.header("host", host)).await
    };
    let files = "acme--dreamcore-get-file.modal.run";
    assert_eq!(asked(&worker, files, "/").await.text(), "from the host");
    assert_eq!(asked(&worker, "acme--dreamcore-get-file-dev.modal.run", "/").await.status, 200);
    let list = asked(&worker, "acme--dreamcore-list-files.modal.run:443", "/").await;
    assert_eq!(list.json()["files"], json!(["a.txt"]));
    for host in ["acme--dreamcore.modal.run", "acme.get-file", "dreamcore-get-files.modal.run"] {
        assert_eq!(refused(&worker, &asked(&worker, host, "/").await, host), 404);
    }
    // A path means what it says, whatever the host is called, and so does the secret.
    let list = asked(&worker, files, "/list_files").await;
    assert_eq!(list.json()["files"], json!(["a.txt"]));
    assert_eq!(refused(&worker, &asked(&worker, files, "/none").await, "/none"), 404);
    assert_eq!(asked(&worker, "acme--dreamcore-generate-game.modal.run", "/").await.status, 405);
    let stranger = anonymous(&worker, Method::GET, &format!("/?{target}")).header("host", files);
    assert_eq!(worker.send(stranger).await.status, 401);

    let set = Setup::default().var("DREAMCORE_ROOT_ENDPOINT", "list_files").start().await;
    set.put(ids, "a.txt", "from the host");
    let list = asked(&set, files, "/").await;
    assert_eq!(list.json()["files"], json!(["a.txt"]), "the setting decides");
}

#[tokio::test]
async fn the_root_can_stand_for_a_generation() {
    let setup = Setup::default().var("DREAMCORE_ROOT_ENDPOINT", "generate-game");
    let worker = setup.start().await;
    let answer = worker.post("/", &json!({"user_id": "x"})).await;
    assert_eq!(refused(&worker, &answer, "POST /"), 400);
    assert_eq!(worker.get("/").await.status, 405);
}

#[tokio::test]
async fn all_endpoints_are_described_to_who_has_the_secret() {
    let worker = Setup::default().start().await;
    assert_eq!(worker.send(anonymous(&worker, Method::GET, "/openapi.json")).await.status, 401);
    let answer = worker.get("openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    for endpoint in ENDPOINTS {
        assert!(document["paths"][format!("/{}", endpoint.name)].is_object(), "{}", endpoint.name);
    }
}
