//! What can be set of the HTTP server.

use std::net::SocketAddr;
use std::time::Duration;

use crate::types::Secret;

/// The settings of the server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and port.
    pub listen: SocketAddr,
    /// The endpoint that `/` stands for, in either spelling.
    pub root_endpoint: Option<String>,
    /// What callers must present; the second is accepted too while secrets are rotated.
    pub secrets: Secrets,
    /// Most connections at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long runs may go on after a request to stop.
    pub shutdown_grace: Duration,
}

/// Secrets that callers may present.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The one in force.
    pub current: Secret,
    /// The one before, while callers move to the new one.
    pub previous: Option<Secret>,
}
