//! Requests to the whole service, from the router to the volume. No request is answered with a 5xx,
//! and none reads or changes anything outside of its project.

use std::ffi::OsString;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode, Uri};
use dreamcore_worker::api::ENDPOINTS;
use dreamcore_worker::app::App;
use dreamcore_worker::config::Config;
use dreamcore_worker::sandbox::launch::Launcher;
use dreamcore_worker::server::router;
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::scene::{ID, SECRET, Scene};

const CALLER: &str = "0123456789abcdef0123456789abcdef-fuzz";

/// A service in this process, without a network connection.
struct World {
    runtime: Runtime,
    router: Router,
    scene: Scene,
    before: Vec<String>,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let scene = Scene::new();
        std::fs::create_dir(scene.path("global")).expect("a folder");
        let folder = |name: &str| scene.path(name).into_os_string();
        let vars = [
            ("MODAL_INTERNAL_SECRET", CALLER.into()),
            ("DREAMCORE_DATA_DIR", folder("data")),
            ("DREAMCORE_GLOBAL_DIR", folder("global")),
            ("DREAMCORE_SCRATCH_DIR", folder("scratch")),
        ];
        let vars = vars.map(|(name, value): (_, OsString)| (OsString::from(name), value));
        let config = Config::from_vars(vars).expect("settings");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        // There is no launcher, so nothing can be run, but requests are still parsed.
        let launcher = Launcher::new(scene.path("no-launcher"));
        let app = runtime.block_on(App::new(config.app, launcher)).expect("an application");
        app.runs.close();
        let router = router(&Arc::new(app), &config.server).expect("the service");
        let before = scene.surroundings();
        Self { runtime, router, scene, before }
    }

    fn ask(&self, method: &Method, target: &str, body: &[u8]) {
        let Ok(uri) = Uri::try_from(target) else {
            return;
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("x-modal-secret", CALLER)
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        let (status, body) = self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("an answer");
            let status = response.status();
            (status, response.into_body().collect().await.expect("a body").to_bytes())
        });
        check(status, &body, target);
    }

    fn unchanged(&self) {
        assert_eq!(self.scene.surroundings(), self.before);
    }
}

fn check(status: StatusCode, body: &Bytes, target: &str) {
    let has = |code: &[u8]| body.windows(code.len()).any(|part| part == code);
    // The service of this test takes no new runs and has no key for a model.
    let is_expected = (status == StatusCode::SERVICE_UNAVAILABLE && has(b"SHUTTING_DOWN"))
        || (status == StatusCode::BAD_GATEWAY && has(b"AUTH_ERROR"));
    assert!(!status.is_server_error() || is_expected, "{status} {target} {}", body.escape_ascii());
    let leak = body.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
    assert!(!leak, "{target} shows what is outside");
    if status.is_client_error() {
        let json: serde_json::Value = serde_json::from_slice(body).expect("errors are JSON");
        assert!(json["error"].is_string() && json["code"].is_string(), "{status} {json}");
    }
}

/// Sends the input to every endpoint as its query, and as one parameter of an otherwise valid
/// query.
///
/// # Panics
///
/// If a promise is broken.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    WORLD.with(|world| {
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.needs_secret) {
            let name = endpoint.name;
            world.ask(&Method::GET, &format!("/{name}?{text}"), b"");
            for parameter in ["path", "asset_id", "commit"] {
                let ids = format!("user_id={ID}&project_id={ID}");
                world.ask(&Method::GET, &format!("/{name}?{ids}&{parameter}={text}"), b"");
            }
        }
        world.unchanged();
    });
}

/// Sends the input to every endpoint as its body.
///
/// # Panics
///
/// If a promise is broken.
pub fn body(data: &[u8]) {
    WORLD.with(|world| {
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.needs_secret) {
            world.ask(&Method::POST, &format!("/{}", endpoint.name), data);
        }
        world.unchanged();
    });
}
