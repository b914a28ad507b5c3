//! A full volume: at every endpoint, and wherever the space ends, either the answer is
//! `STORAGE_FULL` and nothing has changed, or the whole change was made.

use std::path::Path;

use harness::{Disk, Ids, Setup, Worker, git, is_root, terminal};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{GIF, about, applied, error_of, file, files, hash, tidy};

/// The number of files in the project. Their names make the tree of the folder a large object.
const FILES: usize = 600;

/// A worker whose volume is a small disk, and a project with two versions.
struct Scene {
    disk: Disk,
    worker: Worker,
    ids: Ids,
    older: String,
}

impl Scene {
    async fn begin() -> Self {
        let disk = Disk::new("size=16m");
        let worker =
            Setup::default().var("DREAMCORE_DATA_DIR", disk.path().display()).start().await;
        let ids = Ids::new();
        let many: Vec<_> = (0..FILES).map(|n| file(&format!("{n:04}-{n:060}.txt"), "x")).collect();
        applied(&worker, ids, many.into()).await;
        let older = hash(&worker, ids, 0).await;
        applied(&worker, ids, json!([file("index.html", "<p>"), file("0000.txt", "y")])).await;
        Self { disk, worker, ids, older }
    }

    /// The state of the project, which a refused request must not change.
    fn state(&self) -> (Vec<String>, String) {
        let folder = self.worker.project(self.ids);
        (files(&folder), git(&folder, &["log", "--format=%H"]))
    }

    /// Repeats a request with less and less space, until none is left. Returns how often it was
    /// refused.
    async fn refused(&self, ask: impl AsyncFn(u64) -> Option<Value>) -> usize {
        let mut refused = 0;
        for free_kib in (0..64_u32).chain((64..512).step_by(16)).rev().map(u64::from) {
            let before = self.state();
            self.disk.fill_up_to(free_kib * 1024);
            let error = ask(free_kib).await;
            self.disk.fill_up_to(8 << 20);
            if let Some(error) = error {
                let log = self.worker.log();
                assert_eq!(error["code"], "STORAGE_FULL", "{free_kib} KiB: {error}\n{log}");
                assert_eq!(self.state(), before, "{free_kib} KiB");
                tidy(&self.worker.project(self.ids));
                refused += 1;
            }
        }
        git(&self.worker.project(self.ids), &["fsck", "--strict"]);
        refused
    }

    async fn post(&self, endpoint: &str, further: Value) -> Option<Value> {
        error_of(&self.worker.post(endpoint, &about(self.ids, &further)).await)
    }
}

fn can_mount(test: &str) -> bool {
    if !is_root() {
        eprintln!("SKIPPED: {test} needs root, to mount a small disk");
    }
    is_root()
}

#[tokio::test]
async fn files_that_are_applied() {
    if !can_mount("files_that_are_applied") {
        return;
    }
    let scene = Scene::begin().await;
    let refused = scene.refused(async |free| {
        let content: Vec<_> = (0..2000).map(|n| (n * (free + 7919)).to_string()).collect();
        let content = content.concat();
        let body = about(scene.ids, &json!({ "files": [file("index.html", &content)] }));
        let events = scene.worker.stream("apply_files", &body).await.collect().await;
        let end = terminal(&events).clone();
        (end.kind() == "error").then_some(end.0)
    });
    assert!(refused.await > 20);
}

#[tokio::test]
async fn snapshots_restored_versions_and_copies() {
    if !can_mount("snapshots_restored_versions_and_copies") {
        return;
    }
    let scene = Scene::begin().await;
    let folder = scene.worker.project(scene.ids);
    let refused = scene.refused(async |free| {
        // Another program changes a file, for which there still is space.
        overwrite(&folder, free);
        let answer = scene.post("create_version_snapshot", json!({})).await;
        overwrite(&folder, 1_000_000);
        answer
    });
    assert!(refused.await > 20, "snapshots");
    drop(scene.post("create_version_snapshot", json!({})).await);

    let newest = hash(&scene.worker, scene.ids, 0).await;
    let refused = scene.refused(async |free| {
        let version = if free % 2 == 0 { &scene.older } else { &newest };
        scene.post("restore_version", json!({ "commit": version })).await
    });
    assert!(refused.await > 20, "restored versions");

    let refused = scene.refused(async |_| {
        let target = Ids::new();
        let to = json!({ "target_project_id": target.project });
        let answer = scene.post("copy_project", to).await;
        let place = scene.worker.project(Ids { user: scene.ids.user, ..target });
        assert_eq!(place.exists(), answer.is_none());
        // Makes room for the next request.
        drop(std::fs::remove_dir_all(place));
        answer
    });
    assert!(refused.await > 20, "copies");
}

/// Changes a file in place, which needs no space.
fn overwrite(folder: &Path, number: u64) {
    std::fs::write(folder.join("index.html"), format!("{number:09}")).expect("it is written");
}

#[tokio::test]
async fn uploads() {
    if !can_mount("uploads") {
        return;
    }
    let scene = Scene::begin().await;
    let user = scene.ids.user;
    let refused = scene.refused(async |_| {
        let target = format!("upload_asset?user_id={user}&filename=a.gif");
        let body = [GIF, &vec![0; 40_000]].concat();
        let answer = scene.worker.send(scene.worker.request(Method::POST, &target).body(body));
        let answer = answer.await;
        let assets = scene.worker.data().join(format!("users/{user}/assets"));
        if answer.status != 200 && assets.exists() {
            let left = std::fs::read_dir(assets).expect("a folder").count();
            assert_eq!(left, scene.listed().await, "nothing is left of what was refused");
        }
        error_of(&answer)
    });
    assert!(refused.await > 5);
}

impl Scene {
    async fn listed(&self) -> usize {
        let answer = self.worker.get(&format!("list_assets?user_id={}", self.ids.user)).await;
        answer.json()["assets"].as_array().expect("a list").len()
    }
}

/// Asking for the versions of a project without a history begins one.
#[tokio::test]
async fn the_first_look_at_a_project_of_another_program() {
    if !can_mount("the_first_look_at_a_project_of_another_program") {
        return;
    }
    let scene = Scene::begin().await;
    let refused = scene.refused(async |free| {
        let ids = Ids::new();
        scene.disk.fill_up_to(4 << 20);
        scene.worker.put(ids, "index.html", "<p>");
        scene.worker.put(ids, "large.bin", vec![7_u8; 100_000]);
        scene.disk.fill_up_to(free * 1024);
        let target = format!("get_versions?user_id={}&project_id={}", ids.user, ids.project);
        let answer = scene.worker.get(&target).await;
        let seen = files(&scene.worker.project(ids)).len();
        drop(std::fs::remove_dir_all(scene.worker.project(ids)));
        assert_eq!(seen, 2);
        error_of(&answer)
    });
    assert!(refused.await > 5);
}
