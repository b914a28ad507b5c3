//! The check of a request's body, before it is forwarded.
//!
//! Every process in the sandbox has the token and can send anything, not only what the CLI sends.
//! So a request must name an allowed model, and must not make the API's machines fetch pages, run
//! code or talk to other servers: that would be a way out of a sandbox that has no network. It also
//! must not change which service answers and what that costs. The check knows a list of allowed
//! fields and refuses all others, because the API gets new fields every month.
//!
//! A body is read once and nothing is built from it, so checking it takes no memory but the body's
//! own.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::content::{Budget, Look};
use super::head;
use crate::models::providers::BODY_VERSION;

/// The longest text that is kept, in bytes: the name of a model.
const MAX_TEXT_BYTES: usize = 128;
/// How much of an unknown name an answer repeats, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The API's own words about a field that it does not know; the CLI learns from them what to leave out.
const UNKNOWN: &str = "Extra inputs are not permitted";

/// What a request may say beside what is looked at: how the model answers, and nothing about where
/// and by whom. The CLI sends the first half of them.
const HARMLESS: [&str; 11] = [
    "context_management",
    "metadata",
    "output_config",
    "temperature",
    "thinking",
    "tool_choice",
    "cache_control",
    "output_format",
    "stop_sequences",
    "top_k",
    "top_p",
];

/// Whose form a body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'p> {
    /// The Anthropic API's: the model stands in the body.
    Anthropic,
    /// That of Vertex AI: the body says its version.
    Vertex {
        /// The model that the address names. Where it names none, the body does.
        model: Option<&'p str>,
    },
}

/// What the broker must know of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The model that is asked.
    pub(super) model: String,
    /// Where in a body of Vertex's form the version stands, with its name.
    pub(super) version_at: Option<Range<usize>>,
    /// Where in such a body the model stands, with its name.
    pub(super) model_at: Option<Range<usize>>,
    /// Whether the answer comes as events.
    pub(super) stream: bool,
    /// The largest number of tokens that the model may write, if the request limits it.
    pub(super) max_tokens: Option<u64>,
}

impl Request {
    /// Reads a request and refuses what must not be forwarded, with the reason.
    pub fn parse(body: &[u8], form: Form, allowed_models: &[String]) -> Result<Self, String> {
        let budget = Budget::default();
        let top = Top { budget: &budget, form, body_at: body.as_ptr().addr() };
        let mut json = serde_json::Deserializer::from_slice(body);
        let mut request = json
            .deserialize_any(top)
            .and_then(|request| json.end().map(|()| request))
            .map_err(|error| error.to_string())?;
        if let Form::Vertex { model } = form {
            if request.version_at.is_none() {
                return Err("anthropic_version: Field required".to_owned());
            }
            if let Some(model) = model {
                model.clone_into(&mut request.model);
            }
            if !head::is_model(&request.model) {
                return Err("model: must be a model's name".to_owned());
            }
        }
        if !allowed_models.iter().any(|prefix| request.model.starts_with(prefix.as_str())) {
            return Err("this model is not allowed here".to_owned());
        }
        Ok(request)
    }
}

/// Reads the top level of a request.
#[derive(Clone, Copy)]
struct Top<'a> {
    budget: &'a Budget,
    form: Form<'a>,
    /// The address of the body's first byte, to know where in it a text stands.
    body_at: usize,
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    /// Refuses a string. Without this method, serde would repeat the whole string in its error.
    fn visit_str<E: Error>(self, _: &str) -> Result<Request, E> {
        Err(E::custom("a request is an object"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
        let mut request = Request::default();
        let mut seen: Vec<Field> = Vec::new();
        while let Some((field, at)) = map.next_key_seed(FieldSeed)? {
            if seen.contains(&field) {
                return Err(A::Error::custom(format_args!("{field}: is there twice")));
            }
            self.read(&field, at, &mut map, &mut request)?;
            seen.push(field);
        }
        Ok(request)
    }
}

impl Top<'_> {
    fn read<'de, A: MapAccess<'de>>(
        self,
        field: &Field,
        at: Option<usize>,
        map: &mut A,
        request: &mut Request,
    ) -> Result<(), A::Error> {
        let refuse = |what: &str| Err(A::Error::custom(format_args!("{field}: {what}")));
        match field {
            Field::Model => match (self.form, map.next_value_seed(ScalarSeed)?) {
                (Form::Anthropic, Scalar::Text { text, .. }) => request.model = text,
                (Form::Vertex { model: None }, Scalar::Text { text, end }) => {
                    request.model = text;
                    request.model_at = self.place(at, end);
                    if request.model_at.is_none() {
                        return refuse("must be written without escapes");
                    }
                }
                (Form::Vertex { model: Some(_) }, _) => {
                    return refuse("the address names the model");
                }
                _ => return refuse("must be a model's name"),
            },
            Field::Version if self.form == Form::Anthropic => return refuse(UNKNOWN),
            Field::Version => match map.next_value_seed(ScalarSeed)? {
                Scalar::Text { text, end } if text == BODY_VERSION => {
                    request.version_at = self.place(at, end);
                    if request.version_at.is_none() {
                        return refuse("must be written without escapes");
                    }
                }
                _ => return refuse("only vertex-2023-10-16 is served here"),
            },
            Field::Stream => match map.next_value_seed(ScalarSeed)? {
                Scalar::Flag(stream) => request.stream = stream,
                _ => return refuse("must be true or false"),
            },
            Field::MaxTokens => match map.next_value_seed(ScalarSeed)? {
                Scalar::Count(tokens) => request.max_tokens = Some(tokens),
                _ => return refuse("must be a whole number"),
            },
            Field::Tools => {
                if !map.next_value_seed(Look(self.budget))?.is_list_of_own_tools() {
                    return refuse("tools that run on the API's servers are not allowed here");
                }
            }
            Field::Conversation(_) => {
                if map.next_value_seed(Look(self.budget))?.is_remote {
                    return refuse("content that the API fetches or runs is not allowed here");
                }
            }
            Field::Harmless(_) => {
                map.next_value_seed(Look(self.budget))?;
            }
            Field::Unknown(_) => return refuse(UNKNOWN),
        }
        Ok(())
    }
}

impl Top<'_> {
    /// Where a field stands whose name begins and whose text ends at these addresses, its quotes
    /// included. A text that had to be unescaped stands nowhere.
    fn place(self, name_at: Option<usize>, end: Option<usize>) -> Option<Range<usize>> {
        let start = name_at?.checked_sub(self.body_at + 1)?;
        Some(start..end?.checked_sub(self.body_at)? + 1)
    }
}

/// A name at the top of a request.
#[derive(Debug, PartialEq, Eq)]
enum Field {
    Model,
    Version,
    Stream,
    MaxTokens,
    Tools,
    Conversation(&'static str),
    Harmless(&'static str),
    Unknown(String),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Version => "anthropic_version",
            Self::Stream => "stream",
            Self::MaxTokens => "max_tokens",
            Self::Tools => "tools",
            Self::Conversation(name) | Self::Harmless(name) => name,
            Self::Unknown(name) => name,
        })
    }
}

struct FieldSeed;

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = (Field, Option<usize>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// The field, and the address of its name where it stands in the body as it is.
impl<'de> Visitor<'de> for FieldSeed {
    type Value = (Field, Option<usize>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of a request")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok((Field::of(name), Some(name.as_ptr().addr())))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok((Field::of(name), None))
    }
}

impl Field {
    fn of(name: &str) -> Self {
        match name {
            "model" => Self::Model,
            "anthropic_version" => Self::Version,
            "stream" => Self::Stream,
            "max_tokens" => Self::MaxTokens,
            "tools" => Self::Tools,
            "messages" => Self::Conversation("messages"),
            "system" => Self::Conversation("system"),
            _ => HARMLESS.into_iter().find(|harmless| *harmless == name).map_or_else(
                || Self::Unknown(name.chars().take(MAX_NAME_CHARS).collect()),
                Self::Harmless,
            ),
        }
    }
}

/// A value that is kept.
enum Scalar {
    /// A text, and the address behind it where it stands in the body as it is.
    Text {
        text: String,
        end: Option<usize>,
    },
    Count(u64),
    Flag(bool),
    Other,
}

impl Scalar {
    fn of(text: &str, end: Option<usize>) -> Self {
        if text.len() > MAX_TEXT_BYTES {
            return Self::Other;
        }
        Self::Text { text: text.to_owned(), end }
    }
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a short text, true or false")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar, E> {
        Ok(Scalar::of(text, Some(text.as_ptr().addr() + text.len())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::of(text, None))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Count(number))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }
}

#[cfg(test)]
mod tests;
