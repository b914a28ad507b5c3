//! Measuring the memory of a piece of work.

use std::fs;

/// Does the work, and returns by how many bytes the process grew at most in that time. Other
/// threads of the process count too.
///
/// # Panics
///
/// If the kernel does not show the process's memory.
pub fn growth_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // Resets the peak to the memory in use now.
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be set back");
    let before = kilobytes("VmHWM:");
    let done = work();
    (done, kilobytes("VmHWM:").saturating_sub(before) * 1024)
}

fn kilobytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    let number = line.split_whitespace().next().expect("a number");
    number.parse().expect("a number")
}
