//! How the C library's allocator treats large blocks.

use std::ffi::c_int;

/// Blocks from this size on, in bytes, are given back to the system when they are freed: bodies of
/// requests, files, objects of a repository.
const LARGE_BYTES: c_int = 1 << 20;

/// Makes the process give large blocks back to the system when they are freed.
///
/// By default the allocator learns from the largest block that was ever freed: it then keeps blocks
/// of up to 32 MiB for later, in each of a dozen arenas. One burst of large requests would leave the
/// worker with hundreds of megabytes for good, which are missing wherever the machine's memory is
/// counted. To be called while there is one thread.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "a setting of the C library")]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: no other thread allocates yet, and the call changes two numbers of the allocator. It
    // fails only for numbers that it does not know; then everything is as it would be without it.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
}

/// Other C libraries do not keep large blocks.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_large_blocks() {}
