//! TRUST BOUNDARY 1: from the network into the process.
//!
//! HTTP ends in this module: no module below it knows a status code. A request passes the limits of
//! the connection, the check of the secret, the limits of the request, and then becomes a validated
//! type.

mod auth;
mod connections;
mod error;
mod extract;
mod file_answer;
mod host;
mod media;
mod observe;
mod peers;
mod pieces;
mod places;
mod query;
mod router;
mod routes;
mod settings;
mod share;
mod sse;
mod upload;
mod watched_io;

pub use connections::serve;
pub use error::ApiError;
pub use peers::tell_peers;
pub use router::{UnknownEndpoint, router};
pub use settings::{Secrets, Settings};
