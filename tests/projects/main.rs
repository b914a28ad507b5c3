//! Projects: files and versions as clients see them, and the files on the volume afterwards.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod apply;
mod arrivals;
mod bombs;
mod clock;
mod committed;
mod concurrency;
mod containers;
mod copy;
mod fresh;
mod full;
mod hostile_git;
mod interrupted;
mod locks;
mod older;
mod quota;
mod shutdown;
mod siege;
mod strace;
mod support;
mod upkeep;
mod versions;
