//! Runs that Vertex AI answers, or one provider in the other's place, and secrets that lie in addresses.
//!
//! The token server and Vertex are scripted, the signatures are real, and so is the CLI.

use harness::script::{Fault, Options, Script, ScriptSet, ScriptedApi, text, tool};
use harness::{Clock, Event, Ids, Setup, Worker};
use serde_json::json;

use crate::support::{Scene, expect_done, expect_failure, only};

const PROJECT: &str = "the-payer";
const CLIENT: &str = "client-0123456789abcdef";

fn page() -> Script {
    Script::new()
        .turn([tool("Bash", json!({"command": "env; cat /proc/*/environ | tr '\\0' '\\n'; echo '<p>' > index.html"}))])
        .turn([text("ok")])
}

async fn vertex(script: Script) -> ScriptedApi {
    ScriptedApi::with(script).await.expect("the scripted API starts")
}

/// A worker that may ask this Vertex by a service account, and nobody else.
fn by_account(vertex: &ScriptedApi) -> Setup {
    Setup::default()
        .var("ANTHROPIC_API_KEY", "")
        .var("DREAMCORE_VERTEX_PROJECT", PROJECT)
        .var("DREAMCORE_VERTEX_BASE_URL", vertex.vertex_url())
        .var("DREAMCORE_VERTEX_SERVICE_ACCOUNT", vertex.google().service_account())
}

/// Everything that leaves the worker, but to the providers.
fn shown(worker: &Worker, events: &[Event]) -> String {
    let events = events.iter().map(|event| event.0.to_string());
    events.chain([worker.log()]).collect::<Vec<_>>().join("\n")
}

/// Everything that the agent has seen, as it told the model.
fn seen(api: &ScriptedApi) -> String {
    api.requests().iter().map(|request| request.body.to_string()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn vertex_answers_a_run_by_the_assertions_of_a_service_account() {
    let vertex = vertex(page()).await;
    let worker = by_account(&vertex).start().await;
    let ids = Ids::new();
    let events = worker.generate(ids, "a page").await;
    expect_done(&worker, &events);
    assert_eq!(worker.get_file(ids, "index.html").await.text(), "<p>\n");
    let requests = vertex.requests();
    assert!(requests.len() >= 2, "{requests:#?}");
    for request in &requests {
        let path = &request.path;
        assert!(
            path.contains(
                "/projects/the-payer/locations/global/publishers/anthropic/models/claude-"
            )
        );
        assert!(request.headers["authorization"].starts_with("Bearer ey"), "{path}");
        assert!(!request.headers.contains_key("x-api-key"), "{path}");
    }
    let bearer = requests[0].headers["authorization"].trim_start_matches("Bearer ");
    let debug = only(&events, "debug");
    assert_eq!(debug.0["api"]["asked_vertex"], debug.0["api"]["requests"], "{debug:?}");
    let (seen, shown) = (seen(&vertex), shown(&worker, &events));
    assert!(seen.contains("CLAUDE_CODE_USE_VERTEX=1"), "the environment was looked at");
    for secret in [bearer, "PRIVATE KEY", "scripted.iam.gserviceaccount", PROJECT] {
        assert!(!seen.contains(secret), "{secret} is in the sandbox");
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[tokio::test]
async fn vertex_answers_a_run_by_an_identity_token_that_is_exchanged() {
    let vertex = vertex(page()).await;
    let token = vertex.google().identity_token(600);
    let worker = Setup::default()
        .var("ANTHROPIC_API_KEY", "")
        .var("DREAMCORE_VERTEX_PROJECT", PROJECT)
        .var("DREAMCORE_VERTEX_BASE_URL", vertex.vertex_url())
        .var("DREAMCORE_VERTEX_FEDERATION", vertex.federation(true))
        .var("MODAL_IDENTITY_TOKEN", &token)
        .start()
        .await;
    let events = worker.generate(Ids::new(), "a page").await;
    expect_done(&worker, &events);
    assert_eq!(vertex.google().exchanges(), 2, "one exchange, and one for the account");
    let environment = std::fs::read(format!("/proc/{}/environ", worker.pid())).expect("environ");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.contains("MODAL_IDENTITY_TOKEN=xxx"), "it was wiped");
    let everything = [environment, seen(&vertex), shown(&worker, &events)].join("\n");
    for secret in [token.as_str(), "ya29.scripted"] {
        assert!(!everything.contains(secret), "{secret} is shown");
    }
}

#[tokio::test]
async fn a_token_lives_as_long_whatever_the_wall_clock_says() {
    let Some(clock) = Clock::find("a_token_lives_as_long_whatever_the_wall_clock_says") else {
        return;
    };
    let vertex = vertex(page()).await;
    let setup = Setup::default()
        .var("ANTHROPIC_API_KEY", "")
        .var("DREAMCORE_VERTEX_PROJECT", PROJECT)
        .var("DREAMCORE_VERTEX_BASE_URL", vertex.vertex_url())
        .var("DREAMCORE_VERTEX_FEDERATION", vertex.federation(true))
        .var("MODAL_IDENTITY_TOKEN", vertex.google().identity_token(600));
    let worker = clock.of(setup).start().await;
    for offset in ["+0d", "+1d", "-1d"] {
        clock.jump(offset);
        expect_done(&worker, &worker.generate(Ids::new(), "a page").await);
    }
    assert_eq!(vertex.google().exchanges(), 2, "one token for all runs");
}

#[tokio::test]
async fn while_one_provider_fails_the_other_one_answers_and_nothing_is_said_twice() {
    let fault = || Fault::status(529, "overloaded_error", "no");
    let down = Script::new().turn([text("no")]).fault_forever(fault());
    let down = down.turn([text("no")]).fault_forever(fault());
    for first in ["vertex", "anthropic"] {
        let is_vertex = first == "vertex";
        let vertex = vertex(if is_vertex { down.clone() } else { page() }).await;
        let setup = by_account(&vertex)
            .var("ANTHROPIC_API_KEY", harness::REAL_KEY)
            .var("DREAMCORE_FIRST_PROVIDER", first)
            .scripts(ScriptSet::new("x", if is_vertex { page() } else { down.clone() }));
        let worker = setup.start().await;
        let events = worker.generate(Ids::new(), "a page").await;
        expect_done(&worker, &events);
        let said: String = events.iter().map(|event| event.text("content")).collect();
        assert_eq!(said.matches("ok").count(), 1, "{events:#?}");
        let api = &only(&events, "debug").0["api"];
        assert!(
            api["asked_vertex"].as_u64() > Some(0) && api["asked_anthropic"].as_u64() > Some(0)
        );
        let of_messages = |api: &ScriptedApi| {
            let all = api.requests().into_iter();
            all.filter(|request| !request.body.is_null()).collect::<Vec<_>>()
        };
        for request in of_messages(&worker.api) {
            assert!(request.body["model"].as_str().is_some_and(|name| name.starts_with("claude-")));
            assert!(request.body.get("anthropic_version").is_none());
            assert_eq!(request.headers["x-api-key"], harness::REAL_KEY);
        }
        for request in of_messages(&vertex) {
            assert!(request.body.get("model").is_none());
            assert!(!request.headers.contains_key("x-api-key"));
        }
        // A second run, and the one that fails is known.
        let events = worker.generate(Ids::new(), "another page").await;
        expect_done(&worker, &events);
        assert!(worker.log().contains("a model provider only fails"), "{}", worker.log());
        let failing = if is_vertex { "asked_vertex" } else { "asked_anthropic" };
        let asked = only(&events, "debug").0["api"][failing].as_u64().unwrap_or(u64::MAX);
        assert!(asked <= 3, "{asked} requests to a provider that only fails");
    }
}

#[tokio::test]
async fn a_token_server_that_fails_leaves_the_other_provider_and_its_code() {
    let vertex = vertex(page()).await;
    let federated = |setup: Setup| {
        setup
            .var("DREAMCORE_VERTEX_PROJECT", PROJECT)
            .var("DREAMCORE_VERTEX_BASE_URL", vertex.vertex_url())
            .var("DREAMCORE_VERTEX_FEDERATION", vertex.federation(false))
            .var("MODAL_IDENTITY_TOKEN", vertex.google().identity_token(-600))
            .var("DREAMCORE_FIRST_PROVIDER", "vertex")
            .var("DREAMCORE_API_GIVE_UP_S", 2)
    };
    let setup = federated(Setup::default().script(page()));
    let worker = setup.start().await;
    expect_done(&worker, &worker.generate(Ids::new(), "a page").await);
    assert!(worker.log().contains("the token server answered 400"), "{}", worker.log());
    let alone = federated(Setup::default().var("ANTHROPIC_API_KEY", "")).start().await;
    let events = alone.generate(Ids::new(), "a page").await;
    expect_failure(&alone, &events, "AUTH_ERROR");
    assert!(vertex.requests().iter().all(|request| request.body.is_null()));
}

#[tokio::test]
async fn the_path_of_an_address_is_a_secret() {
    let options = Options { path: format!("/a/{CLIENT}"), ..Options::default() };
    let proxy = ScriptedApi::start(ScriptSet::new("x", page()), options).await.expect("it starts");
    let setup = || Setup::default().var("DREAMCORE_LOG", "trace").var("DREAMCORE_API_GIVE_UP_S", 2);
    let worker = setup().var("ANTHROPIC_BASE_URL", proxy.base_url()).start().await;
    let events = worker.generate(Ids::new(), "a page").await;
    expect_done(&worker, &events);
    let environment = std::fs::read(format!("/proc/{}/environ", worker.pid())).expect("environ");
    assert!(!String::from_utf8_lossy(&environment).contains(CLIENT));
    assert!(!seen(&proxy).contains(CLIENT) && !shown(&worker, &events).contains(CLIENT));

    // An API that repeats the path in its error, and an agent that asks it by itself.
    let unknown = format!("{}/a/{CLIENT}", worker.api.base_url());
    let scene = Scene::start(setup().var("ANTHROPIC_BASE_URL", unknown)).await;
    let ids = Ids::new();
    let body = r#"{"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    let ask = format!(
        "curl -s -H \"x-api-key: $ANTHROPIC_API_KEY\" -H 'content-type: application/json' -d '{body}' \
         \"$ANTHROPIC_BASE_URL/v1/messages\" > answer.txt"
    );
    let events = scene.succeed(ids, &ask).await;
    let told = scene.worker.get_file(ids, "answer.txt").await.text();
    assert!(told.contains("no such endpoint: POST [removed]/v1/messages"), "{told}");
    assert!(!shown(&scene.worker, &events).contains(CLIENT));
    // So too where the worker itself asks.
    let answer = scene.worker.post("chat_haiku", &json!({ "message": "x" })).await;
    assert!(answer.status.is_server_error());
    assert!(!answer.text().contains(CLIENT) && !scene.worker.log().contains(CLIENT));
}
