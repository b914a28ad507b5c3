//! Finding the processes of a sandbox from outside, in `/proc`.

use std::collections::HashMap;

/// Every process whose chain of parents leads to `ancestor`. Empty where `/proc` cannot be read.
#[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
pub(super) fn descendants_of(ancestor: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents: HashMap<i32, i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Some((pid, parent_of(pid)?)))
        .collect();
    let leads_here = |mut pid: i32| {
        // The number of steps is bounded, because a snapshot of `/proc` might contain a cycle.
        for _ in 0..parents.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == ancestor => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| leads_here(*pid)).collect()
}

/// The parent of a process, from `/proc/PID/stat`. The fields are counted from the last `)`,
/// because the name in parentheses may contain any character.
#[allow(clippy::disallowed_methods, reason = "/proc is the kernel's, not a project's")]
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|b| *b == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}
