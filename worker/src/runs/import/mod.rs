//! Letting a stranger's repository be read in a sandbox.
//!
//! The confined program sees a copy of the repository's objects and references and nothing else: no
//! configuration, no hook, no link that leads out, and not the repository itself. It has less than a
//! run has: no network, no place to write, few processes, little memory and little time. What it
//! writes is checked by whoever gets the stream.

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

/// Imports at the same time. Each may take a gibibyte of memory.
const MAX_IMPORTS: usize = 2;
/// Longest wait for one of their places.
const PLACE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the worker waits for the confined program, all pauses together. The time that its own
/// disk takes is not counted: a slow volume is no fault of the repository.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// How soon the program must have ended after its last byte.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// What the control group of an import may have, in bytes; the program takes itself a little less.
const MEMORY_BYTES: u64 = 1 << 30;
/// It is one process with one thread.
const MAX_PROCESSES: u64 = 8;
/// libgit2 holds a descriptor for each pack that it reads.
const MAX_OPEN_FILES: u64 = 512;
/// How much is kept of what the program says, in bytes.
const MAX_SAID_BYTES: u64 = 1000;
/// Bytes that are read from the program at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What reads repositories here.
#[derive(Debug)]
struct Imports {
    launcher: Launcher,
    scratch: Scratch,
    proof: ProofWatch,
    places: Line,
    runtime: Handle,
}

/// An importer that starts its program through this launcher. To be called within the runtime.
pub fn importer(launcher: Launcher, scratch: Scratch, proof: ProofWatch) -> Importer {
    let places = Line::new(MAX_IMPORTS);
    let imports = Imports { launcher, scratch, proof, places, runtime: Handle::current() };
    Importer::new(move |git, limits, receive| imports.read(git, limits, receive))
}

impl Imports {
    /// Reads one repository. Blocking.
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
        // Removing many files takes long, and nobody has to wait for it but the next in this place.
        let scratch = self.scratch.clone();
        blocking::detach(move || {
            if let Err(error) = scratch.remove_import_folder(&folder) {
                tracing::warn!(%error, "a private copy could not be removed");
            }
            drop(place);
        });
        read
    }

    /// Nothing is read before the confinement is proven, as nothing is run.
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

    fn place(&self) -> Result<Permit, ForeignError> {
        let waiting = match self.places.enter() {
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

    /// The confined program, which lies beside the launcher.
    fn program(&self) -> PathBuf {
        self.launcher.path().with_file_name("dreamcore-import")
    }

    /// Passes on what the program writes. What it said and how it ended, for the log.
    fn converse(&self, confined: Confined, receive: &mut Receive<'_>) -> String {
        let Confined { mut handle, stdin, stdout, stderr, .. } = confined;
        drop(stdin);
        let output = Output { runtime: &self.runtime, stdout, left: READ_TIMEOUT };
        let mut output = BufReader::with_capacity(BUFFER_BYTES, output);
        let is_whole = receive(&mut output);
        let is_late = output.get_ref().left.is_zero();
        // It may be about to write more, and would wait for ever.
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
            // Only for the log, so one that cannot be read is no error.
            drop(timeout(END_TIMEOUT, stderr.read_to_end(&mut said)).await);
            let said = String::from_utf8_lossy(&said);
            parts.extend(said.lines().map(|line| line.trim().escape_debug().to_string()));
            parts.join(", ")
        })
    }
}

/// The program's standard output for a thread that may wait, with a limit on all waiting together.
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
