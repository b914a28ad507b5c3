//! Strict parsing of query strings. The usual parsers replace invalid UTF-8, but a path in a query
//! must not be changed.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::ApiError;

/// The largest number of parameters of a request. It is limited because each is compared with those
/// before.
const MAX_PARAMETERS: usize = 32;

/// The parameters of a query, parsed as a type.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Pairs::parse(parts.uri.query().unwrap_or_default())?.read().map(Self)
    }
}

/// The parameters of a query, as texts.
#[derive(Debug, Default)]
struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Parses a query string. No name may occur twice, because another program on the way might use
    /// the other value.
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                let message = format!("the query has more than {MAX_PARAMETERS} parameters");
                return Err(ApiError::bad_request(message));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                let name = name.escape_debug();
                return Err(ApiError::bad_request(format!("{name}: stands twice in the query")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Parses the parameters as the fields of a type.
    fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let fields = Fields { rest: &self.0, value: None };
        T::deserialize(serde::de::value::MapAccessDeserializer::new(fields))
            .map_err(|error| ApiError::bad_request(error.0))
    }
}

/// The parameters, as serde reads the fields of a type.
struct Fields<'a> {
    rest: &'a [(String, String)],
    value: Option<&'a (String, String)>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((first, rest)) = self.rest.split_first() else { return Ok(None) };
        (self.rest, self.value) = (rest, Some(first));
        let name: StrDeserializer<'_, Wrong> = first.0.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((name, value)) = self.value else { return Err(Wrong("no value".to_owned())) };
        // The message contains only names that the type knows, so they need no escapes.
        seed.deserialize(Text(value)).map_err(|Wrong(reason)| Wrong(format!("{name}: {reason}")))
    }
}

/// One value. The field's type decides how it is parsed.
struct Text<'a>(&'a str);

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u32(self.0.parse().map_err(serde::de::Error::custom)?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let text: StrDeserializer<'_, Wrong> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Why a query cannot be parsed as the type.
#[derive(Debug)]
struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(reason.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self(format!("{name}: is required"))
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.as_bytes().get(..2).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(ApiError::bad_request("the query has a broken percent-encoding"));
        }
        rest = after;
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ApiError::bad_request("the query is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;
    use crate::api::request::{GetFile, GetVersions, ListFiles, Switch};

    const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

    impl Pairs {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        }
    }

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        let read = Pairs::parse(text).and_then(|pairs| pairs.read());
        read.map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn each_parameter_goes_through_its_type() {
        let ids = format!("user_id={ID}&project_id={ID}");
        let versions: GetVersions = read(&format!("{ids}&limit=7&more=x")).unwrap();
        assert_eq!((versions.limit, versions.skip), (Some(7), None));
        let files: ListFiles = read(&format!("{ids}&details=1")).unwrap();
        assert_eq!(files.details, Some(Switch::On));
        for (further, why) in [
            ("&limit=-1", "limit: invalid digit"),
            ("&limit=4294967296", "limit: number too large"),
            ("&limit=", "limit: cannot parse"),
        ] {
            let wrong = read::<GetVersions>(&format!("{ids}{further}")).unwrap_err();
            assert!(wrong.contains(why), "{wrong}");
        }
        let wrong = read::<ListFiles>(&format!("{ids}&details=2")).unwrap_err();
        assert!(wrong.contains("details: "), "{wrong}");
        let wrong = read::<ListFiles>(&format!("user_id={ID}")).unwrap_err();
        assert!(wrong.contains("project_id: is required"), "{wrong}");
        let wrong = read::<ListFiles>(&format!("user_id=x&project_id={ID}")).unwrap_err();
        assert!(wrong.contains("user_id: must be a UUID"), "{wrong}");
    }

    #[test]
    fn decodes_what_browsers_send() {
        let query = Pairs::parse("user_id=a&path=%E7%94%BB%E5%83%8F%2Fa+b.png&flag").unwrap();
        assert_eq!(query.get("path"), Some("画像/a b.png"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("none"), None);
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for text in ["a=%ff", "a=%c0%ae", "a=%", "a=%2", "a=%zz", "a=1&a=2", "%61=1&a=2"] {
            assert!(Pairs::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_more_parameters_than_any_endpoint_has() {
        let query = |n: usize| {
            let names: Vec<String> = (0..n).map(|i| format!("p{i}=")).collect();
            names.join("&")
        };
        assert!(Pairs::parse(&query(MAX_PARAMETERS)).is_ok());
        assert!(Pairs::parse(&query(MAX_PARAMETERS + 1)).is_err());
    }

    #[test]
    fn decodes_once_only() {
        assert_eq!(Pairs::parse("a=%252e%252e").unwrap().get("a"), Some("%2e%2e"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_arrives_as_it_was_and_decides_as_it_would(
            text in prop_oneof![any::<String>(), "[a-z/.%+&=\\\\~ \u{0}あ\u{3099}]{0,20}"],
        ) {
            let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
            // With every byte encoded, and in the encoding of forms.
            let every = text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"));
            for encoded in [encoded.clone(), encoded.replace("%20", "+"), every] {
                let query = Pairs::parse(&format!("a=b&path={encoded}")).unwrap();
                prop_assert_eq!(query.get("path"), Some(text.as_str()));
                let ids = format!("user_id={ID}&project_id={ID}");
                let asked = Pairs::parse(&format!("{ids}&path={encoded}")).unwrap().read::<GetFile>();
                prop_assert_eq!(asked.ok().and_then(|asked| asked.path), text.parse().ok());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-c%=&+0-9éあ]{0,40}") {
            if let Ok(query) = Pairs::parse(&text) {
                prop_assert!(query.0.len() <= MAX_PARAMETERS);
            }
        }
    }
}
