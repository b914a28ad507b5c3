//! Joining the control groups that the worker made.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use dreamcore_wire::plan::Plan;
use nix::sched::{CloneFlags, unshare};

/// Opens the groups; before anything is given up, because only the worker's user may write there.
/// The kernel goes by who opened the file, so joining can come later.
pub(crate) fn open(plan: &Plan) -> Result<Vec<File>, String> {
    let folders = plan.cgroup.as_ref().map_err(Clone::clone)?;
    let open = |folder: &std::path::PathBuf| {
        // Version 1 has a second file for one thread, which this process is; moving by that one
        // need not wait for all processors, which takes some 20 ms.
        let open = |name| OpenOptions::new().write(true).open(folder.join(name));
        let file = open("tasks").or_else(|_| open("cgroup.procs"));
        file.map_err(|e| format!("{}: {e}", folder.display()))
    };
    folders.iter().map(open).collect()
}

/// Moves this process, and so all that it will start, into the groups.
pub(crate) fn join(plan: &Plan, groups: Vec<File>) -> Result<String, String> {
    for mut group in groups {
        // 0 is whoever writes.
        group.write_all(b"0").map_err(|error| format!("joining: {error}"))?;
    }
    // Seen from inside, the group is the top of a namespace: its path, and with it the container's
    // and the machine's other groups, is nobody's business in there. Nothing can be done with the
    // path, so a kernel without such namespaces is no error.
    let seen = match unshare(CloneFlags::CLONE_NEWCGROUP) {
        Ok(()) => "",
        Err(_) => "; its path can be read",
    };
    let limits = plan.limits;
    Ok(format!("memory {} bytes, {} processes{seen}", limits.memory_bytes, limits.processes))
}
