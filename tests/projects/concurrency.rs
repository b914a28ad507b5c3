//! Several writers and readers of one project on one machine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::script::{Script, text, tool};
use harness::{Ids, Setup, git, terminal};
use serde_json::json;

use crate::support::{applied, apply, files, healthy, messages, write};

#[tokio::test]
async fn every_one_of_many_saves_at_once_is_there() {
    // Two workers on one volume, as when one replaces the other.
    let first = Setup::default().start().await;
    let second = Setup::default().var("DREAMCORE_DATA_DIR", first.data().display()).start().await;
    let ids = Ids::new();
    let saves = (0..24).map(|n| {
        let worker = if n % 2 == 0 { &first } else { &second };
        async move {
            let content = json!([{ "path": format!("{n}.txt"), "content": "x" }, { "path": "all.txt", "content": n.to_string() }]);
            let events = apply(worker, ids, content).await;
            assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
        }
    });
    futures_util::future::join_all(saves).await;
    assert_eq!(messages(&first, ids).await.len(), 24);
    let folder = first.project(ids);
    assert_eq!(git(&folder, &["rev-list", "--count", "HEAD"]).trim(), "24");
    assert_eq!(files(&folder).len(), 25);
    healthy(&folder);
}

#[tokio::test]
async fn a_listing_never_mixes_two_versions() {
    let worker = Arc::new(Setup::default().start().await);
    let ids = Ids::new();
    let names = |n: u32| (0..40).map(move |k| format!("{k:02}/v{n}.txt"));
    let set =
        |n: u32| names(n).map(|path| json!({ "path": path, "content": "x" })).collect::<Vec<_>>();
    applied(&worker, ids, json!(set(0))).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (worker, stop) = (Arc::clone(&worker), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = worker.list_files(ids).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let body = answer.json();
                    let list = body["files"].as_array().unwrap();
                    let versions: BTreeSet<_> = list
                        .iter()
                        .map(|name| name.as_str().unwrap().rsplit('/').next().unwrap().to_owned())
                        .collect();
                    assert!(list.len() == 40 && versions.len() == 1, "{body}");
                    seen.extend(versions);
                }
                seen.len()
            })
        })
        .collect();
    for n in 1..30 {
        let mut change = set(n);
        change.extend(names(n - 1).map(|path| json!({ "path": path, "action": "delete" })));
        applied(&worker, ids, json!(change)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 3, "a reader saw too little to prove anything");
    }
    healthy(&worker.project(ids));
}

#[tokio::test]
async fn what_is_saved_during_a_run_is_merged_with_it() {
    let script = Script::new()
        .turn([tool("Bash", json!({ "command": "echo run > both.txt; echo run > run.txt; rm removed.txt; sleep 3" }))])
        .turn([text("ok")]);
    let worker = Setup::default().script(script).start().await;
    let ids = Ids::new();
    applied(
        &worker,
        ids,
        json!([{ "path": "both.txt", "content": "0" }, { "path": "removed.txt", "content": "0" }, { "path": "other.txt", "content": "0" }]),
    )
    .await;
    let mut stream = worker.generate_stream(ids, "走って").await;
    stream.next_of("log").await;
    applied(
        &worker,
        ids,
        json!([{ "path": "both.txt", "content": "client" }, { "path": "client.txt", "content": "client" }, { "path": "other.txt", "action": "delete" }]),
    )
    .await;
    let events = stream.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
    let warning = events.iter().find(|event| event.kind() == "warning").expect("a warning");
    assert!(warning.text("message").ends_with("in the history: both.txt"), "{warning:?}");
    let folder = worker.project(ids);
    assert_eq!(files(&folder), ["both.txt=run\n", "client.txt=client", "run.txt=run\n"]);
    assert_eq!(git(&folder, &["show", "HEAD~1:both.txt"]), "client");
    assert_eq!(messages(&worker, ids).await, ["走って", "変更", "変更"]);
    healthy(&folder);

    // Different files were changed, so both changes are kept, and a warning says so.
    let mut stream = worker.generate_stream(ids, "もう一度").await;
    stream.next_of("log").await;
    write(&worker, ids, "third.txt", "3").await;
    let events = stream.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
    assert!(files(&folder).contains(&"third.txt=3".to_owned()));
    healthy(&folder);
}
