//! What a request asks for: which script, which turn, and in which folder.
//!
//! Everything is read from the request itself, because the CLI sends the whole conversation each
//! time. The places where it states its working directory were read from CLI 2.1.330: newer
//! models get it in a message of role `system`, older ones in a reminder in the first user
//! message, and other versions have had it in the system prompt.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::script::is_script_name;

/// A `POST /v1/messages`, understood.
#[derive(Debug, PartialEq)]
pub(crate) struct Question {
    /// The model that the client asks for.
    pub(crate) model: String,
    /// Whether the client wants server-sent events.
    pub(crate) stream: bool,
    /// Whether the request is not part of the agent's main loop.
    pub(crate) side: bool,
    /// Whether the request comes from the CLI, which names its session in every request. The
    /// worker's own questions name none.
    pub(crate) of_the_cli: bool,
    /// The script asked for by a marker.
    pub(crate) marker: Option<String>,
    /// The number of assistant messages so far.
    pub(crate) turn: usize,
    /// The CLI's working directory.
    pub(crate) cwd: Option<String>,
    /// Hash of the first user message's text.
    pub(crate) conversation: u64,
}

impl Question {
    /// Reads a request body; the error is the message for the client.
    pub(crate) fn read(body: &Value) -> Result<Self, String> {
        let messages =
            body.get("messages").and_then(Value::as_array).ok_or("messages: Field required")?;
        let role = |wanted: &'static str| {
            messages
                .iter()
                .filter(move |message| message.get("role").and_then(Value::as_str) == Some(wanted))
        };
        let first_user = role("user").next().map(texts).unwrap_or_default();
        let of_the_cli = body.pointer("/metadata/user_id").is_some();
        let side = body.get("tools").and_then(Value::as_array).is_none_or(Vec::is_empty);
        let is_form = body.pointer("/tool_choice/type").and_then(Value::as_str) == Some("tool");
        let last_user = role("user").next_back().map(texts).unwrap_or_default();
        // The worker's questions contain the conversation before them.
        let is_single = !of_the_cli && (side || is_form);
        let asking = if is_single { &last_user } else { &first_user };

        let mut hasher = DefaultHasher::new();
        first_user.hash(&mut hasher);

        // System messages first, because they contain only text of the CLI, while a user's prompt
        // can contain any text.
        let stated = role("system")
            .flat_map(texts)
            .chain(body.get("system").map(strings).unwrap_or_default())
            .chain(first_user.iter().copied())
            .find_map(working_directory);

        Ok(Self {
            model: body.get("model").and_then(Value::as_str).unwrap_or("scripted").to_owned(),
            stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
            side,
            of_the_cli,
            marker: asking.iter().rev().find_map(|text| marker(text)).map(str::to_owned),
            turn: if is_single { 0 } else { role("assistant").count() },
            cwd: stated.map(str::to_owned),
            conversation: hasher.finish(),
        })
    }
}

/// A rough count, good enough for numbers that look real: about four bytes a token.
pub(crate) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

/// The texts of a message; tool results are left out.
fn texts(message: &Value) -> Vec<&str> {
    message.get("content").map(strings).unwrap_or_default()
}

/// A string, or the `text` of each block of a list: the two forms of `content` and `system`.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect()
        }
        _ => Vec::new(),
    }
}

/// The name in the last well-formed `[script:NAME]`. The last one counts, because the user's words
/// come after the text that the relay puts before them.
fn marker(text: &str) -> Option<&str> {
    text.rsplit("[script:")
        .filter_map(|rest| rest.split_once(']'))
        .map(|(name, _)| name)
        .find(|name| is_script_name(name))
}

fn working_directory(text: &str) -> Option<&str> {
    text.lines().map(|line| line.trim_start_matches([' ', '-'])).find_map(|line| {
        line.strip_prefix("Primary working directory: ")
            .or_else(|| line.strip_prefix("Working directory: "))
            .map(str::trim_end)
            .filter(|path| path.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Question {
        Question::read(body).unwrap()
    }

    #[test]
    fn the_marker_may_be_anywhere_in_the_first_user_message_only() {
        let asked = |content: Value| {
            read(&json!({"tools": [{"name": "Bash"}], "messages": [
                {"role": "user", "content": content},
                {"role": "assistant", "content": "[script:no]"},
                {"role": "user", "content": "[script:no]"},
            ]}))
            .marker
        };
        assert_eq!(asked(json!("please [script:a-1] now")), Some("a-1".into()));
        assert_eq!(asked(json!([{"type": "text", "text": "x"}])), None);
        assert_eq!(
            asked(json!([
                {"type": "text", "text": "reminder [script:old]"},
                {"type": "text", "text": "[script:new] [script:] [script:a b] [script:"},
            ])),
            Some("new".into())
        );
        assert_eq!(asked(json!([{"type": "tool_result", "content": "[script:x]"}])), None);
    }

    #[test]
    fn the_turn_is_the_number_of_assistant_messages() {
        let user = json!({"role": "user", "content": "x"});
        let assistant = json!({"role": "assistant", "content": []});
        let system = json!({"role": "system", "content": []});
        assert_eq!(read(&json!({"tools": [{"name": "Bash"}], "messages": [user, system]})).turn, 0);
        assert_eq!(
            read(&json!({"tools": [{"name": "Bash"}], "messages": [user, system, assistant, user, assistant, user]})).turn,
            2
        );
    }

    #[test]
    fn a_request_without_tools_is_a_side_request() {
        assert!(read(&json!({"messages": []})).side);
        assert!(read(&json!({"messages": [], "tools": []})).side);
        assert!(!read(&json!({"messages": [], "tools": [{"name": "Bash"}]})).side);
    }

    #[test]
    fn the_working_directory_is_found_wherever_the_cli_states_it() {
        let stated = "# Environment\n - Primary working directory: /home/a b\n - Shell: bash";
        for body in [
            json!({"messages": [{"role": "user", "content": "Working directory: /user"},
                {"role": "system", "content": [{"type": "text", "text": stated}]}]}),
            json!({"system": [{"type": "text", "text": "x"}, {"type": "text", "text": stated}],
                "messages": []}),
            json!({"system": "<env>\nWorking directory: /home/a b\n</env>", "messages": []}),
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": stated}]}]}),
        ] {
            assert_eq!(read(&body).cwd.as_deref(), Some("/home/a b"), "{body}");
        }
        let none = json!({"messages": [{"role": "user", "content": "Working directory: here"}]});
        assert_eq!(read(&none).cwd, None);
    }

    #[test]
    fn a_conversation_keeps_its_identity_when_cache_marks_move() {
        let plain = json!({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "x"}]}]});
        let marked = json!({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]});
        let other = json!({"messages": [{"role": "user", "content": "y"}]});
        assert_eq!(read(&plain).conversation, read(&marked).conversation);
        assert_ne!(read(&plain).conversation, read(&other).conversation);
    }

    #[test]
    fn a_body_without_messages_is_refused() {
        assert!(Question::read(&Value::Null).is_err());
        assert!(Question::read(&json!({"messages": "x"})).is_err());
    }
}
