//! Reading through a request without keeping anything of it: how many values it consists of, and
//! whether the API would fetch something for it by itself.
//!
//! An image or a document can be an address or the number of a file that was uploaded before. The
//! API's machines then fetch it, with whatever the address says: a way out of a sandbox that has no
//! network, and a way to the files of others under the same key. Tools that run on the API's
//! machines are such a way too, and a conversation can add tools in the middle.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most values that a request may consist of. Every object, list, text and number is one. The
/// CLI's longest conversations have some ten thousand.
const MAX_VALUES: u32 = 250_000;

/// How many more values a request may consist of.
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

/// What a text is, where it stands as a `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It makes the API fetch or run something.
    Remote,
    /// A source whose bytes are in the request itself.
    Local,
    /// A tool that its caller carries out.
    OwnTool,
    /// A call of a tool, made by the model.
    ToolUse,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(text: &str) -> Self {
        match text {
            // Sources; files for a container; tools that are defined within a conversation.
            "url" | "file" | "container_upload" | "tool_definition" => Self::Remote,
            "base64" | "text" | "content" => Self::Local,
            "custom" => Self::OwnTool,
            "tool_use" => Self::ToolUse,
            _ if is_dated(text) => Self::Remote,
            _ => Self::Other,
        }
    }
}

/// Whether it ends as the API's own tools do: `web_fetch_20250910`.
fn is_dated(text: &str) -> bool {
    let date = text.rsplit_once('_').map(|(_, date)| date);
    date.is_some_and(|date| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()))
}

/// What is kept of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    /// Whether an object in it names something to be fetched or run.
    pub(super) is_remote: bool,
    /// What a text is, or what the object's `type` says that it is.
    kind: Option<Kind>,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Scalar,
    Object,
    List {
        /// Whether each item is a tool that the sender carries out by itself.
        of_own_tools: bool,
    },
}

const SCALAR: Content = Content { is_remote: false, kind: None, shape: Shape::Scalar };

impl Content {
    /// Whether it is a list of tools that the sender carries out by itself. A tool with a type is
    /// one that the API's servers know, and most of them they carry out.
    pub(super) fn is_list_of_own_tools(self) -> bool {
        self.shape == Shape::List { of_own_tools: true }
    }

    /// What it says as a `type`.
    fn text_kind(self) -> Kind {
        self.kind.filter(|_| self.shape == Shape::Scalar).unwrap_or(Kind::Other)
    }

    fn is_own_tool(self) -> bool {
        self.shape == Shape::Object && matches!(self.kind, None | Some(Kind::OwnTool))
    }
}

/// The keys of an object that matter. Nothing is skipped, whatever it is called and however often:
/// two keys of the same name are read by some as the first and by others as the last.
#[derive(Clone, Copy)]
enum Key {
    Type,
    Source,
    Input,
    Other,
}

/// Reads any value.
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
        // What a tool is called with is the tool's affair, and nothing that the API looks at.
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
            // Sources that are not known today.
            r#"{"type":"image","source":{"type":"bucket"}}"#,
            r#"{"type":"image","source":{"url":"https://x"}}"#,
            // A tool that a conversation adds, and one that it calls.
            r#"{"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_definition"}}]}"#,
            r#"{"definition":{"type":"web_fetch_20250910","name":"web_fetch"}}"#,
            // Only a call of a tool may hold what it likes.
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
