//! The HTTP edge, seen from outside.

mod as_user;
mod asset_uploads;
mod assets;
mod auth;
mod bad_input;
mod bad_paths;
mod bodies;
mod connections;
mod corpus;
mod crowd;
mod details;
mod files;
mod in_flight;
mod lifecycle;
mod names;
mod not_files;
mod odd_requests;
mod parameters;
mod ranges;
mod raw;
mod shutdown;
mod smuggling;
mod support;
mod wire;
