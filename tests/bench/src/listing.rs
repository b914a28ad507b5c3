//! Listing a project of ten thousand files, compared with `find` that prints the same.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::{Ids, Setup, Worker, git};

use crate::bare::ms;
use crate::generation::WARM_UPS;
use crate::load::QUIET;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

const FOLDERS: usize = 100;
const FILES: usize = 100;

/// Measures the plain list and the one with sizes, times and hashes, where the hashes come from
/// git's index and where the worker computes them.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let worker = Setup::default().var("DREAMCORE_LOG", QUIET).start().await;
    let ids = Ids::new();
    let folder = worker.project(ids);
    for outer in 0..FOLDERS {
        let place = folder.join(format!("part{outer:02}"));
        std::fs::create_dir_all(&place).expect("a folder");
        for inner in 0..FILES {
            let text = format!("export const item = {outer} * {inner};\n");
            std::fs::write(place.join(format!("module{inner:02}.js")), text).expect("a file");
        }
    }
    let mut measurements = Vec::new();
    for (name, format, details, index) in [
        ("names", "%P\\n", 0, false),
        ("details, hashes computed", "%P %s %T@\\n", 1, false),
        ("details, hashes from git's index", "%P %s %T@\\n", 1, true),
    ] {
        if index {
            git(&folder, &["init", "--quiet"]);
            git(&folder, &["add", "--all"]);
        }
        let (mut bare, mut listed) = (Samples::default(), Samples::default());
        for pair in 0..WARM_UPS + pairs {
            let (a, b) = (find(&folder, format), list(&worker, ids, details).await);
            if pair >= WARM_UPS {
                bare.push(a);
                listed.push(b);
            }
        }
        let name = format!("{} files: {name}", FOLDERS * FILES);
        measurements.push(Measurement::pair(name, "ms", bare, listed, Aim::Know));
    }
    measurements
}

fn find(folder: &Path, format: &str) -> f64 {
    let began = Instant::now();
    let status = Command::new("find")
        .arg(folder)
        .args(["-name", ".git", "-prune", "-o", "-type", "f", "-printf", format])
        .stdout(Stdio::null())
        .status()
        .expect("find is installed");
    assert!(status.success());
    ms(began.elapsed())
}

async fn list(worker: &Worker, ids: Ids, details: u8) -> f64 {
    let began = Instant::now();
    let (user, project) = (ids.user, ids.project);
    let target = format!("list_files?user_id={user}&project_id={project}&details={details}");
    let answer = worker.get(&target).await;
    let took = ms(began.elapsed());
    let files = answer.json()["files"].as_array().map(Vec::len);
    assert_eq!(files, Some(FOLDERS * FILES), "{}", answer.status);
    took
}
