//! Whatever program stands in the CLI's place, and whatever it does: one clear end, no process
//! left, the project untouched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use harness::{Ids, Kernel, Setup, is_root, kernel, leftovers};
use serde_json::json;

use crate::support::{GOOD, Scene, expect_done, expect_error, only, processes_with, spoken};
use crate::under_attack::USER;

#[tokio::test]
async fn a_cli_that_cannot_be_executed_is_a_spawn_error() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "text").unwrap();
    let not_a_program = folder.path().join("not-a-program");
    fs::write(&not_a_program, [0_u8; 64]).unwrap();
    let no_interpreter = folder.path().join("no-interpreter");
    fs::write(&no_interpreter, "#!/nonexistent\n").unwrap();
    for path in [&not_a_program, &no_interpreter] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let missing = folder.path().join("missing");
    for path in [&missing, &plain, &folder.path().to_owned(), &not_a_program, &no_interpreter] {
        let setup = Setup::default().var("DREAMCORE_CLAUDE_BIN", path.display());
        let worker = setup.start().await;
        let ids = Ids::new();
        let events = worker.generate(ids, "test").await;
        let end = expect_error(&worker, &events, "CLI_SPAWN_ERROR");
        assert!(!end.text("message").contains(&path.display().to_string()), "{end:?}");
        assert!(!worker.project(ids).exists());
    }
}

#[tokio::test]
async fn an_end_without_success_is_named_by_its_exit_code() {
    let scene = Scene::start(Setup::default()).await;
    let failed = GOOD.replace("false", "true");
    let half = GOOD.replace("\"is_error\":false,", "");
    for (script, code, exit_code) in [
        ("exit 1", "CLI_GENERAL_ERROR", 1),
        ("exit 2", "CLI_UNKNOWN_ERROR", 2),
        ("exit 124", "CLI_TIMEOUT", 124),
        ("exit 137", "CLI_KILLED", 137),
        ("exit 143", "CLI_TERMINATED", 143),
        ("kill -9 $$", "CLI_KILLED", 137),
        ("kill -TERM $$", "CLI_TERMINATED", 143),
        ("kill -SEGV $$", "CLI_UNKNOWN_ERROR", 139),
        ("echo half > index.html; exit 0", "CLI_UNKNOWN_ERROR", 0),
        ("echo half > index.html; echo '{\"type\":\"result\"'; exit 0", "CLI_UNKNOWN_ERROR", 0),
        (&format!("echo bad > index.html; {failed}"), "CLI_GENERAL_ERROR", 0),
        (&format!("echo bad > index.html; {half}"), "CLI_GENERAL_ERROR", 0),
        (&format!("echo bad > index.html; {GOOD}; exit 1"), "CLI_GENERAL_ERROR", 1),
        (&format!("echo bad > index.html; {GOOD}; kill -9 $$"), "CLI_KILLED", 137),
        // The last word counts.
        (&format!("{GOOD}; {failed}"), "CLI_GENERAL_ERROR", 0),
    ] {
        let end = scene.fail(Ids::new(), script, code).await;
        assert_eq!(end.0["exitCode"], exit_code, "{script}: {end:?}");
    }
}

#[tokio::test]
async fn a_silent_cli_is_ended() {
    let setup = Setup::default().var("DREAMCORE_IDLE_TIMEOUT_S", 1);
    let scene = Scene::start(setup).await;
    for script in [
        "sleep 300",
        "trap '' TERM INT HUP; sleep 300; sleep 300",
        "exec 1>&-; sleep 300",
        "exec 1>&- 2>&-; sleep 300",
        // Complaints are no progress.
        "while :; do echo waiting >&2; sleep 0.1; done",
    ] {
        let began = Instant::now();
        let end = scene.fail(Ids::new(), script, "CLI_TIMEOUT").await;
        assert_eq!(end.0["exitCode"], 124);
        assert!(began.elapsed() < Duration::from_secs(15), "{script}");
    }
}

#[tokio::test]
async fn a_run_ends_at_its_deadline_however_busy_the_cli_is() {
    let setup = Setup::default().var("DREAMCORE_RUN_TIMEOUT_S", 1.5);
    let scene = Scene::start(setup).await;
    for script in [
        "sleep 300",
        "trap '' TERM; while :; do echo '{\"type\":\"system\"}'; sleep 0.05; done",
        "(trap '' TERM; exec sleep 300) & disown; wait; sleep 300",
    ] {
        scene.fail(Ids::new(), script, "CLI_TIMEOUT").await;
    }
}

#[tokio::test]
async fn a_cli_that_does_not_end_after_its_result_is_ended() {
    let scene = Scene::start(Setup::default()).await;
    let began = Instant::now();
    let script = format!("echo new > index.html; {GOOD}; sleep 300");
    scene.fail(Ids::new(), &script, "CLI_TIMEOUT").await;
    assert!(began.elapsed() >= Duration::from_secs(10));
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let scene = Scene::start(Setup::default()).await;
    let text = r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"XXX"}}}"#
        .replace("XXX", &"x".repeat(20_000));
    let flood_of_text = format!("yes '{text}' | head -c 100000000");
    for script in [
        "head -c 100000000 /dev/zero",
        "yes | head -c 100000000",
        "yes '{\"type\":\"system\"}' | head -c 100000000",
        flood_of_text.as_str(),
    ] {
        let script = format!("echo new > index.html\n{script}\n{GOOD}");
        scene.fail(Ids::new(), &script, "OUTPUT_REJECTED").await;
    }
    // Standard error is kept for its end only, and read so that the CLI does not block on it.
    let noise = "head -c 100000000 /dev/zero | tr '\\0' e >&2; echo the end >&2";
    let events = scene.succeed(Ids::new(), noise).await;
    let stderr = only(&events, "debug").text("stderr").to_owned();
    assert!(stderr.ends_with("the end") && stderr.len() <= 2048, "{stderr}");
}

const SAY: &str = r#"{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":""#;

#[tokio::test]
async fn strange_lines_do_not_hide_the_good_ones() {
    let scene = Scene::start(Setup::default()).await;
    let letters = |count: u64| format!("head -c {count} /dev/zero | tr '\\0' a");
    let whole = format!("printf '{SAY}'; {}; echo '\"}}]}}}}'", letters(5_000_000));
    let events = scene.succeed(Ids::new(), &whole).await;
    assert_eq!(spoken(&events).len(), 5_000_000);
    assert_eq!(only(&events, "debug").0["skipped_lines"], 0);

    let too_long = format!("printf '{SAY}'; {}; echo '\"}}]}}}}'", letters(20_000_000));
    let events = scene.succeed(Ids::new(), &too_long).await;
    assert_eq!(spoken(&events), "");
    assert_eq!(only(&events, "debug").0["skipped_lines"], 1);

    let broken = format!(
        "printf '{SAY}a\\xffb\"}}]}}}}\\n'; printf '\\x00\\xff\\n{{\\n[]\\nnull\\n\\n7\\n'"
    );
    let events = scene.succeed(Ids::new(), &broken).await;
    assert_eq!(spoken(&events), "a\u{fffd}b");

    let deep = "printf '{\"type\":\"assistant\",\"message\":'; head -c 100000 /dev/zero | tr '\\0' '['; echo";
    let events = scene.succeed(Ids::new(), deep).await;
    assert_eq!(only(&events, "debug").0["skipped_lines"], 1);
}

#[tokio::test]
async fn a_last_line_without_its_end_counts_if_it_is_whole() {
    let scene = Scene::start(Setup::default()).await;
    let whole = GOOD.replace("echo ", "echo -n ");
    let events = scene.run(Ids::new(), &whole).await;
    expect_done(&scene.worker, &events);
    let half = whole.replace("\"ok\"}", "\"o");
    scene.fail(Ids::new(), &half, "CLI_UNKNOWN_ERROR").await;
}

#[tokio::test]
async fn a_cli_that_aborts_among_all_processes_that_it_may_have_took_too_many() {
    // At once, so that the watch never sees them. None is refused, so that no kernel counts one.
    let abort = |processes: u32| {
        format!(
            "exec perl -e 'for (1..{processes}) {{ fork or do {{ sleep 60; exit }} }} kill ABRT => $$'"
        )
    };
    let mut setups = vec![Setup::default()];
    // Has no control group. In older gVisor it may not run anything.
    if is_root() && kernel() != Kernel::OlderGvisor {
        setups.push(Setup::default().as_user(USER));
    }
    for setup in setups {
        let scene = Scene::start(setup.var("DREAMCORE_RUN_MAX_PROCESSES", 64)).await;
        scene.fail(Ids::new(), &abort(10), "CLI_UNKNOWN_ERROR").await;
        let end = scene.fail(Ids::new(), &abort(54), "RESOURCE_LIMIT").await;
        assert!(end.text("message").starts_with("processes"), "{end:?}");
    }
}

#[tokio::test]
async fn a_cli_that_does_not_read_its_prompt_hinders_nobody() {
    let scene = Scene::start(Setup::default()).await;
    let prompt = "x".repeat(1024 * 1024);
    for script in [
        format!("sleep 0.3; {GOOD}"),
        format!("exec 0<&-; sleep 0.3; {GOOD}"),
        format!("head -c 10 > /dev/null; {GOOD}"),
    ] {
        scene.script(&script);
        let events = scene.worker.generate(Ids::new(), &prompt).await;
        expect_done(&scene.worker, &events);
    }
}

#[tokio::test]
async fn daemons_end_with_the_run_that_started_them() {
    let scene = Scene::start(Setup::default()).await;
    // A number that no other test sleeps for.
    let mark = format!("300.{}", std::process::id());
    let daemons = format!(
        "sleep {mark} &
        setsid sleep {mark} &
        nohup sleep {mark} > /dev/null 2>&1 &
        (setsid bash -c '(env -i sleep {mark} &) ; exit' &)
        (trap '' TERM HUP INT; setsid env -i sleep {mark} < /dev/null > /dev/null 2>&1 & disown) &
        sleep 0.2; pgrep -c sleep >&2"
    );
    let events = scene.succeed(Ids::new(), &daemons).await;
    assert_eq!(only(&events, "debug").text("stderr"), "5", "the daemons were there");
    assert_eq!(processes_with(&mark), Vec::<std::path::PathBuf>::new());

    // Far fewer than the limit, which counts every sandbox on this machine.
    let many = format!("for i in $(seq 150); do env -i sleep {mark} & done");
    scene.succeed(Ids::new(), &many).await;
    assert_eq!(processes_with(&mark), Vec::<std::path::PathBuf>::new());
    scene.fail(Ids::new(), &format!("{many}; kill -9 $$"), "CLI_KILLED").await;
    assert_eq!(processes_with(&mark), Vec::<std::path::PathBuf>::new());
    assert_eq!(leftovers(&scene.worker), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_cli_says_of_tools_stays_on_one_line() {
    let scene = Scene::start(Setup::default()).await;
    let line = json!({"type": "assistant", "message": {"id": "m", "content": [
        {"type": "tool_use", "name": "Bash\nevil", "input": {"command": "a\nb\ndata: {}"}},
        {"type": "tool_use", "name": "Write", "input": "not an object"},
        {"type": "tool_use"},
    ]}});
    let events = scene
        .succeed(
            Ids::new(),
            &format!("echo '{}'", line.to_string().replace("\\n", "\\\\n").replace("\\\\", "\\")),
        )
        .await;
    let logged: Vec<_> =
        events.iter().filter(|e| e.kind() == "log").map(|e| e.text("content")).collect();
    assert_eq!(logged, ["[Bash…] a…", "[Write]"]);
}
