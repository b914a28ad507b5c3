//! What answers in the model API's name, and does not keep to what an answer is. The run ends in
//! time and says why, and the worker stays small and answers at once.

use std::time::{Duration, Instant};

use harness::{Ids, Setup, leftovers, terminal};

use crate::raw_model::{Answer, EVENTS, JSON, answer, api};
use crate::support::{GOOD, Scene, expect_done, expect_failure};

/// The most memory that a worker may take in all, whatever it is answered.
const MAX_WORKER_BYTES: u64 = 300 << 20;
/// The longest that the worker may take to say that it lives.
const PROMPT: Duration = Duration::from_secs(1);
/// One answer may take this long: other tests want their share of the machine too.
const HICCUP: Duration = Duration::from_secs(5);
/// A run, with every attempt that the CLI makes by itself.
const RUN: Duration = Duration::from_mins(5);

fn impatient(base_url: &str) -> Setup {
    Setup::default()
        .var("ANTHROPIC_BASE_URL", base_url)
        .var("DREAMCORE_API_GIVE_UP_S", 3)
        .var("DREAMCORE_API_FIRST_BYTE_TIMEOUT_S", 5)
        .var("DREAMCORE_API_STALL_TIMEOUT_S", 5)
        .var("DREAMCORE_RUN_TIMEOUT_S", RUN.as_secs())
}

/// `message_stop`, compressed by gzip.
const COMPRESSED: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 73, 44, 73, 180, 82, 168, 86, 42, 169, 44, 72, 85, 178,
    82, 202, 77, 45, 46, 78, 76, 79, 141, 47, 46, 201, 47, 80, 170, 229, 226, 2, 0, 117, 10, 235,
    251, 31, 0, 0, 0,
];

#[expect(clippy::print_stderr, reason = "figures, with --nocapture")]
#[tokio::test]
async fn whatever_answers_the_run_ends_in_time_and_the_worker_stays_small() {
    let long = vec![b'x'; 1 << 16];
    let comment = [b": ", &long[..], b"\n"].concat();
    let compressed = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        COMPRESSED.len()
    );
    let error = "HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    let cases = || {
        vec![
            (answer("head-lines", "HTTP/1.1 200 OK\r\n", Some(b"x-y: zzzz\r\n")), "NETWORK_ERROR"),
            (answer("head-line", "HTTP/1.1 200 OK\r\nx-y: ", Some(&long)), "NETWORK_ERROR"),
            (answer("head-open", "HTTP/1.1 200 OK\r\nx-y: z\r\n", None), "API_TIMEOUT"),
            (answer("hints", "", Some(b"HTTP/1.1 103 Early Hints\r\n\r\n")), "API_TIMEOUT"),
            (answer("comments", EVENTS, Some(&comment)), "NETWORK_ERROR"),
            (answer("line", format!("{EVENTS}data: {{\"type\":\""), Some(&long)), "NETWORK_ERROR"),
            (answer("json", format!("{JSON}{{\"x\":\""), Some(&long)), "NETWORK_ERROR"),
            (answer("error", error, Some(&long)), "NETWORK_ERROR"),
            (answer("gzip", [compressed.as_bytes(), COMPRESSED].concat(), None), "NETWORK_ERROR"),
        ]
    };
    // On a slow machine the time for a head may be over before its room is used up.
    let either = |name: &str| name.starts_with("head-line");
    let worker = impatient(&api(cases().into_iter().map(|(answer, _)| answer)).await).start().await;
    worker.settled().await;
    for (Answer { name, .. }, code) in cases() {
        let began = Instant::now();
        let prompt = format!("[case:{name}]");
        let run = worker.generate(Ids::new(), &prompt);
        let (events, times) = worker.pulse_during(run).await;
        let peak = worker.peak_memory_bytes();
        let slowest = &times[times.len().saturating_sub(2)..];
        eprintln!("{name}: {:?}, {} MB, {slowest:?}", began.elapsed(), peak >> 20);
        let is_late = either(name) && terminal(&events).text("code") == "API_TIMEOUT";
        expect_failure(&worker, &events, if is_late { "API_TIMEOUT" } else { code });
        // The run's own limit is not what ended it.
        assert!(!terminal(&events).text("message").contains("did not end within"), "{events:#?}");
        assert!(peak < MAX_WORKER_BYTES, "{name}: the worker took {peak} bytes");
        assert!(slowest[0] < PROMPT && slowest[1] < HICCUP, "{name}: {slowest:?}");
        assert_eq!(leftovers(&worker), Vec::<String>::new());
    }
    assert!(worker.log().contains("encodes its answers"), "{}", worker.log());
}

#[tokio::test]
async fn a_count_of_tokens_that_never_ends_is_cut_off() {
    let endless = vec![b'1'; 1 << 16];
    let answers = vec![
        answer("flood", format!("{JSON}{{\"input_tokens\":"), Some(&endless)),
        answer("drip", format!("{JSON}{{\"input_tokens\":"), Some(b"1"))
            .every(Duration::from_millis(300)),
    ];
    let scene = Scene::start(impatient(&api(answers).await)).await;
    let ask = |case: &str| {
        format!(
            "curl -s -m 60 -o body -w '%{{http_code}} %{{exitcode}} ' -H \"x-api-key: $ANTHROPIC_API_KEY\" \
             -d '{{\"model\":\"claude-x\",\"messages\":[{{\"role\":\"user\",\"content\":\"[case:{case}]\"}}]}}' \
             \"$ANTHROPIC_BASE_URL/v1/messages/count_tokens\" >> answers.txt; wc -c < body >> answers.txt; rm body"
        )
    };
    let ids = Ids::new();
    let lines = format!("read -r prompt\n{}\n{}\n{GOOD}", ask("flood"), ask("drip"));
    let events = scene.run(ids, &lines).await;
    expect_done(&scene.worker, &events);
    let answers = scene.worker.get_file(ids, "answers.txt").await.text();
    let [flood, drip] = answers.lines().collect::<Vec<_>>().try_into().expect("two answers");
    // 18 is what curl says of an answer that breaks off; it waited no minute, which would be 28.
    assert!(flood.starts_with("200 18 ") && drip.starts_with("200 18 "), "{answers}");
    let bytes = flood.rsplit(' ').next().and_then(|bytes| bytes.parse::<u64>().ok());
    assert!(bytes.is_some_and(|bytes| bytes <= 1 << 20), "{answers}");
}
