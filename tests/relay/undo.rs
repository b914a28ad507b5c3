//! Undoing changes as the page does: it restores the second of the versions that it shows.

use harness::script::{Script, text, tool};
use serde_json::{Value, json};

use crate::page;
use crate::relay::{Reaction, Relay};

/// A script that writes a page with this word.
fn writes(word: &str) -> Script {
    let path = "{{cwd}}/index.html";
    Script::new()
        .turn([tool("Write", json!({ "file_path": path, "content": format!("<p>{word}</p>") }))])
        .turn([text("書きました。")])
}

async fn generate(relay: &Relay, word: &str) {
    relay.generate(&format!("[script:{word}] {word}にして")).await.reply();
    assert_eq!(relay.file("index.html").await, format!("<p>{word}</p>"));
}

async fn game_of(words: &[&str]) -> Relay {
    let mut scripts = harness::script::ScriptSet::new("none", Script::new());
    for word in words {
        scripts = scripts.with(*word, writes(word));
    }
    Relay::start(harness::Setup::default(), scripts).await
}

fn messages(log: &Value) -> Vec<String> {
    page::visible(log).into_iter().map(|version| version.message).collect()
}

async fn undone(relay: &Relay) -> String {
    match relay.undo().await {
        Reaction::Restored(version) => {
            let page = relay.file("index.html").await;
            assert!(version.message.starts_with("[script:"), "{version:?}");
            page
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn undo_twice_is_undo_twice() {
    let relay = game_of(&["one", "two", "three"]).await;
    for word in ["one", "two", "three"] {
        generate(&relay, word).await;
    }
    assert_eq!(undone(&relay).await, "<p>two</p>");
    assert_eq!(undone(&relay).await, "<p>one</p>");
    assert!(matches!(relay.undo().await, Reaction::NothingToRestore));
    assert_eq!(relay.file("index.html").await, "<p>one</p>");
}

#[tokio::test]
async fn undo_after_a_change_on_top_of_an_undo_does_not_bring_back_what_was_undone() {
    let relay = game_of(&["one", "two", "three"]).await;
    generate(&relay, "one").await;
    generate(&relay, "two").await;
    assert_eq!(undone(&relay).await, "<p>one</p>");
    generate(&relay, "three").await;
    assert_eq!(undone(&relay).await, "<p>one</p>");
}

#[tokio::test]
async fn what_was_undone_can_still_be_restored() {
    let relay = game_of(&["one", "two"]).await;
    generate(&relay, "one").await;
    generate(&relay, "two").await;
    let two = page::visible(&relay.log().await)[0].clone();
    assert_eq!(undone(&relay).await, "<p>one</p>");
    relay.restore(&two.hash).await;
    assert_eq!(relay.file("index.html").await, "<p>two</p>");
    assert_eq!(undone(&relay).await, "<p>one</p>");
}

#[tokio::test]
async fn files_that_no_version_has_are_kept_by_a_hidden_version_before_an_undo() {
    let relay = game_of(&["one", "two"]).await;
    generate(&relay, "one").await;
    generate(&relay, "two").await;
    relay.worker.put(relay.ids, "index.html", "<p>by hand</p>");
    assert_eq!(undone(&relay).await, "<p>one</p>");
    let query = format!("?user_id={}&project_id={}&all=1", relay.ids.user, relay.ids.project);
    let all = relay.worker.get(&format!("get_versions{query}")).await.json();
    let kept = page::versions(&all).into_iter().find(|one| one.message.contains("Before restore"));
    relay.restore(&kept.expect("a version of what was there before").hash).await;
    assert_eq!(relay.file("index.html").await, "<p>by hand</p>");
}

#[tokio::test]
async fn each_answer_shows_its_own_changes() {
    let relay = game_of(&["one", "two", "three"]).await;
    for word in ["one", "two", "three"] {
        generate(&relay, word).await;
    }
    for (newest, word) in ["three", "two", "one"].into_iter().enumerate() {
        let diff = relay.diff_of_answer(newest).await;
        assert!(diff.contains(&format!("+<p>{word}</p>")), "{newest}: {diff}");
    }
    assert_eq!(
        messages(&relay.log().await),
        ["[script:three] threeにして", "[script:two] twoにして", "[script:one] oneにして"]
    );
}
