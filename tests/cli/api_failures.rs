//! Runs whose model API fails for good, or only for a moment.
//!
//! The waits are settings; here they are seconds. With their defaults a run whose API only fails
//! ends after 100 s, whether it fails at once or never answers.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use harness::script::{Fault, Script, ScriptSet, text, tool};
use harness::{Event, Ids, Setup, Worker, leftovers};
use serde_json::json;

use crate::support::{expect_done, expect_error, expect_failure, only, spoken, visible};

/// A worker with short time limits and several slots.
fn impatient(scripts: ScriptSet) -> Setup {
    Setup::default()
        .scripts(scripts)
        .var("DREAMCORE_MAX_RUNS", 2)
        .var("DREAMCORE_API_GIVE_UP_S", 2)
        .var("DREAMCORE_API_FIRST_BYTE_TIMEOUT_S", 1)
        .var("DREAMCORE_API_STALL_TIMEOUT_S", 1)
}

/// A script that writes a file and then meets this fault for ever.
fn broken(fault: Fault) -> Script {
    Script::new()
        .turn([tool("Bash", json!({"command": "echo half > index.html"}))])
        .turn([text("never said in full")])
        .fault_forever(fault)
}

fn status(code: u16, kind: &str) -> Script {
    broken(Fault::status(code, kind, "scripted"))
}

/// Runs a script on a project that exists, and checks how it fails and that nothing changed.
async fn fails(worker: &Worker, (script, code, _): &(&str, &str, Script)) {
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>old</p>");
    let before = visible(&worker.project(ids));
    let began = Instant::now();
    let events = worker.generate(ids, &format!("[script:{script}]")).await;
    let took = began.elapsed();
    expect_failure(worker, &events, code);
    assert_eq!(visible(&worker.project(ids)), before, "{script}");
    // The time limits, and the time for a start and an end on a very busy machine; with the default
    // limits it would be 100 s.
    assert!(took < Duration::from_mins(1), "{script}: {took:?}");
    if ["s429", "s500", "s529", "ok"].contains(script) {
        assert!(waits(&events) > 0, "{script}: {events:#?}");
    }
}

fn waits(events: &[Event]) -> usize {
    let is_wait = |event: &&Event| event.text("message").contains("再試行");
    events.iter().filter(is_wait).count()
}

#[tokio::test]
async fn an_api_that_fails_for_good_has_a_code_for_each_reason() {
    let cases = [
        ("s401", "AUTH_ERROR", status(401, "authentication_error")),
        ("s403", "AUTH_ERROR", status(403, "permission_error")),
        ("s400", "CLI_GENERAL_ERROR", status(400, "invalid_request_error")),
        ("s429", "RATE_LIMIT", status(429, "rate_limit_error")),
        ("s500", "NETWORK_ERROR", status(500, "api_error")),
        ("s529", "NETWORK_ERROR", status(529, "overloaded_error")),
        ("cut", "NETWORK_ERROR", broken(Fault::cut_after(3))),
        ("close", "NETWORK_ERROR", broken(Fault::CloseBeforeHeaders)),
        ("error", "NETWORK_ERROR", broken(Fault::error_event_after(3, "overloaded_error"))),
        ("hang", "API_TIMEOUT", broken(Fault::hang(None))),
        ("stall", "API_TIMEOUT", broken(Fault::stall_after(3, None))),
        ("garbage", "NETWORK_ERROR", broken(Fault::garbage("<html>Sign in to the café</html>"))),
    ];
    let mut scripts = ScriptSet::new("ok", Script::new().turn([text("ok")]));
    for (name, _, script) in &cases {
        scripts = scripts.with(*name, script.clone());
    }
    let worker = impatient(scripts).start().await;
    for pair in cases.chunks(2) {
        tokio::join!(fails(&worker, &pair[0]), fails(&worker, &pair[1]));
    }
    assert_eq!(leftovers(&worker), Vec::<String>::new());
    // The worker still works.
    expect_done(&worker, &worker.generate(Ids::new(), "again").await);
}

#[tokio::test]
async fn an_api_that_cannot_be_reached_is_a_network_error() {
    // A port that was free a moment ago refuses connections.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let worker = impatient(ScriptSet::new("ok", Script::new().turn([text("ok")])))
        .var("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}"))
        .start()
        .await;
    fails(&worker, &("ok", "NETWORK_ERROR", Script::new())).await;
    assert_eq!(leftovers(&worker), Vec::<String>::new());
    assert!(worker.api.requests().is_empty());
}

#[tokio::test]
async fn a_worker_without_a_key_says_so() {
    let worker = impatient(ScriptSet::new("ok", Script::new().turn([text("ok")])))
        .var("ANTHROPIC_API_KEY", "")
        .start()
        .await;
    let events = worker.generate(Ids::new(), "test").await;
    expect_error(&worker, &events, "AUTH_ERROR");
    assert!(worker.api.requests().is_empty());
}

const STORY: &str = "むかしむかし、あるところに、ちいさな星がありました。";

#[tokio::test]
async fn a_fault_for_a_moment_is_overcome_and_nothing_is_said_twice() {
    let story = || Script::new().turn([text(STORY).chunk_chars(3)]);
    let overloaded = || Fault::status(529, "overloaded_error", "Overloaded");
    let cases = [
        ("s529", story().fault(overloaded()).fault(overloaded())),
        ("s429", story().fault(Fault::status(429, "rate_limit_error", "slow").retry_after(1))),
        ("close", story().fault(Fault::CloseBeforeHeaders)),
        ("cut", story().fault(Fault::cut_after(6))),
        ("cut-early", story().fault(Fault::cut_after(1))),
        ("error", story().fault(Fault::error_event_after(6, "overloaded_error"))),
        ("stall", story().fault(Fault::stall_after(6, None))),
        ("hang", story().fault(Fault::hang(None))),
    ];
    let mut scripts = ScriptSet::new("ok", Script::new().turn([text("ok")]));
    for (name, script) in &cases {
        scripts = scripts.with(*name, script.clone());
    }
    let worker = impatient(scripts).var("DREAMCORE_API_GIVE_UP_S", 30).start().await;
    for pair in cases.chunks(2) {
        let run = async |name: &str| {
            let events = worker.generate(Ids::new(), &format!("[script:{name}]")).await;
            assert_eq!(
                harness::terminal(&events).kind(),
                "done",
                "{name}: {events:#?}\n{}",
                worker.log()
            );
            assert_eq!(spoken(&events), STORY, "{name}: {events:#?}");
            let api = &only(&events, "debug").0["api"];
            assert!(api["requests"].as_u64() >= Some(2), "{name}: {api}");
            assert!(api["failures"].as_u64() >= Some(1), "{name}: {api}");
        };
        tokio::join!(run(pair[0].0), run(pair[1].0));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_a_tool_is_finished_later() {
    let script = Script::new()
        .turn([text("書きます。"), tool("Bash", json!({"command": "echo once >> count.txt"}))])
        .turn([text(STORY)])
        .fault(Fault::cut_after(5));
    let worker =
        impatient(ScriptSet::new("it", script)).var("DREAMCORE_API_GIVE_UP_S", 30).start().await;
    let ids = Ids::new();
    let events = worker.generate(ids, "test").await;
    expect_done(&worker, &events);
    assert_eq!(spoken(&events), format!("書きます。\n\n{STORY}"));
    assert_eq!(worker.get_file(ids, "count.txt").await.text(), "once\n");
}
