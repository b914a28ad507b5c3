//! The inputs of a request: the prompt in all its forms, and skills.

use harness::script::{Script, text, tool};
use harness::{Event, Ids, Setup, Worker, git};
use serde_json::json;

use crate::support::{expect_done, only};

async fn post(worker: &Worker, ids: Ids, more: serde_json::Value) -> Vec<Event> {
    let mut body = json!({"user_id": ids.user, "project_id": ids.project});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    worker.stream("generate_game", &body).await.collect().await
}

/// The first message of the conversation, as the model API received it.
fn asked(worker: &Worker) -> String {
    let requests = worker.api.requests();
    let main = requests.iter().find(|r| r.body["tools"].as_array().is_some_and(|t| !t.is_empty()));
    main.expect("a request of the main loop").body["messages"][0].to_string()
}

#[tokio::test]
async fn a_message_is_a_prompt_and_a_large_prompt_arrives_whole() {
    let worker = Setup::default().script(Script::new().turn([text("ok")])).start().await;
    let ids = Ids::new();
    expect_done(&worker, &post(&worker, ids, json!({"message": "message の中身"})).await);
    assert!(asked(&worker).contains("message の中身"));

    worker.api.clear_requests();
    let mut prompt = "はじめ「\"\\\u{1}\n".to_owned();
    prompt.push_str(&"長い文。".repeat(75_000));
    prompt.push_str("おわり");
    assert!(prompt.len() > 900_000);
    expect_done(&worker, &post(&worker, ids, json!({"prompt": prompt, "unknown": [1]})).await);
    let quoted = json!(prompt).to_string();
    assert!(asked(&worker).contains(quoted.trim_matches('"')), "the prompt is cut or changed");
}

#[tokio::test]
async fn skills_are_found_without_a_copy_and_used_by_name() {
    let script = Script::new()
        .turn([tool("Skill", json!({"skill": ".claude:p5js-setup"}))])
        .turn([tool("Bash", json!({"command": "ls -A; echo x > index.html"}))])
        .turn([text("ok")]);
    let worker = Setup::default().script(script).start().await;
    let skill = |name: &str| {
        format!(
            "---\nname: {name}\ndescription: How to set up {name}\n---\nUse the magic word of {name}: xyzzy.\n"
        )
    };
    worker.add_skill("p5js-setup", &skill("p5js-setup"));
    worker.add_skill("threejs-setup", &skill("threejs-setup"));
    let ids = Ids::new();
    let skills = json!(["p5js-setup", "no-such-skill"]);
    let events = post(&worker, ids, json!({"prompt": "つくって", "skills": skills})).await;
    expect_done(&worker, &events);
    let warning = only(&events, "warning").text("message").to_owned();
    assert!(warning.contains("no-such-skill") && !warning.contains("p5js"), "{warning}");

    let requests = worker.api.requests();
    let bodies: Vec<_> = requests.iter().map(|request| request.body.to_string()).collect();
    let first = bodies.iter().find(|body| body.contains("つくって")).expect("the prompt");
    for name in ["p5js-setup", "threejs-setup"] {
        assert!(first.contains(&format!("How to set up {name}")), "{first}");
    }
    assert!(asked(&worker).contains("load these skills"));
    assert!(!asked(&worker).contains("no-such-skill"));
    let last = bodies.last().expect("requests");
    assert!(last.contains("magic word of p5js-setup: xyzzy"), "{last}");
    assert!(!last.contains("magic word of threejs-setup"));
    assert_eq!(git(&worker.project(ids), &["ls-files"]), "index.html\n");
}
