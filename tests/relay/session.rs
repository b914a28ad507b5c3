//! A user's session from the first message to publishing, with the requests of the relay.

use harness::script::{Script, ScriptSet, text, tool};
use harness::{Ids, Setup};
use serde_json::{Value, json};

use crate::page;
use crate::relay::{Reaction, Relay};

/// The model's answers in this session, by the marker in the message. The model names files by the
/// path that the relay's prompt gives.
fn scripts(ids: Ids) -> ScriptSet {
    let folder = format!("/data/users/{}/projects/{}", ids.user, ids.project);
    let write = |content: &str| {
        let path = format!("{folder}/index.html");
        tool("Write", json!({ "file_path": path, "content": content }))
    };
    let skill = format!("{folder}/.claude/skills/p5js-setup/SKILL.md");
    ScriptSet::new("none", Script::new())
        .with(
            "first",
            Script::new()
                .turn([tool("Read", json!({ "file_path": skill }))])
                .turn([text("# ゲームを作ります"), write("<title>星</title>")])
                .turn([text("できました。")]),
        )
        .with(
            "change",
            Script::new().turn([write("<title>月</title>")]).turn([text("変えました。")]),
        )
        .with(
            "again",
            Script::new()
                .turn([tool(
                    "Bash",
                    json!({ "command": format!("echo '<title>太陽</title>' > {folder}/index.html") }),
                )])
                .turn([text("太陽にしました。")]),
        )
        .with(
            "talk",
            Script::new().turn([tool(
                "reply",
                json!({
                    "message": "敵を増やすと楽しくなります。",
                    "suggestions": ["敵を増やして", "音をつけて"],
                }),
            )]),
        )
        .with(
            "publish",
            Script::new().turn([tool(
                "introduce",
                json!({
                    "title": "星をあつめるゲーム", "description": "星を集めて遊びます。",
                    "howToPlay": "矢印キーで動かします。", "tags": ["星", "アクション", "簡単"],
                }),
            )]),
        )
}

#[tokio::test]
async fn a_user_chooses_a_style_makes_a_game_asks_changes_undoes_twice_and_publishes() {
    let ids = Ids::new();
    let mut relay = Relay::start_for(ids, Setup::default(), scripts(ids)).await;
    // The relay's own disk, of which the worker knows nothing: its prompts name this folder.
    relay.data_folder = "/srv/dreamcore/data".to_owned();
    relay.worker.add_skill("p5js-setup", "---\nname: p5js-setup\ndescription: d\n---\n必ず読む\n");
    assert_eq!(
        relay.post("prewarm_sandbox", &json!({ "user_id": relay.ids.user })).await.status,
        200
    );

    // A style alone is not a game, so the preview shows nothing.
    relay.choose_style("# 夜空").await;
    assert!(relay.files().await.is_empty());
    assert_eq!(relay.file("STYLE.md").await, "# 夜空");

    // The scripted model labels a message without a marker as `edit`.
    let reply =
        relay.say("星のゲームを作って [script:first]\n=== スタイル ===\n夜空").await.reply();
    // The page shows the reply as Markdown, where a blank line ends the heading.
    assert_eq!(reply, "# ゲームを作ります\n\nできました。");
    assert_eq!(relay.files().await, ["STYLE.md", "index.html"]);
    assert_eq!(relay.file("index.html").await, "<title>星</title>");

    match relay.chat("どうすればもっと楽しくなる？ [script:talk]").await {
        Reaction::Answered { message, suggestions } => {
            assert_eq!(message, "敵を増やすと楽しくなります。");
            assert_eq!(suggestions, ["敵を増やして", "音をつけて"]);
        }
        other => panic!("{other:?}"),
    }

    relay.generate("[script:change] 月にして").await.reply();
    assert_eq!(relay.file("index.html").await, "<title>月</title>");
    assert_eq!(page::visible(&relay.log().await)[0].message, "[script:change] 月にして");
    relay.generate("[script:again] 太陽にして").await.reply();
    assert_eq!(relay.file("index.html").await, "<title>太陽</title>\n");
    for (version, title) in [
        ("[script:change] 月にして", "<title>月</title>"),
        ("星のゲームを作って [script:first]", "<title>星</title>"),
    ] {
        match relay.undo().await {
            Reaction::Restored(restored) => assert_eq!(restored.message, version),
            other => panic!("{other:?}"),
        }
        assert_eq!(relay.file("index.html").await, title);
    }

    let game = relay.file("index.html").await;
    let body = relay.about(&json!({
        "project_name": "[script:publish]", "game_code": game, "spec_content": "",
    }));
    let answer = relay.post("generate_publish_info", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected: Value = json!({
        "title": "星をあつめるゲーム", "description": "星を集めて遊びます。",
        "howToPlay": "矢印キーで動かします。", "tags": ["星", "アクション", "簡単"],
    });
    assert_eq!(answer.json(), expected);
}
