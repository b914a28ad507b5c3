//! A control group for each sandbox: the kernel's limit on its memory and processes, and its share
//! of the processor.
//!
//! The worker makes the groups beside or below its own group and removes them. The launcher's inner
//! half joins as its first step, so every process of a sandbox is in the group from its beginning.
//! Both versions of the kernel's interface are supported. Where the worker can write neither, the
//! mechanism is reported missing, and only the worker's watch limits a run.
//!
//! A sandbox can read the name of its group, so the name is random. Which groups are in use is
//! shown by a lock on the group's folder, which the worker holds as long as the sandbox exists.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dreamcore_wire::plan::Limits;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The beginning of the names of sandboxes' groups. A random text follows.
const PREFIX: &str = "dreamcore-sandbox-";
/// The name of the group into which the worker moves itself, if its own group must be empty before
/// it can have limited groups below it.
const OWN: &str = "dreamcore-worker";
/// The share of a sandbox in the processor: a quarter of the default, which counts when the
/// processor is scarce.
const CPU_SHARES_V1: u64 = 256;
const CPU_WEIGHT_V2: u64 = 25;
/// How long a group may take to become empty after its sandbox has ended.
const EMPTY_WITHIN: u32 = 500;

/// The folders in which groups can be made on this machine, or why there are none.
#[derive(Debug, Clone)]
pub struct Groups(Arc<Result<Vec<Parent>, String>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    V2,
    Memory,
    Pids,
    Cpu,
}

#[derive(Debug)]
struct Parent {
    kind: Kind,
    path: PathBuf,
}

/// The groups of one sandbox. They are removed when this value is dropped.
#[derive(Debug)]
pub struct Cgroup {
    folders: Vec<Folder>,
    /// The file that counts the processes that the kernel killed because memory was used up.
    events: PathBuf,
    /// The file that counts the processes that the kernel refused to start.
    forks: PathBuf,
}

/// The folder of one group with its lock. While the lock is held, no other worker removes the group
/// as a leftover.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Groups {
    /// Finds out where groups can be made, and removes the groups of workers that have ended.
    pub fn find() -> Self {
        let found = find();
        for parent in found.iter().flatten() {
            sweep(&parent.path);
        }
        Self(Arc::new(found))
    }

    /// Makes the groups of one sandbox. The error says why there are none.
    pub fn make(&self, limits: Limits) -> Result<Cgroup, String> {
        let parents = self.0.as_ref().as_ref().map_err(Clone::clone)?;
        let name = format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
        let mut made =
            Cgroup { folders: Vec::new(), events: PathBuf::new(), forks: PathBuf::new() };
        for parent in parents {
            let path = parent.path.join(&name);
            let done = make_folder(&parent.path, &path).and_then(|folder| {
                made.folders.push(folder);
                configure(parent.kind, &path, limits)
            });
            match done {
                Ok(()) => {}
                // The share of the processor protects nothing, so the sandbox may go without it.
                Err(_) if parent.kind == Kind::Cpu => {
                    made.folders.retain(|known| known.path != path || !remove(&path));
                }
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
            match parent.kind {
                Kind::V2 => {
                    made.events = path.join("memory.events");
                    made.forks = path.join("pids.events");
                }
                Kind::Memory => made.events = path.join("memory.oom_control"),
                Kind::Pids => made.forks = path.join("pids.events"),
                Kind::Cpu => {}
            }
        }
        tracing::debug!(name, "control groups were made");
        Ok(made)
    }
}

impl Cgroup {
    /// The folders of the groups that the launcher joins.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.path.clone()).collect()
    }

    /// The file that lists the processes.
    pub fn members(&self) -> Option<PathBuf> {
        self.folders.first().map(|folder| folder.path.join("cgroup.procs"))
    }

    /// How often the kernel killed a process of the sandbox because its memory was used up.
    pub fn oom_kills(&self) -> u64 {
        count(&self.events, "oom_kill ")
    }

    /// How often the kernel refused to start a process of the sandbox because of the limit.
    pub fn refused_forks(&self) -> u64 {
        count(&self.forks, "max ")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.folders.retain(|folder| !remove(&folder.path));
        if self.folders.is_empty() {
            return;
        }
        // The launcher may still be ending the sandbox. Another thread waits for that.
        let folders = std::mem::take(&mut self.folders);
        std::thread::spawn(move || {
            for folder in folders {
                let gone = (0..EMPTY_WITHIN).any(|_| {
                    pause();
                    remove(&folder.path)
                });
                if !gone {
                    tracing::warn!(folder = %folder.path.display(), "a control group was left behind");
                }
            }
        });
    }
}

/// The number behind a name in a file that has a name and a number in each line. 0 if it is not
/// there.
fn count(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix(name));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

#[allow(clippy::disallowed_methods, reason = "in a thread of its own")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Makes a group and takes its lock. The parent is locked in the meantime, so that another worker
/// that removes leftovers does not find the new folder before it is locked.
fn make_folder(parent: &Path, path: &Path) -> io::Result<Folder> {
    let tidying = lock(parent, FlockArg::LockShared)?;
    fs::create_dir(path)?;
    let locked = lock(path, FlockArg::LockExclusiveNonblock);
    drop(tidying);
    match locked {
        Ok(lock) => Ok(Folder { path: path.to_owned(), _lock: lock }),
        Err(error) => {
            remove(path);
            Err(error)
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the kernel's files, not a project's")]
fn lock(folder: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    Flock::lock(File::open(folder)?, how).map_err(|(_, errno)| errno.into())
}

/// Removes a group. Returns whether it does not exist any more.
fn remove(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn put(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    // Opened without creating it, so that a file that the kernel does not offer is an error.
    let mut file = fs::OpenOptions::new().write(true).open(folder.join(file))?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// Writes to a file that not every kernel has. If it is missing, nothing happens.
fn put_if_there(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    match put(folder, file, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn configure(kind: Kind, folder: &Path, limits: Limits) -> io::Result<()> {
    let (memory, processes) = (limits.memory_bytes.to_string(), limits.processes.to_string());
    match kind {
        Kind::V2 => {
            put(folder, "memory.max", &memory)?;
            put_if_there(folder, "memory.swap.max", "0")?;
            put(folder, "pids.max", &processes)?;
            put_if_there(folder, "cpu.weight", &CPU_WEIGHT_V2.to_string())
        }
        Kind::Memory => {
            put(folder, "memory.limit_in_bytes", &memory)?;
            put_if_there(folder, "memory.memsw.limit_in_bytes", &memory)
        }
        Kind::Pids => put(folder, "pids.max", &processes),
        Kind::Cpu => put(folder, "cpu.shares", &CPU_SHARES_V1.to_string()),
    }
}

fn find() -> Result<Vec<Parent>, String> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| format!("own group: {e}"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| format!("mounts: {e}"))?;
    if let Some(path) = own_folder(&own, &mounts, "") {
        let offered = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        if ["memory", "pids"].iter().all(|name| offered.split_whitespace().any(|o| o == *name)) {
            return delegate(path).map(|path| vec![Parent { kind: Kind::V2, path }]);
        }
    }
    let mut parents = Vec::new();
    for (kind, name) in [(Kind::Memory, "memory"), (Kind::Pids, "pids"), (Kind::Cpu, "cpu")] {
        match own_folder(&own, &mounts, name) {
            Some(path) => parents.push(Parent { kind, path }),
            None if kind == Kind::Cpu => {}
            None => return Err(format!("no control groups for {name} are mounted")),
        }
    }
    Ok(parents)
}

/// The folders of this process's own group in the hierarchy of `controller` and of all groups around
/// it that are visible, the innermost first. The empty name stands for the unified hierarchy.
pub(super) fn folders_around(controller: &str) -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some((mount, below)) = own_place(&own, &mounts, controller) else {
        return Vec::new();
    };
    below.ancestors().map(|below| mount.join(below)).collect()
}

/// The folder of this process's own group in the hierarchy of `controller`.
fn own_folder(own: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    own_place(own, mounts, controller).map(|(mount, below)| mount.join(below))
}

/// Where the hierarchy of `controller` is mounted, and the own group's path below that.
fn own_place(own: &str, mounts: &str, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        names.split(',').any(|name| name == controller).then_some(path)
    })?;
    let (mount, root) = mounts.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let is_it = match controller {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        is_it.then_some((PathBuf::from(point), root))
    })?;
    // In a container, the container's own group may be mounted as if it were the top.
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    Some((mount, below.to_owned()))
}

/// Makes it possible to have limited groups below `folder`. The kernel requires that such a folder
/// has no processes itself, unless it is the top of the hierarchy.
fn delegate(folder: PathBuf) -> Result<PathBuf, String> {
    let folder = match folder.parent() {
        Some(parent) if folder.ends_with(OWN) => parent.to_owned(),
        _ => folder,
    };
    let explain = |error: io::Error| format!("{}: {error}", folder.display());
    let enable = || put(&folder, "cgroup.subtree_control", "+memory +pids");
    match enable() {
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
            make_room(&folder)?;
            enable().map_err(explain)?;
        }
        other => other.map_err(explain)?,
    }
    // Not every kernel offers this controller, and it protects nothing.
    put(&folder, "cgroup.subtree_control", "+cpu").unwrap_or_default();
    Ok(folder)
}

/// Moves the worker into a group of its own. Other processes are moved too, but only in a
/// container, where all belong to the worker. In a login session they belong to other programs.
fn make_room(folder: &Path) -> Result<(), String> {
    let explain = |error: io::Error| format!("{}: {error}", folder.display());
    let present = fs::read_to_string(folder.join("cgroup.procs")).map_err(explain)?;
    let container = fs::read_to_string("/proc/self/cgroup")
        .is_ok_and(|own| own.lines().any(|line| line == "0::/"));
    let alone = present.split_whitespace().eq([std::process::id().to_string()]);
    if !container && !alone {
        return Err(format!("{}: other processes are in the worker's group", folder.display()));
    }
    let own = folder.join(OWN);
    match fs::create_dir(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(explain(error)),
        _ => {}
    }
    for pid in present.split_whitespace() {
        match put(&own, "cgroup.procs", pid) {
            // The process has ended in the meantime.
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            other => other.map_err(explain)?,
        }
    }
    Ok(())
}

/// Removes the groups that workers have left which ended: those whose locks no process holds. The
/// kernel does not remove a group that has processes.
#[allow(clippy::disallowed_methods, reason = "the kernel's files, not a project's")]
fn sweep(parent: &Path) {
    let (Ok(_making), Ok(entries)) = (lock(parent, FlockArg::LockExclusive), fs::read_dir(parent))
    else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_one && lock(&path, FlockArg::LockExclusiveNonblock).is_ok() {
            remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 22 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      31 22 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_folder_is_found_in_every_hierarchy() {
        let own = "4:memory:/a/b\n3:cpu,cpuacct:/\n0::/user.slice/x.scope\n";
        let folder = |name| own_folder(own, V1, name).map(|path| path.display().to_string());
        assert_eq!(folder("memory").as_deref(), Some("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(folder("cpu").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct/"));
        assert_eq!(folder("").as_deref(), Some("/sys/fs/cgroup/unified/user.slice/x.scope"));
        assert_eq!(folder("pids"), None);
    }

    #[test]
    fn what_a_worker_left_is_removed_and_what_one_holds_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(format!("{PREFIX}{name}"));
        let held = make_folder(parent.path(), &path("held")).unwrap();
        drop(make_folder(parent.path(), &path("left")).unwrap());
        fs::create_dir(parent.path().join("other")).unwrap();
        sweep(parent.path());
        assert!(held.path.is_dir() && parent.path().join("other").is_dir());
        assert!(!path("left").exists());
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_top() {
        let mounts = "30 22 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let folder = own_folder("4:memory:/docker/abc\n", mounts, "memory");
        assert_eq!(folder, Some(PathBuf::from("/sys/fs/cgroup/memory/")));
    }
}
