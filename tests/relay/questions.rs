//! Short questions: what the relay asks the worker, and what it gets if the model fails, refuses,
//! or answers in another form.

use std::time::{Duration, Instant};

use harness::script::{Fault, Script, ScriptSet, text, tool};
use harness::{Setup, Worker};
use serde_json::{Value, json};

/// Skills that can be chosen and that exist in these tests.
const SKILLS: [&str; 6] =
    ["p5js-setup", "p5js-input", "p5js-collision", "game-ai", "threejs-setup", "kawaii-ui"];

async fn worker(script: Script) -> Worker {
    let setup = Setup::default().var("DREAMCORE_INTENT_TIMEOUT_S", 2);
    let setup = setup.var("DREAMCORE_SKILLS_TIMEOUT_S", 2).var("DREAMCORE_CHAT_TIMEOUT_S", 2);
    let worker = setup.scripts(ScriptSet::new("only", script)).start().await;
    for name in SKILLS {
        worker.add_skill(name, &format!("---\nname: {name}\ndescription: d\n---\n# {name}\n"));
    }
    worker
}

/// A message with a marker, so that the script answers instead of a form that is filled in by its
/// schema.
fn scripted(message: &str) -> String {
    format!("{message} [script:only]")
}

async fn ask(worker: &Worker, endpoint: &str, body: &Value) -> (u16, Value) {
    let answer = worker.post(endpoint, body).await;
    (answer.status.as_u16(), answer.json())
}

/// Scripts in which the model gives no usable answer to a question with the form `name`.
fn failures(name: &str) -> Vec<(&'static str, Script)> {
    let fault = |fault| Script::new().turn([text("x")]).fault(fault);
    vec![
        ("prose", Script::new().turn([text("restore です。")])),
        ("nothing", Script::new().turn([])),
        ("another tool", Script::new().turn([tool("other", json!({ "intent": "restore" }))])),
        ("another value", Script::new().turn([tool(name, json!({ "intent": "delete_all" }))])),
        ("another type", Script::new().turn([tool(name, json!({ "intent": 1, "skills": "x" }))])),
        ("1 MiB", Script::new().turn([text("あ".repeat(400_000))])),
        ("401", fault(Fault::status(401, "authentication_error", "no"))),
        ("400", fault(Fault::status(400, "invalid_request_error", "no"))),
        ("garbage", fault(Fault::garbage("<html>restore</html>"))),
        ("silence", fault(Fault::hang(60_000))),
        ("half an answer", fault(Fault::cut_after(0))),
    ]
}

#[tokio::test]
async fn the_intent_is_what_the_model_fills_into_the_form() {
    for intent in ["restore", "chat", "edit"] {
        let worker = worker(Script::new().turn([tool("label", json!({ "intent": intent }))])).await;
        let body = json!({ "message": scripted("こんにちは") });
        assert_eq!(ask(&worker, "detect_intent", &body).await, (200, json!({ "intent": intent })));
    }
}

#[tokio::test]
async fn an_intent_is_told_whatever_the_model_does() {
    for (what, script) in failures("label") {
        let worker = worker(script).await;
        for (message, intent) in [("元に戻して", "restore"), ("敵を増やして。", "edit")]
        {
            let began = Instant::now();
            let body = json!({ "message": scripted(message) });
            let answer = ask(&worker, "detect_intent", &body).await;
            assert_eq!(answer, (200, json!({ "intent": intent, "fallback": true })), "{what}");
            assert!(began.elapsed() < Duration::from_secs(15), "{what}");
        }
    }
}

#[tokio::test]
async fn a_model_that_is_busy_for_a_moment_is_asked_again() {
    let script = Script::new()
        .turn([tool("label", json!({ "intent": "chat" }))])
        .fault(Fault::status(529, "overloaded_error", "busy"))
        .fault(Fault::status(500, "api_error", "broken"));
    let setup = Setup::default().scripts(ScriptSet::new("only", script));
    let worker = setup.start().await;
    let body = json!({ "message": scripted("敵を増やして") });
    assert_eq!(ask(&worker, "detect_intent", &body).await, (200, json!({ "intent": "chat" })));
}

#[tokio::test]
async fn skills_are_those_that_the_model_chose_and_that_exist() {
    let chosen =
        json!({ "skills": ["game-ai", "threejs-water", "nonsense", "kawaii-ui", "game-ai"] });
    let worker = worker(Script::new().turn([tool("choose", chosen)])).await;
    let body = json!({ "message": scripted("敵"), "dimension": "2d", "existing_code": "x" });
    let expected = json!({ "skills": ["p5js-setup", "game-ai", "kawaii-ui"] });
    assert_eq!(ask(&worker, "detect_skills", &body).await, (200, expected));
}

#[tokio::test]
async fn skills_are_chosen_whatever_the_model_does() {
    for (what, script) in failures("choose") {
        let worker = worker(script).await;
        let body = json!({ "message": scripted("敵を増やして") });
        let expected = json!({
            "skills": ["p5js-setup", "p5js-input", "game-ai", "p5js-collision"], "fallback": true,
        });
        assert_eq!(ask(&worker, "detect_skills", &body).await, (200, expected), "{what}");
    }
}

#[tokio::test]
async fn a_chat_that_fails_is_an_error_and_never_an_answer() {
    for (what, script) in failures("reply") {
        let worker = worker(script).await;
        for raw in [false, true] {
            // If the caller asks for plain text, prose is a valid answer.
            if raw && matches!(what, "prose" | "1 MiB") {
                continue;
            }
            let body = json!({ "message": scripted("こんにちは"), "raw_output": raw });
            let (status, answer) = ask(&worker, "chat_haiku", &body).await;
            assert!((500..600).contains(&status), "{what}: {status} {answer}");
            assert!(answer["error"].is_string() && answer["code"].is_string(), "{what}: {answer}");
            assert!(answer.get("message").is_none(), "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_model_reads_each_message_once_and_gets_real_turns() {
    let reply = json!({ "message": "はい", "suggestions": ["a", "b"] });
    let worker = worker(Script::new().turn([tool("reply", reply)])).await;
    let message = scripted("次は？");
    let body = json!({
        "message": message,
        "game_spec": "# 仕様\n\"}]}",
        "conversation_history": [
            { "role": "assistant", "content": "挨拶", "timestamp": 1 },
            { "role": "user", "content": "一" },
            { "role": "user", "content": "二" },
            { "role": "tool", "content": "三" },
            { "role": "assistant", "content": "四", "timestamp": null },
            { "role": "assistant" },
            { "role": "user", "content": message },
        ],
    });
    let (status, answer) = ask(&worker, "chat_haiku", &body).await;
    assert_eq!((status, answer["message"].as_str()), (200, Some("はい")), "{answer}");
    let asked = worker.api.requests().pop().expect("a request").body;
    let expected = json!([
        { "role": "user", "content": "一\n\n二" },
        { "role": "assistant", "content": "四" },
        { "role": "user", "content": message },
    ]);
    assert_eq!(asked["messages"], expected);
    assert_eq!(asked["model"], "claude-haiku-4-5");
    let (_, _) = ask(&worker, "chat_sonnet", &body).await;
    assert_eq!(worker.api.requests().pop().expect("a request").body["model"], "claude-sonnet-4-5");
}

#[tokio::test]
async fn large_questions_are_answered() {
    let worker = worker(Script::new()).await;
    let code = "const x = 'あ';\n".repeat(500_000);
    let body = json!({ "message": "敵を増やして", "existing_code": code });
    assert_eq!(ask(&worker, "detect_skills", &body).await.0, 200);
    let ids = harness::Ids::new();
    let body = json!({ "user_id": ids.user, "project_id": ids.project, "game_code": code });
    let (status, introduction) = ask(&worker, "generate_publish_info", &body).await;
    assert_eq!(status, 200, "{introduction}");
    assert!(introduction["tags"].as_array().is_some_and(|tags| tags.len() == 3), "{introduction}");
    for request in worker.api.requests() {
        assert!(request.body.to_string().len() < 200_000);
    }
}

#[tokio::test]
async fn questions_that_are_wrong_are_refused() {
    let worker = worker(Script::new()).await;
    for (endpoint, body) in [
        ("detect_intent", json!({})),
        ("detect_intent", json!({ "message": null })),
        ("detect_intent", json!({ "message": 1 })),
        ("detect_skills", json!({ "message": "x", "dimension": "4d" })),
        ("chat_haiku", json!({ "message": " " })),
        ("chat_haiku", json!({ "message": "x", "conversation_history": "x" })),
        ("chat_haiku", json!({ "message": "x", "conversation_history": [1] })),
        ("generate_publish_info", json!({ "user_id": "x", "project_id": "x" })),
        ("get_skill_content", json!({ "skill_names": "x" })),
        ("get_skill_content", json!({ "skill_names": vec!["a"; 21] })),
        ("prewarm_sandbox", json!({ "user_id": "x" })),
    ] {
        let (status, answer) = ask(&worker, endpoint, &body).await;
        assert_eq!(status, 400, "{endpoint} {body}: {answer}");
        assert!(answer["error"].is_string());
    }
}

#[tokio::test]
async fn the_texts_of_skills_are_handed_out_by_name() {
    let worker = worker(Script::new()).await;
    let folder = worker.global().join(".claude/skills");
    std::fs::create_dir(folder.join("linked")).expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", folder.join("linked/SKILL.md")).expect("a link");
    std::fs::create_dir(folder.join("huge")).expect("a folder");
    let file = std::fs::File::create(folder.join("huge/SKILL.md")).expect("a file");
    file.set_len(100 << 20).expect("a large file");
    let names = json!(["game-ai", "none", "../game-ai", "", "linked", "huge", "game-ai"]);
    let (status, answer) =
        ask(&worker, "get_skill_content", &json!({ "skill_names": names })).await;
    assert_eq!(status, 200);
    let text = "---\nname: game-ai\ndescription: d\n---\n# game-ai\n";
    assert_eq!(answer, json!({ "skills": { "game-ai": text } }));
}

#[tokio::test]
async fn a_sandbox_is_warm_when_a_run_would_start_at_once() {
    let script = Script::new().turn([text("x").delay_ms(20_000)]);
    let worker = worker(script).await;
    worker.settled().await;
    let ids = harness::Ids::new();
    let body = json!({ "user_id": ids.user });
    let warm = async || ask(&worker, "prewarm_sandbox", &body).await;
    assert_eq!(warm().await, (200, json!({ "status": "already_warm" })));
    let mut run = worker.generate_stream(ids, "x").await;
    run.next().await.expect("the run has begun");
    assert_eq!(warm().await, (200, json!({ "status": "warmed" })));
}
