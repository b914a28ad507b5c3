//! Measuring from outside, in `/proc`, how much the processes of a sandbox use. Where a control
//! group enforces the limits this is the second protection; where there is none, or where the
//! kernel accepts limits without enforcing them, it is the first.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::processes::descendants_of;

/// How many descriptors one measurement inspects at most, so that its cost is bounded.
const MAX_DESCRIPTORS: usize = 20_000;
/// The size of a block in the numbers of `stat`, in bytes.
const BLOCK: u64 = 512;

/// The processes of one sandbox.
#[derive(Debug, Clone)]
pub struct Members {
    launcher: i32,
    procs: Option<PathBuf>,
}

/// What the processes of a sandbox use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The number of processes and threads.
    pub processes: u64,
    /// The memory in bytes, including files in memory that have no name.
    pub memory: u64,
    /// The space on disk of open files that were removed, in bytes.
    pub unnamed: u64,
}

/// The fields of `/proc/PID/stat` of one process.
struct Stat {
    threads: u64,
    resident: u64,
}

impl Members {
    pub(super) fn new(launcher: i32, procs: Option<PathBuf>) -> Self {
        Self { launcher, procs }
    }

    /// The process ids. A control group has them in one file; without one, all of `/proc` is read.
    fn pids(&self) -> Vec<i32> {
        let listed = self.procs.as_ref().and_then(|procs| fs::read_to_string(procs).ok());
        match listed {
            Some(text) => text.lines().filter_map(|pid| pid.parse().ok()).collect(),
            None => descendants_of(self.launcher),
        }
    }

    /// Measures what the processes use. Memory that several processes share is first counted once
    /// for each of them, which is fast. Only if the sum exceeds `limit`, it is counted by shares,
    /// which is exact but slow. Blocks.
    pub fn usage(&self, limit: u64) -> Usage {
        let pids = self.pids();
        let mut usage = Usage::default();
        for pid in &pids {
            let Some(stat) = stat_of(*pid) else {
                continue;
            };
            usage.processes += stat.threads;
            usage.memory = usage.memory.saturating_add(stat.resident);
        }
        let (in_memory, on_disk) = unnamed_files(&pids);
        if usage.memory.saturating_add(in_memory) > limit {
            usage.memory = pids.iter().filter_map(|pid| proportional(*pid)).sum();
        }
        usage.memory = usage.memory.saturating_add(in_memory);
        usage.unnamed = on_disk;
        usage
    }
}

/// Parses `/proc/PID/stat`. The fields are counted from behind the name, which may contain any
/// character.
fn stat_of(pid: i32) -> Option<Stat> {
    let text = read(pid, "stat")?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let threads = fields.nth(17)?.parse().ok()?;
    let pages: u64 = fields.nth(3)?.parse().ok()?;
    Some(Stat { threads, resident: pages.saturating_mul(page_bytes()) })
}

fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    size.ok().flatten().and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

/// The resident memory of a process, where each shared page is divided by the number of processes
/// that share it. `None` if the kernel does not say.
fn proportional(pid: i32) -> Option<u64> {
    let Some(text) = read(pid, "smaps_rollup") else {
        return stat_of(pid).map(|stat| stat.resident);
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    // A process that is ending has hardly any memory left.
    kib.map(|kib| kib.saturating_mul(1024))
}

fn read(pid: i32, file: &str) -> Option<String> {
    let bytes = read_bytes(&format!("/proc/{pid}/{file}"))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
fn read_bytes(path: &str) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

/// The sizes of open files without a name, in bytes: those in memory and those on disk.
#[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
fn unnamed_files(pids: &[i32]) -> (u64, u64) {
    let (mut in_memory, mut on_disk) = (0_u64, 0_u64);
    let mut seen = HashSet::new();
    let folders = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
    for entry in folders.flatten().filter_map(Result::ok).take(MAX_DESCRIPTORS) {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        // Most descriptors are pipes, sockets and named files, which one call recognises.
        let target = target.to_string_lossy();
        let memory = target.starts_with("/memfd:");
        if !memory && !target.ends_with(" (deleted)") {
            continue;
        }
        let Ok(meta) = fs::metadata(entry.path()) else {
            continue;
        };
        if !meta.is_file() || !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        let bytes = meta.blocks().saturating_mul(BLOCK);
        if memory {
            in_memory = in_memory.saturating_add(bytes);
        } else if meta.nlink() == 0 {
            on_disk = on_disk.saturating_add(bytes);
        }
    }
    (in_memory, on_disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let own = std::process::id().cast_signed();
        let stat = stat_of(own).unwrap();
        assert!(stat.threads >= 1);
        assert!((1 << 20..1 << 34).contains(&stat.resident), "{}", stat.resident);
        assert!(proportional(own).unwrap() <= stat.resident + (16 << 20));
        assert!(stat_of(0).is_none());
    }

    #[test]
    fn files_without_a_name_are_found_by_their_descriptors() {
        let own = [std::process::id().cast_signed()];
        let before = unnamed_files(&own).1;
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 8 << 20]).unwrap();
        assert!(unnamed_files(&own).1 >= before + (8 << 20));
    }
}
