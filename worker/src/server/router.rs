//! The table of endpoints.

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use tower::Layer as _;
use tower_http::catch_panic::CatchPanicLayer;

use super::auth::{Accepted, require_secret};
use super::error::ApiError;
use super::{observe, routes};
use crate::api::ErrorCode;
use crate::app::App;

/// One endpoint that needs the secret.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name with underscores; with hyphens it is the same.
    pub name: &'static str,
    route: fn() -> MethodRouter<Arc<App>>,
}

/// Every endpoint that needs the secret.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint { name: "generate_game", route: || post(routes::generate::generate_game) },
    Endpoint { name: "get_file", route: || get(routes::files::get_file) },
    Endpoint { name: "list_files", route: || get(routes::files::list_files) },
    Endpoint { name: "apply_files", route: || post(routes::apply::apply_files) },
    Endpoint { name: "get_versions", route: || get(routes::versions::get_versions) },
    Endpoint { name: "get_version_diff", route: || get(routes::versions::get_version_diff) },
    Endpoint { name: "restore_version", route: || post(routes::versions::restore_version) },
    Endpoint {
        name: "create_version_snapshot",
        route: || post(routes::versions::create_version_snapshot),
    },
    Endpoint { name: "copy_project", route: || post(routes::versions::copy_project) },
    Endpoint { name: "detect_intent", route: || post(routes::assist::detect_intent) },
    Endpoint { name: "detect_skills", route: || post(routes::assist::detect_skills) },
    Endpoint { name: "chat_haiku", route: || post(routes::assist::chat_haiku) },
    Endpoint { name: "chat_sonnet", route: || post(routes::assist::chat_sonnet) },
    Endpoint {
        name: "generate_publish_info",
        route: || post(routes::assist::generate_publish_info),
    },
    Endpoint { name: "get_skill_content", route: || post(routes::assist::get_skill_content) },
    Endpoint { name: "prewarm_sandbox", route: || post(routes::assist::prewarm_sandbox) },
    Endpoint { name: "upload_asset", route: || post(routes::assets::upload_asset) },
    Endpoint { name: "get_asset", route: || get(routes::assets::get_asset) },
    Endpoint { name: "list_assets", route: || get(routes::assets::list_assets) },
    Endpoint { name: "delete_asset", route: || post(routes::assets::delete_asset) },
    Endpoint { name: "restore_asset", route: || post(routes::assets::restore_asset) },
];

/// `DREAMCORE_ROOT_ENDPOINT` names something that is not served.
#[derive(Debug, thiserror::Error)]
#[error("DREAMCORE_ROOT_ENDPOINT: there is no endpoint {name}; there are: {known}")]
pub struct UnknownEndpoint {
    name: String,
    known: String,
}

/// The whole service.
pub fn router(app: &Arc<App>) -> Result<Router, UnknownEndpoint> {
    let config = &app.config;
    let mut guarded = Router::new();
    for endpoint in ENDPOINTS {
        let hyphenated = endpoint.name.replace('_', "-");
        guarded = guarded.route(&format!("/{}", endpoint.name), (endpoint.route)());
        guarded = guarded.route(&format!("/{hyphenated}"), (endpoint.route)());
    }
    if let Some(name) = &config.root_endpoint {
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.name == name);
        let endpoint = endpoint.ok_or_else(|| unknown(name))?;
        guarded = guarded.route("/", (endpoint.route)());
    }
    let guarded = guarded
        .fallback(no_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(app));
    // Around the router, not around its routes: whoever has no secret learns nothing of them, not
    // even from the `Allow` that a router adds to the answer of a route.
    let guarded = from_fn_with_state(Accepted::new(&config.secrets), require_secret).layer(guarded);
    let open = Router::new()
        .route("/health/live", get(routes::health::live))
        .route("/health/ready", get(routes::health::ready))
        .route("/version", get(routes::health::version))
        .method_not_allowed_fallback(wrong_method)
        .fallback_service(guarded);
    Ok(watched(open).with_state(Arc::clone(app)))
}

/// What every request passes, whatever it asks for: a panic becomes an answer, and the answer to
/// it is logged like any other.
fn watched<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(CatchPanicLayer::custom(observe::after_panic)).layer(from_fn(observe::observe))
}

fn unknown(name: &str) -> UnknownEndpoint {
    let known: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.name).collect();
    UnknownEndpoint { name: name.to_owned(), known: known.join(", ") }
}

async fn no_endpoint(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no endpoint {}", uri.path()))
}

async fn wrong_method() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, "this endpoint takes another method")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_answer_that_says_nothing_of_it() {
        let broken = async || -> StatusCode { panic!("the text of a panic") };
        let app = watched(Router::new().route("/", get(broken)));
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key("x-request-id"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"code":"INTERNAL_ERROR","error":"internal error"}"#);
    }

    #[test]
    fn endpoint_names_have_one_hyphenated_form_each() {
        let mut names: Vec<_> = ENDPOINTS.iter().map(|e| e.name).collect();
        assert!(names.iter().all(|name| !name.contains('-')));
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
