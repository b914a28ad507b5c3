//! The fields of a line of the CLI's output that a run needs.
//!
//! All other fields are read and dropped, whatever they contain. Most of these fields accept any
//! value, because versions of the CLI differ.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::any::Any;
use crate::json::{Object, Text};

/// The largest number of texts and tool calls of one message. The CLI itself writes a line for
/// each.
pub(super) const MAX_BLOCKS: usize = 1000;

/// One line.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) subtype: Any<'a>,
    #[serde(borrow)]
    pub(super) event: Option<Object<RawEvent<'a>>>,
    #[serde(borrow)]
    pub(super) message: Option<Object<Message<'a>>>,
    /// The tool call that the line belongs to. `None` if the line is from the assistant itself.
    pub(super) parent_tool_use_id: Option<IgnoredAny>,
    #[serde(borrow, default)]
    pub(super) is_error: Any<'a>,
    #[serde(borrow, default)]
    pub(super) result: Any<'a>,
    #[serde(borrow, default)]
    pub(super) claude_code_version: Any<'a>,
    #[serde(borrow, default)]
    pub(super) attempt: Any<'a>,
    #[serde(borrow, default)]
    pub(super) max_retries: Any<'a>,
}

/// An event of the model API, passed on by the CLI.
#[derive(Debug, Deserialize)]
pub(super) struct RawEvent<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) delta: Any<'a, Delta<'a>>,
    #[serde(borrow)]
    pub(super) message: Option<Object<Message<'a>>>,
}

/// A piece of a message's text.
#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Any<'a>,
    #[serde(borrow, default)]
    pub(super) text: Any<'a>,
}

/// A message, or the beginning of one.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) id: Any<'a>,
    #[serde(borrow, default)]
    pub(super) model: Any<'a>,
    #[serde(borrow, default)]
    pub(super) content: Any<'a, IgnoredAny, Blocks<'a>>,
}

/// The blocks of a message.
#[derive(Debug, Default)]
pub(super) struct Blocks<'a> {
    /// The texts and tool calls, at most [`MAX_BLOCKS`].
    pub(super) told: Vec<Block<'a>>,
    /// Whether the message has more of them.
    pub(super) is_cut: bool,
}

/// One block of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Any<'a>,
    #[serde(borrow, default)]
    text: Any<'a>,
    #[serde(borrow, default)]
    name: Any<'a>,
    #[serde(borrow, default)]
    input: Any<'a, Input<'a>>,
}

/// The part of a block that the run uses.
pub(super) enum Told<'b> {
    Text(&'b str),
    /// A tool call: the tool's name, and the argument that is shown.
    Tool(&'b str, &'b str),
}

/// The arguments of tools. One of them is shown.
#[derive(Debug, Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    file_path: Any<'a>,
    #[serde(borrow, default)]
    command: Any<'a>,
    #[serde(borrow, default)]
    pattern: Any<'a>,
    #[serde(borrow, default)]
    path: Any<'a>,
    #[serde(borrow, default)]
    skill: Any<'a>,
    #[serde(borrow, default)]
    url: Any<'a>,
}

impl Block<'_> {
    pub(super) fn told(&self) -> Option<Told<'_>> {
        match self.kind.text()? {
            "text" => Some(Told::Text(self.text.text()?)),
            "tool_use" => {
                let input = self.input.object().map(Input::telling).unwrap_or_default();
                Some(Told::Tool(self.name.text()?, input))
            }
            _ => None,
        }
    }
}

impl Input<'_> {
    /// The argument that is shown, which says most about the call. Empty if there is none.
    fn telling(&self) -> &str {
        [&self.file_path, &self.command, &self.pattern, &self.path, &self.skill, &self.url]
            .into_iter()
            .find_map(Any::text)
            .unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blocks<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Telling<'a>(PhantomData<Blocks<'a>>);

        impl<'de: 'a, 'a> Visitor<'de> for Telling<'a> {
            type Value = Blocks<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Blocks<'a>, A::Error> {
                let mut blocks = Blocks::default();
                while let Some(item) = items.next_element::<Any<'a, Block<'a>>>()? {
                    let Any::Object(block) = item else {
                        continue;
                    };
                    if block.told().is_none() {
                        continue;
                    }
                    if blocks.told.len() == MAX_BLOCKS {
                        blocks.is_cut = true;
                        while items.next_element::<IgnoredAny>()?.is_some() {}
                        break;
                    }
                    blocks.told.push(block);
                }
                Ok(blocks)
            }
        }

        deserializer.deserialize_seq(Telling(PhantomData))
    }
}
