//! The HTTP edge, seen from outside.

mod as_user;
mod auth;
mod bad_input;
mod bad_paths;
mod connections;
mod files;
mod lifecycle;
mod names;
mod not_files;
mod raw;
mod shutdown;
mod support;
