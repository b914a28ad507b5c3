//! Disks that have no name left for another file, or become read-only while a run works.

use std::time::Duration;

use harness::{Disk, Ids, Setup, git, terminal};

use crate::support::{GOOD, Scene, expect_error, root_or_skip, visible};

#[tokio::test]
async fn a_scratch_disk_without_inodes_ends_the_run_and_has_room_again() {
    if !root_or_skip("a_scratch_disk_without_inodes_ends_the_run_and_has_room_again") {
        return;
    }
    let disk = Disk::new("size=200m,mode=755,nr_inodes=3000");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_SCRATCH_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    let hoard = "mkdir $TMPDIR/d; cd $TMPDIR/d; for i in {1..4000}; do : > $i || break; done 2>/dev/null; sleep 60";
    let end = scene.fail(ids, hoard, "RESOURCE_LIMIT").await;
    assert_eq!(end.text("message"), "disk: the run left too little free space");
    scene.succeed(ids, "echo z > index.html").await;
}

#[tokio::test]
async fn a_volume_without_inodes_fails_the_save_and_nothing_else() {
    if !root_or_skip("a_volume_without_inodes_fails_the_save_and_nothing_else") {
        return;
    }
    let disk = Disk::new("size=50m,nr_inodes=400");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_DATA_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    let folder = scene.worker.project(ids);
    let many = format!("for i in {{1..500}}; do echo $i > $i.txt; done\n{GOOD}");
    scene.fail(ids, &many, "STORAGE_FULL").await;
    git(&folder, &["fsck", "--strict"]);
    // What the save left in `.git` has taken the inodes: it works again when there are more.
    disk.remount("nr_inodes=2000");
    scene.succeed(ids, "echo y > index.html").await;
}

#[tokio::test]
async fn a_volume_that_becomes_read_only_under_a_run_fails_its_save() {
    if !root_or_skip("a_volume_that_becomes_read_only_under_a_run_fails_its_save") {
        return;
    }
    let disk = Disk::new("size=20m");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_DATA_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    let before = visible(&scene.worker.project(ids));
    let script = format!("echo y > index.html; sleep 3\n{GOOD}");
    let run = scene.run(ids, &script);
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        disk.remount("ro");
    };
    let (events, ()) = tokio::join!(run, meanwhile);
    expect_error(&scene.worker, &events, "STORAGE_ERROR");
    assert_eq!(visible(&scene.worker.project(ids)), before);
    disk.remount("rw");
    scene.succeed(ids, "echo y > index.html").await;
}

#[tokio::test]
async fn a_scratch_disk_that_becomes_read_only_under_a_run_harms_no_project() {
    if !root_or_skip("a_scratch_disk_that_becomes_read_only_under_a_run_harms_no_project") {
        return;
    }
    let disk = Disk::new("size=20m,mode=755");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_SCRATCH_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    let before = visible(&scene.worker.project(ids));
    let script = format!("sleep 3; echo y > index.html\n{GOOD}");
    let run = scene.run(ids, &script);
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        disk.remount("ro");
    };
    let (events, ()) = tokio::join!(run, meanwhile);
    // The agent's own programs see the error; what it could not write is not there.
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    assert_eq!(visible(&scene.worker.project(ids)), before);
    // Nor can the next run have its copy, until there is a place for it.
    let next = scene.run(ids, GOOD).await;
    assert_eq!(terminal(&next).text("code"), "STORAGE_ERROR", "{next:#?}");
    disk.remount("rw");
    scene.succeed(ids, "echo y > index.html").await;
}
