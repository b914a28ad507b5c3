//! Tests of the parser, with lines as the CLI writes them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::runs::claude::line::MAX_BLOCKS;

fn feed(parser: &mut Parser, lines: &[Value]) -> Vec<CliEvent> {
    lines.iter().flat_map(|line| parser.line(line.to_string().as_bytes())).collect()
}

fn text_of(events: &[CliEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        CliEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn start(id: &str) -> Value {
    json!({"type": "stream_event", "event": {"type": "message_start", "message": {"id": id}}})
}

fn delta(text: &str) -> Value {
    json!({"type": "stream_event", "parent_tool_use_id": null, "event": {
        "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}})
}

/// The two lines that the CLI writes at the end of a message that is complete.
fn stop() -> Value {
    json!({"type": "stream_event", "event": {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}})
}

fn closed() -> Value {
    json!({"type": "stream_event", "event": {"type": "message_stop"}})
}

fn whole(id: &str, text: &str) -> Value {
    json!({"type": "assistant", "message": {"id": id, "content": [{"type": "text", "text": text}]}})
}

#[test]
fn text_is_passed_on_piece_by_piece_and_never_twice() {
    let mut parser = Parser::new("/w");
    let events = feed(
        &mut parser,
        &[start("m1"), delta("星を"), delta("集める"), whole("m1", "星を集める"), stop(), closed()],
    );
    assert_eq!(text_of(&events), "星を集める");
    assert_eq!(events.len(), 2);
}

#[test]
fn text_that_was_not_streamed_is_passed_on_whole() {
    let mut parser = Parser::new("/w");
    assert_eq!(text_of(&feed(&mut parser, &[whole("m2", "done")])), "done");
    assert_eq!(text_of(&feed(&mut parser, &[whole("m3", "done")])), "done");
}

#[test]
fn a_repeated_attempt_does_not_repeat_its_words() {
    let mut parser = Parser::new("/w");
    let events = feed(
        &mut parser,
        &[
            start("a"),
            delta("Hello wor"),
            start("b"),
            delta("Hel"),
            delta("lo world!"),
            stop(),
            closed(),
        ],
    );
    assert_eq!(text_of(&events), "Hello world!");
}

#[test]
fn an_attempt_that_says_something_else_is_shown_whole() {
    let mut parser = Parser::new("/w");
    let events = feed(
        &mut parser,
        &[
            start("a"),
            delta("I will ma"),
            start("b"),
            delta("I will"),
            delta(" not"),
            stop(),
            closed(),
        ],
    );
    assert_eq!(text_of(&events), "I will ma\n\nI will not");
}

#[test]
fn the_next_message_may_begin_like_the_last_one() {
    let mut parser = Parser::new("/w");
    let events = feed(
        &mut parser,
        &[start("a"), delta("ok"), stop(), closed(), start("b"), delta("ok"), stop(), closed()],
    );
    assert_eq!(text_of(&events), "okok");
}

#[test]
fn a_message_that_the_cli_closed_itself_counts_as_broken_off() {
    let mut parser = Parser::new("/w");
    let events = feed(
        &mut parser,
        &[
            start("a"),
            delta("Hello wor"),
            closed(),
            start("b"),
            delta("Hello world"),
            stop(),
            closed(),
        ],
    );
    assert_eq!(text_of(&events), "Hello world");
}

#[test]
fn a_second_attempt_that_is_not_streamed_does_not_repeat_its_words_either() {
    let mut parser = Parser::new("/w");
    let events =
        feed(&mut parser, &[start("a"), delta("Hello wor"), closed(), whole("b", "Hello world")]);
    assert_eq!(text_of(&events), "Hello world");
    assert_eq!(text_of(&feed(&mut parser, &[whole("c", "Hello world")])), "Hello world");
}

#[test]
fn what_the_cli_says_itself_about_errors_is_not_the_assistants_word() {
    let mut parser = Parser::new("/w");
    let mut line = whole("m", "API Error: 529 Overloaded");
    line["message"]["model"] = json!("<synthetic>");
    assert!(feed(&mut parser, &[line]).is_empty());
}

#[test]
fn tool_calls_name_what_they_touch_without_the_machines_path() {
    let mut parser = Parser::new("/scratch/0/game");
    let tool = |name: &str, input: Value| {
        json!({"type": "assistant", "message": {"id": "m", "content": [
            {"type": "tool_use", "id": "t", "name": name, "input": input}]}})
    };
    let events = feed(
        &mut parser,
        &[
            tool("Write", json!({"file_path": "/scratch/0/game/js/a.js", "content": "x"})),
            tool("Bash", json!({"command": "cd /scratch/0/game && ls\nrm x"})),
            tool("Glob", json!({"pattern": "**/*.js"})),
            tool("Skill", json!({"skill": "p5js-setup"})),
            tool("Odd", json!(3)),
        ],
    );
    let shown: Vec<_> = events
        .iter()
        .map(|event| match event {
            CliEvent::Tool { name, detail } => format!("[{name}] {detail}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shown,
        ["[Write] js/a.js", "[Bash] cd . && ls…", "[Glob] **/*.js", "[Skill] p5js-setup", "[Odd] "]
    );
}

#[test]
fn what_is_said_after_a_tool_begins_a_paragraph() {
    let tool = |id: &str| {
        json!({"type": "assistant", "message": {"id": id, "content": [
            {"type": "tool_use", "name": "Read", "input": {"file_path": "a"}}
        ]}})
    };
    let said = |lines: &[Value]| text_of(&feed(&mut Parser::new("/game"), lines));
    // Streamed, with a second tool in between, and in pieces.
    let lines = [
        &[start("m1"), delta("読みます。")][..],
        &[whole("m1", "読みます。"), tool("m1"), stop(), tool("m2"), start("m3")],
        &[delta("# 仕"), delta("様"), whole("m3", "# 仕様"), stop()],
    ];
    assert_eq!(said(&lines.concat()), "読みます。\n\n# 仕様");
    // Not streamed.
    assert_eq!(said(&[whole("m1", "a"), tool("m1"), whole("m2", "# b")]), "a\n\n# b");
    // Nothing was said before, nothing was used, or the paragraph is there already.
    assert_eq!(said(&[tool("m1"), whole("m2", "b")]), "b");
    assert_eq!(said(&[whole("m1", "a"), whole("m2", "b")]), "ab");
    assert_eq!(said(&[whole("m1", "a"), tool("m1"), whole("m2", "\n\nb")]), "a\n\nb");
    // Once for a message that breaks off, whether before its first word or after it.
    for before in ["", "# "] {
        let lines = [
            &[start("m1"), delta("a"), whole("m1", "a"), tool("m1"), stop()][..],
            &[start("m2"), delta(before), start("m3"), delta("# "), delta("b"), stop()],
        ];
        assert_eq!(said(&lines.concat()), "a\n\n# b", "{before:?}");
    }
}

#[test]
fn only_a_clear_no_is_no_error() {
    let mut parser = Parser::new("/w");
    for (line, is_error) in [
        (json!({"is_error": false, "result": "ok", "type": "result", "subtype": "success"}), false),
        (json!({"type": "result", "subtype": "success", "is_error": true}), true),
        (json!({"type": "result"}), true),
        (json!({"type": "result", "is_error": "false"}), true),
    ] {
        let events = feed(&mut parser, &[line]);
        assert!(
            matches!(events.as_slice(), [CliEvent::Result { is_error: e, .. }] if *e == is_error)
        );
    }
}

#[test]
fn retries_are_reported() {
    let mut parser = Parser::new("/w");
    let line = json!({"type": "system", "subtype": "api_retry", "attempt": 2, "max_retries": 10,
        "retry_delay_ms": 1000, "error_status": 529});
    assert_eq!(feed(&mut parser, &[line]), [CliEvent::Retry { attempt: 2, max: 10 }]);
}

#[test]
fn broken_and_unknown_lines_are_passed_over() {
    let mut parser = Parser::new("/w");
    for line in [
        &b"not json"[..],
        b"{",
        b"[]",
        b"3",
        b"{\"type\":3}",
        b"{\"type\":\"assistant\",\"message\":3}",
    ] {
        assert!(parser.line(line).is_empty());
    }
    assert_eq!(parser.skipped(), 6);
    for line in [&b""[..], b"  \r", b"{\"type\":\"new_thing\",\"x\":1}", b"{\"type\":\"user\"}"] {
        assert!(parser.line(line).is_empty());
    }
    assert_eq!(parser.skipped(), 6);
    // A byte in a string that is not UTF-8 changes one character and does not hide the line.
    let events = parser.line(b"{\"type\":\"result\",\"is_error\":false,\"result\":\"a\xffb\"}");
    let text = Some("a\u{fffd}b".to_owned());
    assert_eq!(events, [CliEvent::Result { is_error: false, text }]);
}

#[test]
fn what_helpers_of_the_assistant_say_is_not_shown() {
    let mut parser = Parser::new("/w");
    let mut line = delta("inner");
    line["parent_tool_use_id"] = json!("toolu_1");
    assert!(feed(&mut parser, &[line]).is_empty());
}

#[test]
fn an_object_is_not_written_as_a_list() {
    let mut parser = Parser::new("/w");
    let message = json!({"id": "m", "content": [{"type": "text", "text": "a"}]});
    let line = json!(["assistant", null, null, message.clone()]);
    assert!(feed(&mut parser, &[line]).is_empty());
    let line = json!({"type": "assistant", "message": ["m", null, message["content"]]});
    assert!(feed(&mut parser, &[line]).is_empty());
    assert_eq!(parser.skipped(), 2);
    let line = json!({"type": "assistant", "message": {"id": "m", "content": [["text", "a"]]}});
    assert!(feed(&mut parser, &[line]).is_empty());
}

#[test]
fn a_message_tells_a_bounded_number_of_things() {
    let mut parser = Parser::new("/w");
    let mut content = vec![json!({}); 5000];
    content.extend(vec![json!({"type": "tool_use", "name": "Bash", "input": 3}); MAX_BLOCKS]);
    let line = |content: &[Value]| json!({"type": "assistant", "message": {"content": content}});
    assert_eq!(feed(&mut parser, &[line(&content)]).len(), MAX_BLOCKS);
    assert_eq!(parser.skipped(), 0);
    content.push(json!({"type": "tool_use", "name": "Read"}));
    assert_eq!(feed(&mut parser, &[line(&content)]).len(), MAX_BLOCKS);
    assert_eq!(parser.skipped(), 1);
}

#[test]
fn long_texts_come_in_pieces_that_can_wait() {
    let text = "あ".repeat(100_000);
    let mut parser = Parser::new("/w");
    let events = feed(&mut parser, &[whole("m", &text)]);
    assert_eq!(text_of(&events), text);
    for event in events {
        assert!(matches!(event, CliEvent::Text(piece) if piece.len() <= MAX_TEXT_BYTES));
    }
}

#[test]
fn what_is_remembered_of_messages_has_a_bound() {
    let mut parser = Parser::new("/w");
    let one = |parser: &mut Parser, id: &str| {
        let events = feed(parser, &[start(id), delta("a"), stop(), closed(), whole(id, "a")]);
        text_of(&events)
    };
    for n in 0..10 * MAX_STREAMED {
        assert_eq!(one(&mut parser, &n.to_string()), "a");
    }
    assert!(parser.streamed.len() <= MAX_STREAMED);
    // An id of this length counts as none, so the whole message is passed on again.
    assert_eq!(one(&mut parser, &"x".repeat(MAX_ID_BYTES + 1)), "aa");
}

#[test]
fn last_words_and_arguments_are_cut() {
    let mut parser = Parser::new("/w");
    let line =
        json!({"type": "result", "is_error": false, "result": "あ".repeat(MAX_RESULT_BYTES)});
    let events = feed(&mut parser, &[line]);
    let [CliEvent::Result { text: Some(text), .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert!(text.len() <= MAX_RESULT_BYTES + "…".len() && text.ends_with("あ…"), "{}", text.len());

    // Paths that become shorter, one of which is cut at the limit on arguments.
    for before in 0..20 {
        let mut parser = Parser::new("/scratch/0/game");
        let command = format!("{}{}", "x".repeat(before), "/scratch/0/game/".repeat(10_000));
        let line = json!({"type": "assistant", "message": {"id": "m", "content": [
            {"type": "tool_use", "name": "Bash", "input": {"command": command}}]}});
        let events = feed(&mut parser, &[line]);
        let [CliEvent::Tool { detail, .. }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(!detail.contains("scr"), "{detail}");
    }
}

proptest! {
    #[test]
    fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(Parser::new("/w").line(&line));
    }

    #[test]
    fn streamed_text_is_kept_whole(pieces in proptest::collection::vec(".{0,12}", 0..12)) {
        let mut parser = Parser::new("/w");
        let mut lines = vec![start("m")];
        lines.extend(pieces.iter().map(|piece| delta(piece)));
        lines.extend([whole("m", &pieces.concat()), stop(), closed()]);
        prop_assert_eq!(text_of(&feed(&mut parser, &lines)), pieces.concat());
    }
}
