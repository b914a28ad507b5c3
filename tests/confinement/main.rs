//! The sandbox, attacked from inside by a compiled hostile program through the real launcher. Each
//! denial has its allowed twin: a sandbox that denies everything fails here too.
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
