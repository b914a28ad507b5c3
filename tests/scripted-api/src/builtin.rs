//! The scripts that are compiled in.
//!
//! Written with the builders rather than as JSON, so that the files of the demo's game stay files
//! that an editor and a browser can open (`scripts/game/`).

use serde_json::json;

use crate::{
    block::{Block, emit, text, tool},
    script::{Script, ScriptSet},
};

/// The pause between deltas of the demo, in milliseconds, so that a person can read along.
const READABLE_MS: u64 = 15;

/// All built-in scripts; `game` is the default.
pub fn scripts() -> ScriptSet {
    ScriptSet::new("game", game())
        .with("edit", edit())
        .with("small", small())
        .with("chat", chat())
        .with("emit", emitter())
        .with("slow", slow())
}

/// The offline demo.
fn game() -> Script {
    Script::new()
        .about("Writes a playable browser game in four files (the offline demo)")
        .turn([
            say("これはオフライン用の台本による応答です（本物のモデルではありません）。\n\n\
                 ご依頼の内容にかかわらず、用意してあるサンプルゲーム「星あつめ」を作ります。\
                 夜空から落ちてくる星を集め、隕石をよけるゲームです。\
                 まず、どんなゲームにするかを仕様として書きとめます。"),
            write("spec.md", include_str!("../scripts/game/spec.md")),
        ])
        .turn([
            say("仕様ができました。次は画面の骨組みと見た目です。\
                 外部の素材は使わず、ファイルを開くだけで動くようにします。"),
            write("index.html", include_str!("../scripts/game/index.html")),
            write("style.css", include_str!("../scripts/game/style.css")),
        ])
        .turn([
            say("続いてゲームの本体です。キーボードとタッチの両方で動かせるようにして、\
                 効果音はその場で合成します。"),
            write("game.js", include_str!("../scripts/game/game.js")),
        ])
        .turn([
            say("必要なファイルがそろっているか確かめます。"),
            tool("Bash", json!({"command": "ls -la", "description": "List the files"})),
        ])
        .turn([say("「星あつめ」ができました。\n\n\
             - **遊び方**: ← → キー、またはドラッグで動かします。星を集めるとコンボで得点が増えます。\n\
             - **アイテム**: ハートで残機が増え、シールドは隕石を一度だけ防ぎます。\n\
             - **そのほか**: P で一時停止、M で消音。最高得点はこの端末に残ります。\n\n\
             index.html を開くと遊べます。（台本による応答はここまでです）")])
}

/// A change of the game that `game` has written.
fn edit() -> Script {
    Script::new()
        .about("Changes the title of the game that `game` wrote (Read, then Edit)")
        .turn([
            say("これは台本による応答です（本物のモデルではありません）。\
                 いまの index.html を読んで、タイトルを変えます。"),
            tool("Read", json!({"file_path": "{{cwd}}/index.html"})),
        ])
        .turn([
            say("タイトルを「星あつめ」から「流れ星あつめ」に変えます。"),
            tool(
                "Edit",
                json!({
                    "file_path": "{{cwd}}/index.html",
                    "old_string": "<h1>星あつめ</h1>",
                    "new_string": "<h1>流れ星あつめ</h1>",
                }),
            ),
        ])
        .turn([say("タイトルを「流れ星あつめ」に変えました。")])
}

/// The smallest job that changes a file.
fn small() -> Script {
    let page = "<!doctype html>\n<html lang=\"ja\">\n<meta charset=\"utf-8\">\n\
                <title>Scripted</title>\n<p>台本による応答です。</p>\n</html>\n";
    Script::new()
        .about("Writes one tiny index.html, without delays (benchmark of a small job)")
        .turn([write_at_once("index.html", page)])
        .turn([text("index.html を書きました（台本による応答です）。")])
}

fn chat() -> Script {
    Script::new().about("Answers with text only").turn([say(
        "これは台本による応答です（本物のモデルではありません）。ファイルは何も変えていません。",
    )])
}

fn emitter() -> Script {
    Script::new()
        .about("Sends 5,000 deltas of 64 bytes as fast as they are read (benchmark of streaming)")
        .turn([emit(5_000, 64)])
}

fn slow() -> Script {
    let minute =
        "台本によるゆっくりとした応答です。".chars().cycle().take(5 * 60).collect::<String>();
    Script::new()
        .about("Sends five characters a second for a minute (to try cancelling)")
        .turn([text(minute).chunk_chars(1).delay_ms(200)])
}

fn say(words: &str) -> Block {
    text(words).delay_ms(READABLE_MS)
}

fn write(name: &str, content: &str) -> Block {
    write_at_once(name, content).delay_ms(READABLE_MS)
}

fn write_at_once(name: &str, content: &str) -> Block {
    tool("Write", json!({"file_path": format!("{{{{cwd}}}}/{name}"), "content": content}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::{
        message::{Context, Message},
        wire::Usage,
    };

    fn playing_time(script: &Script) -> Duration {
        let message = |blocks: &[Block]| {
            let usage = Usage::default();
            let context = Context { message_id: "m".into(), model: "m", cwd: None, usage };
            Message::new(blocks, context).events()
        };
        script.turns.iter().flat_map(|turn| message(&turn.blocks)).map(|timed| timed.gap).sum()
    }

    #[test]
    fn every_script_is_described_and_says_that_it_is_one() {
        for (name, script) in scripts().iter() {
            assert!(!script.about.is_empty() && !script.about.contains('\n'), "{name}");
            let says_so = name == "emit" || format!("{:?}", script.turns).contains("台本");
            assert!(says_so, "{name} does not say that it is scripted");
        }
    }

    #[test]
    fn the_demo_can_be_watched_and_does_not_bore() {
        let time = playing_time(&game());
        assert!(time > Duration::from_secs(2) && time < Duration::from_secs(6), "{time:?}");
    }

    #[test]
    fn the_game_needs_no_network() {
        let files = [
            include_str!("../scripts/game/index.html"),
            include_str!("../scripts/game/style.css"),
            include_str!("../scripts/game/game.js"),
        ];
        for file in files {
            assert!(!file.contains("http:") && !file.contains("https:") && !file.contains("//cdn"));
        }
    }

    #[test]
    fn the_edit_fits_the_game() {
        let page = include_str!("../scripts/game/index.html");
        assert_eq!(page.matches("<h1>星あつめ</h1>").count(), 1);
    }

    #[test]
    fn slow_takes_a_minute() {
        assert_eq!(playing_time(&slow()), Duration::from_mins(1));
    }
}
