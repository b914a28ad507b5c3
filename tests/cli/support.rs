//! Shared code of these tests: a worker whose CLI is a shell script, checks of failed runs, and a
//! check that a folder was not changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{Event, Ids, Setup, Worker, git, leftovers, terminal};
use serde_json::Value;

/// The result line of a CLI that succeeded.
pub(crate) const GOOD: &str =
    r#"echo '{"type":"result","subtype":"success","is_error":false,"result":"ok"}'"#;

/// A worker whose CLI is a shell script. The script can be changed for each run.
pub(crate) struct Scene {
    /// The worker.
    pub(crate) worker: Worker,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Starts the worker. Its time limits are short, so that a failing test does not wait for
    /// minutes.
    pub(crate) async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The worker may be another user than the test.
        let searchable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), searchable).expect("it is ours");
        let setup = setup.instead_of_claude(folder.path(), "exit 1");
        Self { worker: setup.start().await, folder }
    }

    /// Makes these lines the CLI of the next runs.
    pub(crate) fn script(&self, lines: &str) {
        // The script is renamed into place, because a file that is open for writing cannot be
        // executed.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("#!/bin/bash\n{lines}\n")).expect("a script is written");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("it is executable");
        fs::rename(new, self.folder.path().join("claude")).expect("it is renamed");
    }

    /// Runs these lines once.
    pub(crate) async fn run(&self, ids: Ids, lines: &str) -> Vec<Event> {
        self.script(lines);
        self.worker.generate(ids, "test").await
    }

    /// Runs these lines as a CLI that succeeds, and checks that the run succeeds.
    pub(crate) async fn succeed(&self, ids: Ids, lines: &str) -> Vec<Event> {
        // Like the CLI, the script waits for its prompt, because the project is still being copied
        // before.
        let events = self.run(ids, &format!("read -r prompt\n{lines}\n{GOOD}")).await;
        expect_done(&self.worker, &events);
        events
    }

    /// Runs these lines on a project with one version, and checks that the run ends with this code
    /// and changes nothing.
    pub(crate) async fn fail(&self, ids: Ids, lines: &str, code: &str) -> Event {
        let folder = self.worker.project(ids);
        if !folder.exists() {
            self.succeed(ids, "echo '<p>game</p>' > index.html").await;
        }
        let state = || (visible(&folder), git(&folder, &["log", "--format=%H"]));
        let before = state();
        let events = self.run(ids, lines).await;
        let end = expect_error(&self.worker, &events, code);
        assert_eq!(state(), before, "the project was touched: {lines}");
        end
    }
}

/// Checks that the run succeeded and left nothing behind.
pub(crate) fn expect_done(worker: &Worker, events: &[Event]) {
    let end = terminal(events);
    assert_eq!(end.kind(), "done", "{events:#?}\n{}", worker.log());
    assert_eq!(leftovers(worker), Vec::<String>::new());
}

/// Like [`expect_failure`], and also checks that no run of this worker has left anything behind.
pub(crate) fn expect_error(worker: &Worker, events: &[Event], code: &str) -> Event {
    let end = expect_failure(worker, events, code);
    assert_eq!(leftovers(worker), Vec::<String>::new());
    end
}

/// Checks that the run failed with this code and reported it in the form that the relay expects.
/// Returns the last event.
pub(crate) fn expect_failure(worker: &Worker, events: &[Event], code: &str) -> Event {
    let end = terminal(events).clone();
    assert_eq!(end.text("code"), code, "{events:#?}\n{}", worker.log());
    let recoverable = matches!(
        code,
        "CLI_TIMEOUT"
            | "CLI_KILLED"
            | "CLI_TERMINATED"
            | "NETWORK_ERROR"
            | "RATE_LIMIT"
            | "API_TIMEOUT"
            | "PROJECT_BUSY"
            | "WORKER_BUSY"
            | "STORAGE_ERROR"
    );
    assert_eq!(end.0["recoverable"], recoverable, "{end:?}");
    assert!(!end.text("message").is_empty(), "{end:?}");
    assert!(end.text("userMessage").ends_with('。'), "{end:?}");
    let message = end.text("message");
    let private = worker.scratch().display().to_string();
    assert!(!message.contains(&private), "a path of the machine: {message}");
    assert!(events.iter().all(|event| event.kind() != "result"), "{events:#?}");
    assert!(!worker.log().contains("panicked"), "{}", worker.log());
    end
}

/// The only event of a kind.
pub(crate) fn only<'a>(events: &'a [Event], kind: &str) -> &'a Event {
    let mut found = events.iter().filter(|event| event.kind() == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}: {events:#?}"));
    assert!(found.next().is_none(), "more than one {kind}: {events:#?}");
    first
}

/// All text of the assistant.
pub(crate) fn spoken(events: &[Event]) -> String {
    let pieces = events.iter().filter(|event| event.kind() == "stream");
    pieces.map(|event| event.text("content")).collect()
}

/// The path and action of each file in the result.
pub(crate) fn changes(events: &[Event]) -> Vec<String> {
    let files = only(events, "result").0["files"].clone();
    let files = files.as_array().expect("a list");
    let line = |file: &Value| {
        let text = |name: &str| file[name].as_str().expect("a text").to_owned();
        format!("{} {}", text("action"), text("path"))
    };
    files.iter().map(line).collect()
}

/// The result of each tool call in the newest conversation.
pub(crate) fn answers(worker: &Worker) -> Vec<String> {
    let requests = worker.api.requests();
    let last = requests.iter().rev().find(|request| request.body["tools"].is_array());
    let messages = last.expect("a request").body["messages"].clone();
    let messages = messages.as_array().expect("messages").iter();
    let blocks = messages.filter_map(|message| message["content"].as_array()).flatten();
    let results = blocks.filter(|block| block["type"] == "tool_result");
    let words = |block: &Value| match &block["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => panic!("{other}"),
    };
    results.map(words).collect()
}

/// Every entry below a folder with kind, mode, time and content. If it is equal before and after,
/// nothing was changed.
pub(crate) fn fingerprint(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    visit(folder, &mut lines);
    lines.sort();
    lines
}

/// The same without `.git` and the time of the project's folder, because a failed run keeps its
/// work there as a partial version.
pub(crate) fn visible(folder: &Path) -> Vec<String> {
    let git = folder.join(".git").display().to_string();
    let own = format!("{} ", folder.display());
    let mut lines = fingerprint(folder);
    lines.retain(|line| !line.starts_with(&git) && !line.starts_with(&own));
    lines
}

fn visit(path: &Path, lines: &mut Vec<String>) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    let mut hasher = DefaultHasher::new();
    if meta.is_file() {
        fs::read(path).expect("root reads everything").hash(&mut hasher);
    } else if meta.is_symlink() {
        fs::read_link(path).expect("a link").hash(&mut hasher);
    }
    lines.push(format!(
        "{} {:o} {} {}.{} {:x}",
        path.display(),
        meta.mode(),
        meta.uid(),
        meta.mtime(),
        meta.mtime_nsec(),
        hasher.finish()
    ));
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            visit(&entry.expect("an entry").path(), lines);
        }
    }
}

/// Processes of any user with this text in their command line.
pub(crate) fn processes_with(text: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        path.file_name() != Some("self".as_ref())
            && line.split(|byte| *byte == 0).any(|part| part == text.as_bytes())
    });
    found
}

/// Waits until `holds` returns true. Panics after `patience`.
pub(crate) async fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the tests run as root. If not, reports that the test is skipped.
#[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
pub(crate) fn root_or_skip(test: &str) -> bool {
    let root = harness::is_root();
    if !root {
        eprintln!("SKIPPED {test}: it mounts file systems or changes owners, which only root can");
    }
    root
}
