//! What is to be known of an endpoint.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{ErrorCode, Id};

/// One endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Which one, for the server's list of handlers.
    pub id: Id,
    /// Its name with underscores; with hyphens it is the same.
    pub name: &'static str,
    /// The method that it is asked with. Where it is GET, HEAD is answered too.
    pub method: Method,
    /// Whether a request needs the secret.
    pub needs_secret: bool,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// What it is asked with.
    pub takes: Takes,
    /// What it can answer.
    pub gives: &'static [Gives],
    /// How it can fail, beside what follows from what it takes.
    pub fails: &'static [ErrorCode],
}

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
}

/// What an endpoint is asked with.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// The parameters of a query.
    Query(TypeOf),
    /// A JSON body.
    Json(TypeOf),
    /// The parameters of a query, and a file as the body: its bytes, or a form with one file.
    Upload(TypeOf),
}

/// What an endpoint can answer.
#[derive(Debug, Clone, Copy)]
pub enum Gives {
    /// JSON with this status.
    Json(u16, TypeOf),
    /// A file's bytes, whole or a part, with its own media type.
    File,
    /// Events of a run.
    Events,
    /// The description of all endpoints.
    OpenApi,
}

/// A type, by its schema.
#[derive(Debug, Clone, Copy)]
pub struct TypeOf(fn(&mut SchemaGenerator) -> Schema);

impl TypeOf {
    /// The schema of `T`.
    pub const fn of<T: JsonSchema>() -> Self {
        Self(SchemaGenerator::subschema_for::<T>)
    }

    /// The schema, or a reference to it.
    pub fn schema(self, generator: &mut SchemaGenerator) -> Schema {
        (self.0)(generator)
    }
}

impl Endpoint {
    /// The other spelling of its name, if that is another.
    pub fn hyphenated(&self) -> Option<String> {
        self.name.contains('_').then(|| self.name.replace('_', "-"))
    }

    /// Every code that it can answer with.
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
