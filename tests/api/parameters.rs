//! Finds the parameters of endpoints that name something, from the `OpenAPI` document. So a new
//! endpoint is attacked without a change of these tests.

use dreamcore_worker::api::{ENDPOINTS, Method, openapi};
use serde_json::{Value, json};

use crate::corpus::Payload;
use crate::support::ID;

/// What a value means to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The path of a file in the project.
    Path,
    /// A UUID. No hostile value is one.
    Id,
    /// The name of a skill.
    Skill,
    /// The hash of a version.
    Version,
    /// The path of a file to be written. A bad one ends the stream with an error; a good one is
    /// written.
    Written,
}

impl Kind {
    /// The kind of a type. `None` for text that is only stored or passed on, and for types whose
    /// values are harmless or have tests of their own.
    fn of(name: &str, in_body: bool) -> Option<Self> {
        match name {
            "UserId" | "ProjectId" | "AssetId" => Some(Self::Id),
            "RequestPath" if in_body => Some(Self::Written),
            "RequestPath" => Some(Self::Path),
            "SkillName" => Some(Self::Skill),
            "VersionId" => Some(Self::Version),
            "Prompt" | "VersionMessage" | "FileName" | "Switch" | "VersionAction"
            | "FileAction" | "Encoding" | "Dimension" => None,
            other => panic!("what is a hostile value of the type {other}?"),
        }
    }

    /// A valid value.
    pub(crate) fn good(self) -> &'static str {
        match self {
            Self::Path | Self::Written => "index.html",
            Self::Id => ID,
            Self::Skill => "p5js-setup",
            Self::Version => "0123456",
        }
    }

    /// The status with which this value must be refused. `None` if it is valid.
    pub(crate) fn expects(self, payload: &Payload) -> Option<u16> {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
        let is_skill =
            payload.bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
                && payload.bytes.len() <= 64
                && payload.bytes.iter().all(plain);
        let is_version = (7..=40).contains(&payload.bytes.len())
            && payload.bytes.iter().all(u8::is_ascii_hexdigit);
        match self {
            Self::Path => Some(payload.status),
            Self::Id => Some(400),
            Self::Skill => (!is_skill).then_some(400),
            Self::Version => (!is_version).then_some(400),
            Self::Written if payload.status != 400 => None,
            // A value that is not UTF-8 is not valid JSON.
            Self::Written if std::str::from_utf8(&payload.bytes).is_err() => Some(400),
            Self::Written => Some(200),
        }
    }
}

/// The parameters of an endpoint that name something.
#[derive(Debug)]
pub(crate) enum Takes {
    /// Parameters of the query.
    Query(Vec<(String, Kind)>),
    /// Parameters of the query, with a file as the body.
    Upload(Vec<(String, Kind)>),
    /// Places in a JSON body.
    Json(Vec<Place>),
}

/// A place in a JSON body.
#[derive(Debug)]
pub(crate) struct Place {
    /// The place as a JSON pointer.
    pub(crate) pointer: String,
    pub(crate) kind: Kind,
    /// A valid body that has this place.
    pub(crate) body: Value,
}

/// Every endpoint with parameters, and those of its parameters that name something.
pub(crate) fn parameters() -> Vec<(&'static str, Takes)> {
    let document: Value = serde_json::from_str(openapi::CHECKED_IN).expect("it is JSON");
    let taken = ENDPOINTS.iter().filter_map(|endpoint| {
        let method = if endpoint.method == Method::Get { "get" } else { "post" };
        let operation = &document["paths"][format!("/{}", endpoint.name)][method];
        let query = operation["parameters"].as_array().map(|parameters| {
            let named = parameters.iter().filter_map(|parameter| {
                let name = parameter["name"].as_str().expect("a name");
                let kind = Kind::of(name_of(&parameter["schema"])?, false)?;
                Some((name.to_owned(), kind))
            });
            named.collect::<Vec<_>>()
        });
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let takes = match query {
            Some(query) if operation.get("requestBody").is_some() => Takes::Upload(query),
            Some(query) => Takes::Query(query),
            None if body.is_null() => return None,
            None => Takes::Json(places(&document, body)),
        };
        Some((endpoint.name, takes))
    });
    taken.collect()
}

/// The name of the type to which a schema refers, also if the value is optional.
fn name_of(schema: &Value) -> Option<&str> {
    let direct = schema["$ref"].as_str();
    let optional = || schema["anyOf"].as_array()?.iter().find_map(|one| one["$ref"].as_str());
    direct.or_else(optional)?.rsplit('/').next()
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    name_of(schema).map_or(schema, |name| &document["components"]["schemas"][name])
}

/// Every place in a schema, each with a valid body.
fn places(document: &Value, schema: &Value) -> Vec<Place> {
    let schema = resolved(document, schema);
    let mut found = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        for (pointer, kind, value) in leaves(document, field) {
            let mut body = good(document, schema);
            body[name] = value;
            found.push(Place { pointer: format!("/{name}{pointer}"), kind, body });
        }
    }
    found
}

/// The values in a field that name something: the pointer, the kind, and a valid field with the
/// value.
fn leaves(document: &Value, field: &Value) -> Vec<(String, Kind, Value)> {
    let schema = resolved(document, field);
    if let Some(items) = schema.get("items") {
        let inner = leaves(document, items).into_iter();
        return inner.map(|(at, kind, value)| (format!("/0{at}"), kind, json!([value]))).collect();
    }
    if schema.get("properties").is_some() {
        let inner = places(document, schema).into_iter();
        return inner.map(|place| (place.pointer, place.kind, place.body)).collect();
    }
    let kind = name_of(field).and_then(|name| Kind::of(name, true));
    kind.map(|kind| (String::new(), kind, kind.good().into())).into_iter().collect()
}

/// A valid value of a schema, with the required fields only.
fn good(document: &Value, schema: &Value) -> Value {
    if let Some(kind) = name_of(schema).and_then(|name| named_leaf(document, name)) {
        return kind.good().into();
    }
    let schema = resolved(document, schema);
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required.map(|name| {
                let name = name.as_str().expect("a name");
                (name.to_owned(), good(document, &schema["properties"][name]))
            });
            Value::Object(fields.collect())
        }
        Some("array") => json!([]),
        _ => json!("text"),
    }
}

fn named_leaf(document: &Value, name: &str) -> Option<Kind> {
    let is_text = document["components"]["schemas"][name]["type"] == "string";
    if is_text { Kind::of(name, true) } else { None }
}

#[test]
fn the_places_of_values_are_found_in_queries_bodies_and_lists() {
    let all = parameters();
    let of = |wanted: &str| &all.iter().find(|(name, _)| *name == wanted).expect("it is there").1;
    assert!(matches!(of("get_file"), Takes::Query(found) if found.len() == 3));
    assert!(matches!(of("upload_asset"), Takes::Upload(found) if found.len() == 1));
    let Takes::Json(places) = of("apply_files") else { panic!("a body") };
    let mut found: Vec<_> = places.iter().map(|place| place.pointer.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["/commit", "/files/0/path", "/project_id", "/user_id"]);
    let Takes::Json(places) = of("generate_game") else { panic!("a body") };
    assert!(places.iter().any(|place| place.pointer == "/skills/0" && place.kind == Kind::Skill));
}
