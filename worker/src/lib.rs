//! The library of `dreamcore-worker`. The worker takes requests over HTTP, lets the Claude CLI
//! write browser games in a sandbox, and saves each result as a version.
//!
//! # Modules, from the bottom up
//!
//! A module uses those above it in this table and never one below it; ARCHITECTURE.md says which of
//! them.
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`blocking`] | work that waits for a disk or takes the processor for long, on threads that may do so |
//! | [`json`] | JSON from an untrusted sender, read without building more than is asked for |
//! | [`types`] | what clients send, each checked once |
//! | [`api`] | the contract with callers as data |
//! | [`safe_fs`] | files by handle, never through a link |
//! | [`sandbox`] | confinement, and the only place that starts processes |
//! | [`models`] | model APIs, and the broker that keeps the key |
//! | [`store`] | what lies on the volume: projects, their versions, assets |
//! | [`runs`] | one generation, from request to saved version |
//! | [`app`] | what the handlers of all requests share |
//! | [`server`] | HTTP, and the only place that knows a status code |
//! | [`config`] | every setting, read once from the environment into what the modules declare |
//!
//! # Trust boundaries
//!
//! A trust boundary is where untrusted input passes into a trusted part of the program. Each of
//! these files names its boundary in its first lines; read them first in a review. The files of the
//! packages `confine` and `import` are below `worker/`, the others below `worker/src/`.
//!
//! | boundary | from | to | files |
//! | --- | --- | --- | --- |
//! | 1 | the network | the process | `server/mod.rs` |
//! | 2 | text | a type | `types/mod.rs` |
//! | 3 | a type | an open file | `safe_fs/mod.rs` |
//! | 4 | the worker's user | the sandbox's user | `confine/src/main.rs`, `confine/src/steps/identity.rs` |
//! | 5 | the CLI's output | events | `runs/claude/lines.rs`, `runs/claude/parser.rs` |
//! | 6 | the agent's files | a project | `runs/workspace.rs` |
//! | 7 | the CLI's requests | the model API with its key | `models/broker/mod.rs` |
//! | 8 | a stranger's repository | a project | `import/src/receive.rs` |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests look at the disk by name"))]

pub mod api;
pub mod app;
pub mod assist;
pub mod blocking;
pub mod config;
pub mod json;
pub mod models;
pub mod runs;
pub mod safe_fs;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod types;
