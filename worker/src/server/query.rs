//! Query strings, read strictly: the usual readers replace broken UTF-8, and a path must not change
//! on its way in.

use percent_encoding::percent_decode_str;

use super::error::ApiError;
use crate::store::projects::ProjectKey;

/// Most parameters of one request. Each is compared with those before it.
const MAX_PARAMETERS: usize = 32;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string. A name may stand once only, because two readers could take different
    /// ones.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
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

    /// The value of a parameter, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The project that a request is about.
    pub(super) fn project(&self) -> Result<ProjectKey, ApiError> {
        Ok(ProjectKey { user: self.required("user_id")?, project: self.required("project_id")? })
    }

    /// A parameter that must be there, through its type.
    pub(super) fn required<T>(&self, name: &str) -> Result<T, ApiError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let value =
            self.get(name).ok_or_else(|| ApiError::bad_request(format!("{name}: is required")))?;
        parse_value(name, value)
    }
}

/// One value through its type, with the parameter's name in the error.
pub(super) fn parse_value<T>(name: &str, value: &str) -> Result<T, ApiError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    value.parse().map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
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
    use crate::types::RequestPath;

    #[test]
    fn decodes_what_browsers_send() {
        let query = Query::parse("user_id=a&path=%E7%94%BB%E5%83%8F%2Fa+b.png&flag").unwrap();
        assert_eq!(query.get("path"), Some("画像/a b.png"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("none"), None);
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for text in ["a=%ff", "a=%c0%ae", "a=%", "a=%2", "a=%zz", "a=1&a=2", "%61=1&a=2"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_more_parameters_than_any_endpoint_has() {
        let query = |n: usize| {
            let names: Vec<String> = (0..n).map(|i| format!("p{i}=")).collect();
            names.join("&")
        };
        assert!(Query::parse(&query(MAX_PARAMETERS)).is_ok());
        assert!(Query::parse(&query(MAX_PARAMETERS + 1)).is_err());
    }

    #[test]
    fn decodes_once_only() {
        assert_eq!(Query::parse("a=%252e%252e").unwrap().get("a"), Some("%2e%2e"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_arrives_as_it_was_and_decides_as_it_would(
            text in prop_oneof![any::<String>(), "[a-z/.%+&=\\\\~ \u{0}あ\u{3099}]{0,20}"],
        ) {
            let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
            // Every byte encoded, and as forms do it.
            let every = text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"));
            for encoded in [encoded.clone(), encoded.replace("%20", "+"), every] {
                let query = Query::parse(&format!("a=b&path={encoded}")).unwrap();
                prop_assert_eq!(query.get("path"), Some(text.as_str()));
                let asked = query.required::<RequestPath>("path").ok();
                prop_assert_eq!(asked, text.parse().ok());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-c%=&+0-9éあ]{0,40}") {
            if let Ok(query) = Query::parse(&text) {
                prop_assert!(query.0.len() <= MAX_PARAMETERS);
            }
        }
    }
}
