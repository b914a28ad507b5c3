//! One start of the probe, with a list of attacks.

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

/// How long all attacks together may take.
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);
/// How soon after the probe's end all of its processes must be gone.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The probe was not started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The probe ended early, or its answer could not be parsed.
    #[error("the probe broke off: {0}")]
    Broken(String),
    /// The probe did not answer in time.
    #[error("the probe did not answer in time")]
    Hung,
    /// The scene could not be made.
    #[error("the probe could not be prepared: {0}")]
    Scene(#[from] std::io::Error),
}

/// The program and the folders of the probe's sandbox.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The path of `dreamcore-probe`.
    pub program: PathBuf,
    /// The probe's working directory, in which it may write.
    pub cwd: PathBuf,
    /// Where that is inside, if it is elsewhere. It takes a sandbox with a root of its own.
    pub place: Option<PathBuf>,
    /// The probe's folder for temporary files, in which it may write; `/tmp` inside.
    pub tmp: PathBuf,
    /// An empty folder on which the minimal root is mounted.
    pub root: PathBuf,
    /// A program with the setuid bit that it may execute.
    pub setuid: Option<PathBuf>,
}

/// The result of one start of the probe.
#[derive(Debug)]
pub struct Session {
    /// The mechanisms that were applied at the start.
    pub outcomes: Vec<Outcome>,
    /// One report per attack.
    pub reports: Vec<Report>,
    /// Whether all processes that the probe started were gone soon after its end.
    pub gone: bool,
}

impl Cell {
    /// The plan's description of the probe.
    fn program(&self, part: Part) -> Program {
        let cwd = self.place.as_ref().unwrap_or(&self.cwd);
        let mut grants = vec![
            // First, because the other may lie below the machine's /tmp.
            Grant::new(&self.tmp, Access::Write).at("/tmp"),
            Grant::new(&self.cwd, Access::Write).at(cwd),
        ];
        grants.extend(self.setuid.iter().map(|path| Grant::new(path, Access::ReadExecute)));
        Program {
            path: self.program.clone(),
            args: vec![part.arg().to_owned()],
            env: BTreeMap::new(),
            cwd: cwd.clone(),
            grants,
            root_dir: self.root.clone(),
            api_port: Some(INNER_API_PORT),
        }
    }

    /// Starts the probe as the victim, which waits for a signal.
    pub(super) async fn start_victim(
        &self,
        launcher: &Launcher,
        policy: &Policy,
    ) -> Result<(Handle, ChildStdout), ProbeError> {
        let confined = launcher.start(&policy.plan(self.program(Part::Victim))).await?;
        Ok((confined.handle, confined.stdout))
    }
}

/// Starts the probe, lets it make all `attacks`, and waits for its end.
pub async fn attack(
    launcher: &Launcher,
    policy: &Policy,
    cell: &Cell,
    attacks: &[Attack],
) -> Result<Session, ProbeError> {
    let mut confined = launcher.start(&policy.plan(cell.program(Part::Attacker))).await?;
    let result = timeout(SESSION_TIMEOUT, converse(&mut confined, attacks)).await;
    let reports = match result {
        Ok(Ok(reports)) => reports,
        Ok(Err(error)) => {
            // If the probe was never executed, the launcher reports why.
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
    // The probe ends because its standard input is closed.
    let Confined { mut handle, stdin, mut stdout, outcomes, .. } = confined;
    drop(stdin);
    match timeout(GONE_WITHIN, handle.wait()).await {
        Ok(code) => drop(code?),
        Err(_) => handle.kill().await,
    }
    // A process that outlives the probe holds its standard output open.
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
