//! Starts the program that reads the repository of another program in a sandbox.
//!
//! The confined program sees a copy of the repository's objects and references and nothing else: no
//! configuration, no hook, no link that leads out, and not the repository itself. It gets less than
//! a run: no network, no folder to write in, few processes, little memory and little time. The
//! receiver of its stream checks everything in it.

mod copy;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dreamcore_import::Limits;
use dreamcore_wire::plan::{Access, Grant};
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::runtime::Handle;
use tokio::time::timeout;

pub use copy::copy as copy_repository;

use super::permits::{Line, Permit};
use super::proof::{NOT_PROVEN, Proof, ProofWatch};
use super::workspace::{ImportFolder, Scratch};
use crate::blocking;
use crate::safe_fs::Dir;
use crate::sandbox::launch::{Confined, Launcher};
use crate::sandbox::policy::Program;
use crate::store::projects::{ForeignError, Importer, Receive};

/// How many imports may go on at the same time. Each may use 1 GiB of memory.
const MAX_IMPORTS: usize = 2;
/// How long an import waits for its permit.
const PLACE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the worker waits for the confined program in total. The time for writing to the volume
/// does not count, because the repository is not to blame for a slow volume.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// How soon the program must end after its last byte.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// The memory limit of an import's control group, in bytes. The program's own limit is the same.
const MEMORY_BYTES: u64 = 1 << 30;
/// The largest number of processes. The program is one process with one thread.
const MAX_PROCESSES: u64 = 8;
/// The largest number of open files. libgit2 holds a descriptor for each pack that it reads.
const MAX_OPEN_FILES: u64 = 512;
/// How much of the program's standard error is kept for the log, in bytes.
const MAX_SAID_BYTES: u64 = 1000;
/// How much is read from the program at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads repositories in a sandbox.
#[derive(Debug)]
struct Imports {
    launcher: Launcher,
    scratch: Scratch,
    proof: ProofWatch,
    places: Line<()>,
    runtime: Handle,
}

/// Makes an importer that starts its program through this launcher. Call it inside the async
/// runtime.
pub fn importer(launcher: Launcher, scratch: Scratch, proof: ProofWatch) -> Importer {
    let places = Line::new(MAX_IMPORTS);
    let imports = Imports { launcher, scratch, proof, places, runtime: Handle::current() };
    Importer::new(move |git, limits, receive| imports.read(git, limits, receive))
}

impl Imports {
    /// Reads one repository. Blocks.
    fn read(
        &self,
        git: &Dir,
        limits: &Limits,
        receive: &mut Receive<'_>,
    ) -> Result<String, ForeignError> {
        let proof = self.proven()?;
        let place = self.place()?;
        let folder = self.scratch.import_folder(place.number())?;
        let read = self.read_in(&folder, &proof, git, limits, receive);
        // Removing many files takes long. Only the next import in the same folder has to wait for
        // it.
        let scratch = self.scratch.clone();
        blocking::detach(move || {
            if let Err(error) = scratch.remove_import_folder(&folder) {
                tracing::warn!(%error, "a private copy could not be removed");
            }
            drop(place);
        });
        read
    }

    /// The proof of the confinement. Nothing is read before it is there.
    fn proven(&self) -> Result<Arc<Proof>, ForeignError> {
        let refuse = |reason: String| ForeignError::Unavailable(reason);
        let proof = self.runtime.block_on(self.proof.wait());
        let proof = proof.map_err(|_| refuse(NOT_PROVEN.to_owned()))?;
        if proof.violations.is_empty() {
            return Ok(proof);
        }
        let violations = proof.violations.join(", ");
        Err(refuse(format!("the confinement policy is not met; not denied: {violations}")))
    }

    fn place(&self) -> Result<Permit<()>, ForeignError> {
        let waiting = match self.places.enter(()) {
            Ok(permit) => return Ok(permit),
            Err(waiting) => waiting.permit(),
        };
        let permit = self.runtime.block_on(async { timeout(PLACE_TIMEOUT, waiting).await });
        permit
            .map_err(|_| ForeignError::Unavailable("too many others are being imported".to_owned()))
    }

    fn read_in(
        &self,
        folder: &ImportFolder,
        proof: &Proof,
        git: &Dir,
        limits: &Limits,
        receive: &mut Receive<'_>,
    ) -> Result<String, ForeignError> {
        copy_repository(git, &folder.dir)?;
        let limits = serde_json::to_string(limits).map_err(io::Error::from)?;
        let policy = proof.confinement.policy.clone();
        let policy = policy.with_at_most(MAX_PROCESSES, MAX_OPEN_FILES).with_memory(MEMORY_BYTES);
        let copy = folder.path.join(ImportFolder::COPY);
        let plan = policy.plan(Program {
            path: self.program(),
            args: vec![copy.display().to_string(), limits],
            env: BTreeMap::new(),
            cwd: copy.clone(),
            grants: vec![Grant::new(copy, Access::Read)],
            root_dir: folder.path.join(ImportFolder::ROOT),
            api_port: None,
        });
        let started = self.runtime.block_on(self.launcher.start(&plan));
        let confined = started.map_err(|error| {
            tracing::error!(%error, "the program that reads older histories was not started");
            ForeignError::Unavailable(error.summary())
        })?;
        Ok(self.converse(confined, receive))
    }

    /// The path of `dreamcore-import`, which is in the folder of the launcher.
    fn program(&self) -> PathBuf {
        self.launcher.path().with_file_name("dreamcore-import")
    }

    /// Passes the program's output on. Returns its standard error and how it ended, for the log.
    fn converse(&self, confined: Confined, receive: &mut Receive<'_>) -> String {
        let Confined { mut handle, stdin, stdout, stderr, .. } = confined;
        drop(stdin);
        let output = Output { runtime: &self.runtime, stdout, left: READ_TIMEOUT };
        let mut output = BufReader::with_capacity(BUFFER_BYTES, output);
        let is_whole = receive(&mut output);
        let is_late = output.get_ref().left.is_zero();
        // If the program wants to write more, this end of the pipe must be closed, or it would wait
        // for ever.
        drop(output);
        self.runtime.block_on(async {
            let mut parts = Vec::new();
            if is_late {
                parts.push(format!("it took longer than {} s", READ_TIMEOUT.as_secs()));
            }
            match timeout(END_TIMEOUT, handle.wait()).await {
                Ok(Ok(0)) => {}
                Ok(Ok(code)) if !is_whole => parts.push(format!("it ended with {code}")),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => parts.push(error.summary()),
                Err(_) => handle.kill().await,
            }
            if handle.oom_kills() > 0 {
                parts.push("its memory was used up".to_owned());
            }
            let mut said = Vec::new();
            let mut stderr = stderr.take(MAX_SAID_BYTES);
            // The text is only for the log, so it is not an error if it cannot be read.
            drop(timeout(END_TIMEOUT, stderr.read_to_end(&mut said)).await);
            let said = String::from_utf8_lossy(&said);
            parts.extend(said.lines().map(|line| line.trim().escape_debug().to_string()));
            parts.join(", ")
        })
    }
}

/// The program's standard output as a blocking reader, with a limit on the sum of all waits.
struct Output<'r> {
    runtime: &'r Handle,
    stdout: ChildStdout,
    left: Duration,
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let (left, stdout) = (self.left, &mut self.stdout);
        let read = self.runtime.block_on(async { timeout(left, stdout.read(buffer)).await });
        self.left = left.saturating_sub(began.elapsed());
        match read {
            Ok(read) => read,
            Err(_) => {
                self.left = Duration::ZERO;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}
