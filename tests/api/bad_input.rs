//! Malformed bodies: each is refused with a 4xx, and no run is started.

use harness::{Ids, Setup, Worker};
use reqwest::Method;
use serde_json::{Value, json};

use crate::raw::Raw;
use crate::support::{ID, everything, head, logged, refused};

/// The largest JSON body, in bytes, as the worker names it in its refusal.
const MAX_BODY_BYTES: usize = 8 << 20;

async fn post_bytes(worker: &Worker, kind: &str, body: Vec<u8>) -> harness::Answer {
    let request = worker.request(Method::POST, "generate_game");
    worker.send(request.header("Content-Type", kind).body(body)).await
}

/// Sends bodies that must be refused with this status, and checks that none had an effect.
async fn all_refused(status: u16, bodies: Vec<Vec<u8>>) {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    for body in bodies {
        let what = String::from_utf8_lossy(body.get(..120.min(body.len())).unwrap_or_default());
        let what = what.into_owned();
        let answer = post_bytes(&worker, "application/json", body).await;
        assert_eq!(refused(&worker, &answer, &what), status, "{what}");
    }
    assert_eq!(everything(&worker).await, before);
    assert!(worker.api.requests().is_empty(), "no model was asked");
}

fn with(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut body = json!({ "user_id": ID, "project_id": ID, "prompt": "a game" });
    change(&mut body);
    body.to_string().into_bytes()
}

#[tokio::test]
async fn ids_have_one_form() {
    let wrong = [
        json!(""),
        json!("nil"),
        json!("6ba7b8109dad11d180b400c04fd430c8"),
        json!("{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"),
        json!("urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        json!("6ba7b810-9dad-11d1-80b4-00c04fd430c"),
        json!("6ba7b810-9dad-11d1-80b4-00c04fd430c88"),
        json!("6ba7b810-9dad-11d1-80b4-00c04fd430cg"),
        json!("6ba7b8109-dad-11d1-80b4-00c04fd430c8"),
        json!(" 6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"),
        json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8\u{0}"),
        json!("６ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        json!("../../../../../../../../../../etc/pas"),
        json!("--------------------------------xxxx"),
        json!(format!("{ID}/../{ID}")),
        json!("x".repeat(100_000)),
        json!(null),
        json!(0),
        json!(true),
        json!([ID]),
        json!({ "id": ID }),
    ];
    let mut bodies = Vec::new();
    for value in wrong {
        bodies.push(with(|body| body["user_id"] = value.clone()));
        bodies.push(with(|body| body["project_id"] = value.clone()));
    }
    all_refused(400, bodies).await;
}

#[tokio::test]
async fn prompts_and_skills_are_checked() {
    let too_long = "a".repeat(1024 * 1024 + 1);
    let mut bodies = vec![
        format!(r#"{{"user_id":"{ID}","project_id":"{ID}"}}"#).into_bytes(),
        format!(r#"{{"user_id":"{ID}","prompt":"x"}}"#).into_bytes(),
        with(|body| body["message"] = json!(1)),
    ];
    for prompt in [
        json!(null),
        json!(""),
        json!(" \n\t\u{3000}"),
        json!("a\u{0}b"),
        json!(too_long),
        json!(1),
        json!(["a"]),
        json!({"text": "a"}),
    ] {
        bodies.push(with(|body| body["prompt"] = prompt.clone()));
        bodies.push(with(|body| {
            body["prompt"] = json!(null);
            body["message"] = prompt.clone();
        }));
    }
    for skills in [
        json!("p5js-setup"),
        json!({}),
        json!([""]),
        json!(["../etc"]),
        json!(["a/b"]),
        json!([".hidden"]),
        json!(["a b"]),
        json!(["--flag"]),
        json!(["スキル"]),
        json!(["a\u{0}"]),
        json!(["a".repeat(65)]),
        json!([1]),
        json!([null]),
        json!([["a"]]),
        json!(vec!["a"; 21]),
        json!(vec!["a"; 100_000]),
    ] {
        bodies.push(with(|body| body["skills"] = skills.clone()));
    }
    all_refused(400, bodies).await;
}

#[tokio::test]
async fn what_is_not_the_json_we_want_is_refused() {
    let good = String::from_utf8(with(|_| ())).expect("JSON is text");
    let cut = good.get(..good.len() - 1).unwrap_or_default();
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "null",
        "[]",
        "\"text\"",
        "1e999999999",
        "NaN",
        "{}",
        "{user_id: 1}",
        cut,
        &format!("{good}{good}"),
        &format!("{good}x"),
        &format!("\u{feff}{good}"),
        &format!("/* */{good}"),
        &good.replace("a game", "a\ngame"),
        &good.replace("a game", "\\ud800"),
        &good.replace("a game", "\\x00"),
        &good.replacen('{', r#"{"prompt":"twice","#, 1),
        &good.replacen('{', &format!(r#"{{"user_id":"{ID}","#), 1),
        &good.replacen('{', r#"{"unknown":1e9999"#, 1),
        &"[".repeat(100_000),
        &"{\"a\":".repeat(100_000),
        &format!(r#"{{"prompt":{}"#, "[".repeat(100_000)),
        &format!(r#"{{"skills":{}"#, "[".repeat(100_000)),
        &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    for broken in [&b"\xff"[..], b"\xc0\xae", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let (before, after) = good.split_once("a game").expect("the prompt");
        bodies.push([before.as_bytes(), broken, after.as_bytes()].concat());
    }
    // The body in other encodings, and compressed.
    bodies.push(good.encode_utf16().flat_map(u16::to_le_bytes).collect());
    bodies.push(b"\x1f\x8b\x08\x00\x00\x00\x00\x00".to_vec());
    all_refused(400, bodies).await;
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json, text/plain",
        "text/plain; application/json",
        "application/xml",
        "*/*",
    ] {
        let answer = post_bytes(&worker, kind, with(|_| ())).await;
        assert_eq!(refused(&worker, &answer, kind), 415, "{kind}");
    }
    // These types are JSON, so the body is parsed.
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        " application/json ",
    ] {
        let answer = post_bytes(&worker, kind, b"{".to_vec()).await;
        assert_eq!(refused(&worker, &answer, kind), 400, "{kind}");
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let head = format!("{}Content-Type: application/json\r\n", head("POST", "/generate_game"));
    // If the length is announced, the request is refused before the body is sent.
    let length = MAX_BODY_BYTES + 1;
    for said in [length.to_string(), u64::MAX.saturating_sub(2).to_string()] {
        let answer = Raw::ask(&worker, format!("{head}Content-Length: {said}\r\n\r\n")).await;
        assert_eq!(answer.status, 413, "{said}: {answer:?}");
        let answer = answer.into_answer();
        assert_eq!(refused(&worker, &answer, &said), 413);
        assert_eq!(answer.json()["code"], "BODY_TOO_LARGE");
    }
    // If it is not announced, the request is refused as soon as the body is too large.
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..=MAX_BODY_BYTES >> 20 {
        raw.send(&chunk).await;
    }
    assert_eq!(raw.answer().await.status, 413);
    // A body of the largest size is refused for another reason.
    let answer = post_bytes(&worker, "application/json", vec![b' '; MAX_BODY_BYTES]).await;
    assert_eq!(refused(&worker, &answer, "blanks"), 400);
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn a_body_that_breaks_off_begins_nothing() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let body = String::from_utf8(with(|_| ())).expect("JSON is text");
    let head = format!("{}Content-Type: application/json\r\n", head("POST", "/generate_game"));
    for (said, sent) in [(body.len() + 1, body.as_str()), (1000, "{")] {
        let mut raw = Raw::open(&worker).await;
        raw.send(format!("{head}Content-Length: {said}\r\n\r\n{sent}")).await;
        drop(raw);
    }
    // If the announced length is too short, the JSON is cut, and the rest is not a valid request.
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{head}Content-Length: 10\r\n\r\n{body}")).await;
    assert_eq!(raw.answer().await.status, 400);
    for broken in ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n"] {
        let mut raw = Raw::open(&worker).await;
        raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{broken}")).await;
        assert_eq!(raw.answer().await.status, 400, "{broken}");
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn aliases_nulls_and_unknown_fields_are_accepted() {
    let worker = Setup::default().start().await;
    for (n, more) in [
        json!({"message": "[script:chat] hello"}),
        json!({"prompt": "[script:chat] hello", "message": null, "skills": null}),
        json!({"prompt": "[script:chat] hello", "skills": [],
               "unknown": {"deep": [[[1e300, -0.0, null]]]}, "user": 1}),
    ]
    .into_iter()
    .enumerate()
    {
        let ids = Ids::new();
        let mut body = json!({ "user_id": ids.user, "project_id": ids.project });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let events = worker.stream("generate_game", &body).await.collect().await;
        assert_eq!(harness::terminal(&events).kind(), "done", "{n}: {events:?}");
    }
    // Deep nesting in an unknown field is skipped without recursion.
    let deep = format!(
        r#"{{"x":{}{},"user_id":"{ID}","project_id":"nil","prompt":"a"}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let answer = post_bytes(&worker, "application/json", deep.into_bytes()).await;
    assert_eq!(refused(&worker, &answer, "deep"), 400);
    logged(&worker, answer.header("x-request-id")).await;
}
