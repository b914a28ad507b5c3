//! The bytes of a stream, as a proxy and the relay's parser see them.

use std::time::{Duration, Instant};

use harness::{Ids, Setup};

use crate::support::{GOOD, Scene, expect_done, spoken};

#[tokio::test]
async fn every_event_has_an_id_and_is_one_line_followed_by_an_empty_one() {
    let worker = Setup::default().start().await;
    let mut stream = worker.generate_stream(Ids::new(), "[script:small] 小さなゲーム").await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    expect_done(&worker, &events);
    let raw = String::from_utf8(stream.raw.clone()).unwrap();
    let frames: Vec<_> = raw.strip_suffix("\n\n").expect("a whole end").split("\n\n").collect();
    assert_eq!(frames[0], ": ok");
    let mut expected = 1;
    for frame in &frames[1..] {
        if frame.starts_with(':') {
            continue;
        }
        let (id, data) = frame.split_once('\n').expect("an id and data");
        assert_eq!(id, format!("id: {expected}"));
        assert!(data.starts_with("data: {") && !data.contains('\n'), "{data}");
        expected += 1;
    }
    assert_eq!(events.len() + 1, expected);
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let scene = Scene::start(Setup::default()).await;
    scene.script(&format!("sleep 11; {GOOD}"));
    let mut stream = scene.worker.generate_stream(Ids::new(), "test").await;
    let (began, mut longest, mut last) = (Instant::now(), Duration::ZERO, Instant::now());
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        events.push(event);
    }
    expect_done(&scene.worker, &events);
    assert!(began.elapsed() > Duration::from_secs(11) && longest > Duration::from_secs(10));
    let raw = String::from_utf8_lossy(&stream.raw).into_owned();
    assert_eq!(raw.matches(": still here\n\n").count(), 1, "{raw}");
}

#[tokio::test]
async fn a_fast_stream_arrives_whole_and_in_order() {
    let worker = Setup::default().start().await;
    let events = worker.generate(Ids::new(), "[script:emit] 速く").await;
    expect_done(&worker, &events);
    let text = spoken(&events);
    assert_eq!(text.len(), 5_000 * 64);
    // The CLI's result contains the whole text, so it shows whether the pieces are complete and in
    // order.
    let summary = crate::support::only(&events, "result").text("summary").to_owned();
    assert!(text == summary, "the pieces are not the whole");
}

#[tokio::test]
async fn a_reader_that_pauses_loses_nothing() {
    let scene = Scene::start(Setup::default()).await;
    let line = |n: &str| {
        format!(
            r#"{{"type":"stream_event","event":{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{n}"}}}}}}"#
        )
    };
    let pad = "x".repeat(2000);
    scene.script(&format!(
        "for i in $(seq 10000); do echo '{}'; done; {GOOD}",
        line(&format!("'$i'{pad} "))
    ));
    let mut stream = scene.worker.generate_stream(Ids::new(), "test").await;
    let mut events = vec![stream.next().await.expect("a first event")];
    tokio::time::sleep(Duration::from_secs(2)).await;
    events.extend(stream.collect().await);
    expect_done(&scene.worker, &events);
    let expected: Vec<_> = (1..=10_000).map(|i| format!("{i}{pad} ")).collect();
    assert!(spoken(&events) == expected.concat());
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_no_memory() {
    const PIECES: usize = 55;
    const PIECE_BYTES: usize = 1_000_000;
    let scene = Scene::start(Setup::default()).await;
    scene.script(&format!(
        r#"pad=$(head -c {PIECE_BYTES} /dev/zero | tr '\0' x)
        for i in $(seq {PIECES}); do
            printf '%s%s%s\n' '{{"type":"stream_event","event":{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"' "$pad" '"}}}}}}'
        done
        {GOOD}"#
    ));
    let mut stream = scene.worker.generate_stream(Ids::new(), "test").await;
    let mut events = vec![stream.next_of("stream").await];
    // The run writes far fewer than 256 events, so only the limit in bytes makes it wait.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let held_kb = resident_kb(&scene);
    events.extend(stream.collect().await);
    expect_done(&scene.worker, &events);
    assert_eq!(spoken(&events).len(), PIECES * PIECE_BYTES);
    assert!(held_kb < 48_000, "the worker holds {held_kb} kB for a client that does not read");
}

fn resident_kb(scene: &Scene) -> u64 {
    let path = format!("/proc/{}/status", scene.worker.pid());
    let status = std::fs::read_to_string(path).expect("the worker's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let number = line.trim().strip_suffix("kB").expect("kilobytes").trim();
    number.parse().expect("a number")
}
