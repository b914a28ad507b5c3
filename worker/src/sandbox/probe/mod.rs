//! The proof of the confinement: the real launcher starts the probe, a hostile program, and only
//! the attacks that were denied count as protection.

mod scene;
mod selftest;
mod session;

pub use scene::Scene;
pub use selftest::{Finding, Group, SelfTest, selftest};
pub use session::{Cell, ProbeError, attack};
