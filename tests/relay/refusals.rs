//! Runs that are refused before they begin. The stream says why, so the relay can show it to its
//! user.

use harness::script::{Script, ScriptSet, text};
use harness::{Setup, terminal};
use serde_json::json;

use crate::relay::Relay;

#[tokio::test]
async fn the_relay_can_ask_for_every_end_without_a_run() {
    let scripts = ScriptSet::new("only", Script::new().turn([text("never")]));
    let relay = Relay::start(Setup::default(), scripts).await;
    for (name, code, exit_code) in [
        ("timeout", "CLI_TIMEOUT", json!(124)),
        ("general", "CLI_GENERAL_ERROR", json!(1)),
        ("sandbox", "SANDBOX_ERROR", json!(null)),
        ("network", "NETWORK_ERROR", json!(null)),
        ("rate_limit", "RATE_LIMIT", json!(null)),
        ("anything", "", json!(null)),
    ] {
        let body = relay.about(&json!({ "prompt": "ゲーム", "_test_error": name }));
        let events = relay.stream("generate_game", &body).await.collect().await;
        let end = terminal(&events);
        assert_eq!(end.text("code"), code, "{name}: {events:#?}");
        assert_eq!(end.0["exitCode"], exit_code, "{name}");
        assert_eq!(end.kind(), if code.is_empty() { "done" } else { "error" });
    }
    assert!(relay.worker.api.requests().is_empty());
    assert!(!relay.worker.project(relay.ids).exists());
}
