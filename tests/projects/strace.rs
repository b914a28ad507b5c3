//! Interrupts a worker at a single system call: strace kills the worker there, or makes the call
//! fail.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use harness::Worker;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The system calls that change something on a disk or wait for it.
pub(crate) const CHANGING: &[&str] = &[
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "fchmod",
    "chmod",
    "fallocate",
    "ftruncate",
    "syncfs",
    "fsync",
    "flock",
    "utimensat",
];

/// A strace that is attached to a worker.
pub(crate) struct Strace {
    child: Child,
    output: tempfile::NamedTempFile,
}

impl Strace {
    /// Attaches to all threads of a worker. `what` happens at the `count`th call of `name` that one
    /// of them makes from now on.
    pub(crate) fn attach(worker: &Worker, name: &str, what: &str, count: usize) -> Self {
        Self::inject(worker, name, &format!("{what}:when={count}"))
    }

    /// The same at every call of `name`.
    pub(crate) fn attach_to_all(worker: &Worker, name: &str, what: &str) -> Self {
        Self::inject(worker, name, what)
    }

    fn inject(worker: &Worker, name: &str, what: &str) -> Self {
        let output = tempfile::NamedTempFile::new().expect("a file");
        let mut child = Command::new("strace")
            .args(["-f", "-p", &worker.pid().to_string(), "-e", &format!("trace={name}"), "-e"])
            .arg(format!("inject={name}:{what}"))
            .arg("-o")
            .arg(output.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is missing: apt-get install strace");
        // strace reports each thread that it attaches to. The first report is of the process
        // itself, and all threads are stopped by then.
        let mut line = String::new();
        let stderr = child.stderr.take().expect("it is piped");
        let mut reader = BufReader::new(stderr);
        reader.read_line(&mut line).expect("strace speaks");
        assert!(line.contains("attached"), "{line}");
        std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(drop));
        Self { child, output }
    }

    /// Detaches. Returns whether the call was reached.
    pub(crate) fn detach(mut self) -> bool {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // strace ends by itself when the worker does.
        kill(pid, Signal::SIGINT).ok();
        self.child.wait().expect("it is our child");
        let output = fs::read_to_string(self.output.path()).expect("it was written");
        output.contains("(INJECTED)")
            || output.contains("(DELAYED)")
            || output.contains("killed by SIGKILL")
    }
}
