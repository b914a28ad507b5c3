//! Saving and reading versions, compared with git's command line on the same disk, and how the
//! times grow with the number of files and of versions.
//!
//! Git does less: by default it syncs hardly anything, and it does not move files into place.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::{Ids, Setup, Worker, git, terminal};
use serde_json::{Value, json};

use crate::bare::ms;
use crate::generation::WARM_UPS;
use crate::load::QUIET;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

/// The aims of a save and of a list of versions, in milliseconds.
const SAVE_AIM: Aim = Aim::Below(3.0);
const LOG_AIM: Aim = Aim::Below(1.4);
/// The number of versions in the history that is listed.
const HISTORY: usize = 5_000;
/// The number of saves one after the other, and how many of them count as the first and as the
/// last.
const SAVES: usize = 5_000;
const AT_ENDS: usize = 200;
/// The number of files of a project with a long history.
const FEW_FILES: usize = 20;
/// The number of files of a project that is large in both ways.
const GROWN_FILES: usize = 10_000;
/// The numbers of files and of versions that are compared.
const STEPS: [usize; 4] = [10, 100, 1_000, 10_000];

/// Measures all of this section.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    // No worker's files are removed before the end, because for some seconds after many files were
    // removed, ext4 takes longer to make new ones.
    let mut kept = Vec::new();
    let mut all = Vec::new();
    all.extend(saves(start(&mut kept).await, 20, 1, pairs).await);
    all.extend(logs(start(&mut kept).await, pairs).await);
    for versions in STEPS {
        all.extend(with_versions(start(&mut kept).await, versions, pairs).await);
    }
    for files in STEPS {
        all.extend(with_files(start(&mut kept).await, files, pairs).await);
    }
    all.extend(saves(start(&mut kept).await, 200, 100, pairs).await);
    all.extend(large(start(&mut kept).await, pairs).await);
    all.extend(grown(start(&mut kept).await).await);
    all
}

/// Starts a worker that runs as long as `kept` exists.
async fn start(kept: &mut Vec<Worker>) -> &Worker {
    let setup = Setup::default().var("DREAMCORE_LOG", QUIET);
    let worker = setup.var("DREAMCORE_MAX_FILES", 20_000).start().await;
    worker.settled().await;
    kept.push_mut(worker)
}

/// Measures a save of some files of a project.
async fn saves(worker: &Worker, files: usize, changed: usize, pairs: usize) -> Vec<Measurement> {
    let ids = Ids::new();
    fill(&worker.project(ids), files);
    save(worker, ids, 0, 1).await;
    // In the worker's data folder, so that both are on the same disk.
    let theirs = worker.data().join("git");
    fill(&theirs, files);
    by_git(&theirs, 0, 1, &[]);
    let mut all = Vec::new();
    for (name, options) in [("git", &[][..]), ("git that syncs all", &["-c", "core.fsync=all"])] {
        let (mut bare, mut ours) = (Samples::default(), Samples::default());
        for pair in 0..WARM_UPS + pairs {
            let step = all.len() * 10_000 + pair + 1;
            let a = by_git(&theirs, step, changed, options);
            let b = save(worker, ids, step, changed).await;
            if pair >= WARM_UPS {
                bare.push(a);
                ours.push(b);
            }
        }
        let name = format!("save {changed} of {files} files, beside {name}");
        let aim = if changed == 1 { SAVE_AIM } else { Aim::Know };
        all.push(Measurement::pair(name, "ms", bare, ours, aim));
    }
    all
}

/// Measures the list of the newest versions of a long history.
async fn logs(worker: &Worker, pairs: usize) -> Vec<Measurement> {
    let ids = Ids::new();
    let folder = worker.project(ids);
    history(&folder, FEW_FILES, HISTORY);
    let mut all = Vec::new();
    for count in [5, 50] {
        let (mut bare, mut ours) = (Samples::default(), Samples::default());
        for pair in 0..WARM_UPS + pairs {
            let a = log_by_git(&folder, count);
            let b = log(worker, ids, count).await;
            if pair >= WARM_UPS {
                bare.push(a);
                ours.push(b);
            }
        }
        let name = format!("git_log of {count} of {HISTORY} versions");
        let aim = if count == 5 { LOG_AIM } else { Aim::Know };
        all.push(Measurement::pair(name, "ms", bare, ours, aim));
    }
    all
}

/// Measures what depends on the number of files.
async fn with_files(worker: &Worker, files: usize, pairs: usize) -> Vec<Measurement> {
    let ids = Ids::new();
    fill(&worker.project(ids), files);
    let [mut saved, mut listed, mut read] = std::array::from_fn(|_| Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let a = save(worker, ids, pair, 1).await;
        let began = Instant::now();
        let answer = worker.list_files(ids).await;
        let b = ms(began.elapsed());
        assert_eq!(answer.status, 200);
        let c = read_one(worker, ids).await;
        if pair >= WARM_UPS {
            saved.push(a);
            listed.push(b);
            read.push(c);
        }
    }
    let single = |what: &str, samples| {
        Measurement::single(format!("{files} files: {what}"), "ms", samples, Aim::Know)
    };
    vec![single("save 1", saved), single("list_files", listed), single("get_file", read)]
}

/// Measures what depends on the number of versions.
async fn with_versions(worker: &Worker, versions: usize, pairs: usize) -> Vec<Measurement> {
    let ids = Ids::new();
    let folder = worker.project(ids);
    history(&folder, FEW_FILES, versions);
    let [mut saved, mut listed, mut compared] = std::array::from_fn(|_| Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let a = save(worker, ids, pair, 1).await;
        let b = log(worker, ids, 50).await;
        let newest = git(&folder, &["rev-parse", "HEAD"]);
        let began = Instant::now();
        action(worker, ids, &json!({ "action": "git_diff", "commit": newest.trim() })).await;
        let c = ms(began.elapsed());
        if pair >= WARM_UPS {
            saved.push(a);
            listed.push(b);
            compared.push(c);
        }
    }
    let (files, bytes) = size(&folder.join(".git"));
    let single = |what: &str, unit, samples| {
        Measurement::single(format!("{versions} versions: {what}"), unit, samples, Aim::Know)
    };
    vec![
        single("save 1", "ms", saved),
        single("git_log of 50", "ms", listed),
        single("git_diff of the newest", "ms", compared),
        single("files in .git", "files", Samples::from_iter([files])),
        single("size of .git", "KB", Samples::from_iter([bytes / 1024.0])),
    ]
}

/// Measures a project of many files and many versions, which another program has made.
async fn large(worker: &Worker, pairs: usize) -> Vec<Measurement> {
    let ids = Ids::new();
    history(&worker.project(ids), GROWN_FILES, HISTORY);
    let theirs = worker.data().join("git");
    history(&theirs, GROWN_FILES, HISTORY);
    let first = save(worker, ids, 0, 1).await;
    let mut all: [Samples; 5] = std::array::from_fn(|_| Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let took = [
            by_git(&theirs, pair + 1, 1, &[]),
            save(worker, ids, pair + 1, 1).await,
            log_by_git(&theirs, 50),
            log(worker, ids, 50).await,
            read_one(worker, ids).await,
        ];
        if pair >= WARM_UPS {
            all.iter_mut().zip(took).for_each(|(samples, took)| samples.push(took));
        }
    }
    let [saved_by_git, saved, listed_by_git, listed, read] = all;
    let name = |what: &str| format!("{GROWN_FILES} files, {HISTORY} versions: {what}");
    let single = |what: &str, samples| Measurement::single(name(what), "ms", samples, Aim::Know);
    vec![
        single("the first save, which imports", Samples::from_iter([first])),
        Measurement::pair(name("save 1, beside git"), "ms", saved_by_git, saved, Aim::Know),
        Measurement::pair(
            name("git_log of 50, beside git"),
            "ms",
            listed_by_git,
            listed,
            Aim::Know,
        ),
        single("get_file", read),
    ]
}

/// Measures how a project grows in which the worker itself makes every version.
async fn grown(worker: &Worker) -> Vec<Measurement> {
    let ids = Ids::new();
    let folder = worker.project(ids);
    fill(&folder, 20);
    let (mut times, mut most_files) = (Vec::new(), 0.0_f64);
    for step in 0..SAVES {
        times.push(save(worker, ids, step, 1).await);
        if step % 100 == 0 {
            most_files = most_files.max(size(&folder.join(".git")).0);
        }
    }
    git(&folder, &["fsck", "--strict"]);
    let (files, bytes) = size(&folder.join(".git"));
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let ends = [("first", &times[..AT_ENDS]), ("last", &times[SAVES - AT_ENDS..])];
    let single = |what: &str, unit, samples| {
        Measurement::single(format!("{SAVES} saves: {what}"), unit, samples, Aim::Know)
    };
    let mut all: Vec<_> = ends
        .map(|(name, times)| {
            single(&format!("the {name} {AT_ENDS}"), "ms", times.iter().copied().collect())
        })
        .into();
    all.extend([
        single("the slowest, which packs", "ms", Samples::from_iter([slowest])),
        single("most files in .git", "files", Samples::from_iter([most_files])),
        single("files in .git afterwards", "files", Samples::from_iter([files])),
        single("size of .git", "KB", Samples::from_iter([bytes / 1024.0])),
    ]);
    all
}

fn path(number: usize) -> String {
    format!("js/part{}/module{number:05}.js", number / 100)
}

fn content(number: usize, step: usize) -> String {
    let mut text = String::new();
    for line in 0..40 {
        writeln!(text, "export const item{line} = () => {number} * {step};").expect("a String");
    }
    text
}

/// Makes a project with `files` files and one version.
fn fill(folder: &Path, files: usize) {
    for number in 0..files {
        let place = folder.join(path(number));
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::write(place, content(number, 0)).expect("a file");
    }
    git(folder, &["init", "--quiet", "-b", "main"]);
    commit(folder, &[]);
}

fn commit(folder: &Path, options: &[&str]) {
    let author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
    git(folder, &[&author[..], options, &["add", "-A"]].concat());
    let commit = ["commit", "--quiet", "--no-gpg-sign", "-m", "saved"];
    git(folder, &[&author[..], options, &commit].concat());
}

/// Writes files and commits them with git's command line, and returns the time in milliseconds.
fn by_git(folder: &Path, step: usize, changed: usize, options: &[&str]) -> f64 {
    let began = Instant::now();
    for number in 0..changed {
        fs::write(folder.join(path(number)), content(number, step + 1)).expect("a file");
    }
    commit(folder, options);
    ms(began.elapsed())
}

async fn save(worker: &Worker, ids: Ids, step: usize, changed: usize) -> f64 {
    let files: Vec<Value> = (0..changed)
        .map(|number| json!({ "path": path(number), "content": content(number, step + 1) }))
        .collect();
    let body = json!({
        "user_id": ids.user, "project_id": ids.project, "commit_message": "saved", "files": files,
    });
    let began = Instant::now();
    let events = worker.stream("apply_files", &body).await.collect().await;
    let took = ms(began.elapsed());
    assert_eq!(terminal(&events).kind(), "done", "{events:?}");
    took
}

fn log_by_git(folder: &Path, count: usize) -> f64 {
    let began = Instant::now();
    git(folder, &["log", &format!("-{count}"), "--format=%h %ct %s"]);
    ms(began.elapsed())
}

async fn read_one(worker: &Worker, ids: Ids) -> f64 {
    let began = Instant::now();
    let answer = worker.get_file(ids, &path(0)).await;
    assert_eq!(answer.status, 200);
    ms(began.elapsed())
}

async fn log(worker: &Worker, ids: Ids, limit: usize) -> f64 {
    let began = Instant::now();
    action(worker, ids, &json!({ "action": "git_log", "limit": limit })).await;
    ms(began.elapsed())
}

async fn action(worker: &Worker, ids: Ids, further: &Value) {
    let mut body = json!({ "user_id": ids.user, "project_id": ids.project });
    for (name, value) in further.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let answer = worker.post("apply_files", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Makes a project of `files` files with `versions` versions, each of which changes one file.
fn history(folder: &Path, files: usize, versions: usize) {
    fill(folder, files);
    let mut text = String::new();
    for step in 1..versions {
        let (place, content) = (path(step % files), content(step % files, step));
        let time = 1_600_000_000 + step;
        let from = if step == 1 { "from refs/heads/main^0\n" } else { "" };
        write!(
            text,
            "commit refs/heads/main\ncommitter a <a@b> {time} +0000\ndata 5\nsaved\n{from}\
             M 100644 inline {place}\ndata {}\n{content}\n",
            content.len()
        )
        .expect("a String takes everything");
    }
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is installed");
    import.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("git reads");
    assert!(import.wait().expect("it ends").success());
    git(folder, &["reset", "--quiet", "--hard"]);
}

/// The number of files below a folder, and their size.
fn size(folder: &Path) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let data = fs::symlink_metadata(&path).expect("it is there");
        let (files, bytes) = if data.is_dir() {
            size(&path)
        } else {
            (1.0, f64::from(u32::try_from(data.len()).unwrap_or(u32::MAX)))
        };
        total = (total.0 + files, total.1 + bytes);
    }
    total
}
