//! Takes the secrets out of this process's environment once they are read.
//!
//! The kernel shows a process's environment in `/proc/PID/environ` for as long as it lives, from the
//! memory in which it was handed over. Whoever may read that file should find no secret in it.

use std::ffi::CStr;

use super::settings::SETTINGS;

#[allow(unsafe_code, reason = "the libc crate does not declare it")]
unsafe extern "C" {
    /// What `execve` handed over: pointers to `NAME=value`, the last one null.
    static environ: *mut *mut libc::c_char;
}

/// Whether the value of a variable must not be shown.
fn is_secret(name: &[u8]) -> bool {
    let known = SETTINGS.iter().any(|setting| setting.name.as_bytes() == name);
    let has = |word: &[u8]| name.windows(word.len()).any(|part| part == word);
    known && (has(b"SECRET") || name.ends_with(b"_KEY"))
}

/// Overwrites the value of every secret variable where the kernel keeps it; the names stay. Does
/// nothing, and says so, once there is a second thread, which might be reading the environment.
#[allow(unsafe_code, reason = "the environment's memory has no safe interface")]
#[allow(clippy::multiple_unsafe_ops_per_block, reason = "one walk over one list")]
#[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
pub fn forget_secrets() -> std::io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(std::io::Error::other("there are other threads"));
    }
    // SAFETY: this is the only thread, so nobody reads or changes the environment meanwhile. The C
    // library keeps `environ` a list of pointers to writable C strings that ends with a null one.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if let Some(end) = text.iter().position(|byte| *byte == b'=')
                && text.get(..end).is_some_and(is_secret)
            {
                let value = (*entry).add(end + 1).cast::<u8>();
                for place in 0..text.len() - end - 1 {
                    // Volatile, because to the compiler nobody reads it any more.
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
    fn every_setting_with_a_secret_and_no_other_is_one() {
        let secret = |setting: &&super::super::Setting| is_secret(setting.name.as_bytes());
        let names: Vec<_> = SETTINGS.iter().filter(secret).map(|setting| setting.name).collect();
        assert_eq!(
            names,
            [
                "MODAL_INTERNAL_SECRET",
                "MODAL_INTERNAL_SECRET_PREVIOUS",
                "ANTHROPIC_API_KEY",
                "GEMINI_API_KEY"
            ]
        );
        assert!(!is_secret(b"SOMEBODY_ELSES_API_KEY"));
    }

    #[test]
    fn beside_other_threads_nothing_is_touched() {
        // The test's own thread is the second one.
        assert!(forget_secrets().is_err());
    }
}
