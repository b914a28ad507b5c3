//! Looking through the content of a request for what the API would fetch by itself.
//!
//! An image or a document can be an address or the number of a file that was uploaded before. The
//! API's machines then fetch it, with whatever the address says: a way out of a sandbox that has no
//! network, and a way to the files of others under the same key.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// Values of `type` that make the API fetch something.
const REMOTE: [&str; 3] = ["url", "file", "container_upload"];

/// Any part of a request, of which only this is kept. Nothing is skipped, whatever it is called and
/// however often: two keys of the same name are read by some as the first and by others as the last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Content {
    /// Whether an object in it names something to be fetched.
    pub(super) is_remote: bool,
    /// Whether it is itself the name of such a kind.
    names_remote: bool,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut all = Content::default();
        while let Some((key, value)) = map.next_entry::<String, Content>()? {
            // What a tool is called with is the tool's affair, and nothing that the API looks at.
            let looked_at = key != "input";
            all.is_remote |= looked_at && value.is_remote;
            all.is_remote |= key == "type" && value.names_remote;
        }
        Ok(all)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut all = Content::default();
        while let Some(item) = items.next_element::<Content>()? {
            all.is_remote |= item.is_remote;
        }
        Ok(all)
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content { is_remote: false, names_remote: REMOTE.contains(&text) })
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(Content::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_remote(json: &str) -> bool {
        serde_json::from_str::<Content>(json).unwrap().is_remote
    }

    #[test]
    fn finds_what_would_be_fetched_wherever_it_is() {
        for json in [
            r#"[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]"#,
            r#"[{"content":[{"type":"tool_result","content":[{"source":{"type":"file"}}]}]}]"#,
            r#"{"source":{"type":"url"},"source":{"type":"base64"}}"#,
            r#"{"type":"url","type":"base64"}"#,
            r#"{"type":"u\u0072l"}"#,
            r#"[{"type":"container_upload","file_id":"f"}]"#,
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
            r#"[{"content":[{"type":"tool_use","name":"Read","input":{"file_path":"/a","url":"x"}}]}]"#,
            r#"[{"content":[{"type":"tool_use","name":"Grep","input":{"type":"file"}}]}]"#,
        ] {
            assert!(!is_remote(json), "{json}");
        }
    }
}
