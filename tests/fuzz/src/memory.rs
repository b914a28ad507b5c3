//! How much memory a piece of work takes.

use std::fs;

/// Does the work, and says by how much the process grew meanwhile at most, in bytes. Other threads
/// of the process count too.
///
/// # Panics
///
/// Where the kernel does not tell.
pub fn growth_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // Sets the peak back to what is taken now.
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
