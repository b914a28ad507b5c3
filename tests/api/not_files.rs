//! Entries of a project that are not ordinary files are never served, listed or followed.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use harness::{Ids, Setup, Worker};
use serde_json::json;

use crate::support::{logged, refused};

const PRIVATE: &str = "of another user";

fn another_users_file(worker: &Worker) -> Ids {
    let other = Ids::new();
    worker.put(other, "index.html", PRIVATE);
    other
}

#[tokio::test]
async fn links_and_special_files_do_not_exist_for_clients() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let other = another_users_file(&worker);
    worker.put(ids, "real/a.txt", "a");
    let folder = worker.project(ids);
    let private = worker.project(other).join("index.html");
    symlink(&private, folder.join("absolute.html")).unwrap();
    symlink("real/a.txt", folder.join("inside.txt")).unwrap();
    symlink("real", folder.join("linked")).unwrap();
    symlink(worker.project(other), folder.join("neighbour")).unwrap();
    symlink("/proc/self", folder.join("proc")).unwrap();
    symlink("/dev/stdin", folder.join("stdin")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    symlink("itself", folder.join("itself")).unwrap();
    std::fs::hard_link(&private, folder.join("hard.html")).unwrap();
    nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The socket is made under a shorter path and then renamed, because its path may have at most
    // 107 bytes.
    let short = worker.data().join("s");
    let _listener = UnixListener::bind(&short).unwrap();
    std::fs::rename(short, folder.join("socket")).unwrap();

    for path in [
        "absolute.html",
        "inside.txt",
        "linked",
        "linked/a.txt",
        "neighbour/index.html",
        "proc/environ",
        "proc/fd/0",
        "stdin",
        "dangling",
        "itself",
        "hard.html",
        "fifo",
        "socket",
        "real",
        "real/a.txt/b",
        "fifo/x",
        "index.html",
    ] {
        let answer = worker.get_file(ids, path).await;
        assert_eq!(refused(&worker, &answer, path), 404, "{path}");
        assert_eq!(answer.json()["error"], "File not found", "{path}");
    }
    assert_eq!(worker.list_files(ids).await.json(), json!({ "files": ["real/a.txt"] }));
}

#[tokio::test]
async fn names_that_no_client_could_send_are_not_listed() {
    use std::os::unix::ffi::OsStrExt as _;
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    worker.put(ids, "good.txt", "x");
    let deep = format!("{}x", "d/".repeat(32));
    for name in ["back\\slash", "line\nbreak", "dot.", "\u{202e}bidi", &deep] {
        worker.put(ids, name, "x");
    }
    let not_utf8 = std::ffi::OsStr::from_bytes(b"\xff\xfe.js");
    std::fs::write(worker.project(ids).join(not_utf8), "x").unwrap();
    let listed = worker.list_files(ids).await.json();
    assert_eq!(listed, json!({ "files": ["good.txt"] }));
}

#[tokio::test]
async fn folders_of_users_and_projects_are_not_followed_if_they_are_links() {
    let worker = Setup::default().start().await;
    let other = another_users_file(&worker);
    let linked_project = Ids::new();
    let place = worker.project(linked_project);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    symlink(worker.project(other), place).unwrap();
    let linked_user = Ids { project: other.project, ..Ids::new() };
    let users = worker.data().join("users");
    symlink(users.join(other.user.to_string()), users.join(linked_user.user.to_string())).unwrap();
    for ids in [linked_project, linked_user] {
        for answer in [worker.get_file(ids, "index.html").await, worker.list_files(ids).await] {
            // The volume was changed by hand. That is an error, and neither "not found" nor a
            // success.
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.json()["code"], "STORAGE_ERROR");
            assert!(!answer.text().contains("index.html"));
            assert!(!answer.text().contains(PRIVATE));
        }
    }
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_not_taken_for_an_empty_one() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for place in [file, temp.path().join("missing")] {
        let setup = Setup::default().var("DREAMCORE_DATA_DIR", place.display());
        let worker = setup.start().await;
        let ids = Ids::new();
        for answer in [worker.list_files(ids).await, worker.get_file(ids, "index.html").await] {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.json()["code"], "STORAGE_ERROR");
            let shown = place.display().to_string();
            assert!(!answer.text().contains(&shown), "{}", answer.text());
        }
        logged(&worker, "a project could not be read").await;
        let ready = worker.settled().await;
        assert_eq!(ready.status, 503);
        assert!(ready.json()["problems"]["data_dir"].is_string());
    }
}
