//! Versions: listing, comparing, restoring, and unfinished work.

use std::fs;
use std::time::Duration;

use harness::script::{Fault, Script, ScriptSet, text, tool};
use harness::{Ids, Setup, Worker, git, has_git_identity, terminal};
use serde_json::json;

use crate::support::{about, action, applied, commits, files, hash, healthy, messages, write};

#[tokio::test]
async fn both_names_of_each_action_give_the_same() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "a.txt", "1\n").await;
    write(&worker, ids, "a.txt", "2\n").await;
    let query = format!("user_id={}&project_id={}", ids.user, ids.project);
    let log = action(&worker, ids, "git_log", json!({ "limit": 1 })).await;
    let named = worker.get(&format!("get-versions?{query}&limit=1")).await;
    assert_eq!(log.json(), named.json());
    assert_eq!(log.json()["has_more"], true);
    let commit = log.json()["commits"][0].clone();
    assert_eq!(commit["message"], "変更");
    let date = commit["date"].as_str().unwrap();
    assert!(date.len() == 20 && date.starts_with("20") && date.ends_with('Z'), "{date}");
    let hash = commit["hash"].as_str().unwrap();
    assert_eq!(hash, git(&worker.project(ids), &["rev-parse", "--short", "HEAD"]).trim());
    let diff = action(&worker, ids, "git_diff", json!({ "commit": hash })).await;
    let named = worker.get(&format!("get_version_diff?{query}&commit={hash}")).await;
    assert_eq!(diff.json(), named.json());
    let text = diff.json()["diff"].as_str().unwrap().to_owned();
    assert!(text.contains("-1\n+2\n") && text.contains("+++ b/a.txt"), "{text}");
    let older = worker.get(&format!("get_versions?{query}&skip=1")).await.json();
    assert_eq!(older["commits"].as_array().unwrap().len(), 1);
    assert_eq!(older["has_more"], false);
}

#[tokio::test]
async fn wrong_versions_are_told_apart() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "a.txt", "1").await;
    let tree = git(&worker.project(ids), &["rev-parse", "HEAD^{tree}"]).trim().to_owned();
    for name in ["git_diff", "git_restore"] {
        for (commit, status) in [
            (json!("abc"), 400),
            (json!("HEAD"), 400),
            (json!("--output=/tmp/x"), 400),
            (json!("zzzzzzz"), 400),
            (json!(1_234_567), 400),
            (json!(null), 400),
            (json!("0".repeat(41)), 400),
            (json!("0000000"), 404),
            (json!("1".repeat(40)), 404),
            (json!(tree), 404),
            (json!(tree.chars().take(10).collect::<String>()), 404),
        ] {
            let answer = action(&worker, ids, name, json!({ "commit": commit })).await;
            assert_eq!(answer.status, status, "{name} {commit}: {}", answer.text());
            assert!(answer.json()["error"].is_string());
        }
        let none = Ids::new();
        let answer = action(&worker, none, name, json!({ "commit": "0000000" })).await;
        assert_eq!(answer.status, 404);
        assert!(!worker.project(none).exists());
    }
    let log = action(&worker, Ids::new(), "git_log", json!({})).await;
    assert_eq!(log.status, 200);
    assert_eq!(log.json()["commits"], json!([]));
    let body = about(Ids::new(), &json!({}));
    assert_eq!(worker.post("create_version_snapshot", &body).await.status, 404);
}

#[tokio::test]
async fn diffs_show_text_name_binaries_and_end() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    applied(
        &worker,
        ids,
        json!([
            { "path": "a.txt", "content": "first\n" },
            { "path": "b.png", "content": "iVBORw0KGgoAAAA=", "encoding": "base64" },
        ]),
    )
    .await;
    let first =
        action(&worker, ids, "git_diff", json!({ "commit": hash(&worker, ids, 0).await })).await;
    let diff = first.json()["diff"].as_str().unwrap().to_owned();
    assert!(diff.contains("+first\n") && diff.contains("new file mode 100644"), "{diff}");
    assert!(diff.contains("Binary files /dev/null and b/b.png differ"), "{diff}");
    assert!(!diff.contains("IHDR") && first.json().get("truncated").is_none());

    let long = |from: usize| {
        let lines: Vec<_> =
            (from..from + 20_000).map(|n| format!("line {n} {}", "x".repeat(20))).collect();
        lines.join("\n")
    };
    applied(
        &worker,
        ids,
        json!([
            { "path": "1.txt", "content": long(0) },
            { "path": "2.txt", "content": long(20_000) },
            { "path": "3.txt", "content": long(40_000) },
            { "path": "4.txt", "content": "z".repeat(2 << 20) },
        ]),
    )
    .await;
    let answer =
        action(&worker, ids, "git_diff", json!({ "commit": hash(&worker, ids, 0).await })).await;
    let diff = answer.json();
    assert_eq!(diff["truncated"], true);
    let text = diff["diff"].as_str().unwrap();
    assert!(text.len() < (1 << 20) + 200, "{}", text.len());
    assert!(
        text.contains("cut off after 1048576 bytes; 4 files changed"),
        "the end of the diff does not say that it is cut"
    );
    assert!(!text.contains("zzzz"));
}

#[tokio::test]
async fn a_restore_brings_code_back_exactly_and_can_be_undone() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let file = |path: &str, content: &str| json!({ "path": path, "content": content });
    applied(
        &worker,
        ids,
        json!([
            file("index.html", "v1"),
            file("js/a.js", "v1"),
            file("assets/a.txt", "old"),
            file("swap", "file")
        ]),
    )
    .await;
    let v1 = hash(&worker, ids, 0).await;
    let folder = worker.project(ids);
    let then = files(&folder);
    applied(
        &worker,
        ids,
        json!([
            file("index.html", "v2"),
            { "path": "js/a.js", "action": "delete" },
            { "path": "swap", "action": "delete" },
            file("swap/inside.txt", "folder"),
            file("new.txt", "v2"),
            file("assets/a.txt", "new"),
            file("assets/b.txt", "new"),
            file(".style-pending.json", "pending"),
        ]),
    )
    .await;
    // What somebody else wrote, and no version has.
    fs::write(folder.join("unsaved.txt"), "precious").unwrap();
    fs::write(folder.join("index.html"), "unsaved").unwrap();
    let before = files(&folder);

    let answer = action(&worker, ids, "git_restore", json!({ "commit": v1 })).await;
    let body = answer.json();
    assert_eq!(body["success"], true, "{body}");
    assert_eq!(body["restored_files"], json!(["index.html", "js/a.js", "swap"]));
    assert_eq!(body["removed_files"], json!(["new.txt", "swap/inside.txt", "unsaved.txt"]));
    let mut expected = then.clone();
    expected.retain(|line| !line.starts_with("assets/"));
    expected.extend(["assets/a.txt=new".to_owned(), "assets/b.txt=new".to_owned()]);
    expected.sort();
    assert_eq!(files(&folder), expected);
    assert_eq!(worker.get_file(ids, ".style-pending.json").await.text(), "pending");
    let restored = format!("Restored to {v1}（バージョンを復元）");
    assert_eq!(messages(&worker, ids).await, [restored.as_str(), "変更"]);
    let all = everything(&worker, ids).await;
    let names: Vec<_> = all.iter().map(|version| version["message"].as_str().unwrap()).collect();
    assert_eq!(names, [restored.as_str(), "Before restore（復元前の保存）", "変更", "変更"]);
    has_git_identity(&folder);
    healthy(&folder);

    // Undone by restoring the version before.
    let body = about(ids, &json!({ "commit": all[1]["hash"] }));
    assert_eq!(worker.post("restore_version", &body).await.status, 200);
    assert_eq!(files(&folder), before);
    // To where one is already: nothing changes.
    let count = commits(&worker, ids).await.len();
    assert_eq!(worker.post("restore_version", &body).await.json()["restored_files"], json!([]));
    assert_eq!(commits(&worker, ids).await.len(), count);
    healthy(&folder);
}

/// All versions, those that were undone too.
async fn everything(worker: &Worker, ids: Ids) -> Vec<serde_json::Value> {
    let (user, project) = (ids.user, ids.project);
    let path = format!("get_versions?user_id={user}&project_id={project}&all=1");
    worker.get(&path).await.json()["commits"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn what_lies_in_hidden_folders_is_in_no_diff() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let folder = worker.project(ids);
    worker.put(ids, ".claude/skills/a/SKILL.md", "copied");
    worker.put(ids, "index.html", "page");
    git(&folder, &["init", "-q"]);
    git(&folder, &["add", "-f", "."]);
    let author = ["-c", "user.name=o", "-c", "user.email=o@example.org"];
    git(&folder, &[author.as_slice(), &["commit", "-q", "-m", "old\n\nmore"]].concat());
    let commit = commits(&worker, ids).await[0].clone();
    assert_eq!(commit["message"], "old");
    let diff = action(&worker, ids, "git_diff", json!({ "commit": commit["hash"] })).await;
    let diff = diff.json()["diff"].as_str().unwrap().to_owned();
    assert!(diff.contains("+page") && !diff.contains("SKILL.md"), "{diff}");
}

#[tokio::test]
async fn a_snapshot_keeps_what_somebody_else_wrote() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "a.txt", "a").await;
    let body = about(ids, &json!({ "message": "目印" }));
    let answer = worker.post("create_version_snapshot", &body).await.json();
    assert_eq!((&answer["created"], &answer["success"]), (&json!(false), &json!(true)));
    fs::write(worker.project(ids).join("b.txt"), "b").unwrap();
    let answer = worker.post("create_version_snapshot", &body).await.json();
    assert_eq!(answer["created"], true);
    assert_eq!(answer["git_commit"], hash(&worker, ids, 0).await);
    assert_eq!(messages(&worker, ids).await, ["目印", "変更"]);
    healthy(&worker.project(ids));
}

#[tokio::test]
async fn an_object_that_is_missing_is_stored_again() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let folder = worker.project(ids);
    write(&worker, ids, "kept.txt", "kept").await;
    // The clock of files may stand still for some milliseconds; the index must be the later one.
    tokio::time::sleep(Duration::from_millis(50)).await;
    write(&worker, ids, "a.txt", "1").await;
    let blob = git(&folder, &["rev-parse", "HEAD:kept.txt"]);
    let (fan, rest) = blob.trim().split_at(2);
    fs::remove_file(folder.join(".git/objects").join(fan).join(rest)).unwrap();

    // git's index says that this content is stored. The file itself still has it.
    write(&worker, ids, "a.txt", "2").await;
    assert!(worker.log().contains("the index of a project is made anew"), "{}", worker.log());
    assert_eq!(git(&folder, &["show", "HEAD:kept.txt"]), "kept");
    assert_eq!(files(&folder), ["a.txt=2", "kept.txt=kept"]);
    healthy(&folder);
}

#[tokio::test]
async fn unfinished_work_of_a_run_can_be_restored() {
    let half = "echo half > half.txt; rm -f gone.txt; ln -s /etc/passwd link";
    let half = Script::new().turn([tool("Bash", json!({ "command": half }))]);
    let slow = half.clone().turn([tool("Bash", json!({ "command": "sleep 120" }))]);
    let slow = slow.turn([text("never")]);
    let fault = Fault::status(400, "invalid_request_error", "scripted");
    let failing = half.turn([text("never")]).fault_forever(fault);
    let scripts = ScriptSet::new("slow", slow).with("failing", failing);
    // Long enough for the first turn on any machine.
    let setup = Setup::default().var("DREAMCORE_RUN_TIMEOUT_S", 25).var("DREAMCORE_MAX_RUNS", 2);
    let worker = setup.scripts(scripts).start().await;
    tokio::join!(
        can_be_restored(&worker, "[script:failing] つくって", "CLI_GENERAL_ERROR"),
        can_be_restored(&worker, "[script:slow] つくって", "CLI_TIMEOUT"),
    );

    // Whoever leaves finds it too.
    let other = Ids::new();
    let mut stream = worker.generate_stream(other, "もう一度").await;
    stream.next_of("log").await;
    let scratch = worker.scratch();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !fs::read_dir(&scratch)
        .unwrap()
        .flatten()
        .any(|e| e.path().join("game/half.txt").exists())
    {
        assert!(std::time::Instant::now() < deadline, "{}", worker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stream);
    let partial = loop {
        let log = action(&worker, other, "git_log", json!({})).await;
        if let Some(hash) = log.json()["partial"][0]["hash"].as_str() {
            break hash.to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "{}", worker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(worker.list_files(other).await.json()["files"], json!([]));
    action(&worker, other, "git_restore", json!({ "commit": partial })).await;
    assert_eq!(files(&worker.project(other)), ["half.txt=half\n"]);
}

/// A run of `prompt` ends with `code`, changes nothing, and what it had made can be had.
async fn can_be_restored(worker: &Worker, prompt: &str, code: &str) {
    let ids = Ids::new();
    let made = json!([
        { "path": "index.html", "content": "x" },
        { "path": "gone.txt", "content": "y" },
    ]);
    applied(worker, ids, made).await;
    let folder = worker.project(ids);
    let before = files(&folder);
    let events = worker.generate(ids, prompt).await;
    let end = terminal(&events);
    assert_eq!(end.text("code"), code, "{events:#?}");
    let partial = end.text("partial_version").to_owned();
    assert_eq!(files(&folder), before);
    assert_eq!(messages(worker, ids).await, ["変更"], "it is no part of the history");
    healthy(&folder);
    let listed = action(worker, ids, "git_log", json!({})).await.json();
    assert_eq!(listed["partial"][0]["hash"], partial, "{events:#?}");
    assert_eq!(listed["partial"][0]["message"], prompt);

    let answer = action(worker, ids, "git_restore", json!({ "commit": partial })).await.json();
    assert_eq!(answer["restored_files"], json!(["half.txt"]));
    assert_eq!(files(&folder), ["half.txt=half\n", "index.html=x"]);
    healthy(&folder);
}

/// The client of a long list leaves; the thread that makes it stops soon.
#[tokio::test]
async fn nobody_makes_a_list_that_nobody_waits_for() {
    const VERSIONS: usize = 60_000;
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "index.html", "1").await;
    let project = worker.project(ids);
    let mut text = String::new();
    for number in 0..VERSIONS {
        let from = if number == 0 { "from refs/heads/main^0\n" } else { "" };
        let time = 1_800_000_000 + number;
        let commit = format!(
            "commit refs/heads/main\ncommitter a <a@b> {time} +0000\ndata 2\nv\n\n{from}\n"
        );
        text.push_str(&commit);
    }
    let mut child = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "fast-import", "--quiet"])
        .current_dir(&project)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());

    let (user, id) = (ids.user, ids.project);
    let path = format!("get_versions?user_id={user}&project_id={id}&skip={VERSIONS}");
    let whole = worker.get(&path).await;
    assert_eq!(whole.json()["commits"].as_array().unwrap().len(), 1, "{}", whole.text());
    let request = worker.request(reqwest::Method::GET, &path);
    let left = request.timeout(Duration::from_millis(100)).send().await;
    assert!(left.is_err(), "the list was made in a moment");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !worker.log().contains("because nobody waits for it") {
        assert!(std::time::Instant::now() < deadline, "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
