//! A JSON value of any kind, of which only the parts that a caller asks for are built.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value of any kind. An object is parsed as `O` and a list as `L`; with [`IgnoredAny`],
/// they are read and dropped.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) enum Any<'a, O = IgnoredAny, L = IgnoredAny> {
    /// Null, or a field that is missing.
    #[default]
    Null,
    Bool(bool),
    /// A whole number that is not negative.
    Number(u64),
    /// A string, borrowed from the line unless it contains escapes.
    Text(Cow<'a, str>),
    Object(O),
    List(L),
    /// A negative or fractional number.
    Other,
}

impl<O, L> Any<'_, O, L> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn object(&self) -> Option<&O> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&L> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a, O, L> Deserialize<'de> for Any<'a, O, L>
where
    O: Deserialize<'de>,
    L: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

struct Anything<'a, O, L>(PhantomData<Any<'a, O, L>>);

impl<'de: 'a, 'a, O, L> Visitor<'de> for Anything<'a, O, L>
where
    O: Deserialize<'de>,
    L: Deserialize<'de>,
{
    type Value = Any<'a, O, L>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Any::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Any::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Any::Number(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Any::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Any::Other)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Any::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Any::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        L::deserialize(SeqAccessDeserializer::new(items)).map(Any::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        O::deserialize(MapAccessDeserializer::new(fields)).map(Any::Object)
    }
}
