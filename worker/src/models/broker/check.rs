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

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::content::{Budget, Look};

/// The longest text that is kept, in bytes: the name of a model.
const MAX_TEXT_BYTES: usize = 128;
/// How much of an unknown name an answer repeats, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The fields that are allowed without a check. They say how the model answers, and nothing about
/// where or by which service. The CLI sends the first half of them.
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

/// The parts of a request that the broker needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The name of the model.
    model: String,
    /// Whether the answer is streamed as events.
    pub(super) stream: bool,
    /// The largest number of tokens that the model may write, if the request limits it.
    pub(super) max_tokens: Option<u64>,
}

impl Request {
    /// Checks a request. The error is the reason why it must not be forwarded.
    pub fn parse(body: &[u8], allowed_models: &[String]) -> Result<Self, String> {
        let budget = Budget::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let request = json
            .deserialize_any(Top(&budget))
            .and_then(|request| json.end().map(|()| request))
            .map_err(|error| error.to_string())?;
        if !allowed_models.iter().any(|prefix| request.model.starts_with(prefix.as_str())) {
            return Err("this model is not allowed here".to_owned());
        }
        Ok(request)
    }
}

/// Reads the top level of a request.
#[derive(Clone, Copy)]
struct Top<'a>(&'a Budget);

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
        while let Some(field) = map.next_key_seed(FieldSeed)? {
            if seen.contains(&field) {
                return Err(A::Error::custom(format_args!("{field}: is there twice")));
            }
            self.read(&field, &mut map, &mut request)?;
            seen.push(field);
        }
        Ok(request)
    }
}

impl Top<'_> {
    fn read<'de, A: MapAccess<'de>>(
        self,
        field: &Field,
        map: &mut A,
        request: &mut Request,
    ) -> Result<(), A::Error> {
        let refuse = |what: &str| Err(A::Error::custom(format_args!("{field}: {what}")));
        match field {
            Field::Model => match map.next_value_seed(ScalarSeed)? {
                Scalar::Text(model) => request.model = model,
                _ => return refuse("must be a model's name"),
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
                if !map.next_value_seed(Look(self.0))?.is_list_of_own_tools() {
                    return refuse("tools that run on the API's servers are not allowed here");
                }
            }
            Field::Conversation(_) => {
                if map.next_value_seed(Look(self.0))?.is_remote {
                    return refuse("content that the API fetches or runs is not allowed here");
                }
            }
            Field::Harmless(_) => {
                map.next_value_seed(Look(self.0))?;
            }
            // The wording of the API's own error, from which the CLI knows which field to leave
            // out.
            Field::Unknown(_) => return refuse("Extra inputs are not permitted"),
        }
        Ok(())
    }
}

/// The name of a field at the top level.
#[derive(Debug, PartialEq, Eq)]
enum Field {
    Model,
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
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of a request")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(match name {
            "model" => Field::Model,
            "stream" => Field::Stream,
            "max_tokens" => Field::MaxTokens,
            "tools" => Field::Tools,
            "messages" => Field::Conversation("messages"),
            "system" => Field::Conversation("system"),
            _ => HARMLESS.into_iter().find(|harmless| *harmless == name).map_or_else(
                || Field::Unknown(name.chars().take(MAX_NAME_CHARS).collect()),
                Field::Harmless,
            ),
        })
    }
}

/// A value that is kept.
enum Scalar {
    Text(String),
    Count(u64),
    Flag(bool),
    Other,
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for ScalarSeed {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a short text, true or false")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        let is_short = text.len() <= MAX_TEXT_BYTES;
        Ok(if is_short { Scalar::Text(text.to_owned()) } else { Scalar::Other })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Count(number))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, String> {
        Request::parse(text.as_bytes(), &["claude-".to_owned()])
    }

    #[test]
    fn passes_what_the_cli_sends() {
        let request = parse(concat!(
            r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"#,
            r#""system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"#,
            r#""tools":[{"name":"Bash","description":"x","input_schema":{"type":"object"}}],"#,
            r#""metadata":{"user_id":"u"},"max_tokens":128000,"thinking":{"type":"adaptive"},"#,
            r#""context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"#,
            r#""output_config":{"effort":"medium"},"temperature":1,"tool_choice":{"type":"auto"},"stream":true}"#,
        ));
        let model = "claude-opus-5-5".to_owned();
        assert_eq!(request, Ok(Request { model, stream: true, max_tokens: Some(128_000) }));
        assert!(parse(r#"{"model":"claude-x","tools":[{"type":"custom","name":"a"}]}"#).is_ok());
    }

    #[test]
    fn refuses_what_leads_elsewhere_and_says_why() {
        for (text, reason) in [
            ("", "EOF while parsing a value"),
            ("[]", "invalid type: sequence, expected a request"),
            ("7", "invalid type: integer `7`, expected a request"),
            ("\"model\"", "a request is an object"),
            ("{}", "this model is not allowed here"),
            (r#"{"model":"gpt-x"}"#, "this model is not allowed here"),
            (r#"{"model":1}"#, "model: must be a model's name"),
            (r#"{"model":["claude-x"]}"#, "invalid type: sequence"),
            (r#"{"model":"claude-x"} {}"#, "trailing characters"),
            (r#"{"model":"claude-x","model":"claude-y"}"#, "model: is there twice"),
            (r#"{"model":"claude-x","system":[],"system":[]}"#, "system: is there twice"),
            (r#"{"model":"claude-x","stream":"yes"}"#, "stream: must be true or false"),
            (r#"{"model":"claude-x","max_tokens":-1}"#, "invalid type: integer `-1`"),
            (r#"{"model":"claude-x","max_tokens":"1"}"#, "max_tokens: must be a whole number"),
            (
                r#"{"model":"claude-x","tools":[{"type":"web_fetch_20250910"}]}"#,
                "tools: tools that run",
            ),
            (
                r#"{"model":"claude-x","messages":[{"content":[{"source":{"type":"url"}}]}]}"#,
                "messages: content",
            ),
            (r#"{"model":"claude-x","system":[{"source":{"type":"file"}}]}"#, "system: content"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_every_field_that_is_not_known_to_be_harmless() {
        for field in [
            // Fields that change which service answers, where, and what that costs.
            "service_tier",
            "speed",
            "inference_geo",
            "fallbacks",
            "fallback",
            // Fields that make the API do or remember something else than answering.
            "container",
            "mcp_servers",
            "thread",
            "diagnostics",
            "safeguards",
            "betas",
            "x",
        ] {
            let error = parse(&format!(r#"{{"{field}":null,"model":"claude-x"}}"#)).unwrap_err();
            assert!(
                error.starts_with(&format!("{field}: Extra inputs are not permitted")),
                "{error}"
            );
        }
    }

    #[test]
    fn errors_repeat_little_of_what_was_sent() {
        let long = "x".repeat(100_000);
        for text in [
            format!(r#""{long}""#),
            format!(r#"{{"{long}":1}}"#),
            format!(r#"{{"model":"{long}"}}"#),
            format!(r#"{{"stream":"{long}"}}"#),
            format!(r#"{{"max_tokens":"{long}"}}"#),
            format!(r#"{{"tools":"{long}"}}"#),
            format!(r#"{{"tools":["{long}"]}}"#),
            format!(r#"{{"tools":[{{"type":"{long}"}}]}}"#),
            format!(r#"{{"messages":{{"type":"url","x":"{long}"}}}}"#),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.len() < 200, "{} bytes: {error:.100}", error.len());
        }
    }
}
