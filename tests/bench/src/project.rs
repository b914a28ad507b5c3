//! The project that both sides work on: twenty files with half a megabyte, always the same.

use std::fmt::Write as _;
use std::path::Path;

use harness::{Ids, Worker, git};

const FILES: usize = 20;
const FILE_BYTES: usize = 25 * 1024;
/// The file that the scripted answer writes. It must not exist before, because the CLI refuses to
/// replace a file that the assistant has not read.
const WRITTEN: &str = "index.html";

/// Writes the files into a folder.
pub fn fill(folder: &Path) {
    for number in 0..FILES {
        let path = folder.join(format!("js/part{}/module{number:02}.js", number % 3));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content(number)).expect("a file is written");
    }
}

/// Makes the same project in the worker, with a first version.
pub fn fill_worker(worker: &Worker, ids: Ids) {
    let folder = worker.project(ids);
    std::fs::create_dir_all(&folder).expect("a folder");
    fill(&folder);
    git(&folder, &["init", "--quiet"]);
    commit(&folder, "first");
}

/// Removes the file that the last run wrote, so that the next run writes it again.
pub fn reset(folder: &Path) {
    let written = folder.join(WRITTEN);
    if written.exists() {
        std::fs::remove_file(written).expect("our file");
    }
}

/// The same in a project of the worker, as a version of its own.
pub fn reset_worker(worker: &Worker, ids: Ids) {
    let folder = worker.project(ids);
    if folder.join(WRITTEN).exists() {
        reset(&folder);
        commit(&folder, "without the page");
    }
}

/// Panics unless a run wrote its file.
pub fn is_written(folder: &Path) {
    let written = folder.join(WRITTEN);
    assert!(written.is_file(), "{} is missing", written.display());
}

fn commit(folder: &Path, message: &str) {
    git(folder, &["add", "--all"]);
    let author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
    let commit = ["commit", "--quiet", "--no-gpg-sign", "-m", message];
    git(folder, &[&author[..], &commit].concat());
}

/// Text that looks like a program and does not compress well, as a program does not.
fn content(number: usize) -> String {
    let mut text = String::with_capacity(FILE_BYTES + 80);
    let mut state = number as u64 + 1;
    while text.len() < FILE_BYTES {
        // The constants of Knuth's generator for MMIX.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (name, value) = (state >> 40, state >> 16 & 0xffff);
        writeln!(text, "export const item{name:06x} = () => {value} * step;")
            .expect("a String takes everything");
    }
    text
}
