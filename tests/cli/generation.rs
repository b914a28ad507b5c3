//! What a generation by the real CLI does when everything goes well.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use harness::script::{Script, ScriptSet, text, tool};
use harness::{Ids, Setup, git, has_git_identity, leftovers, terminal};
use serde_json::json;

use crate::support::{changes, expect_done, only, spoken};

fn kinds(events: &[harness::Event]) -> Vec<&str> {
    let mut kinds: Vec<_> = events.iter().map(harness::Event::kind).collect();
    kinds.dedup();
    kinds
}

fn bash(command: &str) -> harness::script::Block {
    tool("Bash", json!({"command": command}))
}

#[tokio::test]
async fn a_game_is_written_streamed_and_saved() {
    let script = Script::new()
        .turn([
            text("星を集めるゲームを作ります。").chunk_chars(4),
            tool("Write", json!({"file_path": "{{cwd}}/index.html", "content": "<h1>星</h1>\n"})),
        ])
        .turn([tool("Bash", json!({"command": "mkdir -p js && echo 'let a = 1' > js/game.js"}))])
        .turn([text("できました。").chunk_chars(2)]);
    let worker = Setup::default().script(script).start().await;
    let ids = Ids::new();
    let mut stream = worker.generate_stream(ids, "星を集めるゲームを作って").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-cache");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    assert!(stream.raw.starts_with(b": ok\n\n"), "the first byte comes at once");

    let end = terminal(&events);
    assert_eq!(end.kind(), "done", "{events:#?}\n{}", worker.log());
    assert_eq!(end.0["exit_code"], 0);
    assert_eq!(
        kinds(&events),
        ["status", "stream", "log", "stream", "status", "debug", "result", "done"]
    );
    let spoken: String =
        events.iter().filter(|e| e.kind() == "stream").map(|e| e.text("content")).collect();
    assert_eq!(spoken, "星を集めるゲームを作ります。\n\nできました。");
    let logged: Vec<_> =
        events.iter().filter(|e| e.kind() == "log").map(|e| e.text("content")).collect();
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
    assert_eq!(git(&folder, &["rev-parse", "--short", "HEAD"]).trim(), version);
    assert_eq!(git(&folder, &["log", "--format=%s"]).trim(), "星を集めるゲームを作って");
    let debug = events.iter().find(|e| e.kind() == "debug").unwrap();
    assert_eq!(debug.text("git_commit"), version);
    assert_eq!(debug.0["exit_code"], 0);
    assert_eq!(debug.0["api"]["requests"], 3);

    assert_eq!(worker.get_file(ids, "index.html").await.text(), "<h1>星</h1>\n");
    assert_eq!(leftovers(&worker), Vec::<String>::new());
}

#[tokio::test]
async fn an_older_project_is_seen_without_its_hidden_files_and_changed_where_asked() {
    let script = Script::new()
        .turn([bash(
            "find . > seen.txt; test ! -e .git; cat index.html 画像/背景.svg; rm gone.txt; mv old.js js.txt; \
             rm -r folder; echo file > folder; rm plain; mkdir plain; echo x > plain/inside.txt; \
             echo '<svg>2</svg>' > 画像/背景.svg; echo '音' > '音楽 1.txt'",
        )])
        .turn([tool("Read", json!({"file_path": "{{cwd}}/index.html"}))])
        .turn([tool(
            "Edit",
            json!({"file_path": "{{cwd}}/index.html", "old_string": "old", "new_string": "新しい"}),
        )])
        .turn([text("ok")]);
    let worker = Setup::default().script(script).start().await;
    let ids = Ids::new();
    for (path, content) in [
        ("index.html", "<title>old</title>"),
        ("gone.txt", "x"),
        ("old.js", "let a"),
        ("folder/a.txt", "a"),
        ("folder/deep/b.txt", "b"),
        ("plain", "x"),
        ("same.txt", "same"),
        ("画像/背景.svg", "<svg/>"),
        (".style-pending.json", "{}"),
        (".env", "SECRET=1"),
        ("assets/.cache/x", "hidden"),
    ] {
        worker.put(ids, path, content);
    }
    // A history made by the command line, with work that was never committed.
    let folder = worker.project(ids);
    let shell = "git init -q -b trunk . && git config user.name 'Old Program' && git config user.email o@x && \
                 git add index.html gone.txt same.txt && git commit -qm first && \
                 git rm -q --cached gone.txt && echo dirty >> index.html && git add index.html && echo more >> index.html && git stash list";
    assert!(
        Command::new("bash").args(["-ec", shell]).current_dir(&folder).status().unwrap().success()
    );
    fs::write(folder.join("index.html"), "<title>old</title>").unwrap();
    let old = SystemTime::now() - Duration::from_secs(10_000);
    let same = fs::File::options().write(true).open(folder.join("same.txt")).unwrap();
    same.set_modified(old).unwrap();

    let events = worker.generate(ids, "変えて").await;
    expect_done(&worker, &events);
    assert_eq!(
        changes(&events),
        [
            "create folder",
            "delete folder/a.txt",
            "delete folder/deep/b.txt",
            "delete gone.txt",
            "update index.html",
            "create js.txt",
            "delete old.js",
            "delete plain",
            "create plain/inside.txt",
            "create seen.txt",
            "create 画像/背景.svg",
            "create 音楽 1.txt",
        ]
        .map(|line| line.replace("create 画像", "update 画像"))
    );
    let seen = worker.get_file(ids, "seen.txt").await.text();
    for hidden in [".git", ".style-pending.json", ".env", ".cache"] {
        assert!(!seen.contains(hidden), "{seen}");
    }
    assert!(seen.contains("same.txt") && seen.contains("背景.svg"), "{seen}");
    let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
    assert_eq!(read("index.html"), "<title>新しい</title>");
    assert_eq!(read("画像/背景.svg"), "<svg>2</svg>\n");
    assert_eq!(read(".style-pending.json"), "{}");
    assert_eq!(read(".env"), "SECRET=1");
    assert_eq!(read("assets/.cache/x"), "hidden");
    assert_eq!(fs::metadata(folder.join("same.txt")).unwrap().modified().unwrap(), old);

    assert_eq!(
        git(&folder, &["log", "--format=%s by %an"]),
        "変えて by Game Creator\n保存されていなかった変更 by Game Creator\nfirst by Old Program\n"
    );
    assert_eq!(git(&folder, &["branch", "--show-current"]), "trunk\n");
    assert_eq!(git(&folder, &["show", "HEAD~1:gone.txt"]), "x");
    let tracked = git(&folder, &["ls-files"]);
    assert!(!tracked.contains(".style-pending") && !tracked.contains(".env"), "{tracked}");
    assert!(tracked.contains("same.txt") && tracked.contains("音楽 1.txt"), "{tracked}");
    git(&folder, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_talk_makes_no_version() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    // No project at all.
    let events = worker.generate(ids, "[script:chat] こんにちは").await;
    expect_done(&worker, &events);
    assert_eq!(changes(&events), Vec::<String>::new());
    assert!(only(&events, "result").0.get("git_commit").is_none(), "{events:#?}");
    assert!(spoken(&events).contains("台本"));
    assert!(!worker.project(ids).exists());

    expect_done(&worker, &worker.generate(ids, "[script:small] つくって").await);
    let version = git(&worker.project(ids), &["rev-parse", "HEAD"]);
    let events = worker.generate(ids, "[script:chat] こんにちは").await;
    expect_done(&worker, &events);
    assert_eq!(changes(&events), Vec::<String>::new());
    assert!(version.starts_with(only(&events, "result").text("git_commit")));
    assert_eq!(git(&worker.project(ids), &["rev-parse", "HEAD"]), version);
}

#[tokio::test]
async fn text_arrives_as_it_is_written() {
    let story: String = "むかしむかし".chars().cycle().take(60).collect();
    let script = Script::new().turn([text(story.clone()).chunk_chars(1).delay_ms(50)]);
    let worker = Setup::default().script(script).start().await;
    let mut stream = worker.generate_stream(Ids::new(), "はなして").await;
    let (mut events, mut times) = (Vec::new(), Vec::new());
    while let Some(event) = stream.next().await {
        if event.kind() == "stream" {
            times.push(Instant::now());
        }
        events.push(event);
    }
    expect_done(&worker, &events);
    assert_eq!(spoken(&events), story);
    assert!(times.len() > 10, "{} pieces", times.len());
    // Three seconds of writing; a busy machine may be late with the first piece, but not that late.
    let spread = *times.last().unwrap() - times[0];
    assert!(spread > Duration::from_millis(1500), "{spread:?}");
}

#[tokio::test]
async fn one_project_after_the_other_with_files_small_and_large() {
    let large = Script::new()
        .turn([bash("head -c 2000000 /dev/zero | tr '\\0' 'あ' > 大きい.txt; yes 'let a = 1;' | head -c 2000000 > big.js")])
        .turn([text("ok")]);
    let small = Script::new().turn([bash("ls -A; echo 1 > 日本語の名前.html")]).turn([text("ok")]);
    let scripts = ScriptSet::new("large", large).with("small", small);
    let worker = Setup::default().scripts(scripts).start().await;
    let (first, second) = (Ids::new(), Ids::new());
    let events = worker.generate(first, "[script:large]").await;
    expect_done(&worker, &events);
    assert_eq!(changes(&events), ["create big.js", "create 大きい.txt"]);
    assert_eq!(worker.get_file(first, "big.js").await.body.len(), 2_000_000);
    worker.api.clear_requests();
    let events = worker.generate(second, "[script:small]").await;
    expect_done(&worker, &events);
    assert_eq!(changes(&events), ["create 日本語の名前.html"]);
    assert_eq!(worker.get_file(second, "日本語の名前.html").await.text(), "1\n");
    let seen = worker.api.requests().iter().map(|r| r.body.to_string()).collect::<String>();
    assert!(!seen.contains("big.js"), "the second agent sees the first one's files");
    for ids in [first, second] {
        has_git_identity(&worker.project(ids));
    }
}
