//! Disks that have no name left for another file, whose quota is used up, or that become read-only
//! while a run works.

use std::time::Duration;

use harness::{Disk, Ids, Quota, Setup, git, terminal};

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
async fn a_used_up_quota_of_the_volume_fails_the_save_and_nothing_else() {
    let test = "a_used_up_quota_of_the_volume_fails_the_save_and_nothing_else";
    let Some(quota) = Quota::find(test) else {
        return;
    };
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_DATA_DIR", quota.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    for free in [0, 128 << 10, 1 << 20] {
        quota.leave(free);
        let large = format!("echo y > index.html; head -c 3000000 /dev/urandom > big.bin\n{GOOD}");
        scene.fail(ids, &large, "STORAGE_FULL").await;
        git(&scene.worker.project(ids), &["fsck", "--strict"]);
        quota.lift();
        scene.succeed(ids, &format!("echo {free} > index.html")).await;
    }
}

#[tokio::test]
async fn a_used_up_quota_of_the_scratch_disk_harms_no_project() {
    let Some(quota) = Quota::find("a_used_up_quota_of_the_scratch_disk_harms_no_project") else {
        return;
    };
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_SCRATCH_DIR", quota.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    let large = Ids::new();
    for number in 0..16 {
        scene.worker.put(large, &format!("{number}.bin"), vec![7_u8; 5_000_000]);
    }
    quota.leave(48 << 20);
    // The agent sees the error, and what it could not write is not there.
    let script = format!("head -c 80000000 /dev/zero > big.bin || rm -f big.bin\n{GOOD}");
    let events = scene.run(ids, &script).await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", scene.worker.log());
    assert!(!scene.worker.project(ids).join("big.bin").exists());
    let before = visible(&scene.worker.project(large));
    for free in [48 << 20, 0] {
        quota.leave(free);
        let events = scene.run(large, GOOD).await;
        assert_eq!(terminal(&events).text("code"), "STORAGE_FULL", "{events:#?}");
        assert_eq!(visible(&scene.worker.project(large)), before);
    }
    // This file system refuses to rename and to remove too, and so a copy may be left until now.
    quota.lift();
    scene.succeed(large, "echo y > index.html").await;
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
