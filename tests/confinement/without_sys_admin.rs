//! Root without `CAP_SYS_ADMIN`, as in some container services: the launcher changes the user
//! first, and makes the namespaces inside a user namespace.

use std::process::Command;

use harness::{Kernel, SECRET, is_root, kernel, target_dir};

#[test]
#[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
fn root_without_sys_admin_confines_by_a_user_namespace() {
    if !is_root() {
        eprintln!("SKIPPED: only root can be without one of its capabilities");
        return;
    }
    let folder = tempfile::Builder::new().prefix("dc-").tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["data", "global"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"])
        .arg(target_dir().join("dreamcore-worker"))
        .args(["doctor", "--json"])
        .env("MODAL_INTERNAL_SECRET", SECRET)
        .env("DREAMCORE_DATA_DIR", path("data"))
        .env("DREAMCORE_GLOBAL_DIR", path("global"))
        .env("DREAMCORE_SCRATCH_DIR", path("scratch"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    if kernel() == Kernel::OlderGvisor {
        // In the user namespaces of this gVisor nothing can be mounted, so the machine's files are
        // not hidden, and the policy refuses that.
        assert!(!output.status.success() && report["met"] == false, "{text}{errors}");
        return;
    }
    assert!(output.status.success(), "{text}{errors}");
    assert_eq!(report["met"], true, "{text}");
    let mechanisms = report["mechanisms"].as_array().unwrap();
    let detail = |name: &str| {
        let found = mechanisms.iter().find(|one| one["mechanism"] == name);
        let found = found.unwrap_or_else(|| panic!("{name}: {text}"));
        assert_eq!(found["applied"], true, "{found}");
        found["detail"].as_str().unwrap_or_default().to_owned()
    };
    // The same namespaces as with the capability, made in another way.
    for name in ["mount_namespace", "pid_namespace", "network_namespace", "ipc_namespace"] {
        assert_eq!(detail(name), "in a user namespace");
    }
    for name in ["identity", "user_namespace", "minimal_root", "rlimits", "seccomp"] {
        detail(name);
    }
}
