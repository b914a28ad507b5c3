//! Attacks on the sandbox from inside: the real launcher starts the probe, which makes them. For
//! each attack that is denied, the test makes a similar one that is allowed, so a sandbox that
//! denies everything fails the tests too.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests throughout")]

mod arena;
mod files;
mod launcher;
mod limits;
mod network;
mod privileges;
mod processes;
mod selftest;
mod without_sys_admin;
