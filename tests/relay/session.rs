//! A user's session from the first message to publishing, with the requests of the relay.

use harness::Setup;
use harness::script::{Script, ScriptSet, text, tool};
use serde_json::{Value, json};

use crate::page;
use crate::relay::{Outcome, Relay};

/// The model's answers in this session, by the marker in the message.
fn scripts() -> ScriptSet {
    let write = |content: &str| {
        tool("Write", json!({ "file_path": "{{cwd}}/index.html", "content": content }))
    };
    ScriptSet::new("none", Script::new())
        .with(
            "first",
            Script::new()
                .turn([tool("Read", json!({ "file_path": ".claude/skills/p5js-setup/SKILL.md" }))])
                .turn([text("# ゲームを作ります"), write("<title>星</title>")])
                .turn([text("できました。")]),
        )
        .with(
            "change",
            Script::new().turn([write("<title>月</title>")]).turn([text("変えました。")]),
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
async fn a_user_chooses_a_style_makes_a_game_asks_changes_undoes_and_publishes() {
    let mut relay = Relay::start(Setup::default(), scripts()).await;
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
    assert!(reply.starts_with("# ゲームを作ります") && reply.ends_with("できました。"), "{reply}");
    assert_eq!(relay.files().await, ["STYLE.md", "index.html"]);
    assert_eq!(relay.file("index.html").await, "<title>星</title>");

    match relay.chat("どうすればもっと楽しくなる？ [script:talk]").await {
        Outcome::Answered { message, suggestions } => {
            assert_eq!(message, "敵を増やすと楽しくなります。");
            assert_eq!(suggestions, ["敵を増やして", "音をつけて"]);
        }
        other => panic!("{other:?}"),
    }

    relay.generate("[script:change] 月にして").await.reply();
    assert_eq!(relay.file("index.html").await, "<title>月</title>");
    assert_eq!(page::visible(&relay.log().await)[0].message, "[script:change] 月にして");
    match relay.undo().await {
        Outcome::Restored(version) => {
            assert_eq!(version.message, "星のゲームを作って [script:first]");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(relay.file("index.html").await, "<title>星</title>");

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
