//! What the tests from outside share: a real worker, the real CLI, a scripted model API, a client
//! that speaks as the relay does, and git's own command line to look at what was written.

mod client;
mod disk;
mod events;
mod places;
mod project;
mod pulse;
mod worker;

pub use client::{Answer, SECRET};
pub use disk::Disk;
pub use events::{Event, Stream, terminal};
pub use places::{Kernel, claude, is_root, kernel, repository_root, target_dir};
pub use project::{Ids, control_groups, git, has_git_identity, leftovers};
pub use scripted_api as script;
pub use worker::{REAL_KEY, Setup, Worker};
