//! A worker whose volume has to be reloaded: a read sees what another container has committed, and
//! no read waits for a reload that it does not need.

use std::time::Duration;

use harness::{Answer, Behaviour, Ids, Setup, VolumeSocket, Worker};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{about, write};

const LONG_S: &str = "3600";

async fn start(volume: &VolumeSocket, max_age_s: &str) -> Worker {
    let setup = Setup::default()
        .var("DREAMCORE_VOLUME_SOCKET", volume.path().display())
        .var("DREAMCORE_VOLUME_MAX_AGE_S", max_age_s);
    let worker = setup.start().await;
    // The volume is not reloaded before the self-test has ended.
    worker.settled().await;
    volume.watch(&worker);
    worker
}

async fn told(worker: &Worker, ids: Ids) {
    let answer = worker.post("volume_changed", &about(ids, &json!({}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn read(worker: &Worker, ids: Ids) -> String {
    worker.get_file(ids, "a.txt").await.text()
}

/// Sends this many requests for a file at the same time.
async fn read_by_many(worker: &Worker, ids: Ids, count: usize) -> Vec<String> {
    let mut reads = JoinSet::new();
    for _ in 0..count {
        let path = format!("get_file?user_id={}&project_id={}&path=a.txt", ids.user, ids.project);
        let request = worker.request(Method::GET, &path).send();
        reads.spawn(async move { request.await.expect("an answer").text().await.expect("text") });
    }
    reads.join_all().await
}

#[tokio::test]
async fn a_project_that_was_changed_elsewhere_is_reloaded_once_and_others_are_not() {
    let volume = VolumeSocket::start();
    let worker = start(&volume, LONG_S).await;
    let (ids, others) = (Ids::new(), Ids::new());
    worker.put(ids, "a.txt", "old");
    worker.put(others, "a.txt", "x");
    volume.deliver(worker.project(ids).join("a.txt"), "new");
    assert_eq!(read(&worker, ids).await, "old");
    told(&worker, ids).await;
    assert_eq!(read(&worker, others).await, "x");
    assert_eq!(volume.count("reload"), 0, "nobody said that these have changed");

    volume.behave(Behaviour::Succeed(Duration::from_millis(300)));
    assert_eq!(read_by_many(&worker, ids, 16).await, ["new"; 16]);
    assert_eq!(volume.count("reload"), 1);
    assert_eq!(read(&worker, ids).await, "new");
    assert_eq!(volume.count("reload"), 1);
}

#[tokio::test]
async fn every_kind_of_read_and_change_is_of_what_was_committed_elsewhere() {
    let volume = VolumeSocket::start();
    let worker = start(&volume, LONG_S).await;
    let ids = Ids::new();
    write(&worker, ids, "a.txt", "1").await;
    let (user, project) = (ids.user, ids.project);
    let hash = crate::support::hash(&worker, ids, 0).await;
    let gets = [
        format!("get_file?user_id={user}&project_id={project}&path=a.txt"),
        format!("list_files?user_id={user}&project_id={project}"),
        format!("list_files?user_id={user}&project_id={project}&details=1"),
        format!("get_versions?user_id={user}&project_id={project}"),
        format!("get_version_diff?user_id={user}&project_id={project}&commit={hash}"),
    ];
    for (number, path) in gets.iter().enumerate() {
        told(&worker, ids).await;
        let answer: Answer = worker.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(volume.count("reload"), number + 1, "{path}");
    }
    let before = volume.count("reload");
    let target = Ids::new().project;
    let posts = [
        ("create_version_snapshot", json!({})),
        ("restore_version", json!({ "commit": hash })),
        ("copy_project", json!({ "target_project_id": target })),
    ];
    for (number, (path, further)) in posts.iter().enumerate() {
        told(&worker, ids).await;
        let answer = worker.post(path, &about(ids, further)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(volume.count("reload"), before + number + 1, "{path}");
    }
    told(&worker, ids).await;
    write(&worker, ids, "a.txt", "2").await;
    assert_eq!(volume.count("reload"), before + 4, "apply_files");
    // The assets of a user are a place of their own.
    let answer = worker.post("volume_changed", &json!({ "user_id": user })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(read(&worker, ids).await, "2");
    assert_eq!(volume.count("reload"), before + 4);
    assert_eq!(worker.get(&format!("list_assets?user_id={user}")).await.status, 200);
    assert_eq!(volume.count("reload"), before + 5);
}

#[tokio::test]
async fn a_reload_that_was_issued_before_the_change_does_not_count() {
    let volume = VolumeSocket::start();
    let worker = start(&volume, LONG_S).await;
    let ids = Ids::new();
    worker.put(ids, "a.txt", "old");
    told(&worker, ids).await;
    volume.behave(Behaviour::Succeed(Duration::from_secs(2)));
    let first = worker.request(
        Method::GET,
        &format!("get_file?user_id={}&project_id={}&path=a.txt", ids.user, ids.project),
    );
    let first = tokio::spawn(first.send());
    volume.asked("reload", 1).await;
    // This is committed elsewhere while the first reload is under way.
    volume.deliver(worker.project(ids).join("a.txt"), "new");
    told(&worker, ids).await;
    assert_eq!(read(&worker, ids).await, "new");
    assert_eq!(volume.count("reload"), 2);
    assert_eq!(first.await.expect("it is sent").expect("it is answered").status(), 200);
}

#[tokio::test]
async fn a_message_that_was_lost_is_made_up_for_by_the_greatest_age() {
    let volume = VolumeSocket::start();
    let worker = start(&volume, "0.2").await;
    let ids = Ids::new();
    worker.put(ids, "a.txt", "old");
    volume.deliver(worker.project(ids).join("a.txt"), "new");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(read(&worker, ids).await, "new");
    // Reads at the same time share a reload also where they do not know of a change.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = volume.count("reload");
    volume.behave(Behaviour::Succeed(Duration::from_millis(100)));
    read_by_many(&worker, ids, 16).await;
    let reloads = volume.count("reload") - before;
    assert!((1..=4).contains(&reloads), "{reloads} reloads for 16 reads");
}

#[tokio::test]
async fn a_long_download_is_not_in_the_way_and_stays_whole() {
    let volume = VolumeSocket::start();
    let worker = start(&volume, LONG_S).await;
    let ids = Ids::new();
    let content: Vec<u8> = (0..=250).cycle().take(32 << 20).collect();
    worker.put(ids, "large.bin", content.clone());
    worker.put(ids, "a.txt", "old");
    let path = format!("get_file?user_id={}&project_id={}&path=large.bin", ids.user, ids.project);
    let request = worker.request(Method::GET, &path);
    // The client takes the head and leaves the rest where it is.
    let mut download = request.send().await.expect("an answer");
    volume.deliver(worker.project(ids).join("a.txt"), "new");
    told(&worker, ids).await;
    assert_eq!(read(&worker, ids).await, "new", "{}", worker.log());
    let mut received = Vec::new();
    while let Some(piece) = download.chunk().await.expect("the rest comes") {
        received.extend_from_slice(&piece);
    }
    assert!(received == content);
}

#[tokio::test]
async fn a_reload_that_fails_leaves_what_is_there_and_is_tried_again() {
    let volume = VolumeSocket::start();
    let setup = Setup::default()
        .var("DREAMCORE_VOLUME_SOCKET", volume.path().display())
        .var("DREAMCORE_VOLUME_MAX_AGE_S", LONG_S)
        .var("DREAMCORE_VOLUME_RELOAD_TIMEOUT_S", "0.3");
    let worker = setup.start().await;
    worker.settled().await;
    let ids = Ids::new();
    for (number, behaviour) in [
        Behaviour::Hang,
        Behaviour::Close,
        Behaviour::Say("no"),
        Behaviour::Refuse("open_files"),
        Behaviour::Refuse("failed"),
    ]
    .into_iter()
    .enumerate()
    {
        worker.put(ids, "a.txt", "old");
        volume.deliver(worker.project(ids).join("a.txt"), "new");
        told(&worker, ids).await;
        volume.behave(behaviour);
        assert_eq!(read(&worker, ids).await, "old", "{number}");
        volume.behave(Behaviour::Succeed(Duration::ZERO));
        // No reload is tried in the second after one that failed.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(read(&worker, ids).await, "new", "{number}");
    }
}

#[tokio::test]
async fn peers_are_told_before_the_client_and_nobody_waits_for_one_that_is_gone() {
    let (volume, of_peer) = (VolumeSocket::start(), VolumeSocket::start());
    let peer = start(&of_peer, LONG_S).await;
    let setup = Setup::default()
        .var("DREAMCORE_VOLUME_SOCKET", volume.path().display())
        .var("DREAMCORE_VOLUME_PEERS", format!("http://127.0.0.1:9, {}", peer.base_url()));
    let worker = setup.start().await;
    let ids = Ids::new();
    assert_eq!(peer.get_file(ids, "a.txt").await.status, 404);
    for text in ["1", "2"] {
        write(&worker, ids, "a.txt", text).await;
        of_peer.deliver(peer.project(ids).join("a.txt"), text);
        assert_eq!(read(&peer, ids).await, text, "{}", worker.log());
    }
    assert_eq!(of_peer.count("reload"), 2);

    // A change whose commit failed is told of after the commit that takes it along.
    volume.behave(Behaviour::Refuse("failed"));
    let files = json!([{ "path": "a.txt", "content": "3" }]);
    crate::support::refused(&worker, ids, files, "STORAGE_NOT_COMMITTED").await;
    volume.behave(Behaviour::Succeed(Duration::ZERO));
    write(&worker, Ids::new(), "a.txt", "of another project").await;
    write(&worker, ids, "a.txt", "3").await;
    of_peer.deliver(peer.project(ids).join("a.txt"), "3");
    assert_eq!(read(&peer, ids).await, "3");
    assert_eq!(of_peer.count("reload"), 3);
}
