//! More runs are asked for than may work at the same time: each is told its place, users are treated
//! as equals, nobody is refused while the queue moves, and a client that leaves gives its place up.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Event, Ids, Setup, leftovers, terminal};

use crate::support::{GOOD, Scene};

/// The texts of all events `status` before the run began to work.
fn places(events: &[Event]) -> Vec<String> {
    let status = events.iter().filter(|event| event.kind() == "status");
    let texts = status.map(|event| event.text("message").to_owned());
    texts.take_while(|text| text.contains("順番")).collect()
}

/// A new project of a user.
fn project_of(user: &Ids) -> Ids {
    Ids { user: user.user, ..Ids::new() }
}

#[tokio::test]
async fn fifty_runs_asked_for_at_once_are_all_served_and_told_their_place() {
    // Far less than all of them take together.
    let setup = Setup::default().var("DREAMCORE_MAX_RUNS", 2).var("DREAMCORE_QUEUE_TIMEOUT_S", 6);
    let scene = Scene::start(setup).await;
    scene.worker.settled().await;
    scene.script(&format!("read -r prompt; echo x > a.txt; sleep 0.5; {GOOD}"));
    let users: Vec<_> = (0..10).map(|_| Ids::new()).collect();
    let runs = (0..50).map(|n| scene.worker.generate(project_of(&users[n % 10]), "a game"));
    let all = join_all(runs).await;
    for events in &all {
        assert_eq!(terminal(events).kind(), "done", "{events:#?}");
        let places = places(events);
        // 47, 23, 11, 5, 2, 1 and 0 at most; a place can fall back while others arrive.
        assert!(places.len() <= 8, "{places:#?}");
    }
    let told: Vec<_> = all.iter().map(|events| places(events)).collect();
    assert!(told.iter().filter(|places| places.is_empty()).count() <= 2);
    let last = told.iter().flatten().filter(|text| text.contains("次の番")).count();
    assert!(last >= 25, "{last} of 48 were told that they are next");
    let number = |text: &String| text.split(['に', '件']).nth(1)?.parse::<usize>().ok();
    let longest = told.iter().flatten().filter_map(number).max();
    assert!(longest > Some(30), "{told:#?}");
    assert_eq!(leftovers(&scene.worker), Vec::<String>::new());
}

#[tokio::test]
async fn a_user_with_many_runs_does_not_keep_another_one_waiting() {
    let scene = Scene::start(Setup::default()).await;
    scene.worker.settled().await;
    scene.script(&format!("read -r prompt; echo x > a.txt; sleep 0.3; {GOOD}"));
    let (busy, other) = (Ids::new(), Ids::new());
    let mut first = scene.worker.generate_stream(project_of(&busy), "a game").await;
    first.next_of("status").await;
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let mut stream = scene.worker.generate_stream(project_of(&busy), "a game").await;
        stream.next_of("status").await;
        waiting.push(stream);
    }
    let events = scene.worker.generate(other, "a game").await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    // Only the next run of the busy user is before it.
    assert!(places(&events)[0].contains("前に1件"), "{events:#?}");
    for stream in waiting {
        assert_eq!(terminal(&stream.collect().await).kind(), "done");
    }
}

#[tokio::test]
async fn pages_that_are_closed_give_their_places_up() {
    let scene = Scene::start(Setup::default()).await;
    scene.worker.settled().await;
    scene.script(&format!("read -r prompt; echo x > a.txt; sleep 3; {GOOD}"));
    let mut first = scene.worker.generate_stream(Ids::new(), "a game").await;
    first.next_of("status").await;
    let mut pages = Vec::new();
    for _ in 0..8 {
        let mut page = scene.worker.generate_stream(Ids::new(), "a game").await;
        page.next_of("status").await;
        pages.push(page);
    }
    let mut last = scene.worker.generate_stream(Ids::new(), "a game").await;
    assert!(last.next_of("status").await.text("message").contains("前に8件"));
    drop(pages);
    let next = tokio::time::timeout(Duration::from_mins(1), async {
        while !last.next_of("status").await.text("message").contains("次の番") {}
    });
    next.await.expect("the last one is told that it is next");
    assert_eq!(terminal(&first.collect().await).kind(), "done");
    assert_eq!(terminal(&last.collect().await).kind(), "done");
}
