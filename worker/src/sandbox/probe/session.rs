//! One start of the hostile program, with a list of attacks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dreamcore_wire::attack::{Attack, Part, Report};
use dreamcore_wire::control::Outcome;
use dreamcore_wire::line;
use dreamcore_wire::plan::{Access, Grant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::sandbox::launch::{Confined, Handle, LaunchError, Launcher};
use crate::sandbox::policy::{INNER_API_PORT, Policy, Program};

/// Longest time for all attacks together.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon everything must be gone after the end.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The probe was not started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// It broke off, or its answer was not understood.
    #[error("the probe broke off: {0}")]
    Broken(String),
    /// It hung.
    #[error("the probe did not answer in time")]
    Hung,
    /// The scene for it could not be set up.
    #[error("the probe could not be prepared: {0}")]
    Scene(#[from] std::io::Error),
}

/// Where the hostile program is locked up.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The program, `dreamcore-probe`.
    pub program: PathBuf,
    /// Its working directory, which it may write.
    pub cwd: PathBuf,
    /// Its folder for temporary files, which it may write.
    pub tmp: PathBuf,
    /// An empty folder for the minimal root.
    pub root: PathBuf,
    /// A program with the setuid bit that it may execute.
    pub setuid: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Session {
    /// What was applied when it started.
    pub outcomes: Vec<Outcome>,
    /// One report an attack.
    pub reports: Vec<Report>,
    /// Whether everything that it started was gone soon after its end.
    pub gone: bool,
}

impl Cell {
    /// The probe as a program to be confined.
    fn program(&self, part: Part) -> Program {
        let mut grants = vec![
            Grant::new(&self.cwd, Access::Write),
            Grant::new(&self.tmp, Access::Write).also_at("/tmp"),
        ];
        grants.extend(self.setuid.iter().map(|path| Grant::new(path, Access::ReadExecute)));
        Program {
            path: self.program.clone(),
            args: vec![part.arg().to_owned()],
            env: BTreeMap::new(),
            cwd: self.cwd.clone(),
            grants,
            root_dir: self.root.clone(),
            api_port: Some(INNER_API_PORT),
        }
    }

    /// Starts the probe so that it waits for a signal, for another one to send it.
    pub(super) async fn start_victim(
        &self,
        launcher: &Launcher,
        policy: &Policy,
    ) -> Result<(Handle, ChildStdout), ProbeError> {
        let confined = launcher.start(&policy.plan(self.program(Part::Victim))).await?;
        Ok((confined.handle, confined.stdout))
    }
}

/// Starts the probe, lets it try everything in `attacks`, and waits for its end.
pub async fn attack(
    launcher: &Launcher,
    policy: &Policy,
    cell: &Cell,
    attacks: &[Attack],
) -> Result<Session, ProbeError> {
    let mut confined = launcher.start(&policy.plan(cell.program(Part::Attacker))).await?;
    let result = timeout(PATIENCE, converse(&mut confined, attacks)).await;
    let reports = match result {
        Ok(Ok(reports)) => reports,
        Ok(Err(error)) => {
            // A program that was never executed says why by its launcher.
            if let Ok(Err(launch)) = timeout(GONE_WITHIN, confined.handle.wait()).await {
                return Err(launch.into());
            }
            let mut said = String::new();
            drop(timeout(GONE_WITHIN, confined.stderr.read_to_string(&mut said)).await);
            confined.handle.kill().await;
            return Err(ProbeError::Broken(format!("{error} {}", said.trim())));
        }
        Err(_) => {
            confined.handle.kill().await;
            return Err(ProbeError::Hung);
        }
    };
    // Its standard input is closed now, and so it ends.
    let Confined { mut handle, stdin, mut stdout, outcomes, .. } = confined;
    drop(stdin);
    match timeout(GONE_WITHIN, handle.wait()).await {
        Ok(code) => drop(code?),
        Err(_) => handle.kill().await,
    }
    // Whoever outlives it holds standard output open.
    let mut rest = Vec::new();
    let gone = timeout(GONE_WITHIN, stdout.read_to_end(&mut rest)).await.is_ok();
    Ok(Session { outcomes, reports, gone })
}

async fn converse(confined: &mut Confined, attacks: &[Attack]) -> std::io::Result<Vec<Report>> {
    let mut lines = BufReader::new(&mut confined.stdout).lines();
    let mut reports = Vec::new();
    for attack in attacks {
        confined.stdin.write_all(&line::encode(attack)?).await?;
        let answer = lines.next_line().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        reports.push(line::decode(answer.as_bytes())?);
    }
    Ok(reports)
}
