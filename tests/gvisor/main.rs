//! The sandbox in a real gVisor, because production runs in gVisor. Two versions are tested,
//! because they refuse different things. In each, the worker's self-test, the confinement suite,
//! and generations by the real CLI run as root with the strict policy.
#![allow(clippy::unwrap_used, reason = "these are tests throughout")]

mod expected;
mod suite;

use std::io::Write as _;

use expected::{User, assert_self_test};
use harness::gvisor::{Gvisor, Runsc};
use suite::assert_suite;

/// The tests of `tests/cli` that run inside: whole generations, what the agent can see, and runs
/// that end early and leave something to clean up.
const GENERATIONS: &[&str] = &[
    "generation::",
    "secrets::",
    "tool_calls::",
    "relay_prompt::",
    "killed",
    "runs_at_the_same_time",
    "links_and_special_files",
    "hidden_files_of_the_agent",
];
/// The tests of `tests/cli` that attack the machine's resources and run inside: those whose outcome
/// depends on the kernel.
const ATTACKS: &[&str] = &[
    "writes_nothing",
    "many_tiny_files",
    "what_pipes_hold",
    "what_sockets_hold",
    "sockets_in_messages",
    "honest_number_of_pipes",
    "more_descriptors",
    "a_fork_bomb",
    "a_cli_that_aborts_among_all_processes",
];
/// The tests of `tests/api` that run inside: links and special files on the volume.
const FILES: &[&str] = &["not_files::"];
/// The tests of `tests/projects` that run inside: the import of ordinary repositories of other
/// programs, and of one that was made to exhaust the reader.
const HISTORIES: &[&str] = &["any_ordinary_history_goes_on", "a_tree_of_eleven_levels"];
/// The unit tests of the worker that run inside: those of `safe_fs`, and those that read `/proc`. The
/// removal of a very deep tree is left out, because it takes half a minute in gVisor.
const UNITS: &[&str] = &[
    "safe_fs::dir",
    "removes_what_forbids",
    "safe_fs::walk",
    "safe_fs::write",
    "by_hand",
    "sandbox::usage",
    "sandbox::memory",
];

/// The gVisor to test in. `None`, with a message, if it is not there or does not run.
fn gvisor(version: Gvisor) -> Option<Runsc> {
    Runsc::find(version).map_err(|reason| skipped(version, &reason)).ok()
}

/// Reports a skipped test on standard error directly, because the test runner hides what is
/// printed.
fn skipped(version: Gvisor, reason: &str) {
    let line = format!("SKIPPED: nothing is tested in gVisor ({version}): {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn newer_denies_every_attack_of_the_self_test() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_self_test(&runsc, User::Root);
    }
}

#[test]
fn newer_denies_every_attack_where_root_may_not_make_namespaces() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_self_test(&runsc, User::RootWithoutSysAdmin);
    }
}

#[test]
fn newer_denies_every_attack_to_an_ordinary_user() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_self_test(&runsc, User::Ordinary);
    }
}

#[test]
fn older_denies_every_attack_of_the_self_test() {
    if let Some(runsc) = gvisor(Gvisor::Older) {
        assert_self_test(&runsc, User::Root);
    }
}

#[test]
fn newer_passes_the_confinement_suite() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_suite(&runsc, "confinement", &[]);
    }
}

#[test]
fn older_passes_the_confinement_suite() {
    if let Some(runsc) = gvisor(Gvisor::Older) {
        assert_suite(&runsc, "confinement", &[]);
    }
}

#[test]
fn newer_generates_games_with_the_real_cli() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_suite(&runsc, "cli", GENERATIONS);
    }
}

#[test]
fn older_generates_games_with_the_real_cli() {
    if let Some(runsc) = gvisor(Gvisor::Older) {
        assert_suite(&runsc, "cli", GENERATIONS);
    }
}

#[test]
fn newer_limits_what_runs_take() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_suite(&runsc, "cli", ATTACKS);
    }
}

#[test]
fn older_limits_what_runs_take() {
    if let Some(runsc) = gvisor(Gvisor::Older) {
        assert_suite(&runsc, "cli", ATTACKS);
    }
}

#[test]
fn newer_serves_files_by_safe_paths() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_suite(&runsc, "api", FILES);
        assert_suite(&runsc, "dreamcore_worker", UNITS);
    }
}

#[test]
fn older_serves_files_by_safe_paths() {
    if let Some(runsc) = gvisor(Gvisor::Older) {
        assert_suite(&runsc, "api", FILES);
        assert_suite(&runsc, "dreamcore_worker", UNITS);
    }
}

#[test]
fn newer_imports_older_histories() {
    if let Some(runsc) = gvisor(Gvisor::Newer) {
        assert_suite(&runsc, "projects", HISTORIES);
    }
}

#[test]
fn older_imports_older_histories() {
    if let Some(runsc) = gvisor(Gvisor::Older) {
        assert_suite(&runsc, "projects", HISTORIES);
    }
}
