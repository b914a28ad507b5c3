//! Measurements of the worker, each beside the same thing without the worker.
//!
//! Every comparison alternates (A B A B …) within one run, so that a machine that gets slower or
//! busier meanwhile does so for both sides. Nothing here passes or fails: it reports.

pub mod bare;
pub mod clock;
pub mod events;
pub mod files;
pub mod generation;
pub mod listing;
pub mod load;
pub mod memory;
pub mod peers;
pub mod project;
pub mod projects;
pub mod report;
pub mod start;
pub mod stats;
