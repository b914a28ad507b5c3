//! The HTTP client for model APIs.

use std::time::Duration;

/// How long a TCP and TLS connection may take, including name resolution.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client. It uses rustls with the system's certificates, follows no redirects, because a
/// redirect would send the key to another host, and ignores proxies in the environment.
pub fn new() -> reqwest::Result<reqwest::Client> {
    // An error means that the provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .build()
}
