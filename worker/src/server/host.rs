//! Which endpoint `/` stands for.
//!
//! A deployment may give each endpoint a host of its own, whose requests all go to the same worker
//! at `/`. The setting `DREAMCORE_ROOT_ENDPOINT` decides. Without it the host's name does, and
//! nothing else depends on what a client says in `Host`.

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::Response;

use super::router::with_secret;
use crate::api::Endpoint;

/// The first part of a deployment's labels: `dreamcore-get-file`.
const APP: &str = "dreamcore-";

/// Turns a request for `/` into one for the endpoint that it stands for. `set` is the endpoint of the
/// setting.
pub(super) async fn at_root(
    State(set): State<Option<&'static Endpoint>>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.uri().path() == "/"
        && let Some(endpoint) = set.or_else(|| named_by(host(&request)?))
        && let Some(uri) = at(request.uri(), endpoint)
    {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// The host that a request is for, if it names exactly one.
fn host(request: &Request) -> Option<&str> {
    fn only(headers: &HeaderMap) -> Option<&str> {
        let mut hosts = headers.get_all(HOST).iter();
        hosts.next().filter(|_| hosts.next().is_none())?.to_str().ok()
    }
    request.uri().host().or_else(|| only(request.headers()))
}

/// The endpoint that the first label of a host's name names: it ends with the endpoint's hyphenated
/// name, or has it behind `dreamcore-`, with more behind it. The longest name counts.
fn named_by(host: &str) -> Option<&'static Endpoint> {
    let label = host.split(['.', ':']).next()?.to_ascii_lowercase();
    let names = |endpoint: &&Endpoint| {
        let name = endpoint.name.replace('_', "-");
        let at_end = label.strip_suffix(&name);
        let in_front = at_end.is_some_and(|front| front.is_empty() || front.ends_with('-'));
        let inside = format!("-{label}-").contains(&format!("-{APP}{name}-"));
        in_front || inside
    };
    with_secret().filter(names).max_by_key(|endpoint| endpoint.name.len())
}

/// The same address with the path of an endpoint.
fn at(uri: &Uri, endpoint: &Endpoint) -> Option<Uri> {
    let path = match uri.query() {
        Some(query) => format!("/{}?{query}", endpoint.name),
        None => format!("/{}", endpoint.name),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_an_endpoint_by_its_first_label() {
        for (host, name) in [
            ("acme--dreamcore-chat-haiku.modal.run", Some("chat_haiku")),
            ("ACME--DREAMCORE-Chat-Haiku.modal.run:443", Some("chat_haiku")),
            ("acme--dreamcore-chat-haiku-dev.modal.run", Some("chat_haiku")),
            ("acme--dreamcore-get-version-diff.modal.run", Some("get_version_diff")),
            ("acme--dreamcore-get-versions.modal.run", Some("get_versions")),
            ("get-file", Some("get_file")),
            ("x-get-file.example.com", Some("get_file")),
            // Both are named; the longer name is meant.
            ("acme-dreamcore-get-file-dreamcore-get-version-diff", Some("get_version_diff")),
            ("acme--dreamcore-chat-haikus.modal.run", None),
            ("acme--get-file-dev.modal.run", None),
            ("xget-file.modal.run", None),
            ("acme.get-file.modal.run", None),
            ("get_file.modal.run", None),
            ("acme--dreamcore-version.modal.run", None),
            ("acme--dreamcore.modal.run", None),
            ("127.0.0.1:8000", None),
            ("[::1]:8000", None),
            ("", None),
        ] {
            assert_eq!(named_by(host).map(|endpoint| endpoint.name), name, "{host}");
        }
    }

    #[test]
    fn every_endpoint_has_a_host_of_its_own() {
        for endpoint in with_secret() {
            // A dot ends a label, so this name cannot be one.
            if endpoint.name.contains('.') {
                continue;
            }
            let label = endpoint.name.replace('_', "-");
            for host in [format!("a--dreamcore-{label}.modal.run"), format!("{label}:80")] {
                assert_eq!(named_by(&host).map(|found| found.name), Some(endpoint.name), "{host}");
            }
        }
    }

    #[test]
    fn the_query_stays() {
        let endpoint = named_by("get-file").unwrap();
        let uri = |text: &str| at(&text.parse().unwrap(), endpoint).unwrap().to_string();
        assert_eq!(uri("/?path=a%20b"), "/get_file?path=a%20b");
        assert_eq!(uri("/"), "/get_file");
        assert_eq!(uri("http://host/?a"), "http://host/get_file?a");
    }
}
