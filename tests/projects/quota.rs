//! A quota on the volume that is used up: at every endpoint that writes, it is refused like a full
//! disk, and nothing is lost. The file system gives `EDQUOT`, and its free space says nothing.

use std::path::PathBuf;

use harness::{Ids, Quota, Setup, Worker, git, terminal};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{GIF, about, applied, error_of, file, files, hash, tidy};

/// What the project may still take, in bytes, when something is asked for.
const FREE: [u64; 9] =
    [0, 16 << 10, 64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20, 16 << 20];

/// A worker whose volume has a quota, and a project with two versions.
struct Scene {
    quota: Quota,
    worker: Worker,
    ids: Ids,
    older: String,
}

impl Scene {
    async fn begin(test: &str) -> Option<Self> {
        let quota = Quota::find(test)?;
        let worker =
            Setup::default().var("DREAMCORE_DATA_DIR", quota.path().display()).start().await;
        let ids = Ids::new();
        let many: Vec<_> = (0..50).map(|n| file(&format!("{n:04}.txt"), "x")).collect();
        applied(&worker, ids, many.into()).await;
        let older = hash(&worker, ids, 0).await;
        applied(&worker, ids, json!([file("index.html", "<p>"), file("0000.txt", "y")])).await;
        Some(Self { quota, worker, ids, older })
    }

    fn project(&self) -> PathBuf {
        self.worker.project(self.ids)
    }

    /// The state of the project, which a refused request must not change.
    fn state(&self) -> (Vec<String>, String) {
        (files(&self.project()), git(&self.project(), &["log", "--format=%H"]))
    }

    /// Repeats a request with more and more left of the quota. It is refused where there is nothing,
    /// and granted where there is plenty.
    async fn refused(&self, what: &str, ask: impl AsyncFn(u64) -> Option<Value>) {
        let mut refused = Vec::new();
        for free in FREE {
            let before = self.state();
            self.quota.leave(free);
            let error = ask(free).await;
            self.quota.lift();
            if let Some(error) = error {
                let log = self.worker.log();
                assert_eq!(error["code"], "STORAGE_FULL", "{what}, {free} bytes: {error}\n{log}");
                assert_eq!(self.state(), before, "{what}, {free} bytes");
                tidy(&self.project());
                refused.push(free);
            }
        }
        git(&self.project(), &["fsck", "--strict"]);
        assert!(refused.contains(&0) && !refused.contains(&(16 << 20)), "{what}: {refused:?}");
    }

    async fn post(&self, endpoint: &str, further: Value) -> Option<Value> {
        error_of(&self.worker.post(endpoint, &about(self.ids, &further)).await)
    }
}

#[tokio::test]
async fn a_used_up_quota_refuses_what_a_full_disk_refuses() {
    let Some(scene) = Scene::begin("a_used_up_quota_refuses_what_a_full_disk_refuses").await else {
        return;
    };
    scene
        .refused("files", async |free| {
            let content: Vec<_> = (0..2000).map(|n| (n * (free + 7919)).to_string()).collect();
            let body = about(scene.ids, &json!({ "files": [file("a.txt", &content.concat())] }));
            let events = scene.worker.stream("apply_files", &body).await.collect().await;
            let end = terminal(&events).clone();
            (end.kind() == "error").then_some(end.0)
        })
        .await;
    let newest = hash(&scene.worker, scene.ids, 0).await;
    scene
        .refused("restored versions", async |free| {
            let version = if free.trailing_zeros() % 2 == 0 { &scene.older } else { &newest };
            scene.post("restore_version", json!({ "commit": version })).await
        })
        .await;
    scene
        .refused("copies", async |_| {
            let target = Ids::new();
            let to = json!({ "target_project_id": target.project });
            let answer = scene.post("copy_project", to).await;
            let place = scene.worker.project(Ids { user: scene.ids.user, ..target });
            assert_eq!(place.exists(), answer.is_none());
            answer
        })
        .await;
    let user = scene.ids.user;
    scene
        .refused("uploads", async |_| {
            let target = format!("upload_asset?user_id={user}&filename=a.gif");
            let body = [GIF, &vec![0; 40_000]].concat();
            let request = scene.worker.request(Method::POST, &target).body(body);
            error_of(&scene.worker.send(request).await)
        })
        .await;
}
