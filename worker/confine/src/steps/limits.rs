//! Resource limits by `setrlimit`. Each is a hard limit: the sandbox cannot raise it.

use dreamcore_wire::plan::Limits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many processes the limit per user allows beyond the limit of the control group.
const SECOND: u64 = 4;
/// The niceness of a sandbox. The worker, whose niceness is 0, so gets the processor first and goes
/// on answering other clients.
const NICENESS: libc::c_int = 10;

/// Sets every limit of `limits`, and those whose value is always the same. `own_user` says whether
/// the user belongs to the sandbox alone. The kernel counts processes per user, so where the
/// sandbox runs as the developer's own account the process limit is not set.
pub(crate) fn apply(limits: Limits, own_user: bool) -> Result<String, String> {
    set(Resource::RLIMIT_FSIZE, limits.file_bytes)?;
    set(Resource::RLIMIT_NOFILE, limits.open_files)?;
    // A core dump would write the sandbox's memory to disk.
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_CPU, limits.cpu_s)?;
    set(Resource::RLIMIT_MEMLOCK, 8 << 20)?;
    if own_user {
        // Slightly more than the control group allows. The group then refuses first, and it counts
        // its refusals, so the worker can say why the run ended.
        set(Resource::RLIMIT_NPROC, limits.processes.saturating_add(SECOND))?;
    }
    // gVisor refuses to set these limits, and has neither POSIX queues nor real-time priorities.
    let further =
        [(Resource::RLIMIT_MSGQUEUE, 0), (Resource::RLIMIT_RTPRIO, 0), (Resource::RLIMIT_NICE, 0)];
    let refused: Vec<_> = further
        .into_iter()
        .filter_map(|(resource, value)| set(resource, value).err().map(|_| format!("{resource:?}")))
        .collect();
    // Other programs of this machine get processor and memory before the sandbox does.
    yield_to_others();
    let mut detail = format!("file {} bytes, open files {}", limits.file_bytes, limits.open_files);
    if !refused.is_empty() {
        detail.push_str("; not here: ");
        detail.push_str(&refused.join(", "));
    }
    Ok(detail)
}

/// Lowers the priority of this process, and makes it the first to be killed if the whole machine
/// runs out of memory. No protection depends on either, so a kernel that refuses is not an error.
#[allow(unsafe_code, reason = "setpriority has no safe form")]
fn yield_to_others() {
    // SAFETY: the call takes three numbers and changes nothing but this process's priority.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// Lowers one limit. A limit that is lower already stays as it is.
fn set(resource: Resource, wanted: u64) -> Result<(), String> {
    let (_, hard) = getrlimit(resource).map_err(|e| format!("{resource:?}: {e}"))?;
    let value = wanted.min(hard);
    setrlimit(resource, value, value).map_err(|e| format!("{resource:?}: {e}"))
}
