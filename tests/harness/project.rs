//! Inspecting projects with git's own command line, and finding what a run has left behind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::worker::Worker;

/// A project and its user.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    /// The id of the user.
    pub user: Uuid,
    /// The id of the project.
    pub project: Uuid,
}

impl Ids {
    /// Makes new, random ids.
    #[expect(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        Self { user: Uuid::new_v4(), project: Uuid::new_v4() }
    }
}

impl Worker {
    /// The folder of a project.
    pub fn project(&self, ids: Ids) -> PathBuf {
        self.data().join(format!("users/{}/projects/{}", ids.user, ids.project))
    }

    /// Writes a file into a project, as a program other than the worker would.
    pub fn put(&self, ids: Ids, path: &str, content: impl AsRef<[u8]>) {
        let place = self.project(ids).join(path);
        std::fs::create_dir_all(place.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(place, content).expect("a file is written");
    }
}

/// Runs git in a project and returns its output. Panics if it fails.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "-c", "core.quotePath=false"])
        .args(args)
        .current_dir(folder)
        .output()
        .expect("git is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {text}{errors}");
    text
}

/// Checks that the worker made the newest version, and that `git fsck` finds no error.
pub fn has_git_identity(folder: &Path) {
    assert_eq!(
        git(folder, &["log", "-1", "--format=%an <%ae>"]).trim(),
        "Game Creator <gamecreator@dreamcore.app>"
    );
    assert_eq!(git(folder, &["status", "--porcelain"]), "");
    git(folder, &["fsck", "--strict"]);
}

/// The control groups of a worker's sandboxes. There are none if no run and no self-test is going
/// on. Their names do not identify the worker, so they are read from its log.
pub fn control_groups(worker: &Worker) -> Vec<String> {
    let log = worker.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    let made =
        lines.filter(|line: &serde_json::Value| line["message"] == "control groups were made");
    let names = made.filter_map(|line| line["name"].as_str().map(str::to_owned));
    names.flat_map(|name| groups_called(Path::new("/sys/fs/cgroup"), &name, 4)).collect()
}

/// The control groups with this name below a folder, to a depth of `depth`.
fn groups_called(folder: &Path, name: &str, depth: u32) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let look = |entry: std::fs::DirEntry| {
        let path = entry.path();
        if entry.file_name() == name {
            return vec![path.display().to_string()];
        }
        if depth == 0 { Vec::new() } else { groups_called(&path, name, depth - 1) }
    };
    folders.flat_map(look).collect()
}

/// How long removing the files of a run may take. Some disks remove only a few hundred folders per
/// second.
const REMOVED_WITHIN: Duration = Duration::from_mins(2);

/// What a run must not leave behind: processes of the sandbox's user in the worker's folders, and
/// files in the scratch folder. Waits for folders that are being removed.
pub fn leftovers(worker: &Worker) -> Vec<String> {
    let scratch = worker.scratch();
    let began = Instant::now();
    let mut found = in_scratch(&scratch);
    while found.iter().any(|name| name.starts_with("gone-")) && began.elapsed() < REMOVED_WITHIN {
        std::thread::sleep(Duration::from_millis(20));
        found = in_scratch(&scratch);
    }
    for entry in std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let marker = format!("HOME={}", scratch.display()).into_bytes();
        if pid != worker.pid() && environ.windows(marker.len()).any(|part| part == marker) {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(format!("process {pid}: {}", String::from_utf8_lossy(&line)));
        }
    }
    found
}

fn in_scratch(scratch: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(scratch).expect("the scratch folder").filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // The worker's own, while it proves its confinement after a start.
    names.filter(|name| name != "trial").collect()
}
