//! What a generation does when everything goes well.

use harness::script::{Script, text, tool};
use harness::{Ids, Setup, git, has_git_identity, leftovers, terminal};
use serde_json::json;

fn kinds(events: &[harness::Event]) -> Vec<&str> {
    let mut kinds: Vec<_> = events.iter().map(harness::Event::kind).collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_game_is_written_streamed_and_saved() {
    let script = Script::new()
        .turn([
            text("星を集めるゲームを作ります。").chunk_chars(4),
            tool(
                "Write",
                json!({"file_path": "{{cwd}}/index.html", "content": "<h1>星</h1>\n"}),
            ),
        ])
        .turn([tool(
            "Bash",
            json!({"command": "mkdir -p js && echo 'let a = 1' > js/game.js"}),
        )])
        .turn([text("できました。").chunk_chars(2)]);
    let worker = Setup::default().script(script).start().await;
    let ids = Ids::new();
    let mut stream = worker
        .generate_stream(ids, "星を集めるゲームを作って")
        .await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-cache");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    assert!(
        stream.raw.starts_with(b": ok\n\n"),
        "the first byte comes at once"
    );

    let end = terminal(&events);
    assert_eq!(end.kind(), "done", "{events:#?}\n{}", worker.log());
    assert_eq!(end.0["exit_code"], 0);
    assert_eq!(
        kinds(&events),
        [
            "status", "stream", "log", "stream", "status", "debug", "result", "done"
        ]
    );
    let spoken: String = events
        .iter()
        .filter(|e| e.kind() == "stream")
        .map(|e| e.text("content"))
        .collect();
    assert_eq!(spoken, "星を集めるゲームを作ります。できました。");
    let logged: Vec<_> = events
        .iter()
        .filter(|e| e.kind() == "log")
        .map(|e| e.text("content"))
        .collect();
    assert_eq!(logged[0], "[Write] index.html");
    assert!(logged[1].starts_with("[Bash] mkdir -p js"), "{logged:?}");

    let result = events.iter().find(|e| e.kind() == "result").unwrap();
    assert_eq!(
        result.0["files"],
        json!([
            {"path": "index.html", "action": "create", "size": 13},
            {"path": "js/game.js", "action": "create", "size": 10},
        ])
    );
    let folder = worker.project(ids);
    has_git_identity(&folder);
    let version = result.text("git_commit");
    assert_eq!(
        git(&folder, &["rev-parse", "--short", "HEAD"]).trim(),
        version
    );
    assert_eq!(
        git(&folder, &["log", "--format=%s"]).trim(),
        "星を集めるゲームを作って"
    );
    let debug = events.iter().find(|e| e.kind() == "debug").unwrap();
    assert_eq!(debug.text("git_commit"), version);
    assert_eq!(debug.0["exit_code"], 0);
    assert_eq!(debug.0["api"]["requests"], 3);

    assert_eq!(
        worker.get_file(ids, "index.html").await.text(),
        "<h1>星</h1>\n"
    );
    assert_eq!(leftovers(&worker), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_generation_builds_on_the_first() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<title>old</title>");
    worker.put(ids, "gone.txt", "x");
    worker.put(ids, "画像/背景.svg", "<svg/>");
    worker.put(ids, ".style-pending.json", "{}");
    let script = Script::new()
        .turn([tool(
            "Bash",
            json!({"command": "ls -A > seen.txt; rm gone.txt; cat index.html"}),
        )])
        .turn([text("ok")]);
    drop(script);
    let events = worker.generate(ids, "[script:chat] こんにちは").await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
}
