//! Attacks on files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dreamcore_wire::attack::Report;

use super::report;

pub(super) fn read(path: &Path) -> Report {
    report(fs::read(path), |bytes| format!("{} bytes", bytes.len()))
}

pub(super) fn write(path: &Path) -> Report {
    let existed = fs::symlink_metadata(path).is_ok();
    let opened = fs::OpenOptions::new().append(true).create(true).open(path);
    if opened.is_ok() && !existed {
        fs::remove_file(path).unwrap_or_default();
    }
    report(opened, |_| "open for writing".to_owned())
}

pub(super) fn list(path: &Path) -> Report {
    let listed = fs::read_dir(path).map(|entries| entries.filter_map(Result::ok).count());
    match listed {
        // A folder without a visible entry tells the attacker nothing, so the attack failed.
        Ok(0) => Report::nothing("nothing is in it"),
        other => report(other, |count| format!("{count} entries")),
    }
}

pub(super) fn read_by_symlink(path: &Path) -> Report {
    by_link("probe-symlink", |link| std::os::unix::fs::symlink(path, link))
}

pub(super) fn read_by_hard_link(path: &Path) -> Report {
    by_link("probe-hard-link", |link| fs::hard_link(path, link))
}

fn by_link(name: &str, make: impl Fn(&Path) -> io::Result<()>) -> Report {
    let link = Path::new(name);
    fs::remove_file(link).unwrap_or_default();
    let result = make(link).and_then(|()| fs::read(link));
    fs::remove_file(link).unwrap_or_default();
    report(result, |bytes| format!("{} bytes", bytes.len()))
}

pub(super) fn read_by_proc(path: &Path) -> Report {
    let inside = path.strip_prefix("/").unwrap_or(path);
    let mut last = Report::nothing("no process shows its files");
    for pid in pids() {
        for way in ["root", "cwd"] {
            let mut tries = vec![pid.join(way).join(inside)];
            // From the working directory of a process, up to its root and down to the file.
            tries.push(pid.join(way).join("../../../../../../../..").join(inside));
            for place in tries {
                let found = read(&place);
                if !found.denied {
                    return found;
                }
                last = found;
            }
        }
    }
    last
}

/// The folders of every process that can be seen, this one included.
pub(super) fn pids() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec!["/proc/self".into()] };
    let numbered = |path: &PathBuf| {
        path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<i32>().is_ok())
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(numbered).collect()
}
