//! Joining the control groups that the worker made.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use dreamcore_wire::plan::Plan;
use nix::sched::{CloneFlags, unshare};

/// Opens the files through which the control groups are joined. This comes before any right is
/// given up, because only the worker's user may open them for writing. The kernel checks the rights
/// of the process that opened the file, so [`join`] may write later.
pub(crate) fn open(plan: &Plan) -> Result<Vec<File>, String> {
    let folders = plan.cgroup.as_ref().map_err(Clone::clone)?;
    let open = |folder: &std::path::PathBuf| {
        // Version 1 has the file `tasks`, which moves a single thread, and this process has only
        // one. Moving a whole process waits for every processor, which takes about 20 ms.
        let open = |name| OpenOptions::new().write(true).open(folder.join(name));
        let file = open("tasks").or_else(|_| open("cgroup.procs"));
        file.map_err(|e| format!("{}: {e}", folder.display()))
    };
    folders.iter().map(open).collect()
}

/// Moves this process, and with it every process that it will start, into the groups.
pub(crate) fn join(plan: &Plan, groups: Vec<File>) -> Result<String, String> {
    for mut group in groups {
        // To the kernel, 0 stands for the process that writes.
        group.write_all(b"0").map_err(|error| format!("joining: {error}"))?;
    }
    // In a cgroup namespace, the sandbox sees its group as the root. So `/proc/self/cgroup` does
    // not tell it the path, which names the container and other groups of the machine. The path
    // gives no access to anything, so a kernel without such namespaces is not an error.
    let seen = match unshare(CloneFlags::CLONE_NEWCGROUP) {
        Ok(()) => "",
        Err(_) => "; its path can be read",
    };
    let limits = plan.limits;
    Ok(format!("memory {} bytes, {} processes{seen}", limits.memory_bytes, limits.processes))
}
