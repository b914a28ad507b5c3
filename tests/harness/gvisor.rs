//! Starting a command in gVisor: as root, on a copy-on-write view of this machine's files, and with
//! a network of its own.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::places::{is_root, repository_root};

/// How long a command may take: far longer than any takes that works.
const RUN_TIMEOUT: Duration = Duration::from_mins(10);

/// The versions of gVisor. `make gvisor` fetches both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gvisor {
    /// The one of July 2024, with mount namespaces and `pivot_root`.
    Newer,
    /// The one of December 2022, in which all processes share one set of mounts.
    Older,
}

impl fmt::Display for Gvisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newer => "newer",
            Self::Older => "older",
        })
    }
}

/// A gVisor that runs on this machine.
#[derive(Debug)]
pub struct Runsc {
    /// Which one it is.
    pub version: Gvisor,
    program: PathBuf,
    platform: &'static str,
}

/// The result of a command.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it and gVisor wrote to standard error.
    pub stderr: String,
}

impl Runsc {
    /// Finds a version that runs on this machine. The error says why there is none.
    pub fn find(version: Gvisor) -> Result<Self, String> {
        if !is_root() {
            return Err("only root can start it".to_owned());
        }
        let program = repository_root().join(format!(".tools/gvisor/{version}/runsc"));
        if !program.is_file() {
            return Err(format!("{} is missing: run `make gvisor`", program.display()));
        }
        // The faster platform is tried first.
        let mut reason = String::new();
        for platform in ["systrap", "ptrace"] {
            let runsc = Self { version, program: program.clone(), platform };
            let ended = runsc.run(["/bin/true"], &[]);
            if ended.status.success() {
                return Ok(runsc);
            }
            reason = format!("it does not run here: {}", ended.stderr.trim());
        }
        Err(reason)
    }

    /// Runs a command to its end. Its environment has only these variables.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        command: impl IntoIterator<Item = S>,
        vars: &[(&str, &str)],
    ) -> Ended {
        // Into files, because the end of what it writes into a pipe can be lost.
        let (stdout, stderr) = (tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
        let (stdout, stderr) = (stdout.expect("a file"), stderr.expect("a file"));
        let mut child = Command::new(&self.program)
            .arg(format!("--platform={}", self.platform))
            .args(["--network=none", "do", "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/bin"])
            .args(vars.iter().map(|(name, value)| format!("{name}={value}")))
            .args(command)
            .stdin(std::process::Stdio::null())
            .stdout(stdout.reopen().expect("our file"))
            .stderr(stderr.reopen().expect("our file"))
            .spawn()
            .expect("gVisor can be executed");
        let deadline = Instant::now() + RUN_TIMEOUT;
        let status = loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().expect("it is our child");
                break child.wait().expect("it ends");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |file: &tempfile::NamedTempFile| {
            let bytes = std::fs::read(file.path()).expect("our file");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Ended { status, stdout: read(&stdout), stderr: read(&stderr) }
    }
}
