//! What a program that writes the CLI's output can do to the worker that reads it. Whatever it
//! writes, the worker stays small, answers others at once, and gives the run one clear end.

use std::time::Duration;

use harness::{Ids, Setup, Worker, terminal};

use crate::support::{GOOD, Scene, only, spoken};

/// The most memory that a worker may take in all, whatever it reads.
const MAX_WORKER_BYTES: u64 = 300 << 20;
/// The longest that the worker may take to say that it lives, but for one answer: other tests want
/// their share of the machine too.
const PROMPT: Duration = Duration::from_secs(1);
const HICCUP: Duration = Duration::from_secs(5);

/// The most that a run may write in all, but for a little.
const OUTPUT_BYTES: usize = 60_000_000;

/// Writes lines of this length, each filled with a text again and again, until a run may write no
/// more.
fn lines_of(length: usize, before: &str, unit: &str, after: &str) -> String {
    format!(
        "for i in $(seq {}); do printf '%s' '{before}'; yes '{unit}' | tr -d '\\n' | head -c {}; \
         printf '%s\\n' '{after}'; done",
        OUTPUT_BYTES / length,
        length / unit.len() * unit.len()
    )
}

#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
fn assert_unharmed(worker: &Worker, what: &str, times: &[Duration]) {
    let peak = worker.peak_memory_bytes();
    let slowest = &times[times.len().saturating_sub(2)..];
    eprintln!("{what}: {} MB, /health/live {slowest:?}", peak >> 20);
    assert!(peak < MAX_WORKER_BYTES, "{what}: {peak} bytes");
    assert!(slowest[0] < PROMPT && slowest[1] < HICCUP, "{what}: {slowest:?}");
    assert!(!worker.log().contains("panicked"), "{}", worker.log());
}

#[tokio::test]
async fn long_lines_take_little_more_memory_than_their_length() {
    let block = |unit: &str| {
        let before = format!(r#"{{"type":"assistant","message":{{"id":"m","content":[{unit}"#);
        (before, format!(",{unit}"), "]}}".to_owned())
    };
    let field = |name: &str, open: &str, unit: &str, close: &str| {
        let before = format!(r#"{{"type":"assistant","{name}":{open}{unit}"#);
        (before, format!(",{unit}"), format!("{close}}}"))
    };
    for (before, unit, after) in [
        block("{}"),
        block("0"),
        block(r#"{"type":"tool_use","name":"","input":{}}"#),
        block(r#"{"type":"text","text":"a"}"#),
        block(r#"{"type":"tool_use","name":"a","input":[[[[[[]]]]]]}"#),
        field("parent_tool_use_id", "[", r#"{"":0}"#, "]"),
        field("result", "[", "[]", "]"),
        field("is_error", "[", "{}", "]"),
        field("unknown", "[", "{}", "]"),
        (
            r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"x":[{}"#
                .into(),
            ",{}".into(),
            "]}}}".into(),
        ),
        (r#"{"type":"assistant","message":{"id":""#.into(), "a".into(), r#""}}"#.into()),
    ] {
        let scene = Scene::start(Setup::default()).await;
        let lines = lines_of(8_000_000, &before, &unit, &after);
        let run = scene.succeed(Ids::new(), &lines);
        let (_, times) = scene.worker.pulse_during(run).await;
        assert_unharmed(&scene.worker, &format!("{before}{unit}…"), &times);
    }
}

#[tokio::test]
async fn an_answer_that_is_repeated_byte_by_byte_is_compared_once() {
    let scene = Scene::start(Setup::default()).await;
    // One long beginning of an answer, and then as many single bytes of it as a run may write.
    let script = r#"perl -e '
        my $open = q({"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":");
        my $start = q({"type":"stream_event","event":{"type":"message_start","message":{"id":"m"}}});
        print "$start\n$open", "a" x 1000000, qq("}}}\n$start\n);
        print qq(${open}a"}}}\n) x 500000'"#;
    let run = scene.succeed(Ids::new(), script);
    let (events, times) = scene.worker.pulse_during(run).await;
    assert_eq!(spoken(&events).len(), 1_000_000);
    assert_unharmed(&scene.worker, "repeated byte by byte", &times);
}

#[tokio::test]
async fn what_a_slow_reader_leaves_waiting_is_bounded() {
    let scene = Scene::start(Setup::default()).await;
    // Bytes that are no UTF-8 become three each, in the longest lines of which that is so.
    let before = r#"{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":""#;
    let lines = format!("{} | tr '~' '\\377'", lines_of(1_000_000, before, "~", r#""}]}}"#));
    scene.script(&format!("read -r prompt\n{lines}\n{GOOD}"));
    let stream = scene.worker.generate_stream(Ids::new(), "test").await;
    let nothing_read = tokio::time::sleep(Duration::from_secs(8));
    let ((), times) = scene.worker.pulse_during(nothing_read).await;
    let events = stream.collect().await;
    assert_eq!(terminal(&events).kind(), "done");
    assert_eq!(spoken(&events).chars().count(), OUTPUT_BYTES);
    assert_unharmed(&scene.worker, "nothing is read", &times);
}

#[tokio::test]
async fn the_last_words_of_a_run_are_cut_to_a_length_that_can_be_shown() {
    let scene = Scene::start(Setup::default()).await;
    let long = "printf '{\"type\":\"result\",\"is_error\":false,\"result\":\"'; yes あ | tr -d '\\n' | head -c 6000000; echo '\"}'";
    let events = scene.run(Ids::new(), &format!("read -r prompt\n{long}")).await;
    let summary = only(&events, "result").text("summary").to_owned();
    assert!(summary.len() <= (1 << 20) + 3, "{} bytes", summary.len());
    assert!(summary.starts_with("あああ") && summary.ends_with("あ…"));
}
