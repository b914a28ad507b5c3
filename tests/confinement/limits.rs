//! Limits: the sandbox can use each resource up to its limit and not beyond.

use dreamcore_wire::attack::Attack;
use dreamcore_wire::plan::Mechanism;
use dreamcore_worker::sandbox::probe::attack;

use harness::{Kernel, kernel};

use crate::arena::{Arena, LIMITS};

#[tokio::test]
async fn files_grow_to_the_limit_and_no_further() {
    let arena = Arena::new().await;
    let bytes = LIMITS.file_bytes;
    Arena::assert_allowed(&arena.try_one(Attack::GrowFile { bytes }).await);
    Arena::assert_denied(&arena.try_one(Attack::GrowFile { bytes: bytes + 1 }).await);
}

#[tokio::test]
async fn files_can_be_opened_up_to_the_limit() {
    let arena = Arena::new().await;
    Arena::assert_allowed(&arena.try_one(Attack::OpenFiles { count: 200 }).await);
    Arena::assert_denied(&arena.try_one(Attack::OpenFiles { count: 300 }).await);
}

#[tokio::test]
async fn pipes_and_sockets_stay_as_large_as_the_kernel_makes_them() {
    let arena = Arena::new().await;
    let bytes = 1 << 20;
    Arena::assert_denied(&arena.try_one(Attack::WidenPipe { bytes }).await);
    let buffers = [libc::SO_SNDBUF, libc::SO_RCVBUF, libc::SO_SNDBUFFORCE, libc::SO_RCVBUFFORCE];
    for option in buffers {
        let report = arena.try_one(Attack::WidenSocket { option, bytes }).await;
        Arena::assert_denied(&report);
        // Setting these options must not fail, because some programs end if it does.
        let asked = [libc::SO_SNDBUF, libc::SO_RCVBUF].contains(&option);
        assert_eq!(report.errno, (!asked).then_some(libc::EPERM), "{report:?}");
    }
    // An ordinary number of pipes of the default size works.
    Arena::assert_allowed(&arena.try_one(Attack::OpenPipes { count: 60 }).await);
    Arena::assert_denied(&arena.try_one(Attack::OpenPipes { count: 150 }).await);
}

#[tokio::test]
async fn processes_can_be_started_up_to_the_limit() {
    let arena = Arena::new().await;
    Arena::assert_allowed(&arena.try_one(Attack::StartProcesses { count: 20 }).await);
    Arena::assert_denied(&arena.try_one(Attack::StartProcesses { count: 400 }).await);
}

#[tokio::test]
async fn a_fork_bomb_takes_nothing_from_its_neighbour() {
    let (bomb, neighbour) = (Arena::new().await, Arena::new().await);
    let processes = |count| Attack::StartProcesses { count };
    if kernel() != Kernel::Linux {
        // gVisor counts the processes of a user in all sandboxes together, so they share the limit.
        // The second bomb shows at least that the first left no process behind.
        Arena::assert_denied(&bomb.try_one(processes(400)).await);
        Arena::assert_allowed(&neighbour.try_one(processes(50)).await);
        return;
    }
    let ((), ()) = tokio::join!(
        async {
            for _ in 0..5 {
                Arena::assert_denied(&bomb.try_one(processes(400)).await);
            }
        },
        async {
            for _ in 0..20 {
                Arena::assert_allowed(&neighbour.try_one(processes(50)).await);
            }
        },
    );
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
async fn memory_can_be_taken_up_to_the_limit() {
    let arena = Arena::new().await;
    if !arena.confinement.holds(Mechanism::Cgroup) {
        eprintln!("SKIPPED: no control group can be made here");
        return;
    }
    let bytes = LIMITS.memory_bytes;
    Arena::assert_allowed(&arena.try_one(Attack::TakeMemory { bytes: bytes / 2 }).await);
    // Beyond the limit the kernel kills the probe, so the probe gives no answer.
    let more = Attack::TakeMemory { bytes: bytes * 2 };
    let taken = attack(&arena.launcher, &arena.confinement.policy, &arena.cell, &[more]).await;
    assert!(taken.is_err(), "{taken:?}");
}
