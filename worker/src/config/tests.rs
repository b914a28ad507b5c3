//! Tests of the settings, with lists of variables in place of the environment.

use std::time::Duration;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_vars(vars.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))))
}

fn names(result: Result<Config, ConfigError>) -> Vec<String> {
    result.unwrap_err().0.into_iter().map(|e| e.name).collect()
}

#[test]
fn a_secret_is_all_that_is_required() {
    let config = read(&[("MODAL_INTERNAL_SECRET", SECRET)]).unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8000");
    assert_eq!(config.app.store.data_dir, PathBuf::from("/data"));
    assert_eq!(config.app.runs.timeout, Duration::from_mins(9));
    assert_eq!(config.app.runs.max_runs, 1);
    assert_eq!(config.app.models.anthropic.base_url.expose(), "https://api.anthropic.com");
}

#[test]
fn refuses_a_missing_and_a_short_secret() {
    assert_eq!(names(read(&[])), ["MODAL_INTERNAL_SECRET"]);
    assert_eq!(names(read(&[("MODAL_INTERNAL_SECRET", "")])), ["MODAL_INTERNAL_SECRET"]);
    assert_eq!(names(read(&[("MODAL_INTERNAL_SECRET", "short")])), ["MODAL_INTERNAL_SECRET"]);
}

#[test]
fn lists_all_mistakes_at_once_and_shows_no_value() {
    let error = read(&[
        ("MODAL_INTERNAL_SECRET", "hunter2-hunter2"),
        ("MODAL_INTERNAL_SECRET_PREVIOUS", "also short"),
        ("DREAMCORE_LISTEN", "8000"),
        ("DREAMCORE_DATA_DIR", "data"),
        ("DREAMCORE_SCRATCH_DIR", "/a/../b"),
        ("DREAMCORE_RUN_TIMEOUT_S", "-1"),
        ("DREAMCORE_IDLE_TIMEOUT_S", "NaN"),
        ("DREAMCORE_MAX_RUNS", "0"),
        ("DREAMCORE_MAX_RUN", "2"),
        ("DREAMCORE_ROOT_ENDPOINT", "/../x"),
        ("ANTHROPIC_API_KEY", "a key with spaces"),
        ("ANTHROPIC_BASE_URL", "ftp://x"),
        ("GEMINI_BASE_URL", "http://user:pw@host"),
        ("DREAMCORE_LOG_FORMAT", "xml"),
    ])
    .unwrap_err();
    assert_eq!(error.0.len(), 14, "{error}");
    let shown = error.to_string();
    for value in ["hunter2", "also short", "a key with", "user:pw"] {
        assert!(!shown.contains(value), "{shown}");
    }
}

#[test]
fn a_value_that_is_not_utf8_is_a_mistake() {
    use std::os::unix::ffi::OsStringExt as _;
    let vars = [
        (OsString::from("MODAL_INTERNAL_SECRET"), OsString::from(SECRET)),
        (OsString::from("DREAMCORE_DATA_DIR"), OsString::from_vec(b"/\xff".to_vec())),
        (OsString::from_vec(b"\xff".to_vec()), OsString::from("ignored")),
    ];
    assert_eq!(names(Config::from_vars(vars)), ["DREAMCORE_DATA_DIR"]);
}

#[test]
fn the_root_endpoint_may_be_spelt_either_way() {
    for text in ["generate_game", "generate-game", "/generate-game"] {
        let vars = [("MODAL_INTERNAL_SECRET", SECRET), ("DREAMCORE_ROOT_ENDPOINT", text)];
        assert_eq!(read(&vars).unwrap().server.root_endpoint.as_deref(), Some("generate_game"));
    }
}

#[test]
fn debug_shows_no_secret() {
    let config = read(&[
        ("MODAL_INTERNAL_SECRET", SECRET),
        ("ANTHROPIC_API_KEY", "sk-ant-123456789"),
        ("ANTHROPIC_BASE_URL", "https://host/a/s3cr3t-path"),
    ])
    .unwrap();
    let shown = format!("{config:?}");
    for secret in [SECRET, "sk-ant", "s3cr3t-path"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_default_is_valid_and_every_name_is_unique() {
    let mut seen: Vec<_> = SETTINGS.iter().map(|s| s.name).collect();
    seen.sort_unstable();
    let before = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), before);
    assert!(SETTINGS.iter().all(|s| s.help.ends_with('.')));
}

const ACCOUNT: &str = r#"{"type":"service_account","client_email":"a@p.iam.gserviceaccount.com",
    "private_key_id":"k","private_key":"hush-hush","project_id":"p"}"#;
const FEDERATION: &str = r#"{"type":"external_account","audience":"//iam.googleapis.com/x",
    "subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
    "token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/x"}}"#;

fn with_secret(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let secret = [("MODAL_INTERNAL_SECRET", SECRET)];
    read(&[&secret, vars].concat())
}

#[test]
fn vertex_is_set_by_a_project_and_one_identity() {
    let (project, account) =
        (("DREAMCORE_VERTEX_PROJECT", "p-1"), ("DREAMCORE_VERTEX_SERVICE_ACCOUNT", ACCOUNT));
    let federation = ("DREAMCORE_VERTEX_FEDERATION", FEDERATION);
    let token = ("MODAL_IDENTITY_TOKEN", "eyJ.a.b");
    assert!(with_secret(&[]).unwrap().app.models.vertex.is_none());
    let vertex = with_secret(&[project, account]).unwrap().app.models.vertex.unwrap();
    assert!(matches!(vertex.identity, models::Identity::ServiceAccount(_)));
    assert_eq!(vertex.models["claude-haiku-4-5"], "claude-haiku-4-5@20251001");
    let vertex = with_secret(&[project, federation, token]).unwrap().app.models.vertex.unwrap();
    let models::Identity::Federation(federated) = vertex.identity else { panic!() };
    assert_eq!(federated.subject, models::Subject::Given(crate::types::Secret::new("eyJ.a.b")));
    // The platform's token alone asks for nothing.
    assert!(with_secret(&[token]).unwrap().app.models.vertex.is_none());
}

#[test]
fn half_of_vertex_is_a_mistake_that_names_the_other_half() {
    let project = ("DREAMCORE_VERTEX_PROJECT", "p-1");
    let account = ("DREAMCORE_VERTEX_SERVICE_ACCOUNT", ACCOUNT);
    let federation = ("DREAMCORE_VERTEX_FEDERATION", FEDERATION);
    for (vars, name, word) in [
        (vec![project], "DREAMCORE_VERTEX_PROJECT", "needs"),
        (vec![account], "DREAMCORE_VERTEX_PROJECT", "is required"),
        (vec![project, federation], "DREAMCORE_VERTEX_FEDERATION", "MODAL_IDENTITY_TOKEN"),
        (vec![project, account, federation], "DREAMCORE_VERTEX_FEDERATION", "one of them"),
        (
            vec![project, ("DREAMCORE_VERTEX_SERVICE_ACCOUNT", "{}")],
            "DREAMCORE_VERTEX_SERVICE_ACCOUNT",
            "private_key",
        ),
        (
            vec![project, ("DREAMCORE_VERTEX_FEDERATION", r#"{"audience":"x"}"#)],
            "DREAMCORE_VERTEX_FEDERATION",
            "token_url",
        ),
        (
            vec![("DREAMCORE_VERTEX_PROJECT", "p/../q"), account],
            "DREAMCORE_VERTEX_PROJECT",
            "lower-case",
        ),
        (vec![("DREAMCORE_FIRST_PROVIDER", "google")], "DREAMCORE_FIRST_PROVIDER", "vertex"),
        (vec![("DREAMCORE_VERTEX_MODELS", "a")], "DREAMCORE_VERTEX_MODELS", "pairs"),
    ] {
        let errors = with_secret(&vars).unwrap_err().0;
        let found = errors.iter().find(|error| error.name == name);
        assert!(found.is_some_and(|error| error.problem.contains(word)), "{vars:?}: {errors:?}");
        assert!(!format!("{errors:?}").contains("hush-hush"));
    }
}
