//! The result that the self-test must have in each version of gVisor.

use std::collections::BTreeSet;

use harness::gvisor::{Gvisor, Runsc};
use harness::{SECRET, repository_root, target_dir};
use serde_json::Value;

/// The user that the worker runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Root with every capability.
    Root,
    /// Root without `CAP_SYS_ADMIN`, which may not make namespaces or mounts.
    RootWithoutSysAdmin,
    /// An ordinary user.
    Ordinary,
}

/// The mechanisms that are missing. No gVisor has Landlock, and in these no control group is
/// mounted.
fn missing(version: Gvisor, user: User) -> BTreeSet<&'static str> {
    let mut missing = BTreeSet::from(["cgroup", "landlock"]);
    if version == Gvisor::Older {
        missing.insert("mount_namespace");
    }
    if user == User::Ordinary {
        missing.insert("identity");
    }
    missing
}

/// The attacks that only one layer denies in gVisor, and that layer.
const DENIED_BY: &[(&str, &str)] = &[
    ("read another run's file", "minimal_root"),
    ("read it by a symbolic link", "minimal_root"),
    ("read another user's project", "minimal_root"),
    ("list the volume", "minimal_root"),
    ("list the volume's users", "minimal_root"),
    ("connect to a UNIX socket", "minimal_root"),
    ("find the worker's secret in /proc", "pid_namespace"),
    ("signal the worker", "pid_namespace"),
    ("signal another run", "pid_namespace"),
    ("outlive the run", "pid_namespace"),
    ("connect to the worker by TCP", "network_namespace"),
    ("connect outside by TCP", "network_namespace"),
    ("send a datagram to the worker", "network_namespace"),
    ("connect to an abstract socket", "network_namespace"),
    ("trace the worker or init", "seccomp"),
    ("make a user namespace", "seccomp"),
    ("become root", "capabilities"),
    ("start processes without end", "rlimits"),
];

/// Runs `doctor` inside gVisor as an operator would, beside a process that it can attack.
pub(crate) fn assert_self_test(runsc: &Runsc, user: User) {
    let worker = target_dir().join("dreamcore-worker").display().to_string();
    // Files that it writes go to the copy-on-write view, which is dropped at the end.
    let become_user = repository_root().join("tests/gvisor/start_as.py").display().to_string();
    let start = match user {
        User::Root => String::new(),
        User::RootWithoutSysAdmin => format!("python3 {become_user} root-without-sys-admin"),
        User::Ordinary => format!("chown -R 1000 /tmp/w && exec python3 {become_user} 1000"),
    };
    let command = format!("mkdir -p /tmp/w/data /tmp/w/global && {start} {worker} doctor --json");
    let vars = [
        ("MODAL_INTERNAL_SECRET", SECRET),
        ("DREAMCORE_DATA_DIR", "/tmp/w/data"),
        ("DREAMCORE_GLOBAL_DIR", "/tmp/w/global"),
        ("DREAMCORE_SCRATCH_DIR", "/tmp/w/scratch"),
        ("DREAMCORE_MAX_RUNS", "2"),
        ("DREAMCORE_CONFINEMENT", "strict"),
    ];
    let ended = runsc.run(["/bin/sh", "-c", &command], &vars);
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.status.success(), "{said}");
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["met"], true, "{said}");

    let mechanisms = json["mechanisms"].as_array().unwrap();
    let absent = mechanisms.iter().filter(|mechanism| mechanism["applied"] == false);
    let absent: BTreeSet<_> = absent.map(|one| one["mechanism"].as_str().unwrap()).collect();
    assert_eq!(absent, missing(runsc.version, user), "{said}");
    assert!(mechanisms.len() >= 12, "{said}");

    let attacks = json["attacks"].as_array().unwrap();
    assert!(attacks.len() >= 31, "{said}");
    assert!(attacks.iter().all(|attack| attack["denied"] == true), "{said}");
    for (name, layer) in DENIED_BY {
        let mut found = attacks.iter().filter(|attack| attack["name"] == *name).peekable();
        assert!(found.peek().is_some(), "{name} was not tried: {said}");
        assert!(found.all(|attack| attack["layer"] == *layer), "{name}: {said}");
    }
}
