//! The launcher's report of a start that fails. It names the cause: the program, the confinement,
//! or the plan.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use dreamcore_wire::control::{CONTROL_FD, Failure, Message, Step};
use dreamcore_wire::line;
use dreamcore_wire::plan::{Access, Grant, Mechanism, Plan};
use dreamcore_worker::sandbox::launch::LaunchError;
use dreamcore_worker::sandbox::policy::Program;
use harness::target_dir;

use crate::arena::Arena;

/// The plan for a program that the sandbox may see, with the arena's policy.
fn plan(arena: &Arena, path: PathBuf) -> Plan {
    arena.confinement.policy.plan(Program {
        path,
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: arena.cell.cwd.clone(),
        grants: vec![Grant::new(&arena.cell.cwd, Access::Write)],
        root_dir: arena.cell.root.clone(),
        api_port: None,
    })
}

/// The failure of a start, whether it is reported before or after the launcher is ready.
async fn failure(arena: &Arena, plan: &Plan) -> Failure {
    let error = match arena.launcher.start(plan).await {
        Ok(mut started) => started.handle.wait().await.unwrap_err(),
        Err(error) => error,
    };
    match error {
        LaunchError::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_told_from_a_confinement_that_fails() {
    let arena = Arena::new().await;
    let not_a_program = arena.inside_file("text");
    assert_eq!(failure(&arena, &plan(&arena, not_a_program)).await.step, Step::Exec);

    let mut elsewhere = plan(&arena, "/usr/bin/true".into());
    elsewhere.cwd = "/nonexistent".into();
    assert_eq!(failure(&arena, &elsewhere).await.step, Step::WorkingDirectory);

    let mut impossible = plan(&arena, "/usr/bin/true".into());
    impossible.grants.push(Grant::new("/nonexistent", Access::Read));
    let minimal_root = Step::Mechanism(Mechanism::MinimalRoot);
    assert_eq!(failure(&arena, &impossible).await.step, minimal_root);

    let started = arena.launcher.start(&plan(&arena, "/usr/bin/true".into())).await;
    assert_eq!(started.unwrap().handle.wait().await.unwrap(), 0, "the same plan without a flaw");
}

/// The launcher's answer if it gets `input` instead of a plan.
fn answer(input: &[u8]) -> Message {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(target_dir().join("dreamcore-confine"));
    let mapping = FdMapping { parent_fd: theirs.into(), child_fd: CONTROL_FD };
    command.fd_mappings(vec![mapping]).unwrap();
    let mut launcher = command.spawn().unwrap();
    drop(command);
    std::io::Write::write_all(&mut ours, input).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!launcher.wait().unwrap().success());
    let said = std::io::read_to_string(ours).unwrap();
    line::decode(said.as_bytes()).unwrap()
}

#[test]
fn a_plan_that_is_none_is_refused() {
    let endless = vec![b' '; line::MAX_BYTES + 1];
    for input in [&b""[..], b"{}", b"{}\n", b"\xff\n", &endless] {
        let said = answer(input);
        let refused = matches!(&said, Message::Failed(Failure { step: Step::Plan, .. }));
        assert!(refused, "{said:?}");
    }
}

#[test]
fn a_launcher_that_nobody_talks_to_says_who_starts_it() {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg("exec \"$0\" 3>&-").arg(target_dir().join("dreamcore-confine"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("started by dreamcore-worker"), "{said}");
}
