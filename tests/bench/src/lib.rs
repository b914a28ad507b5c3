//! Measurements of the worker, each compared with the same work without the worker.
//!
//! Every comparison alternates between the two sides (A B A B …), so that a change in the speed of
//! the machine affects both. The bench reports figures; it does not pass or fail.

pub mod bare;
pub mod clock;
pub mod events;
pub mod files;
pub mod generation;
pub mod gvisor;
pub mod listing;
pub mod load;
pub mod memory;
pub mod peers;
pub mod project;
pub mod projects;
pub mod questions;
pub mod report;
pub mod start;
pub mod stats;
pub mod volume;
