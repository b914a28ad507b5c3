//! Short questions that Vertex AI answers, or one provider in the other's place; and the tokens for
//! them, from a token server that fails in every way.

use std::time::{Duration, Instant};

use harness::script::{Fault, Google, Options, Script, ScriptSet, ScriptedApi, text};
use harness::{Setup, Worker};
use serde_json::{Value, json};

const QUESTION: &str = "敵を増やして";

async fn vertex() -> ScriptedApi {
    ScriptedApi::with(Script::new()).await.expect("the scripted API starts")
}

fn with_vertex(vertex: &ScriptedApi) -> Setup {
    Setup::default()
        .var("ANTHROPIC_API_KEY", "")
        .var("DREAMCORE_VERTEX_PROJECT", "the-payer")
        .var("DREAMCORE_VERTEX_BASE_URL", vertex.vertex_url())
}

fn by_account(vertex: &ScriptedApi) -> Setup {
    let key = vertex.google().service_account();
    with_vertex(vertex).var("DREAMCORE_VERTEX_SERVICE_ACCOUNT", key)
}

fn by_token(vertex: &ScriptedApi, token: &str) -> Setup {
    with_vertex(vertex)
        .var("DREAMCORE_VERTEX_FEDERATION", vertex.federation(false))
        .var("MODAL_IDENTITY_TOKEN", token)
}

/// Whether the model was asked, and did not only stand a table in for it.
async fn is_answered(worker: &Worker) -> bool {
    let answer = worker.post("detect_intent", &json!({ "message": QUESTION })).await;
    assert_eq!(answer.status.as_u16(), 200);
    answer.json().get("fallback").is_none()
}

fn bodies(api: &ScriptedApi) -> Vec<Value> {
    api.requests().into_iter().map(|request| request.body).collect()
}

#[tokio::test]
async fn vertex_is_asked_in_its_own_form_and_by_the_names_that_it_knows() {
    let vertex = vertex().await;
    let worker = by_account(&vertex).start().await;
    assert!(is_answered(&worker).await, "{}", worker.log());
    let request = vertex.requests().pop().expect("a request");
    assert_eq!(
        request.path,
        "/v1/projects/the-payer/locations/global/publishers/anthropic/models/\
         claude-haiku-4-5@20251001:rawPredict"
    );
    assert_eq!(request.body["anthropic_version"], "vertex-2023-10-16");
    assert!(request.body.get("model").is_none());
}

#[tokio::test]
async fn a_token_is_fetched_once_and_renewed_before_it_ends() {
    let vertex = vertex().await;
    let google = vertex.google();
    google.set_life(Duration::from_secs(20));
    let worker = by_token(&vertex, &google.identity_token(600)).start().await;
    let first = Instant::now();
    for _ in 0..20 {
        assert!(is_answered(&worker).await, "{}", worker.log());
    }
    assert_eq!(google.exchanges(), 1);
    // In the last fifth of its life another one is fetched beside, and nobody waits for it.
    google.fail([Fault::hang(3_000)]);
    while google.exchanges() < 2 {
        assert!(first.elapsed() < Duration::from_secs(25), "it is not renewed");
        let began = Instant::now();
        assert!(is_answered(&worker).await, "{}", worker.log());
        assert!(began.elapsed() < Duration::from_secs(3));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(first.elapsed() > Duration::from_secs(15), "it is renewed too early");
    // That one failed, and the old one has ended: now somebody waits.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(is_answered(&worker).await, "{}", worker.log());
    assert!(google.exchanges() >= 3);
}

#[tokio::test]
async fn a_token_server_that_fails_is_asked_again_and_never_for_ever() {
    let vertex = vertex().await;
    let google = vertex.google();
    let long = format!(r#"{{"access_token":"{}","expires_in":9}}"#, "x".repeat(1 << 20));
    let faults = || {
        [
            Fault::status(500, "x", "no"),
            Fault::status(429, "x", "no"),
            Fault::status(400, "x", "no"),
            Fault::status(302, "x", "no"),
            Fault::garbage("<html>Sign in</html>"),
            Fault::garbage("{}"),
            Fault::garbage(long.as_str()),
            Fault::garbage(r#"{"access_token":"a\nb","expires_in":1}"#),
            Fault::garbage(r#"{"access_token":"x","expires_in":0}"#),
            Fault::CloseBeforeHeaders,
            Fault::hang(60_000),
        ]
    };
    let token = google.identity_token(600);
    for fault in faults() {
        let what = format!("{fault:?}").chars().take(60).collect::<String>();
        let setup = by_token(&vertex, &token).var("DREAMCORE_INTENT_TIMEOUT_S", 3);
        let worker = setup.start().await;
        google.fail([fault]);
        let began = Instant::now();
        assert!(!is_answered(&worker).await, "{what}");
        assert!(began.elapsed() < Duration::from_secs(15), "{what}");
        let until = Instant::now() + Duration::from_secs(20);
        while !is_answered(&worker).await {
            assert!(Instant::now() < until, "{what} is for ever: {}", worker.log());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let log = worker.log();
        assert!(
            !log.contains(&token) && !log.contains("ya29.") && !log.contains("Sign in"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn clocks_that_are_apart_do_no_harm_where_they_need_not() {
    // A minute either way is the check's own patience, and the assertion begins some seconds ago.
    for (seconds, by_key) in [(-60, true), (60, true), (-600, false), (7_200, false)] {
        let vertex = vertex().await;
        vertex.google().set_clock(seconds);
        let worker = by_account(&vertex).start().await;
        assert_eq!(is_answered(&worker).await, by_key, "{seconds} s apart");
    }
    // An exchanged token's end is counted on a clock that nobody sets.
    let vertex = vertex().await;
    vertex.google().set_clock(-600);
    let worker = by_token(&vertex, &vertex.google().identity_token(60)).start().await;
    assert!(is_answered(&worker).await, "{}", worker.log());
}

#[tokio::test]
async fn an_identity_token_is_read_from_its_file_for_every_exchange() {
    let vertex = vertex().await;
    let google: &Google = vertex.google();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let write = |text: &str| std::fs::write(&file, text).expect("a file is written");
    write(&google.identity_token(-600));
    let setup = by_token(&vertex, "").var("DREAMCORE_IDENTITY_TOKEN_FILE", file.display());
    let worker = setup.start().await;
    assert!(!is_answered(&worker).await, "the token has ended");
    for broken in ["", "two words", "\u{0}"] {
        write(broken);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert!(!is_answered(&worker).await, "{broken:?}");
    }
    write(&format!("{}\n", google.identity_token(600)));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(is_answered(&worker).await, "{}", worker.log());
}

#[tokio::test]
async fn a_token_that_is_refused_later_is_thrown_away() {
    let vertex = vertex().await;
    let google = vertex.google();
    let worker = by_token(&vertex, &google.identity_token(600)).start().await;
    assert!(is_answered(&worker).await);
    google.revoke();
    assert!(!is_answered(&worker).await, "it is fresh, so another one would be refused too");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(!is_answered(&worker).await, "this is what tells that it is refused");
    assert!(is_answered(&worker).await, "{}", worker.log());
    assert_eq!(google.exchanges(), 2);
}

#[tokio::test]
async fn questions_go_to_the_other_provider_while_one_only_fails() {
    let vertex = vertex().await;
    // Without a script for the marker, a question is refused by 400; with one it meets the fault.
    let down = Script::new().turn([text("x")]).fault_forever(Fault::status(503, "api_error", "no"));
    let setup = by_account(&vertex).scripts(ScriptSet::new("down", down));
    let worker = setup.var("ANTHROPIC_API_KEY", harness::REAL_KEY).start().await;
    let body = json!({ "message": format!("{QUESTION} [script:down]") });
    let of_vertex = json!({ "message": QUESTION });
    // At Vertex there is no such script, so the marker is left out of what it is asked for.
    for _ in 0..3 {
        worker.post("detect_intent", &body).await;
    }
    let failed = bodies(&worker.api).len();
    assert!((3..=6).contains(&failed), "{failed}");
    for _ in 0..5 {
        let answer = worker.post("detect_intent", &of_vertex).await.json();
        assert!(answer.get("fallback").is_none(), "{answer} {}", worker.log());
    }
    let asked = bodies(&worker.api).len() - failed;
    assert!(asked <= 1, "only a probe asks a provider that fails: {asked}");
    assert!(bodies(&vertex).len() >= 4);
    // Once the pause is over, a probe finds that it answers again.
    let until = Instant::now() + Duration::from_mins(1);
    while !worker.log().contains("a model provider answers again") {
        assert!(Instant::now() < until, "{}", worker.log());
        assert!(is_answered(&worker).await);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// What `doctor --live` says of the providers, and whether it found everything in order.
fn doctor(vars: &[(&str, &str)]) -> (bool, Value) {
    let scratch = tempfile::tempdir().expect("a folder");
    let output = std::process::Command::new(harness::program("dreamcore-worker"))
        .args(["doctor", "--live", "--json"])
        .env_clear()
        .env("MODAL_INTERNAL_SECRET", harness::SECRET)
        .env("DREAMCORE_CONFINEMENT", "without-guarantees")
        .env("DREAMCORE_SCRATCH_DIR", scratch.path().join("scratch"))
        .envs(vars.iter().copied())
        .output()
        .expect("it can be executed");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    (output.status.success(), report["live"]["providers"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_setting_that_has_to_be_put_right() {
    let vertex = vertex().await;
    let options = Options { expect_key: Some(harness::REAL_KEY.to_owned()), ..Options::default() };
    let api = ScriptedApi::start(ScriptSet::new("x", Script::new()), options).await;
    let api = api.expect("the scripted API starts");
    let (api_url, vertex_url) = (api.base_url(), vertex.vertex_url());
    let account = vertex.google().service_account();
    let of_anthropic = [("ANTHROPIC_API_KEY", harness::REAL_KEY), ("ANTHROPIC_BASE_URL", &api_url)];
    let of_vertex = [
        ("DREAMCORE_VERTEX_PROJECT", "the-payer"),
        ("DREAMCORE_VERTEX_BASE_URL", &vertex_url),
        ("DREAMCORE_VERTEX_SERVICE_ACCOUNT", &account),
    ];
    let (_, found) = doctor(&[&of_anthropic[..], &of_vertex].concat());
    let answers = |provider: &str| json!({ "provider": provider, "answers": true });
    assert_eq!(found, json!([answers("anthropic"), answers("vertex")]));
    assert_eq!(doctor(&[]), (false, json!([])));

    let nowhere = "http://127.0.0.1:9";
    let forged = account.replace("worker@", "somebody@");
    let ended = vertex.google().identity_token(-600);
    let federation = vertex.federation(false);
    for (vars, setting) in [
        (vec![("ANTHROPIC_API_KEY", "wrong"), of_anthropic[1]], "ANTHROPIC_API_KEY"),
        (vec![of_anthropic[0], ("ANTHROPIC_BASE_URL", nowhere)], "ANTHROPIC_BASE_URL"),
        (
            vec![of_vertex[0], of_vertex[1], ("DREAMCORE_VERTEX_SERVICE_ACCOUNT", &forged)],
            "DREAMCORE_VERTEX_SERVICE_ACCOUNT",
        ),
        (
            vec![of_vertex[0], ("DREAMCORE_VERTEX_BASE_URL", nowhere), of_vertex[2]],
            "DREAMCORE_VERTEX_BASE_URL",
        ),
        (
            vec![
                of_vertex[0],
                of_vertex[1],
                ("DREAMCORE_VERTEX_FEDERATION", &federation),
                ("MODAL_IDENTITY_TOKEN", &ended),
            ],
            "DREAMCORE_VERTEX_FEDERATION",
        ),
    ] {
        let (good, found) = doctor(&vars);
        assert!(!good, "{setting}");
        let text = found.to_string();
        assert!(found[0]["advice"].as_str().is_some_and(|text| text.contains(setting)), "{text}");
        for secret in ["wrong", "127.0.0.1", "PRIVATE", "ya29", "eyJ"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
