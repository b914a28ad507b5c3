//! The bare CLI: started as a server without a sandbox would start it. It works in the project
//! itself, keeps its home between runs, gets the prompt on the command line, and calls the model
//! API directly.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::project;

/// The user that both sides run as, because the CLI refuses to work as root.
pub const UID: u32 = 1000;

/// The times of one run, counted from its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// When the first piece of text arrived.
    pub first_text: Option<Duration>,
    /// When the last piece of text arrived.
    pub last_text: Option<Duration>,
    /// The number of pieces of text.
    pub pieces: u32,
    /// When the run was over.
    pub wall: Duration,
}

impl Timing {
    /// Counts a piece of text that arrived `at` this time.
    pub fn piece(&mut self, at: Duration) {
        self.first_text.get_or_insert(at);
        self.last_text = Some(at);
        self.pieces += 1;
    }

    /// The time to the first piece of text, in milliseconds.
    pub fn first_text_ms(&self) -> f64 {
        ms(self.first_text.expect("every script says something"))
    }

    /// The time to the end of the run, in milliseconds.
    pub fn wall_ms(&self) -> f64 {
        ms(self.wall)
    }

    /// The number of pieces of text per second, from the first to the last.
    pub fn pieces_a_second(&self) -> f64 {
        let span = self.last_text.zip(self.first_text).map(|(b, a)| b.saturating_sub(a));
        let gaps = f64::from(self.pieces.saturating_sub(1));
        gaps / span.expect("every script says something").as_secs_f64()
    }
}

/// A duration in milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A project and a home for the bare CLI.
#[derive(Debug)]
pub struct BareCli {
    folder: tempfile::TempDir,
    api: String,
}

impl BareCli {
    /// Makes one with the same project that the worker gets.
    pub fn new(api: String) -> Self {
        let folder = open_folder();
        for name in ["home", "project"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        project::fill(&folder.path().join("project"));
        give_away(folder.path());
        Self { folder, api }
    }

    /// The folder of the project.
    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// Runs the CLI once with a prompt, to its end.
    pub async fn generate(&self, prompt: &str) -> Timing {
        let mut command = self.command(&harness::claude());
        command.args(["-p", prompt, "--output-format", "stream-json", "--verbose"]);
        command.args(["--include-partial-messages", "--dangerously-skip-permissions"]);
        follow(command, None, |_| {}).await
    }

    /// A command that runs a program in the project, with the CLI's environment and user.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.folder.path().join("home"))
            .env("ANTHROPIC_API_KEY", harness::REAL_KEY)
            .env("ANTHROPIC_BASE_URL", &self.api)
            // Other traffic of the CLI depends on the machine's network and would add noise.
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .current_dir(self.project());
        if harness::is_root() {
            command.uid(UID).gid(UID);
        }
        command
    }
}

/// Runs a program that writes the CLI's lines, with `input` on its standard input, and calls
/// `on_text` for every piece of text. Panics if the program fails.
pub async fn follow(
    mut command: Command,
    input: Option<&[u8]>,
    mut on_text: impl FnMut(&str),
) -> Timing {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let (began, mut timing) = (Instant::now(), Timing::default());
    let mut child = command.spawn().expect("the program can be executed");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input).await.expect("it reads its input");
    }
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.expect("a pipe") > 0 {
        let event: Value = serde_json::from_slice(&line).expect("lines are JSON");
        let delta = &event["event"]["delta"];
        if delta["type"] == "text_delta" {
            timing.piece(began.elapsed());
            on_text(delta["text"].as_str().unwrap_or_default());
        }
        line.clear();
    }
    let output = child.wait_with_output().await.expect("it is our child");
    timing.wall = began.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    timing
}

/// A temporary folder that the CLI's user can enter.
pub fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("dc-bench-").tempdir().expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).expect("our folder");
    folder
}

/// Makes the CLI's user the owner of a folder and its content, if this process is another user.
pub fn give_away(folder: &Path) {
    if !harness::is_root() {
        return;
    }
    let status = std::process::Command::new("chown")
        .args(["-R", &format!("{UID}:{UID}")])
        .arg(folder)
        .status()
        .expect("chown runs");
    assert!(status.success());
}
