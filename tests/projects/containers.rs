//! Two containers on a volume where the last writer of a file wins: two workers, each with a copy
//! of the volume of its own, whose changed files are exchanged in every order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use harness::{Ids, Setup, Worker, git};

use crate::support::{files, messages, tidy, write};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A container: its view of the volume, and the state of the volume when both were last the same.
struct Container {
    worker: Worker,
    base: Files,
}

fn read(root: &Path) -> Files {
    let mut found = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is ours") {
            let path = entry.expect("it is ours").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(root).expect("it is ours").to_owned(),
                    fs::read(&path).expect("it is ours"),
                );
            }
        }
    }
    found
}

fn replace(root: &Path, content: &Files) {
    fs::remove_dir_all(root).expect("it is ours");
    fs::create_dir_all(root).expect("it is ours");
    for (path, bytes) in content {
        let place = root.join(path);
        fs::create_dir_all(place.parent().expect("it is ours")).expect("it is ours");
        fs::write(place, bytes).expect("it is ours");
    }
}

impl Container {
    async fn start() -> Self {
        let worker = Setup::default().start().await;
        // The self-test has files on the volume, whose files are about to be replaced.
        worker.settled().await;
        Self { worker, base: Files::new() }
    }

    /// What the container has changed since then: new content, or `None` for a file that was
    /// removed.
    fn changed(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let now = read(&self.worker.data());
        let gone = self.base.keys().filter(|path| !now.contains_key(*path));
        let mut changed: BTreeMap<_, _> = gone.map(|path| (path.clone(), None)).collect();
        for (path, bytes) in now {
            if self.base.get(&path) != Some(&bytes) {
                changed.insert(path, Some(bytes));
            }
        }
        changed
    }

    fn take(&mut self, volume: &Files) {
        replace(&self.worker.data(), volume);
        self.base.clone_from(volume);
    }
}

/// A generator of numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Both containers write their changes to the volume. Of a file that both have changed, either
/// version may win.
fn exchange(volume: &mut Files, containers: &mut [Container; 2], dice: &mut Dice) {
    let [a, b] = [containers[0].changed(), containers[1].changed()];
    let paths: BTreeSet<_> = a.keys().chain(b.keys()).cloned().collect();
    for path in paths {
        let winner = match (a.get(&path), b.get(&path)) {
            (Some(a), Some(b)) => {
                if dice.next(2) == 0 {
                    a
                } else {
                    b
                }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => continue,
        };
        match winner {
            Some(bytes) => drop(volume.insert(path, bytes.clone())),
            None => drop(volume.remove(&path)),
        }
    }
    for container in containers {
        container.take(volume);
    }
}

#[tokio::test]
async fn no_version_of_two_containers_is_ever_lost() {
    let mut containers = [Container::start().await, Container::start().await];
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut volume = Files::new();
        for container in &mut containers {
            container.take(&volume);
        }
        let ids = Ids::new();
        let mut saved = BTreeSet::new();
        for round in 0..4 {
            for (number, container) in containers.iter().enumerate() {
                for _ in 0..dice.next(4) {
                    let path = format!("{}.txt", dice.next(3));
                    let text = format!("{seed} {round} {number} {}", saved.len());
                    write(&container.worker, ids, &path, &text).await;
                    saved.insert(text);
                }
            }
            exchange(&mut volume, &mut containers, &mut dice);
        }
        for container in &containers {
            if saved.is_empty() {
                continue;
            }
            let folder = container.worker.project(ids);
            git(&folder, &["fsck"]);
            // Everything that was saved is in a version of the list.
            let listed = messages(&container.worker, ids).await.len();
            assert!(listed >= saved.len(), "{seed}: {listed} of {}", saved.len());
            // The next save joins all of them into one history.
            write(&container.worker, ids, "last.txt", "x").await;
            let contents = git(&folder, &["log", "-m", "-p", "--format=%H", "HEAD"]);
            for text in &saved {
                assert!(contents.contains(text.as_str()), "{seed}: {text} is lost");
            }
            assert_eq!(git(&folder, &["status", "--porcelain"]), "");
            assert!(files(&folder).contains(&"last.txt=x".to_owned()));
            tidy(&folder);
        }
    }
}
