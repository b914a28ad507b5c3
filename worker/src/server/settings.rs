//! The settings of the HTTP server.

use std::net::SocketAddr;
use std::time::Duration;

use crate::types::Secret;

/// The settings of the HTTP server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The endpoint that `/` stands for, in either spelling.
    pub root_endpoint: Option<String>,
    /// The secrets that callers may present.
    pub secrets: Secrets,
    /// The largest number of connections at the same time. Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// The URLs of the other workers on the same volume.
    pub peers: Vec<String>,
    /// How long running generations may go on after a signal to stop.
    pub shutdown_grace: Duration,
}

/// The secrets that callers may present.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The present secret.
    pub current: Secret,
    /// The previous secret, which is accepted while callers move to the present one.
    pub previous: Option<Secret>,
}
