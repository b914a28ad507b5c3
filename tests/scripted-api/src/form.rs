//! An answer to a request that forces a tool: the tool's form, filled in by its schema.
//!
//! The worker's short questions are answered in this way. If a message has the marker of a script,
//! that script answers instead, possibly with something that the schema does not allow.

use serde_json::{Map, Value, json};

use crate::block::{Block, tool};

/// The text of every string in a form, and of an answer without a form.
pub(crate) const FILLER: &str = "台本の返事です。(Scripted reply; this is not a model.)";

/// The block that fills in the forced tool's form; `None` if no tool is forced.
pub(crate) fn filled(body: &Value) -> Option<Block> {
    let choice = body.get("tool_choice")?;
    if choice.get("type").and_then(Value::as_str) != Some("tool") {
        return None;
    }
    let name = choice.get("name").and_then(Value::as_str)?;
    let tools = body.get("tools")?.as_array()?;
    let schema = tools.iter().find(|tool| tool.get("name") == Some(&json!(name)))?;
    Some(tool(name, instance(schema.get("input_schema").unwrap_or(&Value::Null))))
}

/// A small value that fits the schema, as far as forms use schemas.
fn instance(schema: &Value) -> Value {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.last().cloned().unwrap_or_default();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let fields = schema.get("properties").and_then(Value::as_object);
            let fields = fields.into_iter().flatten();
            Value::Object(
                fields.map(|(name, of)| (name.clone(), instance(of))).collect::<Map<_, _>>(),
            )
        }
        Some("array") => {
            let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
            let item = schema.get("items").unwrap_or(&Value::Null);
            (1..=count).map(|number| numbered(instance(item), number)).collect()
        }
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => {
            let max = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            FILLER.chars().take(max).collect::<String>().into()
        }
    }
}

/// Makes the items of a list differ, as those of a model would.
fn numbered(item: Value, number: u64) -> Value {
    match item {
        Value::String(text) if text.starts_with("台本") => format!("台本{number}").into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_filled_in_by_its_schema() {
        let schema = json!({ "type": "object", "properties": {
            "label": { "type": "string", "enum": ["a", "b"] },
            "title": { "type": "string", "maxLength": 4 },
            "tags": { "type": "array", "items": { "type": "string" }, "minItems": 2 },
            "count": { "type": "integer" },
        } });
        let body = json!({
            "tools": [{ "name": "other" }, { "name": "fill", "input_schema": schema }],
            "tool_choice": { "type": "tool", "name": "fill" },
        });
        let Some(Block::ToolUse { name, input, .. }) = filled(&body) else { panic!() };
        assert_eq!(name, "fill");
        assert_eq!(
            input,
            json!({ "label": "b", "title": "台本の返", "tags": ["台本1", "台本2"], "count": 1 })
        );
    }

    #[test]
    fn nothing_is_filled_in_where_no_tool_is_forced() {
        for body in [
            json!({}),
            json!({ "tool_choice": { "type": "auto" }, "tools": [] }),
            json!({ "tool_choice": { "type": "tool", "name": "x" }, "tools": [{ "name": "y" }] }),
        ] {
            assert!(filled(&body).is_none(), "{body}");
        }
    }
}
