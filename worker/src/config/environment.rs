//! Takes the secrets out of this process's environment once they are read.
//!
//! The kernel shows the environment of a process in `/proc/PID/environ` as long as the process
//! lives, from the memory in which `execve` placed it. A process that can read that file must find
//! no secret in it.

use std::ffi::CStr;

use super::settings::SETTINGS;

#[allow(unsafe_code, reason = "the libc crate does not declare it")]
unsafe extern "C" {
    /// The environment that `execve` handed over: a list of pointers to `NAME=value`, ended by a
    /// null pointer.
    static environ: *mut *mut libc::c_char;
}

/// Whether the value of a variable must not be shown.
fn is_secret(name: &[u8]) -> bool {
    let mut secrets = SETTINGS.iter().filter(|setting| setting.is_secret);
    secrets.any(|setting| setting.name.as_bytes() == name)
}

/// Overwrites the values of all secret variables in the memory that the kernel shows. The names
/// stay. If there is a second thread, which might be reading the environment, this changes nothing
/// and returns an error.
#[allow(unsafe_code, reason = "the environment's memory has no safe interface")]
#[allow(clippy::multiple_unsafe_ops_per_block, reason = "one walk over one list")]
#[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
pub fn forget_secrets() -> std::io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(std::io::Error::other("there are other threads"));
    }
    // SAFETY: this is the only thread, so no other code reads or changes the environment in the
    // meantime. In the C library, `environ` is a list of pointers to writable C strings, ended by a
    // null pointer.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if let Some(end) = text.iter().position(|byte| *byte == b'=')
                && text.get(..end).is_some_and(is_secret)
            {
                let value = (*entry).add(end + 1).cast::<u8>();
                for place in 0..text.len() - end - 1 {
                    // Volatile, because otherwise the compiler may leave out a write that no code
                    // reads.
                    value.add(place).write_volatile(b'x');
                }
            }
            entry = entry.add(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_says_the_table_and_not_the_name() {
        for name in [
            "MODAL_INTERNAL_SECRET",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "MODAL_IDENTITY_TOKEN",
            "DREAMCORE_VERTEX_SERVICE_ACCOUNT",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
        for name in ["SOMEBODY_ELSES_API_KEY", "DREAMCORE_RUN_MAX_TOKENS", "ANTHROPIC_API_KE"] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn beside_other_threads_nothing_is_touched() {
        // A test runs on a second thread.
        assert!(forget_secrets().is_err());
    }
}
