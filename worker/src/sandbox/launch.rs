//! The worker's side of the launcher: starts a confined program, waits for it, and ends it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use dreamcore_wire::control::{CONTROL_FD, Failure, Message, Outcome, Step};
use dreamcore_wire::line;
use dreamcore_wire::plan::{Demand, Mechanism, Plan};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::cgroup::{Cgroup, Groups};
use super::processes::descendants_of;
use super::receive::receive;
use super::usage::Members;

/// How long a start may take from spawn to exec. It usually takes a few milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the launcher may take to end what it started. The kernel usually does it in
/// milliseconds.
const KILL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Why a confined program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launcher itself did not start.
    #[error("cannot start the launcher {path}: {source}")]
    Spawn {
        /// The path at which it was expected.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A step of the confinement failed, or the program could not be executed.
    #[error("{0}")]
    Failed(Failure),
    /// The launcher ended early, or sent something else than was expected.
    #[error("the launcher broke off: {0}")]
    Protocol(String),
}

impl LaunchError {
    /// The text for clients. It contains no path of the machine.
    pub fn summary(&self) -> String {
        match self {
            Self::Spawn { source, .. } => {
                format!("the launcher cannot be started: {}", source.kind())
            }
            Self::Failed(Failure { step: step @ Step::Exec, .. }) => {
                format!("the program cannot be started ({step})")
            }
            Self::Failed(Failure { step, .. }) => format!("the confinement failed at {step}"),
            Self::Protocol(_) => "the launcher broke off".to_owned(),
        }
    }

    /// Whether the launcher found no space for the folders and files of the sandbox's root.
    pub fn is_for_want_of_space(&self) -> bool {
        // The launcher passes the system's error on as its text.
        let is_of = |errno| std::io::Error::from_raw_os_error(errno).to_string();
        let full = [libc::ENOSPC, libc::EDQUOT].map(is_of);
        matches!(self, Self::Failed(Failure { reason, .. })
            if full.iter().any(|text| reason.ends_with(text.as_str())))
    }

    /// Whether the program could not be executed, rather than a step of the confinement.
    pub fn is_program(&self) -> bool {
        matches!(self, Self::Failed(Failure { step: Step::Exec, .. }))
    }
}

/// The launcher program.
#[derive(Debug, Clone)]
pub struct Launcher {
    path: PathBuf,
    groups: Groups,
}

/// A program that was started confined, with its standard streams.
#[derive(Debug)]
pub struct Confined {
    /// The handle with which the program is waited for and ended.
    pub handle: Handle,
    /// The program's standard input.
    pub stdin: ChildStdin,
    /// The program's standard output.
    pub stdout: ChildStdout,
    /// The program's standard error.
    pub stderr: ChildStderr,
    /// The listener inside the sandbox's network namespace, if there is one.
    pub listener: Option<TcpListener>,
    /// Which mechanisms were applied and which are missing.
    pub outcomes: Vec<Outcome>,
}

/// Waits for a confined program and ends it. If the handle is dropped, the program ends too,
/// because the launcher sees the control socket close.
#[derive(Debug)]
pub struct Handle {
    launcher: Child,
    control: Control,
    exit_code: Option<i32>,
    remaining: u64,
    cgroup: Option<Cgroup>,
}

impl Launcher {
    /// Refers to the launcher at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), groups: Groups::find() }
    }

    /// The path of the launcher.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the probe, which is in the folder of the launcher.
    pub fn probe_path(&self) -> PathBuf {
        self.path.with_file_name("dreamcore-probe")
    }

    /// Starts a program as `plan` says. Returns when every step succeeded and the program is
    /// about to be executed; a program that cannot be executed is reported by [`Handle::wait`].
    pub async fn start(&self, plan: &Plan) -> Result<Confined, LaunchError> {
        match timeout(START_TIMEOUT, self.start_unbounded(plan)).await {
            Ok(result) => result,
            Err(_) => Err(LaunchError::Protocol("it did not answer in time".to_owned())),
        }
    }

    async fn start_unbounded(&self, plan: &Plan) -> Result<Confined, LaunchError> {
        let spawn = |source| LaunchError::Spawn { path: self.path.clone(), source };
        let (ours, theirs) = StdUnixStream::pair().map_err(spawn)?;
        ours.set_nonblocking(true).map_err(spawn)?;
        let mut control = Control::new(UnixStream::from_std(ours).map_err(spawn)?);
        let mut launcher = self.spawn(theirs.into()).map_err(spawn)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (launcher.stdin.take(), launcher.stdout.take(), launcher.stderr.take())
        else {
            return Err(LaunchError::Protocol("a standard stream is missing".to_owned()));
        };

        // The groups are made before the launcher gets the plan. They are removed with the handle,
        // or at the end of this function if the start fails.
        let mut plan = plan.clone();
        let mut cgroup = None;
        if plan.demand(Mechanism::Cgroup) != Demand::Off {
            let made = self.groups.make(plan.limits);
            plan.cgroup = made.as_ref().map(Cgroup::folders).map_err(Clone::clone);
            cgroup = made.ok();
        }
        control.send_plan(&plan).await?;
        let mut listener = None;
        let mut outcomes = Vec::new();
        loop {
            match control.next().await? {
                Some(Message::Outcome(outcome)) => outcomes.push(outcome),
                Some(Message::Listener) => listener = Some(control.take_listener()?),
                Some(Message::Ready) => break,
                Some(Message::Failed(failure)) => return Err(LaunchError::Failed(failure)),
                Some(Message::Exited { .. } | Message::Remaining { .. }) | None => {
                    return Err(LaunchError::Protocol("it ended without a word".to_owned()));
                }
            }
        }
        let handle = Handle { launcher, control, exit_code: None, remaining: 0, cgroup };
        Ok(Confined { handle, stdin, stdout, stderr, listener, outcomes })
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that starts processes")]
    fn spawn(&self, control: OwnedFd) -> std::io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.path);
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Not killed on drop, because the launcher has to end what it started. It does that as
            // soon as its control socket closes.
            .kill_on_drop(false);
        let mapping = FdMapping { parent_fd: control, child_fd: CONTROL_FD };
        command.fd_mappings(vec![mapping]).map_err(std::io::Error::other)?;
        command.spawn()
    }
}

impl Handle {
    /// The process ids of the sandbox, as seen from outside.
    pub fn processes(&self) -> Vec<i32> {
        let launcher = self.launcher.id().map_or(0, u32::cast_signed);
        descendants_of(launcher)
    }

    /// The sandbox's processes, for measuring them repeatedly.
    pub fn members(&self) -> Members {
        let launcher = self.launcher.id().map_or(0, u32::cast_signed);
        Members::new(launcher, self.cgroup.as_ref().and_then(Cgroup::members))
    }

    /// How often the kernel killed a process of the program because its memory was used up.
    pub fn oom_kills(&self) -> u64 {
        self.cgroup.as_ref().map_or(0, Cgroup::oom_kills)
    }

    /// How often the kernel refused to start a process of the sandbox because of its limit.
    pub fn refused_forks(&self) -> u64 {
        self.cgroup.as_ref().map_or(0, Cgroup::refused_forks)
    }

    /// How many processes the program had started and left when it ended with an error. 0 if it did
    /// not, or is not known to have.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Waits until the program has ended and no process that it started is left. Returns its exit
    /// code, or 128 plus the signal's number. The future may be dropped and made again.
    pub async fn wait(&mut self) -> Result<i32, LaunchError> {
        while self.exit_code.is_none() {
            match self.control.next().await? {
                Some(Message::Exited { code }) => self.exit_code = Some(code),
                Some(Message::Remaining { processes }) => self.remaining = processes,
                Some(Message::Failed(failure)) => return Err(LaunchError::Failed(failure)),
                Some(_) => {}
                None => return Err(LaunchError::Protocol("it ended without a code".to_owned())),
            }
        }
        let ended = self.launcher.wait().await;
        ended.map_err(|e| LaunchError::Protocol(e.to_string()))?;
        Ok(self.exit_code.unwrap_or_default())
    }

    /// Ends the program and everything that it started, and waits until they are gone.
    pub async fn kill(&mut self) {
        // To the launcher, the end of the socket means that it must kill. This fails only if the
        // launcher has already ended.
        drop(self.control.stream.shutdown().await);
        if timeout(KILL_TIMEOUT, self.launcher.wait()).await.is_err() {
            tracing::warn!("the launcher did not end its program in time and is killed");
            // What the launcher started dies with it, because its parent death signal is SIGKILL.
            if let Err(error) = self.launcher.kill().await {
                tracing::error!(%error, "the launcher could not be killed");
            }
        }
    }
}

/// The worker's end of the control socket.
#[derive(Debug)]
struct Control {
    stream: UnixStream,
    buffer: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Control {
    fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), descriptor: None }
    }

    async fn send_plan(&mut self, plan: &Plan) -> Result<(), LaunchError> {
        let broken = |e: &dyn std::fmt::Display| LaunchError::Protocol(e.to_string());
        let line = line::encode(plan).map_err(|e| broken(&e))?;
        self.stream.write_all(&line).await.map_err(|e| broken(&e))
    }

    /// Waits for the next message. `None` if the launcher has closed the socket.
    async fn next(&mut self) -> Result<Option<Message>, LaunchError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let message = line::decode(&line);
                return message.map(Some).map_err(|e| LaunchError::Protocol(e.to_string()));
            }
            if self.buffer.len() > line::MAX_BYTES {
                return Err(LaunchError::Protocol("a line is too long".to_owned()));
            }
            let mut chunk = [0_u8; 4096];
            let stream = &self.stream;
            let read = stream.async_io(Interest::READABLE, || receive(stream.as_fd(), &mut chunk));
            let (n, descriptor) = match read.await {
                Ok((0, _)) => return Ok(None),
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(LaunchError::Protocol(e.to_string())),
            };
            self.descriptor = descriptor.or(self.descriptor.take());
            self.buffer.extend(chunk.iter().take(n));
        }
    }

    fn take_listener(&mut self) -> Result<TcpListener, LaunchError> {
        let broken = |e: std::io::Error| LaunchError::Protocol(e.to_string());
        let descriptor = self
            .descriptor
            .take()
            .ok_or_else(|| LaunchError::Protocol("a listener without a descriptor".to_owned()))?;
        let listener = std::net::TcpListener::from(descriptor);
        listener.set_nonblocking(true).map_err(broken)?;
        TcpListener::from_std(listener).map_err(broken)
    }
}
