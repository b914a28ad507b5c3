//! Runs that try to use up the machine, by the real CLI's own Bash tool. While each goes on, files of
//! others are served within a second, another run finishes, and the worker itself stays small;
//! afterwards nothing is left.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use harness::script::{Script, ScriptSet, text, tool};
use harness::{Event, Ids, Kernel, Setup, Worker, control_groups, kernel, leftovers, terminal};
use serde_json::json;

use crate::support::{processes_with, root_or_skip, visible};

/// The longest that a request for a file may take, whatever runs do.
const PROMPT: Duration = Duration::from_secs(1);

/// The most memory of the worker itself.
const WORKER_BYTES: u64 = 300 << 20;

/// One request may take this long: other tests want their share of the machine too.
const HICCUP: Duration = Duration::from_secs(5);

/// Nobody's user on any machine that tests run on.
pub(crate) const USER: u32 = 1234;

fn bash(command: &str) -> harness::script::Block {
    tool("Bash", json!({"command": command, "timeout": 30_000}))
}

/// A worker whose runs do `attack`, or, asked for it, something harmless.
pub(crate) async fn worker(setup: Setup, attack: &str) -> Worker {
    let attack = Script::new().turn([bash(attack)]).turn([text("attacked")]);
    let good = Script::new().turn([bash("echo good > index.html; sleep 1")]).turn([text("ok")]);
    let scripts = ScriptSet::new("attack", attack).with("good", good);
    setup.scripts(scripts).var("DREAMCORE_MAX_RUNS", 2).start().await
}

/// Runs the attack, and meanwhile what others do. Gives the events of the attack.
pub(crate) async fn attacked(worker: &Worker) -> Vec<Event> {
    attacked_beside(worker, true).await
}

#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
/// The same. If the kernel does not keep the shares of runs apart, the run of the neighbour comes
/// after the attack, and requests may take longer.
async fn attacked_beside(worker: &Worker, apart: bool) -> Vec<Event> {
    let (victim, neighbour, attacker) = (Ids::new(), Ids::new(), Ids::new());
    worker.put(victim, "index.html", "<p>victim</p>");
    worker.put(attacker, "index.html", "<p>before</p>");
    // The worker may be another user than the test, which made the folders.
    let owner = std::fs::metadata(worker.scratch()).expect("it is there").uid();
    for folder in ["users".to_owned(), format!("users/{}", attacker.user)] {
        std::os::unix::fs::chown(worker.data().join(folder), Some(owner), None).expect("chown");
    }
    let before = visible(&worker.project(attacker));
    let mut running = worker.generate_stream(attacker, "[script:attack]").await;
    running.next_of("status").await;
    let attack = running.collect();
    let files = async {
        let mut times = Vec::new();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(8) {
            let asked = Instant::now();
            let file = worker.get_file(victim, "index.html").await;
            assert_eq!(file.text(), "<p>victim</p>");
            times.push(asked.elapsed());
            let asked = Instant::now();
            assert_eq!(worker.list_files(victim).await.status, 200);
            times.push(asked.elapsed());
            let asked = Instant::now();
            assert_eq!(worker.get("health/live").await.status, 200);
            times.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        times.sort();
        times
    };
    let good = worker.generate(neighbour, "[script:good]");
    let (events, times, good) = if apart {
        let good = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            good.await
        };
        tokio::join!(attack, files, good)
    } else {
        let (events, times) = tokio::join!(attack, files);
        (events, times, good.await)
    };
    let prompt = if apart { PROMPT } else { HICCUP };
    let slowest = &times[times.len().saturating_sub(2)..];
    let memory = worker.peak_memory_bytes();
    eprintln!("slowest requests: {slowest:?}; {memory} bytes; {:?}", terminal(&events).0);
    assert!(memory < WORKER_BYTES, "{memory}");
    assert!(slowest[0] < prompt && slowest[1] < HICCUP, "{slowest:?}");
    assert_eq!(terminal(&good).kind(), "done", "{good:#?}\n{}", worker.log());
    assert_eq!(worker.get_file(neighbour, "index.html").await.text(), "good\n");
    if terminal(&events).kind() == "error" {
        assert_eq!(visible(&worker.project(attacker)), before);
    }
    assert_eq!(leftovers(worker), Vec::<String>::new());
    assert_eq!(control_groups(worker), Vec::<String>::new());
    assert!(!worker.log().contains("panicked"), "{}", worker.log());
    events
}

/// The attack ended as one that took too much of `what`.
pub(crate) fn assert_limited(worker: &Worker, events: &[Event], what: &str) {
    let end = terminal(events);
    assert_eq!(end.text("code"), "RESOURCE_LIMIT", "{events:#?}\n{}", worker.log());
    assert!(end.text("message").starts_with(what), "{end:?}");
    assert_eq!(end.0["recoverable"], false);
    assert!(end.text("userMessage").ends_with('。'));
}

#[tokio::test]
async fn a_fork_bomb_stays_in_its_run() {
    if !root_or_skip("a fork bomb") {
        return;
    }
    let mark = format!("311.{}", std::process::id());
    let bomb = format!(
        "bomb() {{ bomb | bomb & }}; bomb 2>/dev/null; for i in $(seq 2000); do sleep {mark} & done 2>/dev/null; sleep 3; echo survived"
    );
    let worker = worker(Setup::default(), &bomb).await;
    // gVisor counts the processes of all sandboxes together, and knows no priorities.
    let events = attacked_beside(&worker, kernel() == Kernel::Linux).await;
    let end = terminal(&events);
    // The limit alone may hold; or the CLI fails for want of a thread of its own, or of an answer.
    if end.kind() == "error" && end.text("code") != "CLI_TIMEOUT" {
        assert_limited(&worker, &events, "processes");
    }
    assert!(processes_with(&mark).is_empty());
}

#[tokio::test]
async fn memory_of_one_process_is_limited() {
    let hog = "perl -e '$x = \"x\" x (1<<30); $y = \"y\" x (1<<30); sleep 5; print \"ke\".\"pt\"'; echo \"ended $?\"";
    let setup = Setup::default().var("DREAMCORE_RUN_MEMORY_BYTES", 1_u64 << 30);
    let worker = worker(setup, hog).await;
    let events = attacked(&worker).await;
    let end = terminal(&events);
    // Killed alone where the kernel limits the run, and the CLI goes on; ended with it elsewhere.
    if end.kind() == "done" {
        let sent: String = worker.api.requests().iter().map(|r| r.body.to_string()).collect();
        assert!(sent.contains("ended 137") && !sent.contains("kept"), "{sent}");
    } else {
        assert_limited(&worker, &events, "memory");
    }
}

#[tokio::test]
async fn memory_of_many_small_processes_is_limited() {
    let hog =
        "for i in $(seq 100); do perl -e '$x = \"x\" x (30<<20); sleep 6' & done; wait; echo ended";
    let setup = Setup::default().var("DREAMCORE_RUN_MEMORY_BYTES", 1_u64 << 30);
    let worker = worker(setup, hog).await;
    let events = attacked(&worker).await;
    if terminal(&events).kind() == "error" {
        assert_limited(&worker, &events, "memory");
    }
}

#[tokio::test]
async fn files_that_fill_the_disk_end_the_run() {
    for filler in [
        "for i in $(seq 40); do dd if=/dev/zero of=big$i bs=1M count=60 status=none; done; sleep 5",
        "for i in $(seq 40); do dd if=/dev/zero of=$HOME/.b$i bs=1M count=60 status=none; done; sleep 5",
        "mkdir -p /tmp/s; cd /tmp/s; perl -e 'for (1..300000) { open F, \">\", $_; print F 1 }'; sleep 5",
        "perl -e 'for (1..40) { open my $f, \">\", \"/tmp/u\"; unlink \"/tmp/u\"; print $f \"x\" x (60<<20); push @f, $f } sleep 5'",
    ] {
        let setup = Setup::default().var("DREAMCORE_RUN_DISK_BYTES", 100_u64 << 20);
        let worker = worker(setup, filler).await;
        let events = attacked(&worker).await;
        assert_limited(&worker, &events, "disk");
    }
}

#[tokio::test]
async fn many_tiny_files_end_the_run_wherever_they_lie() {
    // Some file systems, that of a newer gVisor among them, count nothing for a file of one byte.
    let filler = "mkdir -p /tmp/s; cd /tmp/s; perl -e 'for (1..40000) { open F, \">\", $_; print F 1 }'; sleep 20; echo kept";
    let setup = Setup::default().var("DREAMCORE_RUN_DISK_BYTES", 32_u64 << 20);
    let worker = worker(setup, filler).await;
    let events = attacked(&worker).await;
    assert_limited(&worker, &events, "disk");
}

#[tokio::test]
async fn a_run_that_writes_nothing_takes_nothing() {
    // What it sees, all of /usr, is far larger than what it may write.
    let setup = Setup::default().var("DREAMCORE_RUN_DISK_BYTES", 16_u64 << 20);
    let worker = worker(setup, "du -s /usr >/dev/null 2>&1; sleep 8").await;
    let events = attacked(&worker).await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
}

#[tokio::test]
async fn sparse_files_take_nothing_and_end_nothing() {
    let filler =
        "for i in $(seq 40); do truncate -s 90M /tmp/sparse$i; done; ls /tmp | wc -l; sleep 2";
    let setup = Setup::default().var("DREAMCORE_RUN_DISK_BYTES", 400_u64 << 20);
    let worker = worker(setup, filler).await;
    let events = attacked(&worker).await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
}

#[tokio::test]
async fn descriptors_and_processors_are_shared_fairly() {
    for attack in [
        "perl -e 'while (open my $f, \"<\", \"/dev/null\") { push @f, $f } print scalar @f; sleep 5'",
        "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & (nice -n -5 sh -c 'while :; do :; done') & done 2>/dev/null; sleep 6; kill $(jobs -p)",
    ] {
        let worker = worker(Setup::default(), attack).await;
        let events = attacked(&worker).await;
        assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    }
}

#[tokio::test]
async fn without_a_control_group_the_watch_ends_what_takes_too_much_memory() {
    if !root_or_skip("a worker that is an ordinary user") {
        return;
    }
    for hog in [
        "perl -e '$x = \"x\" x (1<<30); $y = \"y\" x (1<<30); sleep 9'",
        "for i in $(seq 60); do perl -e '$x = \"x\" x (30<<20); sleep 9' & done; wait",
    ] {
        let setup = Setup::default().as_user(USER).var("DREAMCORE_RUN_MEMORY_BYTES", 1_u64 << 30);
        let worker = worker(setup, hog).await;
        let events = attacked(&worker).await;
        assert_limited(&worker, &events, "memory");
    }
}

#[tokio::test]
async fn root_that_may_not_make_namespaces_generates_and_limits_too() {
    if !root_or_skip("root without a capability") {
        return;
    }
    let setup = Setup::default().without_sys_admin().var("DREAMCORE_RUN_DISK_BYTES", 400_u64 << 20);
    let filler =
        "for i in $(seq 40); do dd if=/dev/zero of=big$i bs=1M count=60 status=none; done; sleep 5";
    let worker = worker(setup, filler).await;
    // Its neighbour generates meanwhile.
    let events = attacked(&worker).await;
    assert_limited(&worker, &events, "disk");
}
