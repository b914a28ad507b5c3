//! A setting of the C library's allocator: what happens to large blocks when they are freed.

use std::ffi::c_int;

/// The smallest size of a block that is given back to the system when it is freed, in bytes. Bodies
/// of requests, files and objects of a repository are such blocks.
const LARGE_BYTES: c_int = 1 << 20;

/// Makes the process give large blocks back to the system when they are freed.
///
/// By default the allocator adapts to the largest block that was ever freed: it then keeps blocks
/// of up to 32 MiB for reuse, in each of a dozen arenas. After one burst of large requests, the
/// worker would hold hundreds of megabytes for good, which runs could have used. Call this while
/// the process has only one thread.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "a setting of the C library")]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: no other thread allocates yet, and the call changes only numbers of the allocator. It
    // fails only for a parameter that it does not know, and then changes nothing.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
}

/// Other C libraries do not keep large blocks.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_large_blocks() {}
