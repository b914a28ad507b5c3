//! What has arrived of another container's save before the rest: it is read around and neither
//! thrown away nor imported, and it becomes a version when the rest is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Ids, Setup, VolumeSocket, Worker, git};
use serde_json::json;
use uuid::Uuid;

use crate::support::{about, files, healthy, messages, write};

/// A project with one version here, and the same project with a second one where it was made.
struct Scene {
    _volume: VolumeSocket,
    worker: Worker,
    ids: Ids,
    /// The project here.
    here: PathBuf,
    /// The project in the other container.
    there: tempfile::TempDir,
    first: String,
    second: String,
}

impl Scene {
    async fn set() -> Self {
        let volume = VolumeSocket::start();
        let socket = volume.path();
        let worker =
            Setup::default().var("DREAMCORE_VOLUME_SOCKET", socket.display()).start().await;
        let ids = Ids::new();
        let here = worker.project(ids);
        write(&worker, ids, "a.txt", "first").await;
        let before = tempfile::tempdir().expect("a folder");
        copy(&here, before.path());
        let first = head(&here);
        write(&worker, ids, "a.txt", "second").await;
        let second = head(&here);
        let there = tempfile::tempdir().expect("a folder");
        copy(&here, there.path());
        fs::remove_dir_all(&here).expect("it is ours");
        copy(before.path(), &here);
        Self { _volume: volume, worker, ids, here, there, first, second }
    }

    /// Lets a file or a folder of the other container arrive.
    fn arrives(&self, path: &str) {
        let place = self.here.join(path);
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        let from = self.there.path().join(path);
        let status = Command::new("cp").arg("-aT").arg(from).arg(place).status().expect("cp");
        assert!(status.success());
    }

    /// Makes the other container's save one that has moved no file yet, and returns its id.
    fn under_way(&self) -> String {
        let versions = self.there.path().join(".git/refs/dreamcore/versions");
        let mut ids: Vec<_> = fs::read_dir(versions)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("our name"))
            .collect();
        ids.sort();
        let id = ids.pop().expect("a reference");
        let staging = self.there.path().join(".dreamcore").join(&id);
        fs::create_dir_all(&staging).expect("a folder");
        let journal = json!({ "version": self.second, "before": self.first, "head": self.first });
        fs::write(staging.join("journal"), journal.to_string()).expect("a journal");
        id
    }

    async fn versions(&self) -> harness::Answer {
        let (user, project) = (self.ids.user, self.ids.project);
        self.worker.get(&format!("get_versions?user_id={user}&project_id={project}")).await
    }

    async fn text(&self) -> String {
        self.worker.get_file(self.ids, "a.txt").await.text()
    }
}

fn head(folder: &Path) -> String {
    git(folder, &["rev-parse", "HEAD"]).trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-aT").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

#[tokio::test]
async fn a_save_whose_objects_are_still_to_arrive_is_left_alone() {
    let scene = Scene::set().await;
    let id = scene.under_way();
    let reference = format!(".git/refs/dreamcore/versions/{id}");
    let journal = format!(".dreamcore/{id}/journal");
    scene.arrives(&reference);
    scene.arrives(&journal);
    fs::create_dir(scene.here.join(".dreamcore/moving")).expect("the marker of the other one");
    for _ in 0..2 {
        assert_eq!(scene.text().await, "first");
        assert_eq!(scene.worker.list_files(scene.ids).await.json()["files"], json!(["a.txt"]));
        let versions = scene.versions().await;
        assert_eq!(versions.status, 200, "{}", versions.text());
        assert_eq!(versions.json()["commits"].as_array().map(Vec::len), Some(1));
        assert!(scene.here.join(&reference).exists() && scene.here.join(&journal).exists());
    }
    // A writer saves beside it.
    write(&scene.worker, scene.ids, "b.txt", "ours").await;
    assert!(scene.here.join(&reference).exists() && scene.here.join(&journal).exists());

    scene.arrives(".git/objects");
    assert_eq!(scene.text().await, "second");
    write(&scene.worker, scene.ids, "c.txt", "next").await;
    assert_eq!(files(&scene.here), ["a.txt=second", "b.txt=ours", "c.txt=next"]);
    let history = git(&scene.here, &["log", "--format=%H", "HEAD"]);
    assert!(history.contains(&scene.second), "{history}");
    healthy(&scene.here);
}

#[tokio::test]
async fn a_branch_that_has_arrived_before_its_objects_is_not_a_damaged_history() {
    let scene = Scene::set().await;
    scene.arrives(".git/refs/heads/main");
    assert_eq!(scene.text().await, "first");
    assert_eq!(scene.worker.list_files(scene.ids).await.status, 200);
    let versions = scene.versions().await;
    assert_eq!(versions.status, 503, "{}", versions.text());
    assert_eq!(versions.json()["code"], "STORAGE_ERROR");
    let snapshot =
        scene.worker.post("create_version_snapshot", &about(scene.ids, &json!({}))).await;
    assert_eq!(snapshot.status, 503, "{}", snapshot.text());
    assert!(!scene.here.join(".git/before-dreamcore").exists(), "{}", scene.worker.log());

    scene.arrives(".git/objects");
    scene.arrives("a.txt");
    assert_eq!(scene.versions().await.status, 200);
    write(&scene.worker, scene.ids, "b.txt", "ours").await;
    assert_eq!(messages(&scene.worker, scene.ids).await.len(), 3);
    healthy(&scene.here);
}

#[tokio::test]
async fn a_history_that_has_arrived_before_its_mark_is_not_another_programs() {
    let scene = Scene::set().await;
    for path in ["dreamcore-mark", "HEAD", "refs/heads/main"] {
        let path = format!(".git/{path}");
        fs::remove_file(scene.here.join(&path)).expect("it is there");
        assert_eq!(scene.text().await, "first");
        let versions = scene.versions().await;
        assert_eq!(versions.status, 503, "{path}: {}", versions.text());
    }
    assert!(!scene.here.join(".git/before-dreamcore").exists(), "{}", scene.worker.log());
    scene.arrives("a.txt");
    scene.arrives(".git");
    assert_eq!(messages(&scene.worker, scene.ids).await.len(), 2);
    healthy(&scene.here);
}

#[tokio::test]
async fn a_journal_that_means_nothing_is_in_nobodys_way() {
    let scene = Scene::set().await;
    let begun_now = || Uuid::now_v7().to_string();
    for (id, text) in [
        (begun_now(), r#"{"version":"x","before":null,"head":null}"#.to_owned()),
        (begun_now(), "{}".to_owned()),
        (begun_now(), "\u{1f980}".repeat(5000)),
        (Uuid::nil().to_string(), r#"{"version":"x","before":"y","head":"z"}"#.to_owned()),
    ] {
        let staging = scene.here.join(".dreamcore").join(id);
        fs::create_dir_all(&staging).expect("a folder");
        fs::write(staging.join("journal"), text).expect("a journal");
        assert_eq!(scene.text().await, "first");
        write(&scene.worker, scene.ids, "a.txt", "first").await;
        assert_eq!(scene.versions().await.status, 200);
    }
}

#[tokio::test]
async fn what_was_not_whole_for_too_long_is_tidied_away() {
    let scene = Scene::set().await;
    // The name has the time at which the save began, an hour ago.
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    let since = hour_ago.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let time = uuid::Timestamp::from_unix(uuid::NoContext, since.as_secs(), 0);
    let id = Uuid::new_v7(time);
    let staging = scene.here.join(format!(".dreamcore/{id}"));
    fs::create_dir_all(&staging).expect("a folder");
    let journal = json!({ "version": scene.second, "before": scene.first, "head": scene.first });
    fs::write(staging.join("journal"), journal.to_string()).expect("a journal");
    assert_eq!(scene.text().await, "first");
    assert!(!staging.exists(), "{}", scene.worker.log());
    healthy(&scene.here);
}
