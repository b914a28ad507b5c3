//! The description of one endpoint: a row of the table of endpoints.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{ErrorCode, Id};

/// One endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// The endpoint's identity, by which the server finds its handler.
    pub id: Id,
    /// The name, with underscores. The server also answers under the name with hyphens.
    pub name: &'static str,
    /// The method that the endpoint takes.
    pub method: Method,
    /// Whether a request must carry the secret.
    pub needs_secret: bool,
    /// What the endpoint does, in one sentence. The documents show it.
    pub about: &'static str,
    /// What a request consists of.
    pub takes: Takes,
    /// The forms of a successful answer.
    pub gives: &'static [Gives],
    /// The codes with which it can fail, in addition to those that follow from `takes`.
    pub fails: &'static [ErrorCode],
}

/// The HTTP method of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET. HEAD is answered too.
    Get,
    /// POST only.
    Post,
}

/// What a request consists of.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// Neither parameters nor a body.
    Nothing,
    /// Parameters in the query.
    Query(TypeOf),
    /// A JSON body.
    Json(TypeOf),
    /// Parameters in the query, and a file as the body: its bytes, or a form with one file.
    Upload(TypeOf),
}

/// One form of a successful answer.
#[derive(Debug, Clone, Copy)]
pub enum Gives {
    /// JSON with this status.
    Json(u16, TypeOf),
    /// The bytes of a file or a range of them, with the file's media type.
    File,
    /// A stream of a run's events.
    Events,
    /// The `OpenAPI` document.
    OpenApi,
}

/// A type, represented by the function that makes its schema, so that a constant table can hold it.
#[derive(Debug, Clone, Copy)]
pub struct TypeOf(fn(&mut SchemaGenerator) -> Schema);

impl TypeOf {
    /// Represents `T`.
    pub const fn of<T: JsonSchema>() -> Self {
        Self(SchemaGenerator::subschema_for::<T>)
    }

    /// The type's schema, or a reference to it among the generator's definitions.
    pub fn schema(self, generator: &mut SchemaGenerator) -> Schema {
        (self.0)(generator)
    }
}

impl Endpoint {
    /// The name with hyphens. `None` if it has no underscore to replace.
    pub fn hyphenated(&self) -> Option<String> {
        self.name.contains('_').then(|| self.name.replace('_', "-"))
    }

    /// Every error code with which the endpoint can answer.
    pub fn codes(&self) -> Vec<ErrorCode> {
        let mut codes = match self.takes {
            Takes::Nothing => Vec::new(),
            Takes::Query(_) => vec![ErrorCode::InvalidRequest],
            Takes::Json(_) | Takes::Upload(_) => vec![
                ErrorCode::InvalidRequest,
                ErrorCode::BodyTimeout,
                ErrorCode::BodyTooLarge,
                ErrorCode::UnsupportedMediaType,
            ],
        };
        if self.needs_secret {
            codes.push(ErrorCode::Unauthorized);
        }
        codes.extend([ErrorCode::MethodNotAllowed, ErrorCode::InternalError]);
        codes.extend(self.fails);
        codes.sort_unstable_by_key(|code| (code.status(), code.as_str()));
        codes
    }
}
