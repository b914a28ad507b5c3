//! Other processes: the sandbox cannot see, read, trace or signal them, and leaves none behind.

use std::time::Duration;

use dreamcore_wire::attack::Attack;
use dreamcore_worker::sandbox::probe::attack;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::arena::Arena;

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

#[tokio::test]
async fn the_environment_of_others_cannot_be_found() {
    let arena = Arena::new().await;
    // Every process that cargo starts has this variable, and the sandbox has not.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let text = "CARGO_MANIFEST_DIR=".to_owned();
    Arena::assert_denied(&arena.try_one(Attack::FindInProc { text }).await);
    // The probe finds its own command line, so the search works.
    let text = "dreamcore-probe".to_owned();
    Arena::assert_allowed(&arena.try_one(Attack::FindInProc { text }).await);
}

#[tokio::test]
async fn memory_of_others_cannot_be_opened_read_or_traced() {
    let arena = Arena::new().await;
    Arena::assert_denied(&arena.try_one(Attack::OpenMemory).await);
    Arena::assert_denied(&arena.try_one(Attack::ReadMemory { pid: own_pid() }).await);
    Arena::assert_denied(&arena.try_one(Attack::Trace { pid: own_pid() }).await);
}

#[tokio::test]
async fn signals_do_not_arrive_outside() {
    let arena = Arena::new().await;
    let mut ear = signal(SignalKind::window_change()).unwrap();
    arena.try_one(Attack::Signal { pid: own_pid() }).await;
    assert!(timeout(Duration::from_millis(100), ear.recv()).await.is_err());
    // The same from outside the sandbox arrives, so the receiver works.
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGWINCH).unwrap();
    assert!(timeout(Duration::from_secs(5), ear.recv()).await.is_ok());
}

#[tokio::test]
async fn a_process_that_left_its_session_and_parent_ends_with_the_run() {
    let arena = Arena::new().await;
    let attacks = [Attack::Outlive, Attack::Outlive];
    let session =
        attack(&arena.launcher, &arena.confinement.policy, &arena.cell, &attacks).await.unwrap();
    assert!(session.reports.iter().all(|report| !report.denied), "it could start them");
    assert!(session.gone, "they hold standard output open, and it was closed");
}
