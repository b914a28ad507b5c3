//! What the worker, its launcher and its hostile program tell each other: plain data, and nothing
//! that acts.
//!
//! Worker and launcher are one release and are installed together, so the forms may change with
//! every version.

pub mod attack;
pub mod control;
pub mod line;
pub mod plan;
