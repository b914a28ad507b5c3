//! Shared code of these tests: short requests, and checks of the volume.

use std::fs;
use std::path::Path;

use harness::{Answer, Event, Ids, Worker, git, terminal};
use serde_json::{Value, json};

/// The body of a request about a project.
pub(crate) fn about(ids: Ids, further: &Value) -> Value {
    let mut body = json!({ "user_id": ids.user, "project_id": ids.project });
    for (name, value) in further.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// Sends `apply_files` with these files.
pub(crate) async fn apply(worker: &Worker, ids: Ids, files: Value) -> Vec<Event> {
    let body = about(ids, &json!({ "files": files, "commit_message": "変更" }));
    worker.stream("apply_files", &body).await.collect().await
}

/// The same, and checks that it succeeds. Returns what has changed, as `action path size`.
pub(crate) async fn applied(worker: &Worker, ids: Ids, files: Value) -> Vec<String> {
    let events = apply(worker, ids, files).await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
    let result = events.iter().find(|event| event.kind() == "result").expect("a result");
    let changes = result.0["files"].as_array().expect("a list");
    changes
        .iter()
        .map(|file| {
            format!(
                "{} {} {}",
                file["action"].as_str().unwrap_or_default(),
                file["path"].as_str().unwrap_or_default(),
                file["size"]
            )
        })
        .collect()
}

/// Writes one file with this text, and checks that it succeeds.
pub(crate) async fn write(worker: &Worker, ids: Ids, path: &str, text: &str) {
    applied(worker, ids, json!([{ "path": path, "content": text }])).await;
}

/// Sends `apply_files`, and checks that it fails with this code. Returns the last event.
pub(crate) async fn refused(worker: &Worker, ids: Ids, files: Value, code: &str) -> Event {
    let events = apply(worker, ids, files).await;
    let end = terminal(&events).clone();
    assert_eq!(end.text("code"), code, "{events:#?}\n{}", worker.log());
    assert!(end.text("userMessage").ends_with('。'), "{end:?}");
    assert!(events.iter().all(|event| event.kind() != "result"), "{events:#?}");
    end
}

/// Sends an action of `apply_files`.
pub(crate) async fn action(worker: &Worker, ids: Ids, action: &str, further: Value) -> Answer {
    let mut body = about(ids, &further);
    body["action"] = action.into();
    worker.post("apply_files", &body).await
}

/// The messages of the versions, from the newest on.
pub(crate) async fn messages(worker: &Worker, ids: Ids) -> Vec<String> {
    let commits = commits(worker, ids).await;
    commits.iter().map(|c| c["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The versions from the newest on.
pub(crate) async fn commits(worker: &Worker, ids: Ids) -> Vec<Value> {
    let answer = action(worker, ids, "git_log", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["commits"].as_array().expect("a list").clone()
}

/// The hash of the version at this place in the list, where 0 is the newest.
pub(crate) async fn hash(worker: &Worker, ids: Ids, place: usize) -> String {
    commits(worker, ids).await[place]["hash"].as_str().expect("a hash").to_owned()
}

/// Visible files with their text, `path=text`.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    visit(folder, folder, &mut found);
    found.sort();
    found
}

fn visit(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below it").display().to_string();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        if path.is_symlink() {
            found.push(format!("{name} -> {}", fs::read_link(&path).expect("a link").display()));
        } else if path.is_dir() {
            visit(root, &path, found);
        } else {
            let content = fs::read(&path).expect("a file");
            found.push(format!("{name}={}", String::from_utf8_lossy(&content)));
        }
    }
}

/// Checks that git's command line finds no error and no unsaved change, and that no save has left
/// anything behind.
pub(crate) fn healthy(folder: &Path) {
    git(folder, &["fsck", "--strict"]);
    assert_eq!(git(folder, &["status", "--porcelain"]), "");
    tidy(folder);
}

/// Checks that no save has left anything behind.
pub(crate) fn tidy(folder: &Path) {
    let names =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it is ours").file_name());
    let left: Vec<_> =
        names.filter(|name| name.to_string_lossy().starts_with(".dreamcore")).collect();
    assert!(left.is_empty(), "{left:?}");
    let found = std::process::Command::new("find")
        .arg(folder.join(".git"))
        .args(["(", "-name", "*.lock", "-o", "-iname", "*tmp*", "-o", "-name", "*_git2_*", ")"])
        .output()
        .expect("find");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

/// The smallest file that is accepted as an upload.
pub(crate) const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";

/// One file in the body of `apply_files`.
pub(crate) fn file(path: &str, content: &str) -> Value {
    json!({ "path": path, "content": content })
}

/// The body of an error for want of space. `None` for a success.
pub(crate) fn error_of(answer: &Answer) -> Option<Value> {
    let status = answer.status.as_u16();
    assert!(status == 200 || status == 507, "{status} {}", answer.text());
    (status != 200).then(|| answer.json())
}
