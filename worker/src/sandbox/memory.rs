//! What memory is left for everybody: on the machine, or in the container that the worker is in.
//!
//! A run can take memory that no process of it has mapped, and that is found neither in its
//! processes nor, without a control group, anywhere else as its own. So what is left is watched too.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup;

/// The reserve of a small machine is one part in so many.
const RESERVE_PART: u64 = 10;
/// What gVisor says of its own memory.
const SENTRY: &str = "/proc/sentry-meminfo";

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In all.
    pub total: u64,
    /// What could be taken without anything being swapped or killed.
    pub available: u64,
}

impl Memory {
    /// Whether less is left than is to be kept for others: `reserve_bytes`, or a tenth of a small
    /// machine.
    pub fn is_low(&self, reserve_bytes: u64) -> bool {
        self.available < reserve_bytes.min(self.total / RESERVE_PART)
    }

    /// The one with less to give.
    fn or_less(self, other: Self) -> Self {
        if other.available < self.available { other } else { self }
    }
}

/// Where memory is read: the machine, and each control group around the worker that has a limit.
#[derive(Debug)]
pub struct Machine {
    groups: Vec<Group>,
}

/// The files of one control group. The names differ between the versions of the interface.
#[derive(Debug)]
struct Group {
    limit: PathBuf,
    usage: PathBuf,
    stat: PathBuf,
    /// The lines of `stat` that say what the kernel gives back before it kills.
    given_back: &'static [&'static str],
}

impl Machine {
    /// Finds out what there is to read.
    pub fn find() -> Self {
        let v1 = |path: &Path| Group {
            limit: path.join("memory.limit_in_bytes"),
            usage: path.join("memory.usage_in_bytes"),
            stat: path.join("memory.stat"),
            given_back: &["total_inactive_file", "total_active_file"],
        };
        let v2 = |path: &Path| Group {
            limit: path.join("memory.max"),
            usage: path.join("memory.current"),
            stat: path.join("memory.stat"),
            given_back: &["inactive_file", "active_file", "slab_reclaimable"],
        };
        let unified = cgroup::folders_around("").into_iter().map(|path| v2(&path));
        let memory = cgroup::folders_around("memory").into_iter().map(|path| v1(&path));
        let groups = unified.chain(memory).filter(|group| group.memory().is_some()).collect();
        Self { groups }
    }

    /// What is left; `None` where the kernel does not say. Blocking.
    pub fn memory(&self) -> Option<Memory> {
        let groups = self.groups.iter().filter_map(Group::memory);
        groups.chain(of_the_machine()).reduce(Memory::or_less)
    }
}

impl Group {
    /// `None` if it has no limit.
    fn memory(&self) -> Option<Memory> {
        let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        // Version 1 has a number near 2^63 for no limit, version 2 a word.
        let total = number(&self.limit).filter(|limit| *limit < 1 << 60)?;
        let usage = number(&self.usage)?;
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        let lines = stat.lines().filter_map(|line| line.split_once(' '));
        let given_back = lines.filter(|(name, _)| self.given_back.contains(name));
        let given_back: u64 = given_back.filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum();
        Some(Memory { total, available: total.saturating_sub(usage.saturating_sub(given_back)) })
    }
}

fn of_the_machine() -> Option<Memory> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    Some(Memory { total: kib(&text, "MemTotal:")?, available: kib(&text, "MemAvailable:")? })
}

/// Bytes in the heap of gVisor's kernel, which holds what sockets and pipes have not delivered, for
/// all sandboxes together; gVisor counts it in nothing else that it shows. `None` on Linux. It stops
/// everything for a moment, a millisecond and less. Blocking.
pub fn sentry_heap() -> Option<u64> {
    kib(&fs::read_to_string(SENTRY).ok()?, "HeapAlloc:")
}

/// The number behind `name`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_is_left() {
        let memory = Machine::find().memory().unwrap();
        assert!(memory.available > 0 && memory.available <= memory.total, "{memory:?}");
        assert!(!memory.is_low(0) && memory.total > 64 << 20);
    }

    #[test]
    fn a_small_machine_keeps_a_tenth() {
        let memory = Memory { total: 1000, available: 99 };
        assert!(memory.is_low(1 << 30) && memory.is_low(100) && !memory.is_low(99));
        assert!(!Memory { available: 100, ..memory }.is_low(1 << 30));
    }

    #[test]
    fn a_group_with_a_limit_counts_without_what_is_given_back_first() {
        let folder = tempfile::tempdir().unwrap();
        let group = |limit: &str| {
            for (name, text) in [
                ("max", limit),
                ("current", "600\n"),
                ("stat", "anon 1\ninactive_file 150\nactive_file 50\n"),
            ] {
                fs::write(folder.path().join(name), text).unwrap();
            }
            let path = |name| folder.path().join(name);
            let (limit, usage, stat) = (path("max"), path("current"), path("stat"));
            Group { limit, usage, stat, given_back: &["inactive_file", "active_file"] }.memory()
        };
        assert_eq!(group("1000\n"), Some(Memory { total: 1000, available: 600 }));
        assert_eq!(group("500\n"), Some(Memory { total: 500, available: 100 }));
        assert_eq!(group("max\n"), None);
        assert_eq!(group("9223372036854771712\n"), None);
    }
}
