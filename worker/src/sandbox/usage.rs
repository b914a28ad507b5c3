//! Measuring from outside, in `/proc`, how much the processes of a sandbox use. Where a control
//! group enforces the limits this is the second protection; where there is none, or where the
//! kernel accepts limits without enforcing them, it is the first.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::processes::descendants_of;

/// The size of a block in the numbers of `stat`, in bytes.
const BLOCK: u64 = 512;
/// The most that a pipe can hold, in bytes: the kernel makes it with 16 pages, and the sandbox cannot
/// make it larger.
const PIPE_BYTES: u64 = 64 << 10;
/// The most that a socket can hold, in bytes: its buffer, which the sandbox cannot make larger, and
/// one message of the same size that was accepted when the buffer was not yet full.
const SOCKET_BYTES: u64 = 2 * (208 << 10);

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
    /// The memory in bytes that processes have mapped, including files in memory that have no name.
    pub mapped: u64,
    /// The largest amount that the pipes and sockets can hold, in bytes. No process has mapped this
    /// memory, and the kernel does not say how much it is.
    pub buffers: u64,
    /// The number of open descriptors of all processes. Counting stops above the limit.
    pub descriptors: u64,
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
    /// for each of them, which is fast. Only if the sum exceeds `memory`, it is counted by shares,
    /// which is exact but slow. Inspects at most `descriptors` open descriptors, so that the cost is
    /// bounded. Blocks.
    pub fn usage(&self, memory: u64, descriptors: u64) -> Usage {
        let pids = self.pids();
        let mut usage = Usage::default();
        for pid in &pids {
            let Some(stat) = stat_of(*pid) else {
                continue;
            };
            usage.processes += stat.threads;
            usage.mapped = usage.mapped.saturating_add(stat.resident);
        }
        let open = Open::of(&pids, descriptors);
        let sockets = open.sockets.max(sockets_of_network(&pids));
        usage.buffers = open.pipes * PIPE_BYTES + sockets.saturating_mul(SOCKET_BYTES);
        if usage.mapped.saturating_add(open.in_memory).saturating_add(usage.buffers) > memory {
            usage.mapped = pids.iter().filter_map(|pid| proportional(*pid)).sum();
        }
        usage.mapped = usage.mapped.saturating_add(open.in_memory);
        usage.descriptors = open.descriptors;
        usage.unnamed = open.on_disk;
        usage
    }
}

impl Usage {
    /// All memory that is known of, in bytes.
    pub fn memory(&self) -> u64 {
        self.mapped.saturating_add(self.buffers)
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

/// What processes have open. Each object counts once, however many descriptors refer to it.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    descriptors: u64,
    pipes: u64,
    sockets: u64,
    /// The sizes of files without a name, in memory and on disk, in bytes.
    in_memory: u64,
    on_disk: u64,
}

impl Open {
    #[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
    fn of(pids: &[i32], most: u64) -> Self {
        let mut open = Self::default();
        let mut seen = Seen::default();
        let folders = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
        for entry in folders.flatten().filter_map(Result::ok) {
            open.descriptors += 1;
            if open.descriptors > most {
                break;
            }
            if let Ok(target) = fs::read_link(entry.path()) {
                open.count(&target.to_string_lossy(), &entry.path(), &mut seen);
            }
        }
        open
    }

    /// Most descriptors are pipes, sockets and named files, which the link tells. The others take
    /// another call.
    fn count(&mut self, target: &str, descriptor: &Path, seen: &mut Seen) {
        if target.starts_with("pipe:[") {
            self.pipes += u64::from(seen.links.insert(target.to_owned()));
        } else if target.starts_with("socket:[") {
            self.sockets += u64::from(seen.links.insert(target.to_owned()));
        }
        let memory = target.starts_with("/memfd:");
        if !memory && !target.ends_with(" (deleted)") {
            return;
        }
        let Ok(meta) = fs::metadata(descriptor) else {
            return;
        };
        if !meta.is_file() || !seen.files.insert((meta.dev(), meta.ino())) {
            return;
        }
        let bytes = meta.blocks().saturating_mul(BLOCK);
        if memory {
            self.in_memory = self.in_memory.saturating_add(bytes);
        } else if meta.nlink() == 0 {
            self.on_disk = self.on_disk.saturating_add(bytes);
        }
    }
}

/// What was counted already.
#[derive(Debug, Default)]
struct Seen {
    links: HashSet<String>,
    files: HashSet<(u64, u64)>,
}

/// The number of sockets of any kind in the sandbox's network, including those without a descriptor,
/// which are on their way in a message or wait to be accepted. 0 if the network is shared with other
/// processes, or if the kernel does not count them.
fn sockets_of_network(pids: &[i32]) -> u64 {
    let network = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/net")).map(|meta| meta.ino());
    let Ok(ours) = network("self") else {
        return 0;
    };
    // All processes of a sandbox have the same network. Those that have just ended are skipped.
    let pid = pids.iter().find(|pid| network(&pid.to_string()).is_ok_and(|other| other != ours));
    let text = pid.and_then(|pid| read(*pid, "net/sockstat"));
    let line = text.as_deref().and_then(|text| text.strip_prefix("sockets: used "));
    line.and_then(|line| line.lines().next()?.trim().parse().ok()).unwrap_or_default()
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
        let before = Open::of(&own, u64::MAX).on_disk;
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 8 << 20]).unwrap();
        assert!(Open::of(&own, u64::MAX).on_disk >= before + (8 << 20));
    }

    #[test]
    fn pipes_and_sockets_are_counted_once_each() {
        let own = [std::process::id().cast_signed()];
        let before = Open::of(&own, u64::MAX);
        let pipes: Vec<_> = (0..100).map(|_| std::io::pipe().unwrap()).collect();
        let copies: Vec<_> = pipes.iter().map(|(reader, _)| reader.try_clone().unwrap()).collect();
        let pair = std::os::unix::net::UnixStream::pair;
        let sockets: Vec<_> = (0..100).map(|_| pair().unwrap()).collect();
        let open = Open::of(&own, u64::MAX);
        // Tests beside this one have some of their own.
        assert!((50..150).contains(&(open.pipes - before.pipes)), "{before:?} {open:?}");
        assert!((150..250).contains(&(open.sockets - before.sockets)), "{before:?} {open:?}");
        assert_eq!(Open::of(&own, 10).descriptors, 11);
        drop((copies, sockets));
    }
}
