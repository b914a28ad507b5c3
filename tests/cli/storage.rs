//! Disks that are full or cannot be written, and projects that something else has damaged: a save
//! happens whole or not at all, and says which.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::{Disk, Ids, Setup, git, has_git_identity};

use crate::support::{
    GOOD, Scene, changes, expect_done, expect_error, fingerprint, only, root_or_skip, visible,
};

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("it can be executed");
    assert!(status.success(), "{program} {arguments:?}");
}

/// What users see of a project, and which version is the newest. A save that failed may leave
/// objects in `.git` that nothing refers to.
fn state(folder: &Path) -> (Vec<String>, String, String) {
    (
        visible(folder),
        git(folder, &["log", "--format=%H"]),
        git(folder, &["--no-optional-locks", "status", "--porcelain"]),
    )
}

#[tokio::test]
async fn a_full_disk_fails_the_save_and_nothing_else() {
    if !root_or_skip("a_full_disk_fails_the_save_and_nothing_else") {
        return;
    }
    let disk = Disk::new("size=3m");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_DATA_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo '<p>game</p>' > index.html").await;
    let folder = scene.worker.project(ids);
    let before = state(&folder);
    let large = format!("echo new > index.html; head -c 4000000 /dev/urandom > big.bin\n{GOOD}");
    expect_error(&scene.worker, &scene.run(ids, &large).await, "STORAGE_FULL");
    assert_eq!(state(&folder), before);
    git(&folder, &["fsck", "--strict"]);
    scene.succeed(ids, "echo small > small.txt").await;
    has_git_identity(&folder);

    // A project that could not be made is not there.
    let new = Ids::new();
    expect_error(&scene.worker, &scene.run(new, &large).await, "STORAGE_FULL");
    assert!(!scene.worker.project(new).exists());
    scene.succeed(new, "echo small > small.txt").await;
}

/// The disk is full at every possible step of a save, one after the other.
#[tokio::test]
async fn a_save_is_whole_or_nothing_wherever_the_space_ends() {
    if !root_or_skip("a_save_is_whole_or_nothing_wherever_the_space_ends") {
        return;
    }
    let disk = Disk::new("size=8m");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_DATA_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo 0 > index.html; echo x > old.txt; mkdir a; echo y > a/b.txt").await;
    let folder = scene.worker.project(ids);
    let (mut failed, mut saved) = (0, 0);
    // The boundary lies above what a save keeps in reserve, 256 KiB.
    for free_kib in (0..80).step_by(8).chain((240..400).step_by(8)) {
        let before = state(&folder);
        disk.fill_up_to(free_kib * 1024);
        let script = format!(
            "echo {free_kib} > index.html; rm -f old.txt; mkdir -p n{free_kib}/m; head -c 9000 /dev/urandom > n{free_kib}/m/r.bin; head -c 9000 /dev/urandom > z.bin\n{GOOD}"
        );
        let events = scene.run(ids, &script).await;
        if harness::terminal(&events).kind() == "done" {
            expect_done(&scene.worker, &events);
            saved += 1;
        } else {
            expect_error(&scene.worker, &events, "STORAGE_FULL");
            assert_eq!(state(&folder), before, "{free_kib} KiB were free");
            failed += 1;
        }
    }
    disk.fill_up_to(4 << 20);
    scene.succeed(ids, "echo last > last.txt").await;
    has_git_identity(&folder);
    assert!(failed > 3 && saved > 3, "{failed} failed, {saved} were saved");
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        names.iter().all(|name| !name.to_string_lossy().starts_with(".dreamcore")),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_full_scratch_disk_is_an_error_and_the_next_run_has_room_again() {
    if !root_or_skip("a_full_scratch_disk_is_an_error_and_the_next_run_has_room_again") {
        return;
    }
    let disk = Disk::new("size=200m,mode=755");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_SCRATCH_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    // The start needed more space than these runs.
    disk.remount("size=3m");
    // The agent fills it and lets nobody else have anything.
    let end = scene.fail(ids, "head -c 5000000 /dev/zero > big; sleep 60", "RESOURCE_LIMIT").await;
    assert_eq!(end.text("message"), "disk: the run left too little free space");
    // The project does not fit into it.
    let large = Ids::new();
    scene.worker.put(large, "big.bin", vec![0_u8; 5_000_000]);
    let before = fingerprint(&scene.worker.project(large));
    let events = scene.run(large, GOOD).await;
    expect_error(&scene.worker, &events, "STORAGE_FULL");
    assert_eq!(fingerprint(&scene.worker.project(large)), before);
    scene.succeed(ids, "echo z > index.html").await;
}

#[tokio::test]
async fn a_read_only_volume_is_a_storage_error() {
    if !root_or_skip("a_read_only_volume_is_a_storage_error") {
        return;
    }
    let disk = Disk::new("size=8m");
    let scene =
        Scene::start(Setup::default().var("DREAMCORE_DATA_DIR", disk.path().display())).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html").await;
    disk.remount("ro");
    let script = format!("echo y > index.html\n{GOOD}");
    scene.fail(ids, &script, "STORAGE_ERROR").await;
    expect_error(&scene.worker, &scene.run(Ids::new(), &script).await, "STORAGE_ERROR");
    // Nothing to write, nothing to complain of.
    let events = scene.succeed(ids, "true").await;
    assert_eq!(changes(&events), Vec::<String>::new());
    disk.remount("rw");
    scene.succeed(ids, "echo y > index.html").await;
}

#[tokio::test]
async fn a_project_of_somebody_else_keeps_working() {
    if !root_or_skip("a_project_of_somebody_else_keeps_working") {
        return;
    }
    let scene = Scene::start(Setup::default()).await;
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html; echo same > same.txt").await;
    let folder = scene.worker.project(ids);
    run("chown", &["-R", "12345:12345", &folder.display().to_string()]);
    run("chmod", &["-R", "go-rwx", &folder.display().to_string()]);
    let events = scene.succeed(ids, "cat index.html same.txt >&2; echo y > index.html").await;
    assert_eq!(only(&events, "debug").text("stderr"), "x\nsame");
    assert_eq!(changes(&events), ["update index.html"]);
    has_git_identity(&folder);
}

#[tokio::test]
async fn a_project_that_is_no_folder_is_an_error() {
    let scene = Scene::start(Setup::default()).await;
    let victim = Ids::new();
    scene.succeed(victim, "echo theirs > index.html").await;
    let before = fingerprint(&scene.worker.project(victim));
    let script = format!("echo mine > index.html\n{GOOD}");
    for make in [
        (|_: &Path, place: &Path| fs::write(place, "a file").unwrap()) as fn(&Path, &Path),
        |victim, place| symlink(victim, place).unwrap(),
        |_, place| symlink("/nonexistent", place).unwrap(),
        |victim, place| {
            symlink(victim.parent().unwrap(), place.parent().unwrap().join("x"))
                .and_then(|()| symlink("x", place))
                .unwrap();
        },
    ] {
        let ids = Ids::new();
        let place = scene.worker.project(ids);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        make(&scene.worker.project(victim), &place);
        expect_error(&scene.worker, &scene.run(ids, &script).await, "STORAGE_ERROR");
    }
    // The user's folder as a link to another user's.
    let ids = Ids::new();
    let users = scene.worker.data().join("users");
    symlink(users.join(victim.user.to_string()), users.join(ids.user.to_string())).unwrap();
    let there = Ids { project: victim.project, ..ids };
    expect_error(&scene.worker, &scene.run(there, &script).await, "STORAGE_ERROR");
    assert_eq!(fingerprint(&scene.worker.project(victim)), before);
}

/// Whatever somebody did to a project's `.git`, the next save works, and nothing outside is read,
/// written or executed.
#[tokio::test]
async fn damaged_history_is_mended() {
    let scene = Scene::start(Setup::default()).await;
    let outside = tempfile::tempdir().unwrap();
    let bait = outside.path().display().to_string();
    for damage in [
        "touch .git/index.lock .git/HEAD.lock .git/packed-refs.lock",
        "touch .git/refs/heads/main.lock",
        "echo garbage > .git/index",
        ": > .git/index",
        "rm .git/index",
        "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch BAIT/hook\\nexit 1' > .git/hooks/pre-commit; chmod 755 .git/hooks/*",
        "printf '[core]\\n\\tworktree = BAIT\\n\\tbare = true' > .git/config",
        "echo '[broken' > .git/config",
        "rm .git/config",
        "echo BAIT > .git/objects/info/alternates",
        "mkdir .git/rebase-merge; echo x > .git/MERGE_HEAD",
        "git -c safe.directory=* checkout -q --detach",
        "git -c safe.directory=* pack-refs --all; git -c safe.directory=* gc -q",
        "git -c safe.directory=* checkout -q -b other",
        "mv .git moved; echo 'gitdir: moved' > .git",
        "mv .git BAIT/git; ln -s BAIT/git .git",
        "echo garbage > .git/HEAD",
        ": > .git/HEAD",
        "rm .git/HEAD",
        "rm -rf .git/objects; ln -s BAIT .git/objects",
        "rm -rf .git/refs; ln -s BAIT .git/refs",
        "echo 1234567890123456789012345678901234567890 > .git/refs/heads/main",
        "rm -rf .git/objects/??",
        "mkfifo .git/x; rm -rf .git/index; mkfifo .git/index",
    ] {
        let ids = Ids::new();
        scene.succeed(ids, "echo '<p>game</p>' > index.html").await;
        let folder = scene.worker.project(ids);
        let damage = damage.replace("BAIT", &bait);
        let status = Command::new("bash").args(["-c", &damage]).current_dir(&folder).status();
        assert!(status.unwrap().success(), "{damage}");
        scene.succeed(ids, "echo new > index.html").await;
        has_git_identity(&folder);
        assert_eq!(fs::read(folder.join("index.html")).unwrap(), b"new\n", "{damage}");
        assert!(!outside.path().join("hook").exists());
        drop(fs::remove_dir_all(outside.path().join("git")));
        let left: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
        assert!(left.is_empty(), "{damage}: {left:?}");
    }
}
