//! Files: what is granted can be used, and nothing else exists.

use dreamcore_worker::sandbox::probe::Attack;

use crate::arena::Arena;

#[tokio::test]
async fn reads_its_own_files_and_nobody_elses() {
    let arena = Arena::new().await;
    let (inside, outside) = (arena.inside_file("a"), arena.outside_file("a"));
    Arena::assert_allowed(&arena.try_one(Attack::Read { path: inside }).await);
    Arena::assert_denied(&arena.try_one(Attack::Read { path: outside }).await);
}

#[tokio::test]
async fn writes_its_own_files_and_nobody_elses() {
    let arena = Arena::new().await;
    let (inside, outside) = (arena.inside_file("a"), arena.outside_file("a"));
    Arena::assert_allowed(&arena.try_one(Attack::Write { path: inside }).await);
    Arena::assert_denied(&arena.try_one(Attack::Write { path: outside.clone() }).await);
    let beside = outside.with_file_name("new");
    Arena::assert_denied(&arena.try_one(Attack::Write { path: beside.clone() }).await);
    assert!(!beside.exists());
}

#[tokio::test]
async fn lists_its_own_folder_and_not_those_around_it() {
    let arena = Arena::new().await;
    arena.inside_file("a");
    let outside = arena.outside_file("a").parent().unwrap().to_owned();
    let own = arena.cell.cwd.clone();
    Arena::assert_allowed(&arena.try_one(Attack::List { path: own }).await);
    for path in [outside, "/".into(), "/root".into(), "/home".into(), "/var".into()] {
        Arena::assert_denied(&arena.try_one(Attack::List { path }).await);
    }
}

#[tokio::test]
async fn symbolic_links_lead_no_further_than_paths() {
    let arena = Arena::new().await;
    let (inside, outside) = (arena.inside_file("a"), arena.outside_file("a"));
    Arena::assert_allowed(&arena.try_one(Attack::ReadBySymlink { path: inside }).await);
    Arena::assert_denied(&arena.try_one(Attack::ReadBySymlink { path: outside }).await);
}

#[tokio::test]
async fn hard_links_cannot_be_made_to_what_is_outside() {
    let arena = Arena::new().await;
    let (inside, outside) = (arena.inside_file("a"), arena.outside_file("a"));
    Arena::assert_allowed(&arena.try_one(Attack::ReadByHardLink { path: inside }).await);
    Arena::assert_denied(&arena.try_one(Attack::ReadByHardLink { path: outside }).await);
}

#[tokio::test]
async fn proc_is_no_way_around() {
    let arena = Arena::new().await;
    let (inside, outside) = (arena.inside_file("a"), arena.outside_file("a"));
    Arena::assert_allowed(&arena.try_one(Attack::ReadByProc { path: inside }).await);
    Arena::assert_denied(&arena.try_one(Attack::ReadByProc { path: outside }).await);
}

#[tokio::test]
async fn system_files_can_be_read_where_needed_and_never_written() {
    let arena = Arena::new().await;
    for path in ["/usr/bin/env", "/etc/passwd", "/dev/urandom"] {
        if path == "/dev/urandom" {
            // It never ends, so it is opened for writing instead, which is harmless.
            Arena::assert_allowed(&arena.try_one(Attack::Write { path: path.into() }).await);
        } else {
            Arena::assert_allowed(&arena.try_one(Attack::Read { path: path.into() }).await);
            Arena::assert_denied(&arena.try_one(Attack::Write { path: path.into() }).await);
        }
    }
    for path in ["/etc/shadow", "/etc/hosts", "/proc/kcore", "/proc/1/environ", "/sys/kernel"] {
        Arena::assert_denied(&arena.try_one(Attack::Read { path: path.into() }).await);
    }
    for path in ["/usr/bin/new", "/etc/new", "/dev/new", "/new", "/proc/sys/kernel/hostname"] {
        Arena::assert_denied(&arena.try_one(Attack::Write { path: path.into() }).await);
    }
    let disk = Attack::Read { path: "/dev/vda".into() };
    Arena::assert_denied(&arena.try_one(disk).await);
}
