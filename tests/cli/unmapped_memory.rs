//! Memory that no process of a run has mapped: what its pipes and sockets hold. Where no control
//! group counts it, the watch does.

use harness::{Container, Event, Setup, Worker, terminal};

use crate::support::root_or_skip;
use crate::under_attack::{USER, assert_limited, attacked, worker};

/// The program that takes it, by the name of its attack.
const PROGRAM: &str = include_str!("buffers.py");
/// What a run may have where the kernel tells what processes share.
const MEMORY_BYTES: u64 = 512 << 20;
/// What an honest run with more processes may have, and any in gVisor, where the CLI's program
/// counts as its memory.
const MORE_MEMORY_BYTES: u64 = 1 << 30;

fn attack(name: &str) -> String {
    format!("python3 - {name} <<'END'\n{PROGRAM}\nEND\necho survived")
}

async fn run(setup: Setup, name: &str) -> (Worker, Vec<Event>) {
    let in_gvisor = std::path::Path::new("/proc/sentry-meminfo").exists();
    let bytes = if in_gvisor { MORE_MEMORY_BYTES } else { MEMORY_BYTES };
    let setup = setup.var("DREAMCORE_RUN_MEMORY_BYTES", bytes);
    let worker = worker(setup, &attack(name)).await;
    let events = attacked(&worker).await;
    (worker, events)
}

async fn assert_counted(setup: Setup, name: &str) {
    let (worker, events) = run(setup, name).await;
    assert_limited(&worker, &events, "memory");
}

#[tokio::test]
async fn what_pipes_hold_counts_as_memory() {
    assert_counted(Setup::default(), "pipes").await;
}

#[tokio::test]
async fn what_sockets_hold_counts_as_memory() {
    assert_counted(Setup::default(), "sockets").await;
}

#[tokio::test]
async fn sockets_in_messages_and_before_they_are_accepted_count_as_memory() {
    for name in ["in_flight", "unaccepted"] {
        assert_counted(Setup::default(), name).await;
    }
}

#[tokio::test]
async fn without_a_control_group_pipes_and_sockets_count_too() {
    if !root_or_skip("a worker that is an ordinary user") {
        return;
    }
    for name in ["pipes", "sockets", "in_flight", "unaccepted"] {
        assert_counted(Setup::default().as_user(USER), name).await;
    }
}

#[tokio::test]
async fn an_honest_number_of_pipes_and_sockets_ends_nothing() {
    let work = "for i in $(seq 40); do head -c 3000000 /dev/zero | cat | tr '\\0' x | wc -c & done | sort | uniq -c; \
                python3 -c 'import socket, time; kept = [socket.socketpair() for _ in range(100)]; time.sleep(3); print(\"wo\" + \"rked\")'";
    let setup = Setup::default().var("DREAMCORE_RUN_MEMORY_BYTES", MORE_MEMORY_BYTES);
    let worker = worker(setup, work).await;
    let events = attacked(&worker).await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    let sent: String = worker.api.requests().iter().map(|r| r.body.to_string()).collect();
    assert!(sent.contains("40 3000000") && sent.contains("worked"), "{sent}");
}

#[tokio::test]
async fn more_descriptors_than_anything_needs_end_the_run() {
    // Copies of one, which hold nothing themselves and make all others tedious to look at.
    let hoard = "perl -e 'fork for 1..5; while (open my $f, \"<\", \"/dev/null\") { push @f, $f } sleep 20'; echo survived";
    let worker = worker(Setup::default(), hoard).await;
    let events = attacked(&worker).await;
    assert_limited(&worker, &events, "open files");
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
async fn a_container_without_memory_left_ends_the_run_with_the_most() {
    if !root_or_skip("a container of a limited size") {
        return;
    }
    let container = match Container::new(1 << 30) {
        Ok(container) => container,
        Err(error) => return eprintln!("SKIPPED: no container can be made: {error}"),
    };
    // Each of the runs may have twice what there is for all.
    let setup = Setup::default().inside(container);
    let hog = "perl -e 'for (1..80) { push @x, \"x\" x (16<<20); select undef, undef, undef, 0.1 } sleep 20'; echo survived";
    let worker = worker(setup, hog).await;
    let events = attacked(&worker).await;
    assert_limited(&worker, &events, "memory: the run left");
}
