//! Resource limits of the kernel's own kind. Each is a hard limit: the sandbox cannot raise it.

use dreamcore_wire::plan::Limits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How much the limit by user is above the one by control group.
const SECOND: u64 = 4;
/// How far sandboxes stand back behind the worker, which answers others meanwhile.
const NICENESS: libc::c_int = 10;

/// Sets every limit of `limits`, and those that need no number. `own_user` says whether the user
/// belongs to the sandbox alone: the process limit counts per user, so it must not be set for a
/// developer's own account.
pub(crate) fn apply(limits: Limits, own_user: bool) -> Result<String, String> {
    set(Resource::RLIMIT_FSIZE, limits.file_bytes)?;
    set(Resource::RLIMIT_NOFILE, limits.open_files)?;
    // A core dump would write the sandbox's memory to disk.
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_CPU, limits.cpu_s)?;
    set(Resource::RLIMIT_MEMLOCK, 8 << 20)?;
    if own_user {
        // A little above the control group's, where there is one: its refusals are counted, so the
        // end of a run can be explained.
        set(Resource::RLIMIT_NPROC, limits.processes.saturating_add(SECOND))?;
    }
    // gVisor refuses to set these, and has neither the queues nor the priorities.
    let further =
        [(Resource::RLIMIT_MSGQUEUE, 0), (Resource::RLIMIT_RTPRIO, 0), (Resource::RLIMIT_NICE, 0)];
    let refused: Vec<_> = further
        .into_iter()
        .filter_map(|(resource, value)| set(resource, value).err().map(|_| format!("{resource:?}")))
        .collect();
    // Whatever else is short of processor or memory on this machine comes first.
    yield_to_others();
    let mut detail = format!("file {} bytes, open files {}", limits.file_bytes, limits.open_files);
    if !refused.is_empty() {
        detail.push_str("; not here: ");
        detail.push_str(&refused.join(", "));
    }
    Ok(detail)
}

/// Lower priority, and the first to be killed should the whole machine run out of memory. Neither
/// is a protection that is relied on, so a kernel without them is no error.
#[allow(unsafe_code, reason = "setpriority has no safe form")]
fn yield_to_others() {
    // SAFETY: the call takes three numbers and changes nothing but this process's priority.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// Lowers one limit; one that is lower already stays as it is.
fn set(resource: Resource, wanted: u64) -> Result<(), String> {
    let (_, hard) = getrlimit(resource).map_err(|e| format!("{resource:?}: {e}"))?;
    let value = wanted.min(hard);
    setrlimit(resource, value, value).map_err(|e| format!("{resource:?}: {e}"))
}
