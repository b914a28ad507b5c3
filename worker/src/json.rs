//! Types for reading JSON from an untrusted sender, which build no more than is asked for.
//!
//! Ordinary deserialization has three habits that are unwanted for such JSON. A derived
//! `Deserialize` accepts a list where an object belongs, and takes its values in the order of the
//! fields. A `Vec` or a map is built however many items there are, although an item of two bytes may
//! take a hundred in memory. And a string is copied although the whole body is in memory already.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A `T` that must be written as a JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

/// A list of at most `MAX` items. If there is one more, reading fails before it is parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(pub Vec<T>);

/// An object of at most `MAX` members with any names. If there is one more, reading fails before it
/// is parsed. Of members with the same name the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<T, const MAX: usize>(pub BTreeMap<String, T>);

/// A string. It borrows from the text that is parsed, unless it contains escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() < MAX {
                    match items.next_element()? {
                        Some(item) => list.push(item),
                        None => return Ok(List(list)),
                    }
                }
                match items.next_element::<serde::de::IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom(format_args!("more than {MAX} items"))),
                    None => Ok(List(list)),
                }
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Map<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Members<T, MAX> {
            type Value = Map<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {MAX} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(name) = members.next_key()? {
                    if map.len() == MAX && !map.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("more than {MAX} members")));
                    }
                    map.insert(name, members.next_value()?);
                }
                Ok(Map(map))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed<'a>(PhantomData<&'a str>);

        impl<'de: 'a, 'a> Visitor<'de> for Borrowed<'a> {
            type Value = Text<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrowed(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        a: Text<'a>,
        b: Option<u8>,
    }

    #[test]
    fn an_object_is_no_list() {
        let read = serde_json::from_str::<Object<Pair<'_>>>;
        let expected = Pair { a: Text("x".into()), b: Some(1) };
        assert_eq!(read(r#"{"a":"x","b":1,"c":[]}"#).unwrap(), Object(expected));
        // Without the wrapper, the list is accepted.
        assert!(serde_json::from_str::<Pair<'_>>(r#"["x",1]"#).is_ok());
        for text in [r#"["x",1]"#, "[]", "null", "3", r#""x""#, r#"{"a":3}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_has_an_end() {
        let read = serde_json::from_str::<List<u8, 2>>;
        assert_eq!(read("[1,2]").unwrap(), List(vec![1, 2]));
        assert_eq!(read("[]").unwrap(), List(vec![]));
        let error = read("[1,2,3]").unwrap_err().to_string();
        assert!(error.contains("more than 2 items"), "{error}");
        // Reading stops at the limit, so what follows need not be JSON.
        assert!(read("[1,2,3,").unwrap_err().to_string().contains("more than 2 items"));
        assert!(read("{}").is_err());
    }

    #[test]
    fn a_map_has_an_end() {
        let read = serde_json::from_str::<Map<u8, 2>>;
        let expected = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 2)]);
        assert_eq!(read(r#"{"a":1,"b":2,"a":3}"#).unwrap(), Map(expected));
        let error = read(r#"{"a":1,"b":2,"c":3}"#).unwrap_err().to_string();
        assert!(error.contains("more than 2 members"), "{error}");
        // What follows is not read any more, so it need not be JSON.
        assert!(read(r#"{"a":1,"b":2,"c"#).is_err());
        assert!(read("[]").is_err());
    }

    #[test]
    fn a_string_is_copied_only_for_its_escapes() {
        let read = |text| serde_json::from_str::<Text<'_>>(text).unwrap().0;
        assert!(matches!(read(r#""あ""#), Cow::Borrowed("あ")));
        assert!(matches!(read(r#""a\n""#), Cow::Owned(text) if text == "a\n"));
        assert!(serde_json::from_str::<Text<'_>>("[]").is_err());
    }
}
