//! The worker's own self-test, as an operator runs it with `doctor`.

use std::process::Command;

use harness::{SECRET, target_dir};

fn doctor(vars: &[(&str, &str)], args: &[&str]) -> (bool, String) {
    let folder = tempfile::Builder::new().prefix("dc-").tempdir().unwrap();
    for name in ["data", "global"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let path = |name: &str| folder.path().join(name);
    let output = Command::new(target_dir().join("dreamcore-worker"))
        .arg("doctor")
        .args(args)
        .env_clear()
        .env("MODAL_INTERNAL_SECRET", SECRET)
        .env("DREAMCORE_DATA_DIR", path("data"))
        .env("DREAMCORE_GLOBAL_DIR", path("global"))
        .env("DREAMCORE_SCRATCH_DIR", path("scratch"))
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    let left: Vec<_> = std::fs::read_dir(path("data")).unwrap().collect();
    assert!(left.is_empty(), "the self-test leaves nothing on the volume: {left:?}");
    assert!(!path("scratch.doctor").exists());
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_attack_is_denied_here() {
    let (met, text) = doctor(&[], &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(met, "{text}");
    let attacks = json["attacks"].as_array().unwrap();
    assert!(attacks.len() >= 30, "{}", attacks.len());
    assert!(attacks.iter().all(|attack| attack["denied"] == true), "{text}");
    assert_eq!(json["violations"].as_array().unwrap().len(), 0);
}

#[test]
fn runs_beside_one_another_are_attacked_too() {
    let (met, text) = doctor(&[("DREAMCORE_MAX_RUNS", "2")], &[]);
    assert!(met, "{text}");
    assert!(text.contains("signal another run"), "{text}");
    assert!(text.contains("The policy is met"), "{text}");
}

#[test]
fn a_missing_launcher_and_a_hanging_one_are_explained() {
    let (met, text) = doctor(&[("DREAMCORE_CONFINE_BIN", "/nonexistent/confine")], &[]);
    assert!(!met);
    assert!(text.contains("cannot start the launcher"), "{text}");
    let (met, text) = doctor(&[("DREAMCORE_CONFINE_BIN", "/bin/true")], &[]);
    assert!(!met);
    assert!(text.contains("broke off"), "{text}");
}

#[test]
fn an_unknown_policy_is_refused() {
    let (met, text) = doctor(&[("DREAMCORE_CONFINEMENT", "relaxed")], &[]);
    assert!(!met);
    assert!(text.contains("without-network-isolation"), "{text}");
}
