//! The worker as its only client meets it: the relay, with its own way of deriving addresses, of
//! composing prompts and of reading streams, and the page behind it, with its list of versions.
//!
//! What is written here of the relay was seen by running it. It is not changed to suit the worker.

mod page;
mod questions;
mod refusals;
mod relay;
mod session;
mod undo;
