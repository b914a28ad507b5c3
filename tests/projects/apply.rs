//! `apply_files` changes all files or none, as one version per request.

use std::fs;
use std::os::unix::fs::symlink;

use harness::script::{Script, text, tool};
use harness::{Ids, Setup, git, has_git_identity, terminal};
use serde_json::json;

use crate::support::{about, applied, apply, files, healthy, messages, refused, write};

#[tokio::test]
async fn files_are_created_changed_and_removed_as_one_version() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let changes = applied(
        &worker,
        ids,
        json!([
            { "path": "index.html", "content": "<p>1</p>" },
            { "path": "js/ゲーム.js", "content": "let a = 1;", "action": "create" },
            { "path": "assets/a.png", "content": "iVBORw0KGgo=", "encoding": "base64" },
            { "path": "empty.txt", "content": "" },
        ]),
    )
    .await;
    assert_eq!(
        changes,
        [
            "create assets/a.png 8",
            "create empty.txt 0",
            "create index.html 8",
            "create js/ゲーム.js 10"
        ]
    );
    assert_eq!(worker.get_file(ids, "assets/a.png").await.body, b"\x89PNG\r\n\x1a\n");
    let changes = applied(
        &worker,
        ids,
        json!([
            { "path": "index.html", "content": "<p>2</p>", "action": "update" },
            { "path": "js/ゲーム.js", "action": "delete" },
            { "path": "never.txt", "action": "delete" },
            { "path": "empty.txt", "content": "", "encoding": "utf-8" },
            { "path": "new/deep/file.txt", "content": "x", "action": "update" },
        ]),
    )
    .await;
    // Files that did not exist, and files that stay the same, are not listed.
    assert_eq!(
        changes,
        ["update index.html 8", "delete js/ゲーム.js 0", "create new/deep/file.txt 1"]
    );
    let folder = worker.project(ids);
    assert!(!folder.join("js").exists(), "git knows no empty folders");
    assert_eq!(git(&folder, &["log", "--format=%s"]), "変更\n変更\n");
    has_git_identity(&folder);
    healthy(&folder);
}

#[tokio::test]
async fn the_stream_ends_as_the_contract_says() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let events = apply(&worker, ids, json!([{ "path": "a.txt", "content": "a" }])).await;
    let kinds: Vec<_> = events.iter().map(harness::Event::kind).collect();
    assert_eq!(kinds, ["status", "debug", "result", "done"]);
    assert_eq!(events[3].0["exit_code"], 0);
    assert_eq!(events[2].0["git_commit"], events[1].0["git_commit"]);
    assert_eq!(events[2].text("git_commit").len(), 7);
}

#[tokio::test]
async fn no_change_is_no_version() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "a.txt", "a").await;
    for nothing in [
        json!([]),
        json!([{ "path": "a.txt", "content": "a" }]),
        json!([{ "path": "b.txt", "action": "delete" }]),
    ] {
        assert_eq!(applied(&worker, ids, nothing).await, Vec::<String>::new());
    }
    assert_eq!(messages(&worker, ids).await, ["変更"]);
    // Without changes no project and no version is made.
    let none = Ids::new();
    assert_eq!(
        applied(&worker, none, json!([{ "path": "x", "action": "delete" }])).await,
        Vec::<String>::new()
    );
    assert!(!worker.project(none).exists());
}

#[tokio::test]
async fn one_bad_file_and_nothing_is_written() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let good = json!({ "path": "good.txt", "content": "x" });
    for (bad, code) in [
        (json!({ "path": "../evil", "content": "x" }), "INVALID_PATH"),
        (json!({ "path": ".git/hooks/post-commit", "content": "x" }), "INVALID_PATH"),
        (json!({ "path": "a/.style-pending.json", "content": "x" }), "INVALID_PATH"),
        (json!({ "path": "/etc/passwd", "action": "delete" }), "INVALID_PATH"),
        (json!({ "path": "good.txt", "content": "y" }), "INVALID_PATH"),
        (json!({ "path": "good.txt", "action": "delete" }), "INVALID_PATH"),
        (json!({ "path": "b.txt" }), "INVALID_CONTENT"),
        (json!({ "path": "b.txt", "content": "***", "encoding": "base64" }), "INVALID_CONTENT"),
        // A file that would have to be a folder at the same time.
        (json!({ "path": "good.txt/inside", "content": "y" }), "INVALID_PATH"),
    ] {
        for files in [json!([good, bad]), json!([bad, good])] {
            refused(&worker, ids, files, code).await;
            assert!(!worker.project(ids).exists(), "{bad}");
        }
    }
    for body in [
        json!({ "files": [{ "path": "a", "content": 1 }] }),
        json!({ "files": [{ "path": "a", "content": "x", "action": "chmod" }] }),
        json!({ "files": [{ "path": "a", "content": "x", "encoding": "utf-16" }] }),
        json!({ "files": "a" }),
        json!({ "files": [{ "path": "a", "content": "x" }], "commit_message": "a\u{0}b" }),
        json!({}),
        json!({ "action": "git_push" }),
    ] {
        let answer = worker.post("apply_files", &about(ids, &body)).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
    assert!(!worker.project(ids).exists());
}

#[tokio::test]
async fn quotas_are_kept_and_what_is_there_stays() {
    let worker = Setup::default()
        .var("DREAMCORE_MAX_FILE_BYTES", 100)
        .var("DREAMCORE_MAX_PROJECT_BYTES", 250)
        .var("DREAMCORE_MAX_FILES", 3)
        .start()
        .await;
    let ids = Ids::new();
    let xs = |n: usize| "x".repeat(n);
    write(&worker, ids, "a", &xs(100)).await;
    write(&worker, ids, "b", &xs(100)).await;
    for files in [
        json!([{ "path": "c", "content": xs(101) }]),
        json!([{ "path": "c", "content": xs(51) }]),
        json!([{ "path": "c", "content": "" }, { "path": "d", "content": "" }]),
    ] {
        let end = refused(&worker, ids, files, "QUOTA_EXCEEDED").await;
        assert_eq!(end.0["recoverable"], false);
    }
    // Files that are removed in the same request make room.
    applied(
        &worker,
        ids,
        json!([{ "path": "a", "action": "delete" }, { "path": "c", "content": xs(99) }]),
    )
    .await;
    let folder = worker.project(ids);
    assert_eq!(files(&folder), [format!("b={}", xs(100)), format!("c={}", xs(99))]);
    healthy(&folder);
    let answer = Setup::default().var("DREAMCORE_MAX_BODY_BYTES", 2_000_000).start().await;
    let large = about(ids, &json!({ "files": [{ "path": "a", "content": xs(2_100_000) }] }));
    assert_eq!(answer.post("apply_files", &large).await.status, 413);
}

#[tokio::test]
async fn the_relays_state_file_belongs_to_no_version() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let state = ".style-pending.json";
    // The state file is written before the project has any other file.
    assert_eq!(
        applied(&worker, ids, json!([{ "path": state, "content": "" }])).await,
        ["create .style-pending.json 0"]
    );
    assert_eq!(worker.get_file(ids, state).await.status, 200);
    assert!(!worker.project(ids).join(".git").exists());
    applied(
        &worker,
        ids,
        json!([{ "path": state, "content": "{\"a\":1}" }, { "path": "index.html", "content": "x" }]),
    )
    .await;
    assert_eq!(worker.get_file(ids, state).await.text(), "{\"a\":1}");
    assert_eq!(worker.list_files(ids).await.json(), json!({ "files": ["index.html"] }));
    let folder = worker.project(ids);
    assert_eq!(git(&folder, &["ls-files"]), "index.html\n");
    assert_eq!(messages(&worker, ids).await, ["変更"]);
    applied(&worker, ids, json!([{ "path": state, "content": "2" }])).await;
    assert_eq!(messages(&worker, ids).await, ["変更"]);
    assert_eq!(
        applied(&worker, ids, json!([{ "path": state, "action": "delete" }])).await,
        ["delete .style-pending.json 0"]
    );
    assert_eq!(worker.get_file(ids, state).await.status, 404);
    let events = apply(&worker, ids, json!([{ "path": state, "action": "delete" }])).await;
    assert_eq!(terminal(&events).kind(), "done");
}

#[tokio::test]
async fn what_is_in_the_way_is_not_replaced_blindly() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "folder/file.txt", "x").await;
    let folder = worker.project(ids);
    refused(&worker, ids, json!([{ "path": "folder", "content": "y" }]), "STORAGE_ERROR").await;
    fs::write(folder.join("folder/.hidden"), "h").unwrap();
    let swap = json!([{ "path": "folder/file.txt", "action": "delete" }, { "path": "folder", "content": "y" }]);
    refused(&worker, ids, swap.clone(), "STORAGE_ERROR").await;
    assert_eq!(files(&folder), ["folder/file.txt=x"]);
    fs::remove_file(folder.join("folder/.hidden")).unwrap();
    // A folder becomes a file, and a file a folder.
    applied(&worker, ids, swap).await;
    applied(
        &worker,
        ids,
        json!([{ "path": "folder", "action": "delete" }, { "path": "folder/again.txt", "content": "z" }]),
    )
    .await;
    assert_eq!(files(&folder), ["folder/again.txt=z"]);
    healthy(&folder);
}

#[tokio::test]
async fn links_are_replaced_and_never_followed() {
    let worker = Setup::default().start().await;
    let (ids, victim) = (Ids::new(), Ids::new());
    write(&worker, victim, "secret.txt", "secret").await;
    write(&worker, ids, "a.txt", "a").await;
    let folder = worker.project(ids);
    symlink(worker.project(victim).join("secret.txt"), folder.join("link.txt")).unwrap();
    symlink(worker.project(victim), folder.join("out")).unwrap();
    refused(
        &worker,
        ids,
        json!([{ "path": "out/secret.txt", "content": "mine" }]),
        "STORAGE_ERROR",
    )
    .await;
    applied(&worker, ids, json!([{ "path": "out/secret.txt", "action": "delete" }])).await;
    applied(&worker, ids, json!([{ "path": "link.txt", "content": "mine" }])).await;
    assert_eq!(fs::read_to_string(worker.project(victim).join("secret.txt")).unwrap(), "secret");
    assert!(!folder.join("link.txt").is_symlink());
    assert!(!git(&folder, &["log", "-p", "--all"]).contains("secret\n+secret"));
    git(&folder, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_version_may_be_called_anything() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    for (sent, seen) in [
        // A list of versions shows only the first line of a message.
        (json!("背景を変更\n\n詳しい説明"), "背景を変更"),
        (json!("--amend"), "--amend"),
        (json!(""), "ファイルを更新"),
        (json!(null), "ファイルを更新"),
        (json!("a\u{1b}[31m\r\nb"), "a\u{1b}[31m"),
    ] {
        let content = uuid::Uuid::new_v4().to_string();
        let files = json!([{ "path": "a.txt", "content": content }]);
        let body = about(ids, &json!({ "files": files, "commit_message": sent }));
        let events = worker.stream("apply_files", &body).await.collect().await;
        assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
        assert_eq!(messages(&worker, ids).await[0], seen);
    }
    healthy(&worker.project(ids));
}

#[tokio::test]
async fn assets_in_code_become_urls() {
    let script = Script::new()
        .turn([tool(
            "Bash",
            json!({ "command": "printf 'load(\"assets/a.png\")' > run.js; cp run.js run.bin" }),
        )])
        .turn([text("ok")]);
    let worker = Setup::default().script(script).start().await;
    let ids = Ids::new();
    let urls = json!({ "a.png": "https://cdn.example/1", "絵.png": "/get_asset?asset_id=2" });
    let code = r#"<img src="assets/a.png"><img src='./assets/%E7%B5%B5.png'> assets/a.png2"#;
    let body = about(
        ids,
        &json!({
            "asset_urls": urls,
            "files": [{ "path": "index.html", "content": code }, { "path": "data.bin", "content": code }],
        }),
    );
    let events = worker.stream("apply_files", &body).await.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    let expected =
        r#"<img src="https://cdn.example/1"><img src='/get_asset?asset_id=2'> assets/a.png2"#;
    assert_eq!(worker.get_file(ids, "index.html").await.text(), expected);
    assert_eq!(worker.get_file(ids, "data.bin").await.text(), code);

    let body = about(ids, &json!({ "asset_urls": urls, "prompt": "つくって" }));
    let events = worker.stream("generate_game", &body).await.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
    assert_eq!(worker.get_file(ids, "run.js").await.text(), r#"load("https://cdn.example/1")"#);
    assert_eq!(worker.get_file(ids, "run.bin").await.text(), r#"load("assets/a.png")"#);
    healthy(&worker.project(ids));

    for bad in [
        json!({ "a.png": "javascript:alert(1)" }),
        json!({ "../a": "/x" }),
        json!({ "a.png": 1 }),
        json!([]),
    ] {
        let body = about(ids, &json!({ "asset_urls": bad, "files": [] }));
        assert_eq!(worker.post("apply_files", &body).await.status, 400, "{bad}");
    }
}
