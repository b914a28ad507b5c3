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
    assert_eq!(config.app.models.anthropic.base_url, "https://api.anthropic.com");
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
    let config =
        read(&[("MODAL_INTERNAL_SECRET", SECRET), ("ANTHROPIC_API_KEY", "sk-ant-123456789")])
            .unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("sk-ant"), "{shown}");
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
