//! Documents that are made from the code. With `UPDATE_DOCS=1` the tests write them. Otherwise they
//! compare them, so that no document can disagree with the code.

use std::fmt::Write as _;

use dreamcore_worker::api::{ENDPOINTS, Endpoint, ErrorCode, Method, Takes, TypeOf, openapi};
use dreamcore_worker::config::SETTINGS;
use dreamcore_worker::runs::events::Event;
use harness::repository_root;
use serde_json::Value;

use crate::source::rust;
use crate::tables::document;

pub(crate) fn is_up_to_date(path: &str, content: &str) {
    let place = repository_root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        std::fs::write(&place, content).expect("a document is written");
    }
    let found = std::fs::read_to_string(&place).unwrap_or_default();
    assert!(found == content, "{path} is out of date: run `make docs`");
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_settings_are_documented() {
    let mut text = String::from(
        "# Configuration\n\n\
         Settings come from the environment, are read once at start and checked all together: a \
         worker that starts has understood every one of them. A name that begins with `DREAMCORE_` \
         and is not in this table is refused as a typing mistake. An empty value counts as not \
         set. A secret that is given is never shown, and is taken out of the worker's own \
         environment once it is read.\n\n\
         This page is printed from `worker/src/config/settings.rs`, and so is \
         `dreamcore-worker --help`.\n\n\
         | setting | default | meaning |\n| --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let default = setting.default.map(|default| format!("`{default}`"));
        let secret = setting.is_secret.then(|| "secret".to_owned());
        let default = default.into_iter().chain(secret).collect::<Vec<_>>().join(", ");
        let (name, help) = (setting.name, cell(setting.help));
        writeln!(text, "| `{name}` | {default} | {help} |").expect("a String takes everything");
    }
    is_up_to_date("docs/configuration.md", &text);
}

/// Writes or compares the part of a document between the lines `<!-- from the code: NAME -->` and
/// `<!-- end -->`.
fn part_is_up_to_date(path: &str, name: &str, content: &str) {
    let place = repository_root().join(path);
    let text = std::fs::read_to_string(&place).expect("a document");
    let (begin, end) = (format!("<!-- from the code: {name} -->\n"), "<!-- end -->");
    let (before, rest) = text.split_once(&begin).expect("the beginning is marked");
    let (_, after) = rest.split_once(end).expect("the end is marked");
    is_up_to_date(path, &format!("{before}{begin}\n{content}\n{end}{after}"));
}

#[test]
fn the_codes_of_errors_are_documented() {
    let mut table = String::from(
        "| code | status | recoverable | meaning | what the user reads |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for code in ErrorCode::ALL {
        let recoverable = if code.is_recoverable() { "yes" } else { "no" };
        let (name, status, user) = (code.as_str(), code.status(), code.user_message());
        let meaning = cell(code.meaning());
        writeln!(table, "| `{name}` | {status} | {recoverable} | {meaning} | {user} |")
            .expect("a String takes everything");
    }
    part_is_up_to_date("docs/errors.md", "codes", &table);
}

#[test]
fn the_endpoints_are_described_in_openapi() {
    let document = openapi::document(TypeOf::of::<Event>());
    let text = serde_json::to_string_pretty(&document).expect("it is JSON") + "\n";
    is_up_to_date("openapi/dreamcore-worker.json", &text);
}

#[test]
fn the_endpoints_are_documented() {
    let mut table = String::from("| endpoint | takes | does |\n| --- | --- | --- |\n");
    let document = openapi::document(TypeOf::of::<Event>());
    for endpoint in ENDPOINTS {
        let (method, operation) = operation(&document, endpoint);
        let takes = match endpoint.takes {
            Takes::Nothing => String::new(),
            Takes::Query(_) => format!("query: {}", parameters(operation)),
            Takes::Upload(_) => format!("query: {}; a file as the body", parameters(operation)),
            Takes::Json(_) => {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                format!("JSON: {}", fields(&document, body))
            }
        };
        let (name, about) = (endpoint.name, endpoint.about);
        writeln!(table, "| `{method} /{name}` | {takes} | {about} |")
            .expect("a String takes everything");
    }
    part_is_up_to_date("README.md", "endpoints", &table);

    let mut table = String::from("| endpoint | answers | errors |\n| --- | --- | --- |\n");
    for endpoint in ENDPOINTS {
        let (_, operation) = operation(&document, endpoint);
        let gives = answers(&document, operation);
        let codes: Vec<_> =
            endpoint.codes().iter().map(|code| format!("`{}`", code.as_str())).collect();
        let (name, codes) = (endpoint.name, codes.join(" "));
        writeln!(table, "| `{name}` | {gives} | {codes} |").expect("a String takes everything");
    }
    part_is_up_to_date("docs/api.md", "endpoints", &table);

    let mut table = String::from("| status | `code` | when |\n| --- | --- | --- |\n");
    let answered = |code: &&ErrorCode| ENDPOINTS.iter().any(|one| one.codes().contains(code));
    let mut codes: Vec<_> = ErrorCode::ALL.iter().filter(answered).collect();
    codes.sort_by_key(|code| (code.status(), code.as_str()));
    for code in codes {
        let (name, status, meaning) = (code.as_str(), code.status(), cell(code.meaning()));
        writeln!(table, "| {status} | `{name}` | {meaning} |").expect("a String takes everything");
    }
    part_is_up_to_date("docs/api.md", "codes", &table);
}

/// The method of an endpoint, and its operation in the `OpenAPI` document.
fn operation<'d>(document: &'d Value, endpoint: &Endpoint) -> (&'static str, &'d Value) {
    let method = match endpoint.method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    let path = format!("/{}", endpoint.name);
    (method, &document["paths"][path][method.to_lowercase()])
}

/// A list of names: first those that are required, then the others with a question mark.
fn names(all: impl Iterator<Item = (String, bool)>) -> String {
    let (must, may): (Vec<_>, Vec<_>) = all.partition(|(_, must)| *must);
    let must = must.into_iter().map(|(name, _)| format!("`{name}`"));
    let all: Vec<_> = must.chain(may.into_iter().map(|(name, _)| format!("`{name}?`"))).collect();
    all.join(", ")
}

fn parameters(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().expect("a list").iter();
    names(parameters.map(|parameter| {
        let name = parameter["name"].as_str().expect("a name").to_owned();
        (name, parameter["required"] == true)
    }))
}

fn fields(document: &Value, schema: &Value) -> String {
    let place = schema["$ref"].as_str().map(|place| place.trim_start_matches('#'));
    let schema = place.map_or(schema, |place| document.pointer(place).expect("it is there"));
    if let Some(forms) = schema["anyOf"].as_array() {
        let forms: Vec<_> = forms.iter().map(|form| fields(document, form)).collect();
        return forms.join(", or ");
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields = schema["properties"].as_object().expect("an object").keys();
    names(fields.map(|name| (name.clone(), required.iter().any(|other| other == name))))
}

/// Every form of a successful answer, with its fields if it is JSON.
fn answers(document: &Value, operation: &Value) -> String {
    let contents = operation["responses"]["200"]["content"].as_object().expect("contents");
    let mut forms = Vec::new();
    for (media_type, content) in contents {
        let schema = &content["schema"];
        let alternatives = schema["anyOf"].as_array().cloned().unwrap_or(vec![schema.clone()]);
        match media_type.as_str() {
            "application/json" if schema.get("type").is_some() => forms.push("JSON".to_owned()),
            "application/json" => {
                forms.extend(
                    alternatives.iter().map(|one| format!("JSON: {}", fields(document, one))),
                );
            }
            "text/event-stream" => forms.push("events".to_owned()),
            _ => forms.push("the bytes".to_owned()),
        }
    }
    forms.join("; or ")
}

#[test]
fn codes_are_written_in_one_place() {
    for source in rust("worker/src/") {
        if source.path == "worker/src/api/error_code.rs" {
            continue;
        }
        for code in ErrorCode::ALL {
            let literal = format!("\"{}\"", code.as_str());
            let line = source.code().find(|line| line.contains(&literal));
            assert_eq!(line, None, "{} writes a code by hand", source.path);
        }
    }
}

/// A proxy that takes only smaller bodies would refuse requests that the worker serves.
#[test]
fn the_example_of_a_proxy_takes_the_largest_body() {
    let largest = SETTINGS
        .iter()
        .filter(|setting| {
            ["DREAMCORE_MAX_BODY_BYTES", "DREAMCORE_MAX_ASSET_BYTES"].contains(&setting.name)
        })
        .map(|setting| setting.default.expect("a default").parse::<u64>().expect("a number"))
        .max();
    let text = document("docs/operations.md");
    let taken = text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("client_max_body_size ")?.strip_suffix("m;")?;
        value.parse::<u64>().ok().map(|mebibytes| mebibytes << 20)
    });
    assert_eq!(taken, largest);
}
