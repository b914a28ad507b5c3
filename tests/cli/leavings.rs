//! What a run leaves in its scratch folder is gone, and does not keep the next run waiting.

use std::time::{Duration, Instant};

use harness::script::{Script, ScriptSet, text, tool};
use harness::{Ids, Setup, terminal};
use serde_json::json;

use crate::support::expect_done;

/// A run ends within this time, whatever it leaves: the CLI needs a second to end, and other tests
/// their share of the machine.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test]
async fn many_folders_do_not_hold_the_place_of_the_next_run() {
    let make = "perl -e 'for my $i (1..20) { mkdir \"$ENV{TMPDIR}/$i\"; mkdir \"$ENV{TMPDIR}/$i/$_\" for 1..1000 }'; echo made";
    let script = Script::new()
        .turn([tool("Bash", json!({"command": make, "timeout": 60_000}))])
        .turn([text("attacked")]);
    let scripts = ScriptSet::new("attack", script).with("good", Script::new().turn([text("ok")]));
    let worker = Setup::default().scripts(scripts).start().await;

    let mut attack = worker.generate_stream(Ids::new(), "[script:attack]").await;
    while attack.next_of("stream").await.text("content") != "attacked" {}
    let began = Instant::now();
    let events = attack.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    assert!(began.elapsed() < ENDS_WITHIN, "{:?}", began.elapsed());

    // One place is all there is.
    let next = worker.generate(Ids::new(), "[script:good]").await;
    assert_eq!(terminal(&next).kind(), "done", "{next:#?}");
    expect_done(&worker, &next);
}
