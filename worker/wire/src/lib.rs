//! The messages between the worker, its launcher and its probe, the hostile program of the
//! self-test. This package holds plain data only: none of its code acts on the machine.
//!
//! Worker, launcher and probe are one release and are installed together, so every version may
//! change the messages.

pub mod attack;
pub mod control;
pub mod line;
pub mod plan;
