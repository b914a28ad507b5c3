//! The self-test: which attacks were denied on this machine, and by which layer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dreamcore_wire::attack::{Attack, Report, VictimSays};
use dreamcore_wire::line;
use dreamcore_wire::plan::Mechanism;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::scene::Scene;
use super::session::{self, ProbeError};
use crate::sandbox::explore::Confinement;
use crate::sandbox::launch::{Handle, Launcher};
use crate::sandbox::policy::Policy;

/// How long to wait for a signal that the probe has sent.
const SIGNAL_WITHIN: Duration = Duration::from_millis(10);
/// How long a second sandbox may take to start.
const VICTIM_WITHIN: Duration = Duration::from_secs(5);
/// Values that are larger than every limit of the sandbox, for files, open files and processes.
const HUGE_FILE_BYTES: u64 = 1 << 46;
const MANY_FILES: u32 = 20_000;
const MANY_PROCESSES: u32 = 600;
/// Lower limits for the probe, used where its processes are counted by themselves. A low limit
/// proves as well as a high one that the limit works, and starting 500 processes would take longer
/// than all other attacks.
const PROBE_PROCESSES: u64 = 40;
const PROBE_OPEN_FILES: u64 = 256;

/// The target of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Other users' and the system's files.
    Files,
    /// The worker's keys.
    Secrets,
    /// Other addresses and sockets.
    Network,
    /// Other processes.
    Processes,
    /// Rights that the sandbox does not have.
    Privileges,
    /// The machine's resources.
    Limits,
}

/// One attack and its result.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What the probe tried to do.
    pub name: &'static str,
    /// The target of the attack.
    pub group: Group,
    /// Whether the attack was denied.
    pub denied: bool,
    /// The layer that denied it, as far as the error shows that.
    pub layer: &'static str,
    /// What the probe saw.
    pub detail: String,
}

/// The result of the self-test.
#[derive(Debug, Clone, Serialize)]
pub struct SelfTest {
    /// One finding per attack.
    pub findings: Vec<Finding>,
}

impl SelfTest {
    /// The attacks that were not denied.
    pub fn not_denied(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.denied)
    }
}

/// The process that knows whether an attack has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    /// The probe itself.
    Probe,
    /// The worker, to which a signal was sent.
    SignalEar,
    /// The worker, to which a datagram was sent.
    DatagramEar,
    /// Another sandbox, to which a signal was sent.
    Victim,
    /// The worker, which checks after the end that no process is left.
    Afterwards,
}

struct Check {
    name: &'static str,
    group: Group,
    attack: Attack,
    witness: Witness,
}

fn check(name: &'static str, group: Group, attack: Attack) -> Check {
    Check { name, group, attack, witness: Witness::Probe }
}

/// All attacks that the probe makes on `scene`.
fn checks(scene: &Scene, data: &Path) -> Vec<Check> {
    use Group::{Files, Limits, Network, Privileges, Processes, Secrets};
    let worker = std::process::id().cast_signed();
    let neighbour = || scene.neighbour.clone();
    let witnessed = |witness, check: Check| Check { witness, ..check };
    // The volume's folder that leads to all projects, which is on the way to the probe's own place.
    let way = scene.cell.place.as_ref().and_then(|place| place.ancestors().nth(3));
    let way = way.unwrap_or(data).to_owned();
    let outside = std::net::SocketAddr::from(([192, 0, 2, 1], 443));
    let mut checks = vec![
        check("read another run's file", Files, Attack::Read { path: neighbour() }),
        check("write another run's file", Files, Attack::Write { path: neighbour() }),
        check("read it by a symbolic link", Files, Attack::ReadBySymlink { path: neighbour() }),
        check("read it by a hard link", Files, Attack::ReadByHardLink { path: neighbour() }),
        check("read it through /proc", Files, Attack::ReadByProc { path: neighbour() }),
        check("list the volume", Files, Attack::List { path: data.to_owned() }),
        check("list the volume's users", Files, Attack::List { path: way }),
        check("write to the volume", Files, Attack::Write { path: data.join(".probe") }),
        check("write to /etc/passwd", Files, Attack::Write { path: "/etc/passwd".into() }),
        check("write to /usr/bin", Files, Attack::Write { path: "/usr/bin/probe".into() }),
        check("read /etc/shadow", Files, Attack::Read { path: "/etc/shadow".into() }),
        check(
            "find the worker's secret in /proc",
            Secrets,
            Attack::FindInProc { text: "MODAL_INTERNAL_SECRET=".to_owned() },
        ),
        check("open another process's memory", Secrets, Attack::OpenMemory),
        check("read the worker's memory", Secrets, Attack::ReadMemory { pid: worker }),
        check("trace the worker or init", Secrets, Attack::Trace { pid: worker }),
        check("connect to the worker by TCP", Network, Attack::TcpConnect { address: scene.tcp }),
        check("connect outside by TCP", Network, Attack::TcpConnect { address: outside }),
        witnessed(
            Witness::DatagramEar,
            check(
                "send a datagram to the worker",
                Network,
                Attack::UdpSend { address: scene.udp.local_addr().unwrap_or(outside) },
            ),
        ),
        check("send a datagram outside", Network, Attack::UdpSend { address: outside }),
        check(
            "connect to a UNIX socket",
            Network,
            Attack::UnixConnect { path: scene.unix.clone() },
        ),
        check(
            "connect to an abstract socket",
            Network,
            Attack::AbstractConnect { name: scene.abstract_name.clone() },
        ),
        check(
            "open a raw socket",
            Network,
            Attack::Socket {
                family: libc::AF_INET,
                kind: libc::SOCK_RAW,
                protocol: libc::IPPROTO_ICMP,
            },
        ),
        check(
            "open a socket to the hypervisor",
            Network,
            Attack::Socket { family: libc::AF_VSOCK, kind: libc::SOCK_STREAM, protocol: 0 },
        ),
        witnessed(
            Witness::SignalEar,
            check("signal the worker", Processes, Attack::Signal { pid: worker }),
        ),
        check("become root", Privileges, Attack::BecomeRoot),
        check("make a user namespace", Privileges, Attack::UserNamespace),
        check("mount", Privileges, Attack::Mount),
        check("grow a file without end", Limits, Attack::GrowFile { bytes: HUGE_FILE_BYTES }),
        check("open files without end", Limits, Attack::OpenFiles { count: MANY_FILES }),
        check("hold more in a pipe", Limits, Attack::WidenPipe { bytes: 1 << 20 }),
        check(
            "hold more in a socket",
            Limits,
            Attack::WidenSocket { option: libc::SO_SNDBUF, bytes: 1 << 20 },
        ),
        check(
            "start processes without end",
            Limits,
            Attack::StartProcesses { count: MANY_PROCESSES },
        ),
        // The last attack, because other attacks must not find the process that it leaves behind.
        witnessed(Witness::Afterwards, check("outlive the run", Processes, Attack::Outlive)),
    ];
    checks.extend(scene.cell.setuid.clone().map(|path| {
        check("become root by a setuid program", Privileges, Attack::RunSetuid { path })
    }));
    checks.extend(
        scene
            .on_volume
            .clone()
            .map(|path| check("read another user's project", Files, Attack::Read { path })),
    );
    // A stable sort: the attack that leaves a process behind stays the last.
    checks.sort_by_key(|check| check.witness == Witness::Afterwards);
    checks
}

/// Another sandbox, to which the probe sends a signal.
struct Victim {
    confined: Handle,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    async fn start(
        launcher: &Launcher,
        policy: &Policy,
        scene: &Scene,
    ) -> Result<(Self, Vec<Check>), ProbeError> {
        let (confined, stdout) = scene.cell.start_victim(launcher, policy).await?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(VICTIM_WITHIN, lines.next_line()).await;
        if !matches!(ready, Ok(Ok(Some(line))) if says(&line, VictimSays::Waiting)) {
            return Err(ProbeError::Broken("the second sandbox did not come up".to_owned()));
        }
        let checks = confined.processes().into_iter().map(|pid| Check {
            witness: Witness::Victim,
            ..check("signal another run", Group::Processes, Attack::Signal { pid })
        });
        let checks = checks.collect();
        Ok((Self { confined, lines }, checks))
    }

    /// Whether a signal has arrived. Ends the sandbox.
    async fn was_signalled(mut self) -> bool {
        let line = timeout(SIGNAL_WITHIN, self.lines.next_line()).await;
        self.confined.kill().await;
        matches!(line, Ok(Ok(Some(line))) if says(&line, VictimSays::Signalled))
    }
}

fn says(line: &str, expected: VictimSays) -> bool {
    line::decode::<VictimSays>(line.as_bytes()).is_ok_and(|said| said == expected)
}

/// Starts the probe on `scene` and lets it make all attacks. `neighbours` says whether runs can go
/// on at the same time; if so, the probe attacks another sandbox too.
pub async fn selftest(
    launcher: &Launcher,
    confinement: &Confinement,
    scene: &Scene,
    data: PathBuf,
    neighbours: bool,
) -> Result<SelfTest, ProbeError> {
    let mut checks = checks(scene, &data);
    let mut victim = None;
    if neighbours {
        let (started, more) = Victim::start(launcher, &confinement.policy, scene).await?;
        victim = Some(started);
        checks.splice(0..0, more);
    }
    let attacks: Vec<Attack> = checks.iter().map(|check| check.attack.clone()).collect();
    let mut ear = signal(SignalKind::window_change())?;
    let mut policy = confinement.policy.clone();
    if confinement.holds(Mechanism::UserNamespace) {
        policy = policy.with_at_most(PROBE_PROCESSES, PROBE_OPEN_FILES);
    }
    let session = session::attack(launcher, &policy, &scene.cell, &attacks).await?;
    let signalled = timeout(SIGNAL_WITHIN, ear.recv()).await.is_ok();
    let victim_signalled = match victim {
        Some(victim) => victim.was_signalled().await,
        None => false,
    };
    let findings = checks.into_iter().zip(session.reports).map(|(check, report)| {
        let denied = match check.witness {
            Witness::Probe => report.denied,
            Witness::SignalEar => !signalled,
            Witness::Victim => !victim_signalled,
            Witness::DatagramEar => !scene.datagram_arrived(),
            Witness::Afterwards => session.gone,
        };
        Finding {
            name: check.name,
            group: check.group,
            denied,
            layer: if denied { layer(&check, &report, confinement) } else { "nothing" },
            detail: report.detail,
        }
    });
    Ok(SelfTest { findings: findings.collect() })
}

/// The layer that denied an attack, derived from its error. Several layers may deny the same
/// attack; this is the outermost one.
#[allow(clippy::match_same_arms, reason = "one line an attack, the outermost layer first")]
fn layer(check: &Check, report: &Report, confinement: &Confinement) -> &'static str {
    let holds = |mechanism| confinement.holds(mechanism);
    match (&check.attack, report.errno) {
        (Attack::TcpConnect { .. }, Some(libc::EACCES)) if holds(Mechanism::Landlock) => "landlock",
        (Attack::Socket { family: libc::AF_INET, .. }, Some(libc::EPERM)) => "capabilities",
        (Attack::Outlive, _) if holds(Mechanism::PidNamespace) => "pid_namespace",
        (Attack::Outlive, _) => "reaper",
        (
            Attack::TcpConnect { .. } | Attack::UdpSend { .. } | Attack::AbstractConnect { .. },
            _,
        ) if holds(Mechanism::NetworkNamespace) => "network_namespace",
        (Attack::GrowFile { .. } | Attack::OpenFiles { .. } | Attack::StartProcesses { .. }, _) => {
            "rlimits"
        }
        (Attack::WidenSocket { .. }, None) if holds(Mechanism::Seccomp) => "seccomp",
        (Attack::RunSetuid { .. }, _) => "no_new_privs",
        (Attack::BecomeRoot, _) => "capabilities",
        (
            Attack::Trace { .. }
            | Attack::WidenPipe { .. }
            | Attack::ReadMemory { .. }
            | Attack::UserNamespace
            | Attack::Mount
            | Attack::Socket { .. },
            Some(libc::EPERM),
        ) if holds(Mechanism::Seccomp) => "seccomp",
        (_, Some(libc::ENOENT)) if holds(Mechanism::MinimalRoot) => "minimal_root",
        // The folders that lead to what is granted show nothing.
        (Attack::List { .. }, Some(libc::EACCES))
            if holds(Mechanism::MinimalRoot) && !holds(Mechanism::Landlock) =>
        {
            "minimal_root"
        }
        (_, Some(libc::EROFS)) => "read-only mount",
        (_, Some(libc::ESRCH)) | (Attack::FindInProc { .. } | Attack::Signal { .. }, _)
            if holds(Mechanism::PidNamespace) =>
        {
            "pid_namespace"
        }
        (_, Some(libc::EACCES | libc::EXDEV)) if holds(Mechanism::Landlock) => "landlock",
        _ => "permissions",
    }
}
