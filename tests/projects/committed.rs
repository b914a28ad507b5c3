//! A worker whose volume has to be committed: a client hears of its change after the commit, and
//! nothing is lost where that fails.

use std::time::Duration;

use harness::script::{Script, text, tool};
use harness::{Behaviour, Ids, Setup, VolumeSocket, Worker, terminal};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{about, applied, apply, commits, hash, refused, write};

const CODE: &str = "STORAGE_NOT_COMMITTED";
const MOMENT: Duration = Duration::from_millis(200);

fn with(volume: &VolumeSocket) -> Setup {
    Setup::default().var("DREAMCORE_VOLUME_SOCKET", volume.path().display())
}

fn file(text: &str) -> Value {
    json!([{ "path": "a.txt", "content": text }])
}

fn hello() -> Script {
    Script::new()
        .turn([tool("Write", json!({ "file_path": "{{cwd}}/index.html", "content": "<p>" }))])
        .turn([text("Done.")])
}

async fn uploaded(worker: &Worker, ids: Ids) -> harness::Answer {
    let path = format!("upload_asset?user_id={}&filename=a.png", ids.user);
    let bytes = b"\x89PNG\r\n\x1a\n0123456789".to_vec();
    worker.send(worker.request(reqwest::Method::POST, &path).body(bytes)).await
}

#[tokio::test]
async fn each_answer_to_a_change_comes_after_a_commit() {
    let volume = VolumeSocket::start();
    let worker = with(&volume).script(hello()).start().await;
    let ids = Ids::new();
    volume.behave(Behaviour::Succeed(MOMENT));
    let mut before = 0;
    let mut one_more = |what: &str| {
        assert_eq!(volume.committed(), before + 1, "{what}");
        before += 1;
    };

    write(&worker, ids, "a.txt", "1").await;
    one_more("apply_files");
    write(&worker, ids, "a.txt", "2").await;
    one_more("apply_files");
    let first = hash(&worker, ids, 1).await;
    let restored = worker.post("restore_version", &about(ids, &json!({ "commit": first }))).await;
    assert_eq!(restored.status, 200, "{}", restored.text());
    one_more("restore_version");
    worker.put(ids, "b.txt", "by hand");
    let snapshot = worker.post("create_version_snapshot", &about(ids, &json!({}))).await;
    assert_eq!(snapshot.json()["created"], true);
    one_more("create_version_snapshot");
    let target = json!({ "target_project_id": Ids::new().project });
    assert_eq!(worker.post("copy_project", &about(ids, &target)).await.status, 200);
    one_more("copy_project");
    let asset = uploaded(&worker, ids).await.json()["id"].clone();
    one_more("upload_asset");
    let asset = json!({ "user_id": ids.user, "asset_id": asset });
    assert_eq!(worker.post("delete_asset", &asset).await.status, 200);
    one_more("delete_asset");
    assert_eq!(worker.post("restore_asset", &asset).await.status, 200);
    one_more("restore_asset");
    let events = worker.generate(ids, "a page").await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    one_more("generate_game");

    // What changes nothing needs no commit, and neither does what only reads.
    write(&worker, ids, "a.txt", "1").await;
    let again = worker.post("create_version_snapshot", &about(ids, &json!({}))).await;
    assert_eq!(again.json()["created"], false);
    assert_eq!(worker.post("restore_asset", &asset).await.status, 200);
    assert_eq!(worker.get_file(ids, "a.txt").await.text(), "1");
    assert_eq!(worker.list_files(ids).await.status, 200);
    assert_eq!(volume.count("commit"), 9);
}

#[tokio::test]
async fn a_commit_that_fails_in_any_way_loses_nothing_and_is_made_up_for() {
    let volume = VolumeSocket::start();
    let worker = with(&volume).var("DREAMCORE_VOLUME_COMMIT_TIMEOUT_S", "0.5").start().await;
    let ids = Ids::new();
    let behaviours = [
        Behaviour::Hang,
        Behaviour::Close,
        Behaviour::Say("no"),
        Behaviour::Say(r#"{"v":1,"id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","ok":true}"#),
        Behaviour::Refuse("open_files"),
        Behaviour::Refuse("busy"),
        Behaviour::Refuse("too_large"),
        Behaviour::Refuse("not_found"),
        Behaviour::Refuse("unsupported"),
        Behaviour::Refuse("failed"),
    ];
    for (number, behaviour) in behaviours.into_iter().enumerate() {
        let content = number.to_string();
        volume.behave(behaviour.clone());
        let end = refused(&worker, ids, file(&content), CODE).await;
        assert_eq!(end.0["recoverable"], true, "{behaviour:?}");
        assert_eq!(worker.get_file(ids, "a.txt").await.text(), content);
        // The same request again finds its version, and is still not answered without a commit.
        refused(&worker, ids, file(&content), CODE).await;
        volume.behave(Behaviour::Succeed(Duration::ZERO));
        let before = volume.committed();
        assert_eq!(applied(&worker, ids, file(&content)).await, Vec::<String>::new());
        assert_eq!(volume.committed(), before + 1, "{behaviour:?}");
        assert_eq!(commits(&worker, ids).await.len(), number + 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn outside_of_a_stream_the_failure_is_a_503() {
    let volume = VolumeSocket::start();
    let worker = with(&volume).start().await;
    let ids = Ids::new();
    write(&worker, ids, "a.txt", "1").await;
    worker.put(ids, "a.txt", "2");
    volume.behave(Behaviour::Refuse("failed"));
    let snapshot = worker.post("create_version_snapshot", &about(ids, &json!({}))).await;
    assert_eq!((snapshot.status.as_u16(), &snapshot.json()["code"]), (503, &json!(CODE)));
    volume.behave(Behaviour::Succeed(Duration::ZERO));
    let snapshot = worker.post("create_version_snapshot", &about(ids, &json!({}))).await;
    assert_eq!(snapshot.json()["created"], false, "it was made by the first request");
    assert_eq!(commits(&worker, ids).await.len(), 2);
}

#[tokio::test]
async fn a_generation_whose_version_is_not_committed_says_so_and_keeps_it() {
    let volume = VolumeSocket::start();
    let worker = with(&volume).script(hello()).start().await;
    let ids = Ids::new();
    volume.behave(Behaviour::Refuse("failed"));
    let events = worker.generate(ids, "a page").await;
    let end = terminal(&events);
    assert_eq!(end.text("code"), CODE, "{events:#?}");
    assert!(end.0.get("partial_version").is_none(), "{end:?}");
    assert_eq!(worker.get_file(ids, "index.html").await.text(), "<p>");
    assert_eq!(commits(&worker, ids).await.len(), 1);
}

#[tokio::test]
async fn commits_are_joined_and_one_that_had_begun_does_not_count() {
    let volume = VolumeSocket::start();
    let worker = with(&volume).start().await;
    volume.behave(Behaviour::Succeed(Duration::from_secs(2)));
    let first = about(Ids::new(), &json!({ "files": file("1") }));
    let first = worker.stream("apply_files", &first).await;
    volume.asked("commit", 1).await;
    // These end while the first commit is under way, which may have passed over their files.
    let mut others = JoinSet::new();
    for _ in 0..16 {
        let body = about(Ids::new(), &json!({ "files": file("2") }));
        let stream = worker.stream("apply_files", &body).await;
        others.spawn(stream.collect());
    }
    assert_eq!(terminal(&first.collect().await).kind(), "done");
    for events in others.join_all().await {
        assert_eq!(terminal(&events).kind(), "done");
    }
    let count = volume.count("commit");
    assert!((2..=4).contains(&count), "{count} commits for 17 changes");
}

#[tokio::test]
async fn the_first_answer_after_a_start_waits_for_a_commit_of_what_was_left() {
    let volume = VolumeSocket::start();
    let mut worker = with(&volume).start().await;
    let ids = Ids::new();
    volume.behave(Behaviour::Refuse("failed"));
    refused(&worker, ids, file("1"), CODE).await;
    worker.restart().await;
    volume.behave(Behaviour::Succeed(Duration::ZERO));
    assert_eq!(applied(&worker, ids, file("1")).await, Vec::<String>::new());
    assert_eq!(volume.committed(), 1);
}

#[tokio::test]
async fn a_worker_that_ends_waits_for_its_commits() {
    let volume = VolumeSocket::start();
    let mut worker = with(&volume).start().await;
    // Longer than connections have when there is nothing to wait for.
    volume.behave(Behaviour::Succeed(Duration::from_secs(8)));
    let ids = Ids::new();
    worker.put(ids, "a.txt", "1");
    let request = worker.request(reqwest::Method::POST, "create_version_snapshot");
    let answer = tokio::spawn(request.json(&about(ids, &json!({}))).send());
    volume.asked("commit", 1).await;
    worker.signal(nix::sys::signal::Signal::SIGTERM);
    let status = worker.ended(Duration::from_secs(30)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", worker.log());
    assert_eq!(answer.await.expect("it is sent").expect("it is answered").status(), 200);
    assert_eq!(volume.committed(), 1);
}

#[tokio::test]
async fn without_a_server_at_the_socket_nothing_is_called_done() {
    let volume = VolumeSocket::start();
    let setup = with(&volume);
    drop(volume);
    let worker = setup.start().await;
    let events = apply(&worker, Ids::new(), file("1")).await;
    assert_eq!(terminal(&events).text("code"), CODE, "{}", worker.log());
    assert!(terminal(&events).text("message").contains("cannot be reached"), "{events:?}");
}
