//! Proof of the confinement: a hostile program is started through the real launcher, and what it
//! was denied is what holds.

mod scene;
mod selftest;
mod session;

pub use scene::Scene;
pub use selftest::{Finding, Group, SelfTest, selftest};
pub use session::{Cell, ProbeError, attack};
