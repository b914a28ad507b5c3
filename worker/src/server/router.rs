//! The router: connects each row of the table of endpoints with its handler.

use std::sync::Arc;
use std::{iter, mem};

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use tower::Layer as _;
use tower_http::catch_panic::CatchPanicLayer;

use super::auth::{Accepted, require_secret};
use super::connections::refuse_spare;
use super::error::ApiError;
use super::settings::Settings;
use super::{host, observe, routes};
use crate::api::{ENDPOINTS, Endpoint, ErrorCode, Id};
use crate::app::App;

/// The handler of an endpoint. The compiler refuses a `match` in which an endpoint is missing.
fn handler(id: Id) -> MethodRouter<Arc<App>> {
    match id {
        Id::GenerateGame => post(routes::generate::generate_game),
        Id::GetFile => get(routes::files::get_file),
        Id::ListFiles => get(routes::files::list_files),
        Id::ApplyFiles => post(routes::apply::apply_files),
        Id::GetVersions => get(routes::versions::get_versions),
        Id::GetVersionDiff => get(routes::versions::get_version_diff),
        Id::RestoreVersion => post(routes::versions::restore_version),
        Id::CreateVersionSnapshot => post(routes::versions::create_version_snapshot),
        Id::CopyProject => post(routes::versions::copy_project),
        Id::DetectIntent => post(routes::assist::detect_intent),
        Id::DetectSkills => post(routes::assist::detect_skills),
        Id::ChatHaiku => post(routes::assist::chat_haiku),
        Id::ChatSonnet => post(routes::assist::chat_sonnet),
        Id::GeneratePublishInfo => post(routes::assist::generate_publish_info),
        Id::GetSkillContent => post(routes::assist::get_skill_content),
        Id::PrewarmSandbox => post(routes::assist::prewarm_sandbox),
        Id::UploadAsset => post(routes::assets::upload_asset),
        Id::GetAsset => get(routes::assets::get_asset),
        Id::ListAssets => get(routes::assets::list_assets),
        Id::DeleteAsset => post(routes::assets::delete_asset),
        Id::RestoreAsset => post(routes::assets::restore_asset),
        Id::VolumeChanged => post(routes::volume::volume_changed),
        Id::OpenApi => get(routes::health::openapi),
        Id::HealthLive => get(routes::health::live),
        Id::HealthReady => get(routes::health::ready),
        Id::Version => get(routes::health::version),
    }
}

/// `DREAMCORE_ROOT_ENDPOINT` names an endpoint that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("DREAMCORE_ROOT_ENDPOINT: there is no endpoint {name}; there are: {known}")]
pub struct UnknownEndpoint {
    name: String,
    known: String,
}

/// Makes the whole service.
pub fn router(app: &Arc<App>, settings: &Settings) -> Result<Router, UnknownEndpoint> {
    let (mut guarded, mut open) = (Router::new(), Router::new());
    for endpoint in ENDPOINTS {
        let router = if endpoint.needs_secret { &mut guarded } else { &mut open };
        for name in iter::once(endpoint.name.to_owned()).chain(endpoint.hyphenated()) {
            *router = mem::take(router).route(&format!("/{name}"), handler(endpoint.id));
        }
    }
    let at_root = match &settings.root_endpoint {
        Some(name) => {
            let endpoint = with_secret().find(|endpoint| endpoint.name == name);
            Some(endpoint.ok_or_else(|| unknown(name))?)
        }
        None => None,
    };
    let guarded = guarded
        .fallback(no_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(app));
    let guarded = guarded.layer(from_fn(refuse_spare));
    let guarded = from_fn_with_state(at_root, host::at_root).layer(guarded);
    // The secret is checked before the router and not in each route. So a client without the secret
    // learns nothing about the routes, not even from the header `Allow` that a router adds.
    let guarded =
        from_fn_with_state(Accepted::new(&settings.secrets), require_secret).layer(guarded);
    let open = open.method_not_allowed_fallback(wrong_method).fallback_service(guarded);
    Ok(watched(open).with_state(Arc::clone(app)))
}

/// Adds the layers that every request passes. A panic becomes an answer, and that answer is logged
/// like any other.
fn watched<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(CatchPanicLayer::custom(observe::after_panic)).layer(from_fn(observe::observe))
}

fn unknown(name: &str) -> UnknownEndpoint {
    let known: Vec<_> = with_secret().map(|endpoint| endpoint.name).collect();
    UnknownEndpoint { name: name.to_owned(), known: known.join(", ") }
}

pub(super) fn with_secret() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().filter(|endpoint| endpoint.needs_secret)
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
    use crate::api::Method;

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
    fn each_handler_takes_the_method_of_its_row() {
        for endpoint in ENDPOINTS {
            let shown = format!("{:?}", handler(endpoint.id));
            let takes = |method: &str| !shown.contains(&format!("{method}: None"));
            assert_eq!(takes("get"), endpoint.method == Method::Get, "{}", endpoint.name);
            assert_eq!(takes("post"), endpoint.method == Method::Post, "{}", endpoint.name);
        }
    }
}
