//! The table of endpoints as an `OpenAPI` 3.1 document.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Gives, Method, Takes, TypeOf};
use super::{ENDPOINTS, ErrorCode, answer, request};

/// The document that the worker serves. A test fails if it differs from the result of [`document`].
pub const CHECKED_IN: &str = include_str!("../../../openapi/dreamcore-worker.json");

/// The name of the security scheme: the header with the secret.
const SECRET: &str = "secret";

/// Makes the document. `event` is the type of one event of a stream.
pub fn document(event: TypeOf) -> Value {
    let mut builder = Builder::new();
    builder.event = builder.answers.schema_of(event);
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let method = match endpoint.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        paths.insert(format!("/{}", endpoint.name), json!({ method: builder.operation(endpoint) }));
    }
    let schemas = builder.schemas();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dreamcore-worker",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Generates browser games with the Claude CLI in a sandbox, and keeps every version. Each endpoint has a second spelling, with hyphens in place of underscores. A host whose first label ends with that second spelling answers for the endpoint at / too.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                SECRET: { "type": "apiKey", "in": "header", "name": "X-Modal-Secret" },
            },
        },
    })
}

/// Collects the schemas that the document refers to. There are two generators, because a type that
/// the worker reads and one that it writes have different rules for missing fields.
struct Builder {
    requests: Schemas,
    answers: Schemas,
    /// A reference to the schema of one event of a stream.
    event: Value,
}

struct Schemas(SchemaGenerator);

impl Schemas {
    fn schema_of(&mut self, of: TypeOf) -> Value {
        of.schema(&mut self.0).into()
    }
}

impl Builder {
    fn new() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings
        };
        Self {
            requests: Schemas(settings().for_deserialize().into_generator()),
            answers: Schemas(settings().for_serialize().into_generator()),
            event: Value::Null,
        }
    }

    fn schemas(mut self) -> Map<String, Value> {
        let mut all = self.requests.0.take_definitions(true);
        all.append(&mut self.answers.0.take_definitions(true));
        all.sort_keys();
        all
    }

    fn operation(&mut self, endpoint: &Endpoint) -> Value {
        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), endpoint.name.replace(['/', '.'], "_").into());
        operation.insert("summary".to_owned(), endpoint.about.into());
        if endpoint.needs_secret {
            operation.insert("security".to_owned(), json!([{ SECRET: [] }]));
        }
        match endpoint.takes {
            Takes::Nothing => {}
            Takes::Query(of) => {
                operation.insert("parameters".to_owned(), self.parameters(of));
            }
            Takes::Json(of) => {
                let schema = self.requests.schema_of(of);
                let content = json!({ "application/json": { "schema": schema } });
                operation.insert(
                    "requestBody".to_owned(),
                    json!({ "required": true, "content": content }),
                );
            }
            Takes::Upload(of) => {
                operation.insert("parameters".to_owned(), self.parameters(of));
                let file =
                    json!({ "type": "string", "contentMediaType": "application/octet-stream" });
                let form = json!({ "type": "object", "properties": { "file": file } });
                let content = json!({
                    "application/octet-stream": {},
                    "multipart/form-data": { "schema": form },
                });
                let description = format!(
                    "The file. It must arrive within {} s, without a silence of more than {} s.",
                    request::UPLOAD_WITHIN.as_secs(),
                    request::UPLOAD_SILENCE.as_secs(),
                );
                operation.insert(
                    "requestBody".to_owned(),
                    json!({ "description": description, "required": true, "content": content }),
                );
            }
        }
        operation.insert("responses".to_owned(), self.responses(endpoint).into());
        operation.into()
    }

    /// The fields of a type, as parameters of a query.
    fn parameters(&mut self, of: TypeOf) -> Value {
        let schema = self.requests.inline(of);
        let required =
            schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let fields = schema.get("properties").and_then(Value::as_object).cloned();
        let parameters = fields.unwrap_or_default().into_iter().map(|(name, mut field)| {
            let required = required.iter().any(|other| *other == *name);
            let about = field.as_object_mut().and_then(|field| field.remove("description"));
            json!({
                "name": name,
                "in": "query",
                "required": required,
                "description": about,
                "schema": without_null(field),
            })
        });
        parameters.collect()
    }

    fn responses(&mut self, endpoint: &Endpoint) -> Map<String, Value> {
        let mut responses: Map<String, Value> = Map::new();
        for gives in endpoint.gives {
            let (status, media_type, schema) = match *gives {
                Gives::Json(status, of) => (status, "application/json", self.answers.schema_of(of)),
                Gives::File => (200, "*/*", json!({})),
                Gives::Events => (200, "text/event-stream", self.event.clone()),
                Gives::OpenApi => (200, "application/json", json!({ "type": "object" })),
            };
            add(&mut responses, status, media_type, schema);
            if matches!(gives, Gives::File) {
                add(&mut responses, 206, media_type, json!({}));
                responses.insert("304".to_owned(), json!({ "description": "Still the same" }));
            }
        }
        let error = self.answers.schema_of(TypeOf::of::<answer::Error>());
        for code in endpoint.codes() {
            let has_own = endpoint
                .gives
                .iter()
                .any(|gives| matches!(gives, Gives::Json(status, _) if *status == code.status()));
            if !has_own {
                add(&mut responses, code.status(), "application/json", error.clone());
            }
            describe(&mut responses, code);
        }
        responses.sort_keys();
        responses
    }
}

impl Schemas {
    /// The schema itself instead of a reference to it. The type is then not among the definitions.
    fn inline(&mut self, of: TypeOf) -> Value {
        let mut alone = self.0.clone();
        let schema: Value = of.schema(&mut alone).into();
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
        let Some(name) = name.map(str::to_owned) else { return schema };
        let found = alone.definitions_mut().remove(&name).unwrap_or_default();
        self.0.definitions_mut().append(alone.definitions_mut());
        found
    }
}

/// Removes `null` from the types of a field: a parameter of a query can be missing, but not null.
fn without_null(field: Value) -> Value {
    let Some(choices) = field.get("anyOf").and_then(Value::as_array) else {
        let mut field = field;
        if let Some(Value::Array(kinds)) = field.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [kind] = kinds.as_slice() {
                let kind = kind.clone();
                field["type"] = kind;
            }
        }
        return field;
    };
    let mut real = choices.iter().filter(|choice| choice.get("type") != Some(&"null".into()));
    real.next().cloned().unwrap_or(field)
}

/// Adds one form of an answer. Several forms of one status and media type become alternatives.
fn add(responses: &mut Map<String, Value>, status: u16, media_type: &str, schema: Value) {
    let response = responses
        .entry(status.to_string())
        .or_insert_with(|| json!({ "description": "As asked for", "content": {} }));
    match response["content"].get_mut(media_type) {
        None => response["content"][media_type] = json!({ "schema": schema }),
        Some(known) => {
            let known = &mut known["schema"];
            if let Some(choices) = known.get_mut("anyOf").and_then(Value::as_array_mut) {
                choices.push(schema);
            } else if *known != schema {
                *known = json!({ "anyOf": [known.take(), schema] });
            }
        }
    }
}

/// Adds a code to the description of the answer with its status.
fn describe(responses: &mut Map<String, Value>, code: ErrorCode) {
    let Some(response) = responses.get_mut(&code.status().to_string()) else { return };
    let line = format!("`{}`: {}", code.as_str(), code.meaning());
    let text = match response["description"].as_str() {
        Some(before) if before.starts_with('`') => format!("{before}\n\n{line}"),
        _ => line,
    };
    response["description"] = text.into();
}
