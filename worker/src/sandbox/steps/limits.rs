//! Resource limits of the kernel's own kind. Each is a hard limit: the sandbox cannot raise it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::super::plan::Limits;

/// Sets every limit of `limits`, and those that need no number. `own_user` says whether the user
/// belongs to the sandbox alone: the process limit counts per user, so it must not be set for a
/// developer's own account.
pub fn apply(limits: Limits, own_user: bool) -> Result<String, String> {
    set(Resource::RLIMIT_FSIZE, limits.file_bytes)?;
    set(Resource::RLIMIT_NOFILE, limits.open_files)?;
    set(Resource::RLIMIT_CPU, limits.cpu_s)?;
    // A core dump would write the sandbox's memory to disk.
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_MEMLOCK, 8 << 20)?;
    set(Resource::RLIMIT_MSGQUEUE, 0)?;
    set(Resource::RLIMIT_RTPRIO, 0)?;
    set(Resource::RLIMIT_NICE, 0)?;
    if own_user {
        set(Resource::RLIMIT_NPROC, limits.processes)?;
    }
    let processes = if own_user {
        limits.processes.to_string()
    } else {
        "as inherited".to_owned()
    };
    Ok(format!(
        "file {} bytes, open files {}, cpu {} s, processes {processes}",
        limits.file_bytes, limits.open_files, limits.cpu_s
    ))
}

/// Lowers one limit; one that is lower already stays as it is.
fn set(resource: Resource, wanted: u64) -> Result<(), String> {
    let (_, hard) = getrlimit(resource).map_err(|e| format!("{resource:?}: {e}"))?;
    let value = wanted.min(hard);
    setrlimit(resource, value, value).map_err(|e| format!("{resource:?}: {e}"))
}
