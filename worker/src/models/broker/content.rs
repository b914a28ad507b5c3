//! Reads a request without keeping anything of it. Counts its values, and finds out whether the API
//! itself would fetch something for it.
//!
//! An image or a document in a request can be a URL, or the number of a file that was uploaded
//! before. The API's machines would then fetch it. That would be a way out of a sandbox that has no
//! network, and a way to the files of others who use the same key. Tools that run on the API's
//! machines are such a way too, and a conversation can add tools in the middle.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The largest number of values in a request. Every object, list, text and number is one. The CLI's
/// longest conversations have about ten thousand.
const MAX_VALUES: u32 = 250_000;

/// How many further values a request may have.
#[derive(Debug)]
pub(super) struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MAX_VALUES))
    }
}

impl Budget {
    /// Counts one value.
    pub(super) fn take<E: Error>(&self) -> Result<(), E> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(E::custom(format_args!("there are more than {MAX_VALUES} values")));
        };
        self.0.set(left);
        Ok(())
    }
}

/// The meaning of a text as the `type` of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The object makes the API fetch or run something.
    Remote,
    /// A source whose content is in the request itself.
    Local,
    /// A tool that the sender of the request carries out.
    OwnTool,
    /// A tool call of the model.
    ToolUse,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(text: &str) -> Self {
        match text {
            // Sources that the API fetches, files for a container, and tools that a conversation
            // defines.
            "url" | "file" | "container_upload" | "tool_definition" => Self::Remote,
            "base64" | "text" | "content" => Self::Local,
            "custom" => Self::OwnTool,
            "tool_use" => Self::ToolUse,
            _ if is_dated(text) => Self::Remote,
            _ => Self::Other,
        }
    }
}

/// Whether a text ends with a date, as the types of the API's own tools do: `web_fetch_20250910`.
fn is_dated(text: &str) -> bool {
    let date = text.rsplit_once('_').map(|(_, date)| date);
    date.is_some_and(|date| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()))
}

/// What is known about a value after reading it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    /// Whether an object in it makes the API fetch or run something.
    pub(super) is_remote: bool,
    /// The meaning of a text, or of an object's `type`.
    kind: Option<Kind>,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Scalar,
    Object,
    List {
        /// Whether each item is a tool that the sender carries out itself.
        of_own_tools: bool,
    },
}

const SCALAR: Content = Content { is_remote: false, kind: None, shape: Shape::Scalar };

impl Content {
    /// Whether it is a list of tools that the sender carries out itself. A tool with another type
    /// is one of the API's own, and the API's servers carry out most of those.
    pub(super) fn is_list_of_own_tools(self) -> bool {
        self.shape == Shape::List { of_own_tools: true }
    }

    /// The meaning of the value as a `type`.
    fn text_kind(self) -> Kind {
        self.kind.filter(|_| self.shape == Shape::Scalar).unwrap_or(Kind::Other)
    }

    fn is_own_tool(self) -> bool {
        self.shape == Shape::Object && matches!(self.kind, None | Some(Kind::OwnTool))
    }
}

/// The keys of an object that matter. Every value of an object is read, also of repeated keys: some
/// parsers use the first of two equal keys and others the last.
#[derive(Clone, Copy)]
enum Key {
    Type,
    Source,
    Input,
    Other,
}

/// Reads a value of any kind.
#[derive(Clone, Copy)]
pub(super) struct Look<'a>(pub(super) &'a Budget);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = Content;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let (mut is_remote, mut input_is_remote) = (false, false);
        let mut kind = None;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let value = map.next_value_seed(self)?;
            match key {
                Key::Input => input_is_remote |= value.is_remote,
                Key::Type => {
                    is_remote |= value.is_remote;
                    let twice = kind.is_some();
                    kind = Some(if twice { Kind::Remote } else { value.text_kind() });
                    is_remote |= kind == Some(Kind::Remote);
                }
                Key::Source => {
                    let is_local = value.kind == Some(Kind::Local);
                    is_remote |= value.is_remote || (value.shape == Shape::Object && !is_local);
                }
                Key::Other => is_remote |= value.is_remote,
            }
        }
        // The input of a tool call may contain anything, because the API does not interpret it.
        is_remote |= input_is_remote && kind != Some(Kind::ToolUse);
        Ok(Content { is_remote, kind, shape: Shape::Object })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let (mut is_remote, mut of_own_tools) = (false, true);
        while let Some(item) = items.next_element_seed(self)? {
            is_remote |= item.is_remote;
            of_own_tools &= item.is_own_tool();
        }
        Ok(Content { is_remote, kind: None, shape: Shape::List { of_own_tools } })
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content { kind: Some(Kind::of(text)), ..SCALAR })
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(SCALAR)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(SCALAR)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(SCALAR)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(SCALAR)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(SCALAR)
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "type" => Key::Type,
            "source" => Key::Source,
            "input" => Key::Input,
            _ => Key::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(json: &str) -> serde_json::Result<Content> {
        Look(&Budget::default()).deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    fn is_remote(json: &str) -> bool {
        look(json).unwrap().is_remote
    }

    #[test]
    fn finds_what_would_be_fetched_or_run_wherever_it_is() {
        for json in [
            r#"[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]"#,
            r#"[{"content":[{"type":"tool_result","content":[{"source":{"type":"file"}}]}]}]"#,
            r#"{"source":{"type":"url"},"source":{"type":"base64"}}"#,
            r#"{"type":"url","type":"base64"}"#,
            r#"{"type":"base64","type":"base64"}"#,
            r#"{"type":"u\u0072l"}"#,
            r#"[{"type":"container_upload","file_id":"f"}]"#,
            // Kinds of sources that do not exist today.
            r#"{"type":"image","source":{"type":"bucket"}}"#,
            r#"{"type":"image","source":{"url":"https://x"}}"#,
            // A tool that a conversation adds, and a tool of the API that it calls.
            r#"{"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_definition"}}]}"#,
            r#"{"definition":{"type":"web_fetch_20250910","name":"web_fetch"}}"#,
            // Only a tool call may have an `input` with anything in it.
            r#"{"type":"image","input":{"source":{"type":"url"}}}"#,
            r#"{"type":"tool_use","type":"image","input":{"type":"url"}}"#,
            r#"{"input":{"type":"url"}}"#,
        ] {
            assert!(is_remote(json), "{json}");
        }
    }

    #[test]
    fn passes_what_the_cli_sends() {
        for json in [
            r#""url""#,
            "null",
            r#"[1, -1, 1.5, true, null, "type", {"url": "file"}]"#,
            r#"[{"role":"user","content":"type: url"}]"#,
            r#"[{"content":[{"type":"image","source":{"type":"base64","data":"eA=="}}]}]"#,
            r#"[{"content":[{"type":"document","source":{"type":"text","data":"x"}}]}]"#,
            r#"[{"content":[{"type":"search_result","source":"https://x","title":"url"}]}]"#,
            r#"[{"content":[{"type":"tool_use","name":"Read","input":{"file_path":"/a","url":"x"}}]}]"#,
            r#"[{"content":[{"input":{"type":"file"},"type":"tool_use","name":"Grep"}]}]"#,
            r#"{"type":"tool_addition","tool":{"type":"tool_reference","name":"Grep"}}"#,
            r#"{"type":"text","text":"a_20250910","cache_control":{"type":"ephemeral"}}"#,
        ] {
            assert!(!is_remote(json), "{json}");
        }
    }

    #[test]
    fn tells_tools_of_the_sender_from_those_of_the_api() {
        for (json, own) in [
            ("[]", true),
            (
                r#"[{"name":"Bash","input_schema":{"type":"object","properties":{"type":{}}}}]"#,
                true,
            ),
            (r#"[{"name":"a"},{"type":"custom","name":"b"}]"#, true),
            (r#"[{"name":"a"},{"type":"web_search_20250305","name":"b"}]"#, false),
            (r#"[{"type":"custom","type":"code_execution_20250825"}]"#, false),
            (r#"[{"type":"custom","type":"custom"}]"#, false),
            (r#"[{"type":"mcp_toolset"}]"#, false),
            (r#"[{"type":{"type":"custom"}}]"#, false),
            (r#"[{"type":null}]"#, false),
            (r#"["custom"]"#, false),
            ("[[]]", false),
            (r#"{"name":"a"}"#, false),
            ("null", false),
        ] {
            assert_eq!(look(json).unwrap().is_list_of_own_tools(), own, "{json}");
        }
    }

    #[test]
    fn a_request_consists_of_a_bounded_number_of_values() {
        let list = |count: usize| format!("[{}0]", "[],".repeat(count - 1));
        let most = usize::try_from(MAX_VALUES).unwrap();
        assert!(look(&list(most - 1)).is_ok());
        let error = look(&list(most)).unwrap_err().to_string();
        assert!(error.starts_with("there are more than 250000 values"), "{error}");
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(look(&deep).unwrap_err().to_string().starts_with("recursion limit exceeded"));
    }
}
