//! Shared code of the tests from outside: it starts a real worker with the real CLI and a scripted
//! model API, sends requests as the relay does, and inspects projects with git's own command line.

mod client;
mod clock;
mod container;
mod disk;
mod events;
pub mod gvisor;
mod places;
mod project;
mod pulse;
mod volume_socket;
mod worker;

pub use client::{Answer, SECRET};
pub use clock::Clock;
pub use container::Container;
pub use disk::{Disk, Quota};
pub use events::{Event, Stream, terminal};
pub use places::{Kernel, claude, is_root, kernel, program, repository_root, target_dir};
pub use project::{Ids, control_groups, git, has_git_identity, leftovers};
pub use scripted_api as script;
pub use volume_socket::{Behaviour, VolumeSocket};
pub use worker::{REAL_KEY, Setup, Worker};
