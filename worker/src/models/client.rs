//! The HTTP client for model APIs.

use std::time::Duration;

/// Longest wait for a TCP and TLS connection. Name resolution counts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client: TLS by rustls with the system's certificates, no redirects (a redirect would
/// carry the key to another host), no proxy from the environment.
pub fn new() -> reqwest::Result<reqwest::Client> {
    // The first caller wins; a second installation of the same provider is no error for us.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .build()
}
