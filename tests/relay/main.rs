//! The worker as the relay uses it. These tests derive addresses, compose prompts and read streams
//! in the relay's way, and treat the list of versions as the relay's page does.
//!
//! This behaviour was observed on a running relay. Do not change it to make a test of the worker
//! pass.

mod odd_input;
mod page;
mod providers;
mod questions;
mod refusals;
mod relay;
mod session;
mod undo;
