//! `list_files?details=1`: size, time and hash of each file.

use std::collections::BTreeMap;

use harness::{Ids, Setup, Worker, git};
use serde_json::{Value, json};

use crate::support::refused;

async fn details(worker: &Worker, ids: Ids) -> Value {
    let target = format!("list_files?user_id={}&project_id={}&details=1", ids.user, ids.project);
    let answer = worker.get(&target).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The hashes of a listing, by path.
fn hashes(listing: &Value) -> BTreeMap<String, String> {
    let details = listing["details"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    details.iter().map(|detail| (text(&detail["path"]), text(&detail["hash"]))).collect()
}

/// The hashes of the files on the disk, computed by git itself.
fn hashed_by_git(worker: &Worker, ids: Ids, paths: &[&str]) -> BTreeMap<String, String> {
    let folder = worker.project(ids);
    let hash = |path: &str| git(&folder, &["hash-object", "--no-filters", path]).trim().to_owned();
    paths.iter().map(|path| ((*path).to_owned(), hash(path))).collect()
}

#[tokio::test]
async fn each_file_has_its_size_time_and_hash_and_the_plain_list_stays_as_it_is() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "index.html", "<p>");
    worker.put(ids, "assets/画像.png", "png");
    worker.put(ids, "empty", "");
    worker.put(ids, ".hidden", "x");
    let place = worker.project(ids).join("index.html");
    let file = std::fs::File::options().write(true).open(place).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_123);
    file.set_modified(time).unwrap();

    let paths = ["assets/画像.png", "empty", "index.html"];
    assert_eq!(worker.list_files(ids).await.json(), json!({ "files": paths }));
    let listing = details(&worker, ids).await;
    assert_eq!(listing["files"], json!(paths));
    assert_eq!(
        listing["details"][2],
        json!({
            "path": "index.html", "size": 3, "mtime": "2023-11-14T22:13:20.123Z",
            // printf '<p>' | git hash-object --stdin
            "hash": hashes(&listing)["index.html"],
        })
    );
    assert_eq!(hashes(&listing)["empty"], "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    // The request has not begun a history.
    assert!(!worker.project(ids).join(".git").exists());
    git(&worker.project(ids), &["init", "--quiet"]);
    assert_eq!(hashes(&listing), hashed_by_git(&worker, ids, &paths));
}

#[tokio::test]
async fn the_index_is_used_where_it_is_current_and_never_where_it_is_not() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let paths = ["a.js", "b.js", "c.js"];
    for path in paths {
        worker.put(ids, path, path);
    }
    let folder = worker.project(ids);
    // The files must be older than the index by more than the resolution of their times.
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    git(&folder, &["init", "--quiet"]);
    git(&folder, &["add", "--all"]);
    assert_eq!(hashes(&details(&worker, ids).await), hashed_by_git(&worker, ids, &paths));

    // The content changes, but size and time of change stay the same.
    let modified = std::fs::metadata(folder.join("c.js")).unwrap().modified().unwrap();
    std::fs::write(folder.join("c.js"), "C.JS").unwrap();
    let file = std::fs::File::options().write(true).open(folder.join("c.js")).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(hashes(&details(&worker, ids).await), hashed_by_git(&worker, ids, &paths));

    // An index that is damaged, one that is missing, and one that is not a file.
    let index = folder.join(".git/index");
    for broken in [Some("DIRC broken"), None] {
        std::fs::remove_file(&index).unwrap();
        if let Some(broken) = broken {
            std::fs::write(&index, broken).unwrap();
        }
        let listed = hashes(&details(&worker, ids).await);
        if index.exists() {
            std::fs::remove_file(&index).unwrap();
        }
        assert_eq!(listed, hashed_by_git(&worker, ids, &paths));
        std::fs::write(&index, "").unwrap();
    }
    std::fs::remove_file(&index).unwrap();
    nix::unistd::mkfifo(&index, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let listed = hashes(&details(&worker, ids).await);
    std::fs::remove_file(&index).unwrap();
    assert_eq!(listed, hashed_by_git(&worker, ids, &paths));
}

#[tokio::test]
async fn listing_takes_no_lock_away_and_leaves_no_trace() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "a.js", "a");
    let folder = worker.project(ids);
    git(&folder, &["init", "--quiet"]);
    for lock in [".git/index.lock", ".git/HEAD.lock"] {
        std::fs::write(folder.join(lock), "").unwrap();
    }
    details(&worker, ids).await;
    for lock in [".git/index.lock", ".git/HEAD.lock"] {
        assert!(folder.join(lock).exists(), "{lock} is somebody's");
    }
}

#[tokio::test]
async fn only_0_and_1_are_understood() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let target = |value: &str| {
        format!("list_files?user_id={}&project_id={}&details={value}", ids.user, ids.project)
    };
    for value in ["", "2", "true", "yes"] {
        let answer = worker.get(&target(value)).await;
        assert_eq!(refused(&worker, &answer, value), 400, "{value}");
    }
    let answer = worker.get(&target("1")).await;
    assert_eq!(refused(&worker, &answer, "no project"), 404);
    assert_eq!(answer.json()["files"], json!([]));
    worker.put(ids, "a.js", "a");
    assert_eq!(worker.get(&target("0")).await.json(), json!({ "files": ["a.js"] }));
}
