//! What a process in the sandbox can do to the worker through the broker, for which it has the
//! run's token: `attacks/broker.py`, started by the real CLI's Bash tool. Whatever it sends, the
//! worker stays small and answers at once, and a neighbour's run goes on as if nothing happened.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::script::{Script, ScriptSet, emit, text, tool};
use harness::{Event, Ids, Setup, Worker, leftovers, terminal};
use serde_json::json;

use crate::raw_model::{answer, api};
use crate::support::{GOOD, Scene};

/// The attacking program.
const PROGRAM: &str = include_str!("attacks/broker.py");
/// The most memory that a worker may take in all, whatever its runs do.
const MAX_WORKER_BYTES: u64 = 300 << 20;
/// The longest that the worker may take to say that it lives.
const PROMPT: Duration = Duration::from_secs(1);
/// One answer may take this long: other tests want their share of the machine too.
const HICCUP: Duration = Duration::from_secs(5);

/// What an attack led to.
struct Attacked {
    worker: Worker,
    events: Vec<Event>,
    /// Processor time that the worker took for all of it.
    processor: Duration,
}

/// Runs one attack of the program, with a neighbour's run beside it, and checks that neither the
/// worker nor the neighbour suffers.
#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
async fn attacked(name: &str, setup: Setup) -> Attacked {
    let command = format!("python3 broker.py {name} 2>&1");
    let bash = |command: &str| tool("Bash", json!({"command": command, "timeout": 100_000}));
    let scripts = ScriptSet::new("any", Script::new().turn([text("ok")]))
        .with("attack", Script::new().turn([bash(&command)]).turn([text("attacked")]))
        .with("good", Script::new().turn([bash("echo good > index.html")]).turn([text("ok")]))
        .with("slow", Script::new().turn([text("slowly").chunk_chars(1).delay_ms(500)]))
        .with("long", Script::new().turn([emit(10_000, 400)]));
    let worker = setup.scripts(scripts).var("DREAMCORE_MAX_RUNS", 2).start().await;
    worker.settled().await;
    let (attacker, neighbour) = (Ids::new(), Ids::new());
    worker.put(attacker, "broker.py", PROGRAM);
    let good = async || {
        let began = Instant::now();
        let events = worker.generate(neighbour, "[script:good]").await;
        assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
        began.elapsed()
    };
    let alone = good().await;
    let before = worker.processor_time();
    let attack = async { worker.generate(attacker, "[script:attack]").await };
    let neighbour = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        good().await
    };
    let began = Instant::now();
    let work = async { tokio::join!(attack, neighbour) };
    let ((events, beside), times) = worker.pulse_during(work).await;
    let (took, processor) = (began.elapsed(), worker.processor_time().saturating_sub(before));
    let peak = worker.peak_memory_bytes();
    let slowest = &times[times.len().saturating_sub(2)..];
    eprintln!(
        "{name}: {} MB, processor {processor:?} of {took:?}, /health/live {slowest:?}, \
         neighbour {beside:?} (alone {alone:?}), {:?}, answers {:?}",
        peak >> 20,
        terminal(&events).0,
        said(&worker)
    );
    assert!(peak < MAX_WORKER_BYTES, "{name}: the worker took {peak} bytes");
    assert!(slowest[0] < PROMPT && slowest[1] < HICCUP, "{name}: {slowest:?}");
    assert!(beside < alone * 3 + HICCUP, "{name}: a neighbour took {beside:?}, alone {alone:?}");
    assert_eq!(leftovers(&worker), Vec::<String>::new());
    assert!(!worker.log().contains("panicked"), "{}", worker.log());
    Attacked { worker, events, processor }
}

/// What the attacking program said at its end; empty if it was ended before.
fn said(worker: &Worker) -> String {
    let requests = worker.api.requests();
    let bodies = requests.iter().map(|request| &request.body["messages"]);
    let of_attack = bodies.filter(|messages| messages.to_string().contains("[script:attack]"));
    let newest = of_attack.collect::<Vec<_>>().pop();
    let last = newest.and_then(|messages| messages.as_array()?.last());
    let result = last.map(|message| message["content"][0]["content"].clone());
    result.as_ref().and_then(|said| said.as_str()).unwrap_or_default().to_owned()
}

impl Attacked {
    /// The run was ended, because it asked for more than a run may.
    fn assert_ended(&self, reason: &str) {
        let end = terminal(&self.events);
        assert_eq!(end.text("code"), "QUOTA_EXCEEDED", "{end:?}\n{}", self.worker.log());
        assert!(end.text("message").contains(reason), "{end:?}");
    }

    /// How many messages the model API was asked by the attacking program.
    fn messages(&self) -> usize {
        let requests = self.worker.api.requests();
        requests.iter().filter(|request| request.body["model"] == "claude-x").count()
    }
}

#[tokio::test]
async fn bodies_that_grow_when_they_are_read_are_not_kept() {
    let attacked = attacked("bombs", Setup::default()).await;
    assert_eq!(terminal(&attacked.events).kind(), "done", "{:#?}", attacked.events);
    assert_eq!(said(&attacked.worker), r#"{"400": 10}"#);
    assert_eq!(attacked.messages(), 0);
}

#[tokio::test]
async fn bodies_that_are_promised_and_not_sent_hold_no_memory() {
    let attacked = attacked("stalled", Setup::default()).await;
    assert!(attacked.processor < Duration::from_secs(10), "{:?}", attacked.processor);
}

#[tokio::test]
async fn refused_bodies_end_the_run_before_they_cost_much() {
    let attacked = attacked("refused", Setup::default()).await;
    attacked.assert_ended("refused");
    assert!(attacked.processor < Duration::from_secs(15), "{:?}", attacked.processor);
    assert_eq!(attacked.messages(), 0);
}

#[tokio::test]
async fn bodies_in_crumbs_are_refused() {
    let attacked = attacked("crumbs", Setup::default()).await;
    assert!(attacked.processor < Duration::from_secs(5), "{:?}", attacked.processor);
    assert_eq!(attacked.messages(), 0);
}

#[tokio::test]
async fn requests_that_cost_nothing_are_counted_too() {
    let attacked = attacked("flood", Setup::default()).await;
    attacked.assert_ended("requests");
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_no_memory() {
    let attacked = attacked("deaf", Setup::default()).await;
    // As many as a run may ask for at the same time; the others wait. The program counts while it
    // holds all of its connections: when it ends, one that waits may have its turn before the worker
    // sees that nobody wants the answer.
    assert_eq!(said(&attacked.worker), r#"{"begun": 4, "waiting": 26}"#);
}

#[tokio::test]
async fn messages_wait_for_their_turn_and_get_their_answer() {
    let attacked = attacked("crowd", Setup::default()).await;
    assert_eq!(said(&attacked.worker), r#"{"200": 12}"#);
    assert_eq!(attacked.messages(), 12);
}

#[tokio::test]
async fn messages_at_the_same_time_share_one_budget() {
    // Each of them may take all of it.
    let setup = Setup::default().var("DREAMCORE_RUN_MAX_TOKENS", 50_000);
    let attacked = attacked("parallel", setup).await;
    assert_eq!(attacked.messages(), 1, "{:#?}", attacked.events);
}

#[tokio::test]
async fn messages_that_are_hung_up_on_use_up_the_budget() {
    // What the CLI itself asks takes about 7,000, and each message of the attack may take 1,000.
    let setup = Setup::default().var("DREAMCORE_RUN_MAX_TOKENS", 25_000);
    let attacked = attacked("hang_ups", setup).await;
    assert!(attacked.messages() < 20, "{} messages", attacked.messages());
    attacked.assert_ended("the last request to the model API failed");
}

#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
#[tokio::test]
async fn runs_that_attack_together_leave_room_for_an_ordinary_one() {
    let message = r#"{"type":"message","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let whole = format!("{head}\r\ncontent-length: {}\r\n\r\n{message}", message.len());
    let quick = answer("quick", whole, None);
    let setup = Setup::default()
        .var("ANTHROPIC_BASE_URL", api([answer("silent", "", None), quick]).await)
        .var("DREAMCORE_API_FIRST_BYTE_TIMEOUT_S", 15)
        .var("DREAMCORE_MAX_RUNS", 5);
    let scene = Scene::start(setup).await;
    let ask = json!({"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "[case:quick]"}]});
    scene.script(&format!(
        "read -r prompt\n\
         if [[ $prompt = *attack* ]]; then python3 broker.py held > answers.txt 2>&1; else\n\
         for i in 1 2 3 4 5; do curl -s -m 5 -o /dev/null -w '%{{http_code}} ' -H \"x-api-key: $ANTHROPIC_API_KEY\" \
         -d '{ask}' \"$ANTHROPIC_BASE_URL/v1/messages\" >> answers.txt; sleep 1; done; fi\n{GOOD}"
    ));
    let worker = &scene.worker;
    worker.settled().await;
    let attackers: Vec<_> = (0..4).map(|_| Ids::new()).collect();
    for ids in &attackers {
        worker.put(*ids, "broker.py", PROGRAM);
    }
    let attack = join_all(attackers.iter().map(|ids| worker.generate(*ids, "attack")));
    let neighbour = Ids::new();
    let good = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let events = worker.generate(neighbour, "good").await;
        assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
        worker.get_file(neighbour, "answers.txt").await.text()
    };
    let work = async { tokio::join!(attack, good) };
    let ((attacks, answers), times) = worker.pulse_during(work).await;
    let peak = worker.peak_memory_bytes();
    let slowest = &times[times.len().saturating_sub(2)..];
    eprintln!("together: {} MB, /health/live {slowest:?}, neighbour {answers:?}", peak >> 20);
    for events in attacks {
        eprintln!("{:?}", terminal(&events).0);
    }
    assert!(peak < MAX_WORKER_BYTES, "the worker took {peak} bytes");
    assert!(slowest[0] < PROMPT && slowest[1] < HICCUP, "{slowest:?}");
    assert_eq!(answers, "200 200 200 200 200 ");
}
