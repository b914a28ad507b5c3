//! Starting a command in a gVisor: on a copy-on-write view of this machine's files, as root, with a
//! network of its own.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use harness::{is_root, repository_root};

/// Far longer than anything takes that works.
const PATIENCE: Duration = Duration::from_mins(10);

/// Which gVisor. `make gvisor` fetches both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Of July 2024: mount namespaces, bind mounts and `pivot_root`.
    Newer,
    /// Of December 2022: one set of mounts for everybody.
    Older,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newer => "newer",
            Self::Older => "older",
        })
    }
}

/// A gVisor that works here.
#[derive(Debug)]
pub(crate) struct Runsc {
    pub(crate) version: Version,
    program: PathBuf,
    platform: &'static str,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Says so in a way that the test runner does not swallow.
pub(crate) fn skipped(version: Version, reason: &str) {
    let line = format!("SKIPPED: nothing is tested in gVisor ({version}): {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

impl Runsc {
    /// The version, if it is there and runs; otherwise why not.
    pub(crate) fn find(version: Version) -> Result<Self, String> {
        if !is_root() {
            return Err("only root can start it".to_owned());
        }
        let program = repository_root().join(format!(".tools/gvisor/{version}/runsc"));
        if !program.is_file() {
            return Err(format!("{} is missing: run `make gvisor`", program.display()));
        }
        // The quicker one first.
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

    /// Runs a command to its end, with these variables and no others.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        command: impl IntoIterator<Item = S>,
        vars: &[(&str, &str)],
    ) -> Ended {
        // Files, because what it writes into a pipe can be cut at its end.
        let (stdout, stderr) = (tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
        let (stdout, stderr) = (stdout.unwrap(), stderr.unwrap());
        let mut child = Command::new(&self.program)
            .arg(format!("--platform={}", self.platform))
            .args(["--network=none", "do", "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/bin"])
            .args(vars.iter().map(|(name, value)| format!("{name}={value}")))
            .args(command)
            .stdin(std::process::Stdio::null())
            .stdout(stdout.reopen().unwrap())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned()
        };
        Ended { status, stdout: read(&stdout), stderr: read(&stderr) }
    }
}
