//! Parses an answer of the Messages API.

use serde::Deserialize;
use serde_json::Value;

use super::Form;

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Text, if no form was asked for.
    Text(String),
    /// The filled form: the input of the model's tool call. It is an object and not checked
    /// further.
    Form(Value),
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        name: String,
        input: Value,
    },
    #[serde(other)]
    Other,
}

impl Answer {
    /// Parses the body of an answer that should have this form.
    pub(super) fn read(body: &[u8], form: Option<&Form>) -> Result<Self, String> {
        let message: Message = serde_json::from_slice(body)
            .map_err(|error| format!("the answer is no message: {error}"))?;
        if message.stop_reason.as_deref() == Some("refusal") {
            return Err("the model refused to answer".to_owned());
        }
        match form {
            Some(form) => filled(message, form),
            None => text(message),
        }
    }
}

fn filled(message: Message, form: &Form) -> Result<Answer, String> {
    // A form that was cut off can still be an object, in which fields are incomplete or missing.
    if message.stop_reason.as_deref() == Some("max_tokens") {
        return Err("the answer was cut off".to_owned());
    }
    message
        .content
        .into_iter()
        .find_map(|block| match block {
            Block::ToolUse { name, input } if name == form.name && input.is_object() => Some(input),
            _ => None,
        })
        .map(Answer::Form)
        .ok_or_else(|| "the model did not fill in the form".to_owned())
}

fn text(message: Message) -> Result<Answer, String> {
    let mut all = String::new();
    for block in message.content {
        if let Block::Text { text } = block {
            all.push_str(&text);
        }
    }
    if all.trim().is_empty() {
        return Err("the model answered nothing".to_owned());
    }
    Ok(Answer::Text(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form() -> Form {
        Form { name: "label", description: "", schema: json!({}) }
    }

    fn read(message: &Value, form: Option<&Form>) -> Result<Answer, String> {
        Answer::read(message.to_string().as_bytes(), form)
    }

    #[test]
    fn the_form_is_what_the_tool_was_called_with() {
        let message = json!({ "content": [
            { "type": "text", "text": "restore" },
            { "type": "thinking", "thinking": "…" },
            { "type": "tool_use", "id": "t", "name": "other", "input": {} },
            { "type": "tool_use", "id": "t", "name": "label", "input": { "intent": "edit" } },
        ], "stop_reason": "tool_use" });
        let answer = read(&message, Some(&form())).unwrap();
        assert_eq!(answer, Answer::Form(json!({ "intent": "edit" })));
    }

    #[test]
    fn prose_a_wrong_tool_and_half_a_form_are_no_forms() {
        for message in [
            json!({ "content": [{ "type": "text", "text": "restore" }] }),
            json!({ "content": [{ "type": "tool_use", "name": "label", "input": "edit" }] }),
            json!({ "content": [{ "type": "tool_use", "name": "x", "input": {} }] }),
            json!({ "content": [{ "type": "tool_use", "name": "label", "input": {} }], "stop_reason": "max_tokens" }),
            json!({ "content": [{ "type": "tool_use", "name": "label", "input": {} }], "stop_reason": "refusal" }),
            json!({ "content": [] }),
            json!({}),
            json!([]),
        ] {
            assert!(read(&message, Some(&form())).is_err(), "{message}");
        }
    }

    #[test]
    fn text_is_all_its_blocks() {
        let message = json!({ "content": [
            { "type": "text", "text": "a" }, { "type": "x" }, { "type": "text", "text": "b" },
        ], "stop_reason": "max_tokens" });
        assert_eq!(read(&message, None), Ok(Answer::Text("ab".to_owned())));
        assert!(read(&json!({ "content": [{ "type": "text", "text": " \n" }] }), None).is_err());
        assert!(Answer::read(b"<html>", None).is_err());
    }
}
