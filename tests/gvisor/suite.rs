//! Running the test programs of this project inside gVisor.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use harness::gvisor::Runsc;
use harness::{repository_root, target_dir};

/// The test programs by name, built from the present sources.
fn programs() -> &'static BTreeMap<String, PathBuf> {
    static PROGRAMS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let target = target_dir();
        let mut command = Command::new(env!("CARGO"));
        // With the options of `make test`, so that nothing is built twice.
        command.args(["test", "--locked", "--workspace", "--no-run", "--message-format=json"]);
        command.args([
            "--lib",
            "--test",
            "api",
            "--test",
            "cli",
            "--test",
            "confinement",
            "--test",
            "projects",
        ]);
        if target.ends_with("release") {
            command.arg("--release");
        }
        let output = command
            .current_dir(repository_root())
            .env("CARGO_TARGET_DIR", target.parent().unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let messages = lines.filter_map(|line| serde_json::from_slice(line).ok());
        let program = |message: serde_json::Value| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, message["executable"].as_str()?.into()))
        };
        messages.filter_map(program).collect()
    })
}

/// The names of the tests that `filters` choose.
fn names(program: &PathBuf, filters: &[&str]) -> Vec<String> {
    let output = Command::new(program).arg("--list").args(filters).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Runs the chosen tests inside gVisor, and checks that each of them has passed.
pub(crate) fn assert_suite(runsc: &Runsc, name: &str, filters: &[&str]) {
    let program = &programs()[name];
    let names = names(program, filters);
    for filter in filters {
        assert!(names.iter().any(|name| name.contains(filter)), "no test is called {filter}");
    }
    let text = |text: &str| text.to_owned();
    // One after the other, because gVisor counts the processes of all sandboxes together, and a
    // test that uses up the limit would disturb the others.
    let mut command = vec![program.display().to_string(), text("--test-threads=1")];
    command.extend(filters.iter().copied().map(text));
    // Cargo sets this variable, and one test searches other processes for it.
    let ended = runsc.run(command, &[("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"))]);
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.status.success(), "{said}");
    let passed = format!("test result: ok. {} passed; 0 failed; 0 ignored", names.len());
    assert!(said.contains(&passed) && !names.is_empty(), "{said}");
}
