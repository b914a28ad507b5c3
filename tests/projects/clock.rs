//! A wall clock that jumps forwards and backwards by a day: what is saved, uploaded, deleted, or kept
//! by a client stays right, and no time limit comes early or never.

use std::fs::{File, FileTimes};
use std::time::{Duration, Instant, SystemTime};

use harness::{Answer, Clock, Event, Ids, Setup, Worker, git, terminal};
use reqwest::{Body, Method};
use serde_json::json;
use uuid::Uuid;

use crate::support::{GIF, commits, healthy, write};

/// How the clock goes wrong.
const JUMPS: [&str; 4] = ["+1d", "-1d", "+0d", "-1d"];
const DAY: Duration = Duration::from_hours(24);

/// Does the work while the clock jumps twenty times a second.
async fn while_it_jumps<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
    let jumps = async {
        for offset in JUMPS.iter().cycle() {
            clock.jump(offset);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = jumps => unreachable!("they have no end"),
    }
}

#[tokio::test]
async fn every_save_becomes_a_version_in_its_place() {
    let Some(clock) = Clock::find("every_save_becomes_a_version_in_its_place") else {
        return;
    };
    let mut worker = clock.of(Setup::default()).start().await;
    let ids = Ids::new();
    for (number, offset) in JUMPS.iter().cycle().take(16).enumerate() {
        clock.jump(offset);
        write(&worker, ids, "index.html", &number.to_string()).await;
        // Kills the worker, and starts another one with the wrong time.
        if number % 5 == 4 {
            worker.restart().await;
        }
    }
    while_it_jumps(&clock, async {
        for number in 16..24 {
            write(&worker, ids, "index.html", &number.to_string()).await;
        }
    })
    .await;

    let folder = worker.project(ids);
    let listed = commits(&worker, ids).await;
    assert_eq!(listed.len(), 24, "{listed:#?}");
    for (back, version) in listed.iter().enumerate() {
        let hash = version["hash"].as_str().expect("a hash");
        assert_eq!(git(&folder, &["show", &format!("{hash}:index.html")]), (23 - back).to_string());
    }
    healthy(&folder);
    // The worker did see the wrong time.
    let times = git(&folder, &["log", "--format=%at"]);
    let times: Vec<u64> = times.lines().map(|line| line.parse().expect("seconds")).collect();
    let spread = times.iter().max().expect("some") - times.iter().min().expect("some");
    assert!(spread > DAY.as_secs(), "{times:?}");
}

/// A run whose CLI is this script.
async fn run(clock: &Clock, timeout_s: u32, script: &str) -> (Vec<Event>, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::default().instead_of_claude(folder.path(), script);
    let worker = clock.of(setup.var("DREAMCORE_RUN_TIMEOUT_S", timeout_s)).start().await;
    worker.settled().await;
    let began = Instant::now();
    let events = while_it_jumps(clock, worker.generate(Ids::new(), "a page")).await;
    (events, began.elapsed())
}

#[tokio::test]
async fn a_run_has_all_of_its_time_and_no_more() {
    let Some(clock) = Clock::find("a_run_has_all_of_its_time_and_no_more") else {
        return;
    };
    let good = r#"echo '{"type":"result","subtype":"success","is_error":false,"result":"ok"}'"#;
    let script = format!("read -r prompt; echo x > index.html; sleep 3; {good}");
    let (events, _) = run(&clock, 540, &script).await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");

    let (events, took) = run(&clock, 5, "sleep 3600").await;
    assert_eq!(terminal(&events).text("code"), "CLI_TIMEOUT", "{events:#?}");
    assert!((5..60).contains(&took.as_secs()), "{took:?}");
}

async fn upload(worker: &Worker, user: Uuid, body: Body) -> Answer {
    let target = format!("upload_asset?user_id={user}&filename=a.gif");
    worker.send(worker.request(Method::POST, &target).body(body)).await
}

/// The id of what was uploaded.
fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn uploads_arrive_and_what_was_deleted_can_be_restored() {
    let Some(clock) = Clock::find("uploads_arrive_and_what_was_deleted_can_be_restored") else {
        return;
    };
    let worker = clock.of(Setup::default()).start().await;
    let user = Uuid::new_v4();
    let slow = async {
        let pieces = (0..30).map(|number| if number == 0 { GIF.to_vec() } else { vec![0; 100] });
        let pieces = futures_util::stream::unfold(pieces, async |mut pieces| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            pieces.next().map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
        });
        upload(&worker, user, Body::wrap_stream(pieces)).await
    };
    // Each of these looks for what a crash has left, which the slow one would be if it had begun a
    // day ago.
    let others = async {
        for _ in 0..10 {
            id(&upload(&worker, user, GIF.into()).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (slow, ()) = while_it_jumps(&clock, async { tokio::join!(slow, others) }).await;
    let asset = id(&slow);

    let about = json!({ "user_id": user, "asset_id": asset });
    for (deleted, restored) in [("+1d", "-1d"), ("-1d", "+1d"), ("+0d", "+1d")] {
        clock.jump(deleted);
        assert_eq!(worker.post("delete_asset", &about).await.status, 200);
        clock.jump(restored);
        // Removes what was deleted long ago.
        id(&upload(&worker, user, GIF.into()).await);
        assert_eq!(worker.post("restore_asset", &about).await.status, 200, "{deleted} {restored}");
        let content = worker.get(&format!("get_asset?user_id={user}&asset_id={asset}")).await;
        assert_eq!((content.status.as_u16(), content.body.len()), (200, GIF.len() + 2900));
    }
}

/// What a client that has an older answer gets.
async fn asked_again(worker: &Worker, ids: Ids, header: &str, value: &str) -> (u16, String) {
    let target = format!("get_file?user_id={}&project_id={}&path=a.txt", ids.user, ids.project);
    let answer = worker.send(worker.request(Method::GET, &target).header(header, value)).await;
    (answer.status.as_u16(), answer.text())
}

#[tokio::test]
async fn a_client_never_keeps_what_has_changed() {
    let Some(clock) = Clock::find("a_client_never_keeps_what_has_changed") else {
        return;
    };
    let worker = clock.of(Setup::default()).start().await;
    let ids = Ids::new();
    worker.put(ids, "a.txt", "old");
    let first = worker.get_file(ids, "a.txt").await;
    let (tag, date) = (first.header("etag").to_owned(), first.header("last-modified").to_owned());
    for offset in JUMPS {
        clock.jump(offset);
        assert_eq!(asked_again(&worker, ids, "if-none-match", &tag).await.0, 304, "{offset}");
    }
    // A machine whose clock goes wrong by a day saves the next content, of the same size.
    for time in [SystemTime::now() - DAY, SystemTime::now() + DAY] {
        worker.put(ids, "a.txt", "new");
        let file = File::options().write(true).open(worker.project(ids).join("a.txt"));
        file.expect("it is there").set_times(FileTimes::new().set_modified(time)).expect("ours");
        for offset in JUMPS {
            clock.jump(offset);
            for (header, value) in [("if-none-match", &tag), ("if-modified-since", &date)] {
                let again = asked_again(&worker, ids, header, value).await;
                assert_eq!(again, (200, "new".to_owned()), "{header} {offset} {time:?}");
            }
        }
    }
}
