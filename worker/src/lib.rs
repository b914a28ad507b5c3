//! dreamcore-worker
pub mod config;
pub mod models;
pub mod project;
pub mod run;
pub mod safe_fs;
pub mod sandbox;
pub mod server;
pub mod types;
