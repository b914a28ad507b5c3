//! Saves that are killed, or whose system calls fail, at every single step. Afterwards the project
//! is as before or as after the save, whichever request opens it next, and the next save works.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::{Ids, Setup, Worker, git};
use serde_json::{Value, json};

use crate::strace::{CHANGING, Strace};
use crate::support::{about, action, files, healthy, messages, write};

/// A request of a client, and the project before and after it.
struct Scenario {
    worker: Worker,
    ids: Ids,
    endpoint: &'static str,
    body: Value,
    before: State,
    after: State,
    template: tempfile::TempDir,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    files: Vec<String>,
    versions: Vec<String>,
    pending: String,
}

async fn state(worker: &Worker, ids: Ids) -> State {
    let pending = worker.get_file(ids, ".style-pending.json").await;
    State {
        files: files(&worker.project(ids)),
        versions: messages(worker, ids).await,
        pending: format!("{} {}", pending.status, pending.text()),
    }
}

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
    assert!(status.success());
}

impl Scenario {
    async fn new(endpoint: &'static str, body: impl Fn(&str) -> Value) -> Self {
        let worker = Setup::default().start().await;
        let ids = Ids::new();
        let file = |path: &str, content: &str| json!({ "path": path, "content": content });
        let first = json!([
            file("index.html", "1"),
            file("a/b.txt", "1"),
            file("gone.txt", "1"),
            file("swap", "1")
        ]);
        crate::support::applied(&worker, ids, first).await;
        let hash = crate::support::hash(&worker, ids, 0).await;
        let second = json!([
            file("index.html", "2"),
            file(".style-pending.json", "old"),
            file("c/d/e.txt", "2"),
            { "path": "a/b.txt", "action": "delete" },
        ]);
        crate::support::applied(&worker, ids, second).await;
        // A file that no version has.
        worker.put(ids, "unsaved.txt", "x");

        let body = about(ids, &body(&hash));
        let template = tempfile::tempdir().expect("a folder");
        copy(&worker.project(ids), &template.path().join("project"));
        let before = state(&worker, ids).await;
        let answer = worker.post(endpoint, &body).await;
        assert!(answer.status.is_success() && !answer.text().contains("\"error\""), "{answer:?}");
        let after = state(&worker, ids).await;
        assert_ne!(before, after);
        Self { worker, ids, endpoint, body, before, after, template }
    }

    fn reset(&self) {
        copy(&self.template.path().join("project"), &self.worker.project(self.ids));
    }

    /// Sends the client's request. Returns its answer, unless the worker dies.
    async fn act(&self) -> Option<String> {
        let request = self.worker.request(reqwest::Method::POST, self.endpoint).json(&self.body);
        let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
        answer.text().await.ok()
    }

    /// Waits until no save is in progress. A save goes on if the connection to its client breaks.
    async fn quiet(&self) {
        let folder = self.worker.project(self.ids).join(".dreamcore");
        for _ in 0..500 {
            if !folder.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Checks that the project has one of the two states, that `git fsck` finds no error, and that
    /// the next save works.
    async fn check(&self, what: &str) -> bool {
        let now = state(&self.worker, self.ids).await;
        let log = self.worker.log();
        assert!(now == self.before || now == self.after, "{what}: {now:#?}\n{log}");
        let folder = self.worker.project(self.ids);
        git(&folder, &["fsck", "--strict"]);
        crate::support::tidy(&folder);
        write(&self.worker, self.ids, "next.txt", what).await;
        healthy(&folder);
        assert_eq!(self.worker.get_file(self.ids, "next.txt").await.text(), what);
        now == self.after
    }

    /// Kills the worker at each call of each kind.
    async fn killed_everywhere(mut self) {
        let mut ends = BTreeMap::new();
        for name in CHANGING.iter().chain(&["write"]) {
            for count in 1.. {
                self.reset();
                let strace = Strace::attach(&self.worker, name, "signal=KILL", count);
                let answer = self.act().await;
                let died = self
                    .worker
                    .ended(Duration::from_millis(if answer.is_some() { 1 } else { 5000 }))
                    .await;
                let reached = strace.detach();
                if died.is_none() && !reached {
                    break;
                }
                self.worker.restart().await;
                let is_after = self.check(&format!("killed at {name} {count}")).await;
                *ends.entry(is_after).or_insert(0) += 1;
            }
        }
        let (before, after) =
            (ends.get(&false).copied().unwrap_or(0), ends.get(&true).copied().unwrap_or(0));
        assert!(before >= 15 && after >= 10, "{before} ended as before, {after} as after");
    }

    /// Makes each call of each kind fail once. Writes are left out, because the runtime does not
    /// survive a failed write to its own pipes, and other tests fill the disk.
    async fn refused_everywhere(self, error: &str) {
        let (mut failed, mut went_on) = (0, 0);
        for name in CHANGING {
            for count in 1.. {
                self.reset();
                let strace = Strace::attach(&self.worker, name, &format!("error={error}"), count);
                let answer = self.act().await;
                if !strace.detach() {
                    break;
                }
                self.quiet().await;
                let what = format!("{error} at {name} {count}");
                let now = state(&self.worker, self.ids).await;
                let is_done = answer.as_ref().is_some_and(|text| {
                    text.contains("\"type\":\"done\"") || text.contains("\"success\":true")
                });
                let is_error =
                    answer.as_ref().is_some_and(|text| text.contains("\"code\":\"STORAGE_"));
                // An error in the connection to the client says nothing about the save.
                if is_done {
                    assert_eq!(now, self.after, "{what}: {answer:?}");
                    went_on += 1;
                } else if is_error {
                    assert_eq!(now, self.before, "{what}: {answer:?}\n{}", self.worker.log());
                    failed += 1;
                }
                self.check(&what).await;
            }
        }
        assert!(failed >= 12 && went_on >= 5, "{failed} failed, {went_on} went on");
    }

    async fn save() -> Self {
        Self::new("apply_files", |_| {
            json!({
                "commit_message": "neu",
                "files": [
                    { "path": "index.html", "content": "3" },
                    { "path": "swap", "action": "delete" },
                    { "path": "swap/inside.txt", "content": "3" },
                    { "path": "gone.txt", "action": "delete" },
                    { "path": ".style-pending.json", "content": "new" },
                ],
            })
        })
        .await
    }

    /// A save in a project whose history must be imported first.
    async fn import() -> Self {
        let scenario = Self::save().await;
        let mark = scenario.template.path().join("project/.git/dreamcore-mark");
        std::fs::remove_file(mark).expect("the mark of a history that the worker wrote");
        scenario
    }

    async fn restore() -> Self {
        Self::new("restore_version", |hash| json!({ "commit": hash })).await
    }
}

fn root_or_skip(test: &str) -> bool {
    let root = harness::is_root();
    if !root {
        eprintln!("SKIPPED {test}: strace needs root to attach to another process");
    }
    root
}

#[tokio::test]
async fn a_save_may_be_killed_anywhere() {
    if root_or_skip("a_save_may_be_killed_anywhere") {
        Scenario::save().await.killed_everywhere().await;
    }
}

#[tokio::test]
async fn an_import_may_be_killed_anywhere() {
    if root_or_skip("an_import_may_be_killed_anywhere") {
        Scenario::import().await.killed_everywhere().await;
    }
}

#[tokio::test]
async fn an_import_may_find_the_disk_full_anywhere() {
    if root_or_skip("an_import_may_find_the_disk_full_anywhere") {
        Scenario::import().await.refused_everywhere("ENOSPC").await;
    }
}

#[tokio::test]
async fn a_restore_may_be_killed_anywhere() {
    if root_or_skip("a_restore_may_be_killed_anywhere") {
        Scenario::restore().await.killed_everywhere().await;
    }
}

#[tokio::test]
async fn a_save_may_find_the_disk_full_anywhere() {
    if root_or_skip("a_save_may_find_the_disk_full_anywhere") {
        Scenario::save().await.refused_everywhere("ENOSPC").await;
    }
}

#[tokio::test]
async fn a_save_may_find_the_disk_read_only_anywhere() {
    if root_or_skip("a_save_may_find_the_disk_read_only_anywhere") {
        Scenario::save().await.refused_everywhere("EROFS").await;
    }
}

#[tokio::test]
async fn a_restore_may_find_the_disk_broken_anywhere() {
    if root_or_skip("a_restore_may_find_the_disk_broken_anywhere") {
        Scenario::restore().await.refused_everywhere("EIO").await;
    }
}

/// The first request for a project after a kill finishes the save, whichever request it is.
#[tokio::test]
async fn whoever_looks_first_mends() {
    if !root_or_skip("whoever_looks_first_mends") {
        return;
    }
    let mut scenario = Scenario::save().await;
    let query = format!("user_id={}&project_id={}", scenario.ids.user, scenario.ids.project);
    for look in ["get_file", "list_files", "get_versions"] {
        scenario.reset();
        // The kill comes when the second file is moved into its place.
        let strace = Strace::attach(&scenario.worker, "renameat", "signal=KILL", 2);
        assert_eq!(scenario.act().await.filter(|text| text.contains("done")), None);
        scenario.worker.ended(Duration::from_secs(5)).await;
        assert!(strace.detach());
        scenario.worker.restart().await;
        let answer = scenario.worker.get(&format!("{look}?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(files(&scenario.worker.project(scenario.ids)), scenario.after.files, "{look}");
        let log = action(&scenario.worker, scenario.ids, "git_log", json!({})).await;
        assert_eq!(log.json()["commits"][0]["message"], "neu");
        assert!(scenario.check(look).await);
    }
}
