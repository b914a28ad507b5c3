//! Long histories: few files on the volume, saves that stay quick, and packing that may be killed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Ids, Setup, Worker, git};
use serde_json::json;

use crate::strace::Strace;
use crate::support::{about, files, healthy, write};

/// Versions that are saved one after the other; each leaves three objects.
const SAVES: usize = 400;
/// Most files that a long history may have, objects of the last saves included.
const MOST_FILES: usize = 1000;
/// More packs are joined; the joined ones stand beside them.
const MOST_PACKS: usize = 20;
/// No save may wait longer for the tidying that it does, on a machine with much else to do.
const LONGEST: Duration = Duration::from_secs(10);

/// Regular files below a folder.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.file_type().expect("a type") {
            kind if kind.is_dir() => count(&entry.path()),
            _ => 1,
        })
        .sum()
}

fn packs(project: &Path) -> usize {
    let folder = project.join(".git/objects/pack");
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("ours").path());
    names.filter(|path| path.extension().is_some_and(|end| end == "pack")).count()
}

fn pack_files(project: &Path) -> Vec<PathBuf> {
    let folder = project.join(".git/objects/pack");
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("ours").path());
    names.collect()
}

/// Makes a project with a history as git by hand leaves it, with every object a file of its own.
fn older(project: &Path, versions: usize) {
    fs::create_dir_all(project).expect("a folder");
    git(project, &["init", "--quiet", "-b", "main"]);
    let mut text = String::new();
    for number in 0..versions {
        let content = format!("export const step = {number};\n").repeat(20);
        let time = 1_600_000_000 + number;
        let commit = format!(
            "commit refs/heads/main\ncommitter a <a@b> {time} +0000\ndata 2\nv\n\n\
             M 100644 inline main.js\ndata {}\n{content}\n",
            content.len()
        );
        text.push_str(&commit);
    }
    feed(project, &["fast-import", "--quiet"], text.as_bytes());
    loosen(project);
    git(project, &["reset", "--quiet", "--hard"]);
}

/// Makes every object a file of its own.
fn loosen(project: &Path) {
    // Objects are taken out of packs only where they are not in one.
    for path in pack_files(project) {
        if path.extension().is_some_and(|end| end == "pack") {
            let pack = fs::read(&path).expect("a pack");
            fs::remove_file(path.with_extension("idx")).expect("its index");
            fs::remove_file(&path).expect("the pack");
            feed(project, &["unpack-objects", "-q"], &pack);
        }
    }
    for path in pack_files(project) {
        fs::remove_file(path).expect("what belongs to a pack");
    }
}

fn feed(project: &Path, args: &[&str], input: &[u8]) {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(project)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("git is installed");
    child.stdin.take().expect("a pipe").write_all(input).expect("git reads");
    assert!(child.wait().expect("it ends").success(), "{args:?}");
}

/// How long a save of one file takes.
async fn save(worker: &Worker, ids: Ids, number: usize) -> Duration {
    let began = Instant::now();
    let content = format!("export const step = {number};\n").repeat(20);
    write(worker, ids, "main.js", &content).await;
    began.elapsed()
}

/// How many versions the worker knows behind so many newer ones, up to 500.
async fn versions(worker: &Worker, ids: Ids, skip: usize) -> usize {
    let (user, project) = (ids.user, ids.project);
    let query = format!("user_id={user}&project_id={project}&limit=500&skip={skip}");
    let answer = worker.get(&format!("get_versions?{query}")).await;
    answer.json()["commits"].as_array().expect("a list").len()
}

#[tokio::test]
async fn a_long_history_stays_small_and_quick() {
    let worker =
        Setup::default().var("DREAMCORE_LOG", "warn,dreamcore_worker::cli=info").start().await;
    let ids = Ids::new();
    let project = worker.project(ids);
    let mut longest = Duration::ZERO;
    let (mut most_files, mut most_packs) = (0, 0);
    for number in 0..SAVES {
        longest = longest.max(save(&worker, ids, number).await);
        if number % 50 == 0 {
            most_files = most_files.max(count(&project.join(".git")));
            most_packs = most_packs.max(packs(&project));
        }
    }
    assert!(most_files < MOST_FILES, "{most_files} files");
    assert!((1..=MOST_PACKS).contains(&most_packs), "{most_packs} packs");
    assert!(longest < LONGEST, "{longest:?}");

    healthy(&project);
    assert_eq!(git(&project, &["rev-list", "--count", "HEAD"]).trim(), SAVES.to_string());
    assert_eq!(versions(&worker, ids, SAVES - 1).await, 1);
    assert_eq!(worker.log().matches("\"level\":\"WARN\"").count(), 0, "{}", worker.log());
}

#[tokio::test]
async fn an_older_history_gets_tidy_over_some_saves() {
    const VERSIONS: usize = 6_700;
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let project = worker.project(ids);
    older(&project, VERSIONS);
    let objects = project.join(".git/objects");
    let before = count(&objects);
    assert!(before > 20_000, "{before} objects");

    // Its import makes one pack of them.
    save(&worker, ids, VERSIONS).await;
    let imported = count(&objects);
    assert!(imported < 20, "{imported} files");
    healthy(&project);

    // And where objects are files all the same:
    loosen(&project);
    let mut saves = 1;
    while count(&objects) > MOST_FILES {
        let took = save(&worker, ids, VERSIONS + saves).await;
        assert!(took < LONGEST, "{took:?}");
        saves += 1;
        assert!(saves < 15, "it never ends");
    }
    // One save has so much to do and no more.
    assert!(saves > 3, "{saves} saves");
    healthy(&project);
    let versions = git(&project, &["rev-list", "--count", "HEAD"]);
    assert_eq!(versions.trim(), (VERSIONS + saves).to_string());
}

/// Killed while loose objects become a pack, and the packs one: nothing is lost, and nothing stays
/// lying about.
#[tokio::test]
async fn packing_may_be_killed() {
    if !harness::is_root() {
        eprintln!("SKIPPED packing_may_be_killed: strace needs root to attach to another process");
        return;
    }
    let mut worker = Setup::default().start().await;
    let ids = Ids::new();
    let project = worker.project(ids);
    older(&project, 200);
    // From here on it is the worker's own.
    save(&worker, ids, 200).await;
    loosen(&project);
    // More packs than may be, of a few objects each.
    for number in 0..13 {
        let version = format!("HEAD~{number}");
        let (tree, file) = (format!("{version}^{{tree}}"), format!("{version}:main.js"));
        let ids = git(&project, &["rev-parse", &version, &tree, &file]);
        feed(&project, &["pack-objects", "-q", ".git/objects/pack/pack"], ids.as_bytes());
    }
    git(&project, &["prune-packed"]);
    let template = tempfile::tempdir().expect("a folder");
    copy(&project, &template.path().join("project"));
    let before = files(&project);
    let versions_before = versions(&worker, ids, 0).await;

    let mut killed = 0;
    for name in ["write", "pwrite64", "link", "rename", "syncfs", "unlink", "unlinkat", "rmdir"] {
        for call in [1, 4, 100] {
            copy(&template.path().join("project"), &project);
            let strace = Strace::attach(&worker, name, "signal=KILL", call);
            let body = about(ids, &json!({ "files": [{ "path": "main.js", "content": "after" }] }));
            let request = worker.request(reqwest::Method::POST, "apply_files").json(&body);
            // The answer ends when the worker dies.
            if let Ok(answer) = request.timeout(Duration::from_secs(20)).send().await {
                drop(answer.text().await);
            }
            let died = worker.ended(Duration::from_millis(200)).await.is_some();
            let reached = strace.detach();
            if !died && !reached {
                break;
            }
            worker.restart().await;
            killed += 1;
            let what = format!("killed at {name} {call}");
            let now = versions(&worker, ids, 0).await;
            let is_after = files(&project) != before;
            assert_eq!(now, versions_before + usize::from(is_after), "{what}");
            git(&project, &["fsck", "--strict"]);
            write(&worker, ids, "next.js", &what).await;
            write(&worker, ids, "next.js", "again").await;
            healthy(&project);
            assert_eq!(
                git(&project, &["rev-list", "--count", "HEAD"]).trim(),
                (201 + 2 + usize::from(is_after)).to_string(),
                "{what}"
            );
            // Packs that a kill left are joined with the next ones.
            let (files, packs) = (count(&project.join(".git/objects")), packs(&project));
            assert!(
                files < 300 && packs <= MOST_PACKS,
                "{what}: {files} files, {packs} packs\n{}",
                worker.log()
            );
        }
    }
    assert!(killed > 9, "{killed}");
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
    assert!(status.success());
}
