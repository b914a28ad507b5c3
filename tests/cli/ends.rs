//! Runs that end from outside: the client leaves or the worker dies; and requests that wait for
//! each other.

use std::path::Path;
use std::time::Duration;

use harness::script::{Script, ScriptSet, text, tool};
use harness::{Ids, Setup, leftovers, target_dir};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    GOOD, Scene, expect_done, expect_error, processes_with, spoken, until, visible,
};

/// How long the end of a run may take after its client has left. The contract says 2 s, but a
/// machine that runs other tests too may take longer.
const GONE_WITHIN: Duration = Duration::from_secs(5);

fn daemons(mark: &str) -> String {
    format!("sleep {mark} & setsid sleep {mark} & (setsid env -i sleep {mark} &) ; sleep {mark}")
}

#[tokio::test]
async fn a_client_that_leaves_takes_every_process_with_it() {
    let mark = format!("301.{}", std::process::id());
    let working = Script::new().turn([
        text("待ちます。"),
        tool("Bash", json!({"command": format!("echo half > index.html; {}", daemons(&mark))})),
    ]);
    let scripts = ScriptSet::new("working", working)
        .with(
            "talking",
            Script::new().turn([text("はなし".repeat(400)).chunk_chars(1).delay_ms(50)]),
        )
        .with(
            "quick",
            Script::new().turn([tool("Bash", json!({"command": "echo new > index.html"}))]),
        );
    let worker = Setup::default().scripts(scripts).start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>old</p>");
    let before = visible(&worker.project(ids));

    for (script, kind) in [("working", "log"), ("talking", "stream"), ("talking", "status")] {
        let mut stream = worker.generate_stream(ids, &format!("[script:{script}]")).await;
        stream.next_of(kind).await;
        if script == "working" {
            // When the daemons are up, the foreground process is too.
            until("the daemons are up", Duration::from_secs(20), || {
                processes_with(&mark).len() >= 4
            })
            .await;
        }
        drop(stream);
        until("nothing is left", GONE_WITHIN, || {
            leftovers(&worker).is_empty() && processes_with(&mark).is_empty()
        })
        .await;
        assert_eq!(visible(&worker.project(ids)), before, "{script}");
    }
    // The turn of the project is free at once.
    let events = worker.generate(ids, "[script:quick]").await;
    expect_done(&worker, &events);
    assert_eq!(worker.get_file(ids, "index.html").await.text(), "new\n");
}

#[tokio::test]
async fn a_client_may_leave_at_any_moment() {
    let scene = Scene::start(Setup::default()).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    scene.script(&format!("echo half > index.html; sleep 300; {GOOD}"));
    let before = visible(&scene.worker.project(ids));
    for delay_ms in [0, 1, 3, 5, 8, 12, 18, 25, 35, 50, 70, 100] {
        let stream = scene.worker.generate_stream(ids, "test").await;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        drop(stream);
    }
    until("nothing is left", GONE_WITHIN, || leftovers(&scene.worker).is_empty()).await;
    assert_eq!(visible(&scene.worker.project(ids)), before);
    scene.succeed(ids, "echo y > index.html").await;
    assert!(!scene.worker.log().contains("panicked"), "{}", scene.worker.log());
}

#[tokio::test]
async fn leaving_while_a_large_project_is_copied_ends_the_cli_at_once() {
    let scene = Scene::start(Setup::default()).await;
    let ids = Ids::new();
    let content = vec![0_u8; 200_000];
    for number in 0..1500 {
        scene.worker.put(ids, &format!("assets/{number}.bin"), &content);
    }
    let mark = format!("302.{}", std::process::id());
    scene.script(&format!("{}; {GOOD}", daemons(&mark)));
    let stream = scene.worker.generate_stream(ids, "test").await;
    until("the CLI is up", Duration::from_secs(20), || !processes_with(&mark).is_empty()).await;
    drop(stream);
    until("no process is left", GONE_WITHIN, || processes_with(&mark).is_empty()).await;
    until("no file is left", Duration::from_secs(30), || leftovers(&scene.worker).is_empty()).await;
}

#[tokio::test]
async fn a_second_request_for_a_project_waits_and_then_gives_up() {
    let setup = Setup::default().var("DREAMCORE_MAX_RUNS", 4).var("DREAMCORE_QUEUE_TIMEOUT_S", 1);
    let scene = Scene::start(setup).await;
    let ids = Ids::new();
    scene.script(&format!("echo started >> started.txt; echo '{{\"type\":\"system\",\"subtype\":\"init\"}}'; sleep 3; {GOOD}"));
    let mut first = scene.worker.generate_stream(ids, "first").await;
    first.next_of("status").await;
    let second = scene.worker.generate(ids, "second").await;
    let end = harness::terminal(&second);
    assert_eq!((end.text("code"), &end.0["recoverable"]), ("PROJECT_BUSY", &json!(true)));
    assert_eq!(harness::terminal(&first.collect().await).kind(), "done");
    assert_eq!(scene.worker.get_file(ids, "started.txt").await.text(), "started\n");
    assert_eq!(leftovers(&scene.worker), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_worker_lets_requests_wait_and_then_says_that_it_is_busy() {
    for (patience, hold) in [(1, 3), (30, 1)] {
        let setup = Setup::default().var("DREAMCORE_QUEUE_TIMEOUT_S", patience);
        let scene = Scene::start(setup).await;
        scene.script(&format!("echo x > a.txt; sleep {hold}; {GOOD}"));
        let mut first = scene.worker.generate_stream(Ids::new(), "first").await;
        first.next_of("status").await;
        let second = scene.worker.generate(Ids::new(), "second").await;
        assert!(second[0].text("message").contains("順番"), "{second:#?}");
        let end = harness::terminal(&second);
        if patience < hold {
            assert_eq!((end.text("code"), &end.0["recoverable"]), ("WORKER_BUSY", &json!(true)));
        } else {
            assert_eq!(end.kind(), "done", "{second:#?}");
        }
        assert_eq!(harness::terminal(&first.collect().await).kind(), "done");
    }
}

#[tokio::test]
async fn a_request_that_waits_and_leaves_takes_no_place() {
    let scene = Scene::start(Setup::default()).await;
    let ids = Ids::new();
    scene.script(&format!("echo x > a.txt; sleep 2; {GOOD}"));
    let mut first = scene.worker.generate_stream(ids, "first").await;
    first.next_of("status").await;
    for _ in 0..20 {
        let mut waiting = scene.worker.generate_stream(ids, "waits").await;
        waiting.next_of("status").await;
    }
    assert_eq!(harness::terminal(&first.collect().await).kind(), "done");
    scene.succeed(ids, "echo y > a.txt").await;
}

#[tokio::test]
async fn runs_at_the_same_time_do_not_see_each_other() {
    let script = |name: &str| {
        Script::new()
            .turn([tool("Bash", json!({"command": format!(
                "echo {name} > mine.txt; echo {name} > /tmp/{name}; sleep 1; ls -A . /tmp $HOME/..; ps ax; kill -9 -1"
            )}))])
            .turn([text(name)])
    };
    let scripts = ScriptSet::new("a", script("anna")).with("b", script("bert"));
    let worker = Setup::default().scripts(scripts).var("DREAMCORE_MAX_RUNS", 2).start().await;
    let (a, b) = (Ids::new(), Ids::new());
    let (first, second) =
        tokio::join!(worker.generate(a, "[script:a]"), worker.generate(b, "[script:b]"));
    // `kill -9 -1` kills everything that the agent may signal: its own CLI, but not that of another
    // run.
    for (ids, events, name) in [(a, first, "anna"), (b, second, "bert")] {
        let end = harness::terminal(&events);
        if end.kind() == "done" {
            assert_eq!(spoken(&events), name);
            assert_eq!(worker.get_file(ids, "mine.txt").await.text(), format!("{name}\n"));
        } else {
            assert_eq!(end.text("code"), "CLI_KILLED", "{events:#?}");
        }
    }
    let bodies: Vec<_> = worker.api.requests().iter().map(|r| r.body.to_string()).collect();
    assert!(!bodies.iter().any(|body| body.contains("anna") && body.contains("bert")));
    assert_eq!(leftovers(&worker), Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_no_process_and_its_successor_no_file() {
    let mark = format!("303.{}", std::process::id());
    let script = Script::new().turn([tool("Bash", json!({"command": daemons(&mark)}))]);
    let scripts = ScriptSet::new("it", script).with("quick", Script::new().turn([text("ok")]));
    let mut worker = Setup::default().scripts(scripts).start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>old</p>");
    let before = visible(&worker.project(ids));
    let mut stream = worker.generate_stream(ids, "test").await;
    stream.next_of("log").await;
    until("the daemons are up", Duration::from_secs(20), || processes_with(&mark).len() >= 4).await;

    worker.signal(Signal::SIGKILL);
    until("no process is left", GONE_WITHIN, || {
        processes_with(&mark).is_empty()
            && leftovers(&worker).iter().all(|found| !found.starts_with("process"))
    })
    .await;
    assert!(!leftovers(&worker).is_empty(), "a killed worker cannot tidy up");
    worker.restart().await;
    assert_eq!(leftovers(&worker), Vec::<String>::new());
    assert_eq!(visible(&worker.project(ids)), before);
    let events = worker.generate(ids, "[script:quick]").await;
    expect_done(&worker, &events);
}

#[tokio::test]
async fn launchers_that_are_killed_with_their_worker_leave_nothing_that_harms() {
    let script = Script::new().turn([tool("Bash", json!({"command": "touch a; sleep 300"}))]);
    let scripts = ScriptSet::new("it", script).with("quick", Script::new().turn([text("ok")]));
    let mut worker = Setup::default().scripts(scripts).start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>old</p>");
    let before = visible(&worker.project(ids));
    let mut stream = worker.generate_stream(ids, "test").await;
    stream.next_of("log").await;

    let launcher = target_dir().join("dreamcore-confine").display().to_string();
    let parent = format!("PPid:\t{}\n", worker.pid());
    let mut launchers = processes_with(&launcher);
    launchers.retain(|path| {
        std::fs::read_to_string(path.join("status")).is_ok_and(|status| status.contains(&parent))
    });
    assert_eq!(launchers.len(), 1);
    // A worker that is stopped before it learns of the launcher's end cannot clean up.
    worker.signal(Signal::SIGSTOP);
    let pid = launchers[0].file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    worker.signal(Signal::SIGKILL);
    until("no process is left", GONE_WITHIN, || {
        leftovers(&worker).iter().all(|found| !found.starts_with("process"))
    })
    .await;

    worker.restart().await;
    assert_eq!(leftovers(&worker), Vec::<String>::new());
    assert_eq!(visible(&worker.project(ids)), before);
    assert!(launcher_and_system_are_whole(&launcher));
    let events = worker.generate(ids, "[script:quick]").await;
    expect_done(&worker, &events);
}

/// Checks that what was mounted into a sandbox's root still exists after the removal of that root.
fn launcher_and_system_are_whole(launcher: &str) -> bool {
    ["/usr/bin/env", "/etc/passwd", "/dev/null", launcher]
        .iter()
        .all(|path| Path::new(path).exists())
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_ends_its_runs_with_a_word() {
    let setup = Setup::default().var("DREAMCORE_SHUTDOWN_GRACE_S", 0.5);
    let mut scene = Scene::start(setup).await;
    scene.script(&format!("trap '' TERM; sleep 300; {GOOD}"));
    let mut stream = scene.worker.generate_stream(Ids::new(), "test").await;
    stream.next_of("status").await;
    scene.worker.signal(Signal::SIGTERM);
    let events = stream.collect().await;
    expect_error(&scene.worker, &events, "CLI_TERMINATED");
    let status = scene.worker.ended(Duration::from_secs(10)).await.expect("it ends");
    assert!(status.success(), "{status}");
}
