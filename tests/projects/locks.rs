//! File systems without locks: saves still take turns, because the worker keeps its own list of
//! held folders.

use harness::{Ids, Setup, git, terminal};
use reqwest::Method;
use serde_json::json;

use crate::strace::Strace;
use crate::support::{about, action, apply, files, hash, healthy};

/// The errors of file systems that have no locks, or whose server refuses them.
const ANSWERS: [&str; 3] = ["ENOLCK", "EOPNOTSUPP", "ENOSYS"];

#[tokio::test]
async fn without_locks_the_saves_of_one_worker_still_take_turns() {
    for answer in ANSWERS {
        let worker = Setup::default().start().await;
        worker.settled().await;
        let ids = Ids::new();
        let strace = Strace::attach_to_all(&worker, "flock", &format!("error={answer}"));
        let saves = (0..8).map(|n| {
            let worker = &worker;
            async move {
                let content = json!([
                    { "path": format!("{n}.txt"), "content": "x" },
                    { "path": "all.txt", "content": n.to_string() },
                ]);
                let events = apply(worker, ids, content).await;
                assert_eq!(terminal(&events).kind(), "done", "{answer}: {events:#?}");
            }
        });
        futures_util::future::join_all(saves).await;
        let first = hash(&worker, ids, 7).await;
        let restored = action(&worker, ids, "git_restore", json!({ "commit": first })).await;
        assert_eq!(restored.status, 200, "{answer}: {}", restored.text());
        let copy = Ids { project: uuid::Uuid::new_v4(), ..ids };
        let body = about(ids, &json!({ "target_project_id": copy.project, "history": true }));
        let copied = worker.post("copy_project", &body).await;
        assert_eq!(copied.status, 200, "{answer}: {}", copied.text());

        assert!(strace.detach(), "{answer}: no lock was asked for");
        for ids in [ids, copy] {
            let folder = worker.project(ids);
            assert_eq!(git(&folder, &["rev-list", "--count", "HEAD"]).trim(), "9");
            assert_eq!(files(&folder).len(), 2);
            healthy(&folder);
        }
    }
}

#[tokio::test]
async fn without_locks_uploads_work() {
    let user = uuid::Uuid::new_v4();
    for answer in ANSWERS {
        let worker = Setup::default().start().await;
        let strace = Strace::attach_to_all(&worker, "flock", &format!("error={answer}"));
        let target = format!("upload_asset?user_id={user}&filename=a.gif");
        let request = worker.request(Method::POST, &target).body("GIF89a and more");
        let uploaded = worker.send(request).await;
        assert_eq!(uploaded.status, 200, "{answer}: {}", uploaded.text());
        let body = json!({ "user_id": user, "asset_id": uploaded.json()["id"] });
        for endpoint in ["delete_asset", "restore_asset"] {
            let done = worker.post(endpoint, &body).await;
            assert_eq!(done.status, 200, "{answer}: {endpoint}: {}", done.text());
        }
        assert!(strace.detach(), "{answer}: no lock was asked for");
    }
}
