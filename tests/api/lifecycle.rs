//! The start of a worker: when it refuses to start, what it reports, and that it shows no secret.

use std::process::Command;

use dreamcore_worker::config::SETTINGS;
use harness::script::{Script, text, tool};
use harness::{Ids, REAL_KEY, SECRET, Setup, is_root, target_dir, terminal};
use serde_json::{Value, json};

use crate::support::{anonymous, logged};

fn says(argument: &str) -> String {
    let output = Command::new(target_dir().join("dreamcore-worker"))
        .arg(argument)
        .env_clear()
        .output()
        .expect("it can be executed");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn help_explains_every_setting() {
    let help = says("--help");
    for setting in SETTINGS {
        assert!(help.contains(setting.name), "{}", setting.name);
        assert!(help.contains(setting.help), "{}", setting.name);
        if let Some(default) = setting.default {
            assert!(help.contains(&format!("{} [{default}]", setting.name)));
        }
    }
}

#[test]
fn the_version_is_said_in_one_line() {
    let version = says("--version");
    assert!(version.starts_with("dreamcore-worker "), "{version}");
    assert_eq!(version.lines().count(), 1);
}

#[test]
fn without_or_with_a_wrong_command_nothing_starts() {
    for arguments in [&[][..], &["run"], &["serve", "extra"], &["--port=1"]] {
        let output = Command::new(target_dir().join("dreamcore-worker"))
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_running_worker_shows_no_secret_in_its_environment() {
    let setup = Setup::default().var("GEMINI_API_KEY", "AIza-not-to-be-seen");
    let worker = setup.var("MODAL_IDENTITY_TOKEN", "eyJ-not-to-be-seen").start().await;
    let environment = std::fs::read(format!("/proc/{}/environ", worker.pid()));
    if !is_root() {
        // The file belongs to root, because the worker may not be traced.
        assert!(environment.is_err());
        return;
    }
    let environment = String::from_utf8(environment.unwrap()).unwrap();
    for secret in [SECRET, REAL_KEY, "AIza-not-to-be-seen", "eyJ-not-to-be-seen"] {
        assert!(!environment.contains(secret), "{environment}");
    }
    // The file is the right one: it contains the values that are not secret.
    assert!(environment.contains("MODAL_INTERNAL_SECRET=xxxx"), "{environment}");
    assert!(environment.contains("DREAMCORE_LOG=debug"), "{environment}");
}

#[test]
fn all_mistakes_are_listed_at_once_without_their_values() {
    let wrong = [
        ("MODAL_INTERNAL_SECRET", "too-short-hunter2"),
        ("MODAL_INTERNAL_SECRET_PREVIOUS", "short-too-hunter3"),
        ("ANTHROPIC_API_KEY", "sk with a space hunter4"),
        ("ANTHROPIC_BASE_URL", "http://user:hunter5@host"),
        ("DREAMCORE_LISTEN", "localhost"),
        ("DREAMCORE_DATA_DIR", "relative"),
        ("DREAMCORE_MAX_RUNS", "65"),
        ("DREAMCORE_RUN_TIMEOUT_S", "inf"),
        ("DREAMCORE_LOG_FORMAT", "yaml"),
        ("DREAMCORE_NO_SUCH_SETTING", "hunter6"),
    ];
    let setup = wrong.iter().fold(Setup::default(), |setup, (name, value)| setup.var(name, value));
    let (status, said) = setup.refuse();
    assert_eq!(status.code(), Some(1));
    for (name, _) in wrong {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn no_secret_no_worker() {
    let (status, said) = Setup::default().refuse();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("MODAL_INTERNAL_SECRET: is required"), "{said}");
    assert!(said.contains("--help"), "{said}");
}

fn refusing(name: &str, value: &str) -> String {
    let (status, said) = Setup::default()
        .var("MODAL_INTERNAL_SECRET", SECRET)
        .var("DREAMCORE_LISTEN", "127.0.0.1:0")
        .var("DREAMCORE_SCRATCH_DIR", "/proc/scratch")
        .var(name, value)
        .refuse();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    said
}

#[test]
fn a_scratch_folder_that_cannot_be_used_is_named() {
    let said = refusing("DREAMCORE_LOG", "info");
    assert!(said.contains("DREAMCORE_SCRATCH_DIR /proc/scratch"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refusing("DREAMCORE_LISTEN", &address);
    assert!(said.contains(&format!("DREAMCORE_LISTEN {address}")), "{said}");
}

#[test]
fn an_unknown_root_endpoint_is_answered_with_the_known_ones() {
    let temp = tempfile::tempdir().unwrap();
    let (status, said) = Setup::default()
        .var("MODAL_INTERNAL_SECRET", SECRET)
        .var("DREAMCORE_LISTEN", "127.0.0.1:0")
        .var("DREAMCORE_SCRATCH_DIR", temp.path().display())
        .var("DREAMCORE_ROOT_ENDPOINT", "generate-gane")
        .refuse();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("DREAMCORE_ROOT_ENDPOINT"), "{said}");
    assert!(said.contains("generate_game"), "{said}");
}

#[tokio::test]
async fn the_log_is_json_and_holds_nothing_that_is_secret_or_private() {
    let script = Script::new()
        .turn([
            text("spoken-marker"),
            tool(
                "Write",
                json!({"file_path": "{{cwd}}/name-marker.html", "content": "content-marker"}),
            ),
        ])
        .turn([tool("Bash", json!({"command": "echo command-marker >&2"}))])
        .turn([text("summary-marker")]);
    let worker = Setup::default().script(script).var("DREAMCORE_LOG_FORMAT", "auto").start().await;
    let ids = Ids::new();
    worker.put(ids, "old.txt", "existing-marker");
    let events = worker.generate(ids, "prompt-marker").await;
    assert_eq!(terminal(&events).kind(), "done", "{events:?}");
    let answer = worker.get_file(ids, "name-marker.html").await;
    assert_eq!(answer.text(), "content-marker");
    let wrong = anonymous(&worker, reqwest::Method::GET, "/list_files?q=query-marker");
    let wrong = wrong.header("X-Modal-Secret", "almost-marker");
    assert_eq!(worker.send(wrong).await.status, 401);
    logged(&worker, "\"status\":401").await;

    let log = worker.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    for hidden in [SECRET, REAL_KEY, "marker"] {
        let line = log.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden}");
    }
}

#[tokio::test]
async fn a_worker_that_cannot_generate_says_so_and_serves_files() {
    let temp = tempfile::tempdir().unwrap();
    let plain = temp.path().join("claude");
    std::fs::write(&plain, "not executable").unwrap();
    let plain = plain.display().to_string();
    for (name, value, problem, code) in [
        ("ANTHROPIC_API_KEY", "", "anthropic_api_key", "AUTH_ERROR"),
        ("DREAMCORE_CLAUDE_BIN", "/nonexistent", "claude_cli", "CLI_SPAWN_ERROR"),
        ("DREAMCORE_CLAUDE_BIN", "/usr", "claude_cli", "CLI_SPAWN_ERROR"),
        ("DREAMCORE_CLAUDE_BIN", plain.as_str(), "claude_cli", "CLI_SPAWN_ERROR"),
        ("DREAMCORE_CONFINE_BIN", "/nonexistent", "confinement", "SANDBOX_ERROR"),
        ("DREAMCORE_CONFINE_BIN", "/usr/bin/true", "confinement", "SANDBOX_ERROR"),
    ] {
        let worker =
            Setup::default().var(name, value).var("DREAMCORE_API_GIVE_UP_S", 2).start().await;
        let ready = worker.settled().await;
        assert_eq!(ready.status, 503, "{name}={value}");
        let ready = ready.json();
        assert_eq!(ready["status"], "not_ready");
        let problems = ready["problems"].as_object().expect("an object");
        assert_eq!(problems.keys().collect::<Vec<_>>(), [problem], "{ready}");
        assert_eq!(worker.get("health/live").await.status, 200);

        let ids = Ids::new();
        worker.put(ids, "index.html", "<p>");
        assert_eq!(worker.get_file(ids, "index.html").await.text(), "<p>");
        let events = worker.generate(ids, "[script:chat] hello").await;
        let end = terminal(&events);
        assert_eq!((end.kind(), end.text("code")), ("error", code), "{end:?}");
        assert_eq!(end.0["recoverable"], false, "{end:?}");
        assert_eq!(harness::leftovers(&worker), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_ready_worker_says_how_it_confines() {
    let worker = Setup::default().start().await;
    let ready = worker.settled().await;
    assert_eq!(ready.status, 200);
    let ready = ready.json();
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["problems"], json!({}));
    assert_eq!(ready["running"], 0);
    let applied = ready["confinement"]["applied"].as_array().expect("a list");
    assert!(applied.contains(&json!("no_new_privs")), "{ready}");
    assert!(ready["confinement"]["missing"].is_array(), "{ready}");
    let version = worker.get("version").await.json();
    let said = says("--version");
    assert_eq!(format!("dreamcore-worker {}", version["version"].as_str().unwrap()), said.trim());
}
