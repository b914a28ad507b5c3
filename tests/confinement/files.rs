//! Files: the sandbox can use what is granted, and nothing else exists for it.

use dreamcore_wire::attack::Attack;
use harness::{Kernel, kernel};

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
    let others = [outside, "/".into(), "/root".into(), "/home".into(), "/var".into()];
    let attacks = others.map(|path| Attack::List { path });
    arena.try_all(&attacks).await.iter().for_each(Arena::assert_denied);
}

#[tokio::test]
async fn a_folder_can_be_elsewhere_inside_and_nothing_is_beside_it() {
    let mut arena = Arena::new().await;
    let outside = arena.outside_file("a");
    let real = arena.inside_file("a");
    // As a run is.
    let place = std::path::PathBuf::from("/data/users/u/projects/p");
    arena.cell.place = Some(place.clone());
    Arena::assert_allowed(&arena.try_one(Attack::Read { path: place.join("a") }).await);
    Arena::assert_allowed(&arena.try_one(Attack::Write { path: place.join("b") }).await);
    Arena::assert_allowed(&arena.try_one(Attack::List { path: place.clone() }).await);
    Arena::assert_denied(&arena.try_one(Attack::Read { path: real }).await);
    Arena::assert_denied(&arena.try_one(Attack::Read { path: outside }).await);
    for above in place.ancestors().skip(1) {
        Arena::assert_denied(&arena.try_one(Attack::List { path: above.to_owned() }).await);
        let new = above.join("new");
        Arena::assert_denied(&arena.try_one(Attack::Write { path: new }).await);
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
    let read = |path: &str| Attack::Read { path: path.into() };
    let write = |path: &str| Attack::Write { path: path.into() };
    // Reading `/dev/urandom` to its end never ends, so it is opened for writing instead, which is
    // harmless.
    let allowed = [read("/usr/bin/env"), read("/etc/passwd"), write("/dev/urandom")];
    arena.try_all(&allowed).await.iter().for_each(Arena::assert_allowed);
    let to_read = ["/etc/shadow", "/etc/hosts", "/proc/kcore", "/sys/kernel", "/dev/vda"];
    let to_write = [
        "/usr/bin/env",
        "/etc/passwd",
        "/usr/bin/new",
        "/etc/new",
        "/dev/new",
        "/new",
        "/proc/sys/kernel/hostname",
    ];
    let denied: Vec<_> =
        to_read.into_iter().map(read).chain(to_write.into_iter().map(write)).collect();
    arena.try_all(&denied).await.iter().for_each(Arena::assert_denied);
    let environment = arena.try_one(Attack::Read { path: "/proc/1/environ".into() }).await;
    if kernel() == Kernel::Linux {
        Arena::assert_denied(&environment);
    } else {
        // gVisor shows the launcher's environment here, so the launcher must have none.
        assert_eq!(environment.detail, "0 bytes");
    }
}
