//! The wire in snapshots: the answers of each endpoint, the stream of a generation, and refusals.
//! If the wire changes, a review shows a change of a file in `snapshots/`.
//!
//! `INSTA_UPDATE=always` writes the files anew. Values that differ from run to run are replaced by
//! their meaning, for example `[hash]` or `[time]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dreamcore_worker::api::{ENDPOINTS, openapi};
use harness::{Answer, Event, Ids, Setup, Worker, repository_root};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::raw::Raw;
use crate::support::{anonymous, head};

const SNAPSHOTS: &str = "tests/api/snapshots";
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
/// The headers that are part of the contract.
const HEADERS: &[&str] = &[
    "accept-ranges",
    "allow",
    "cache-control",
    "content-disposition",
    "content-length",
    "content-range",
    "content-security-policy",
    "content-type",
    "x-accel-buffering",
    "x-content-type-options",
];
/// Fields whose values differ from run to run, and their replacements.
const CHANGING: &[(&str, &str)] = &[
    ("created_at", "[time]"),
    ("date", "[time]"),
    ("duration_ms", "[number]"),
    ("elapsed_seconds", "[number]"),
    ("git_commit", "[hash]"),
    ("hash", "[hash]"),
    ("input_tokens", "[number]"),
    ("mtime", "[time]"),
    ("output_tokens", "[number]"),
    ("started_ms", "[number]"),
    ("version", "[version]"),
];

/// The answers, by the names of their snapshots.
struct Seen {
    worker: Worker,
    ids: Ids,
    snapshots: BTreeMap<String, Value>,
    /// Texts that differ from run to run, and their replacements.
    names: Vec<(String, &'static str)>,
}

impl Seen {
    async fn begin() -> Self {
        let worker = Setup::default().start().await;
        worker.add_skill("p5js-setup", "---\nname: p5js-setup\ndescription: d\n---\n# Setup\n");
        worker.settled().await;
        let ids = Ids::new();
        let names = vec![(ids.user.to_string(), "[user]"), (ids.project.to_string(), "[project]")];
        Self { worker, ids, snapshots: BTreeMap::new(), names }
    }

    fn keep(&mut self, name: &str, value: Value) {
        let value = self.normal(value);
        let before = self.snapshots.insert(name.to_owned(), value);
        assert_eq!(before, None, "{name} is there twice");
    }

    /// A value with everything replaced that differs from run to run.
    fn normal(&self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                let replace = |text: String, (one, name): &(String, &str)| text.replace(one, name);
                self.names.iter().fold(text, replace).into()
            }
            Value::Array(items) => items.into_iter().map(|item| self.normal(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| {
                    let changing = CHANGING.iter().find(|(field, _)| *field == name);
                    let value = match changing {
                        Some((_, what)) if !value.is_null() => Value::from(*what),
                        _ => self.normal(value),
                    };
                    (name, value)
                });
                fields.collect()
            }
            other => other,
        }
    }

    async fn ask(&mut self, name: &str, request: RequestBuilder) -> Answer {
        let answer = self.worker.send(request).await;
        self.keep(name, shown(&answer));
        answer
    }

    async fn get(&mut self, name: &str, endpoint: &str, further: &str) -> Answer {
        let (user, project) = (self.ids.user, self.ids.project);
        let target = format!("{endpoint}?user_id={user}&project_id={project}{further}");
        let request = self.worker.request(Method::GET, &target);
        self.ask(name, request).await
    }

    async fn post(&mut self, name: &str, endpoint: &str, further: Value) -> Answer {
        let body = self.about(&further);
        let request = self.worker.request(Method::POST, endpoint).json(&body);
        self.ask(name, request).await
    }

    async fn stream(&mut self, name: &str, endpoint: &str, further: Value) {
        let body = self.about(&further);
        let mut stream = self.worker.stream(endpoint, &body).await;
        let headers = headers(stream.headers());
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event);
        }
        self.keep(name, json!({ "headers": headers, "events": joined(events) }));
    }

    fn about(&self, further: &Value) -> Value {
        let mut body = json!({ "user_id": self.ids.user, "project_id": self.ids.project });
        let further = further.as_object().cloned().unwrap_or_default();
        body.as_object_mut().expect("an object").extend(further);
        body
    }

    /// The hash of the version at this place in the list, where 0 is the newest.
    async fn hash(&self, place: usize) -> String {
        let (user, project) = (self.ids.user, self.ids.project);
        let target = format!("get_versions?user_id={user}&project_id={project}");
        let versions = self.worker.get(&target).await.json();
        versions["commits"][place]["hash"].as_str().expect("a hash").to_owned()
    }
}

fn headers(all: &reqwest::header::HeaderMap) -> Map<String, Value> {
    let known = all.iter().filter(|(name, _)| HEADERS.contains(&name.as_str()));
    known
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
        .collect()
}

fn shown(answer: &Answer) -> Value {
    let mut headers = headers(&answer.headers);
    let is_json = answer.header("content-type") == "application/json";
    if is_json {
        // It follows from the body, and so differs with the values that are replaced in it.
        headers.remove("content-length");
    }
    let body = if is_json { answer.json() } else { answer.text().into() };
    json!({ "status": answer.status.as_u16(), "headers": headers, "body": body })
}

/// Joins the pieces of a text into one event, because where a text is cut depends on timing.
fn joined(events: Vec<Event>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for Event(event) in events {
        match all.last_mut() {
            Some(last) if event["type"] == "stream" && last["type"] == "stream" => {
                let text = format!(
                    "{}{}",
                    last["content"].as_str().unwrap_or_default(),
                    event["content"].as_str().unwrap_or_default()
                );
                last["content"] = text.into();
            }
            _ => all.push(event),
        }
    }
    all
}

async fn projects(seen: &mut Seen) {
    let prompt = json!({ "prompt": "[script:small] 小さなページ" });
    seen.stream("generate_game", "generate_game", prompt).await;
    seen.get("get_file", "get_file", "").await;
    seen.get("list_files", "list_files", "").await;
    seen.get("list_files with details", "list_files", "&details=1").await;
    let files = json!([
        { "path": "a.txt", "content": "hello\n" },
        { "path": "index.html", "action": "delete" },
    ]);
    let changes = json!({ "files": files, "commit_message": "変更" });
    seen.stream("apply_files", "apply_files", changes).await;
    let bad = json!({ "files": [{ "path": "../a", "content": "" }] });
    seen.stream("apply_files with a bad path", "apply_files", bad).await;
    seen.get("get_versions", "get_versions", "").await;
    let (newest, first) = (seen.hash(0).await, seen.hash(1).await);
    seen.get("get_version_diff", "get_version_diff", &format!("&commit={newest}")).await;
    seen.post("apply_files git_log", "apply_files", json!({ "action": "git_log", "limit": 1 }))
        .await;
    seen.post("restore_version", "restore_version", json!({ "commit": first })).await;
    seen.worker.put(seen.ids, "b.txt", "by hand");
    seen.post("create_version_snapshot", "create_version_snapshot", json!({})).await;
    let target = uuid::Uuid::new_v4();
    seen.post("copy_project", "copy_project", json!({ "target_project_id": target })).await;
    let again = json!({ "target_project_id": target });
    seen.post("refused PROJECT_EXISTS", "copy_project", again).await;
}

async fn assets(seen: &mut Seen) {
    let user = seen.ids.user;
    let target = format!("upload_asset?user_id={user}&filename=%E7%B5%B5.gif");
    let answer = seen.worker.send(seen.worker.request(Method::POST, &target).body(GIF)).await;
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    seen.names.push((id.clone(), "[asset]"));
    seen.keep("upload_asset", shown(&answer));
    seen.get("get_asset", "get_asset", &format!("&asset_id={id}")).await;
    seen.get("list_assets", "list_assets", "").await;
    seen.post("delete_asset", "delete_asset", json!({ "asset_id": id })).await;
    seen.post("restore_asset", "restore_asset", json!({ "asset_id": id })).await;
    let request = seen.worker.request(Method::POST, &target).body("<svg/>");
    seen.ask("refused UNSUPPORTED_MEDIA_TYPE", request).await;
}

async fn questions(seen: &mut Seen) {
    let message = json!({ "message": "ジャンプを高くして" });
    for endpoint in ["detect_intent", "detect_skills", "chat_haiku", "chat_sonnet"] {
        seen.post(endpoint, endpoint, message.clone()).await;
    }
    let game = json!({ "project_name": "星あつめ", "game_code": "<p>" });
    seen.post("generate_publish_info", "generate_publish_info", game).await;
    let names = json!({ "skill_names": ["p5js-setup", "none"] });
    seen.post("get_skill_content", "get_skill_content", names).await;
    seen.post("prewarm_sandbox", "prewarm_sandbox", json!({})).await;
    seen.post("volume_changed", "volume_changed", json!({})).await;
}

async fn the_worker(seen: &mut Seen) {
    let answer = seen.worker.get("openapi.json").await;
    assert_eq!(answer.text(), openapi::CHECKED_IN);
    seen.keep("openapi.json", json!("[openapi/dreamcore-worker.json]"));
    let live = seen.worker.request(Method::GET, "health/live");
    seen.ask("health/live", live).await;
    let version = seen.worker.request(Method::GET, "version");
    seen.ask("version", version).await;
    // The mechanisms differ from machine to machine, but the fields do not.
    let mut ready = shown(&seen.worker.get("health/ready").await);
    for (_, value) in ready["body"]["confinement"].as_object_mut().expect("it is tested") {
        *value = "[of this machine]".into();
    }
    seen.keep("health/ready", ready);
}

async fn refusals(seen: &mut Seen) {
    let stranger = anonymous(&seen.worker, Method::GET, "/get_file");
    seen.ask("refused UNAUTHORIZED", stranger).await;
    let wrong = seen.worker.request(Method::POST, "get_file");
    seen.ask("refused METHOD_NOT_ALLOWED", wrong).await;
    let none = seen.worker.request(Method::GET, "none");
    seen.ask("refused NOT_FOUND endpoint", none).await;
    seen.get("refused NOT_FOUND file", "get_file", "&path=none.js").await;
    seen.get("refused INVALID_REQUEST query", "get_file", "&path=..%2Fa").await;
    seen.post("refused INVALID_REQUEST body", "restore_version", json!({ "commit": "x" })).await;
    let missing = seen.worker.request(Method::GET, "list_files");
    seen.ask("refused INVALID_REQUEST missing", missing).await;
    let nobody = Ids::new();
    let (user, project) = (nobody.user, nobody.project);
    let nothing = format!("list_files?user_id={user}&project_id={project}");
    let nothing = seen.worker.request(Method::GET, &nothing);
    seen.ask("refused NOT_FOUND list_files", nothing).await;
    let (user, project) = (seen.ids.user, seen.ids.project);
    let page = format!("get_file?user_id={user}&project_id={project}&path=index.html");
    let part = seen.worker.request(Method::GET, &page).header("Range", "bytes=9999-");
    seen.ask("refused RANGE_NOT_SATISFIABLE", part).await;
    let other = seen.worker.request(Method::GET, &page).header("If-Match", "\"other\"");
    seen.ask("refused PRECONDITION_FAILED", other).await;
    // The worker refuses the request by its head, before the body is sent.
    let large = format!("{}Content-Length: 9437184\r\n\r\n", head("POST", "/restore_version"));
    let answer = Raw::ask(&seen.worker, large).await.into_answer();
    seen.keep("refused BODY_TOO_LARGE", shown(&answer));
}

#[tokio::test]
async fn the_wire_is_as_it_was_reviewed() {
    let mut seen = Seen::begin().await;
    projects(&mut seen).await;
    assets(&mut seen).await;
    questions(&mut seen).await;
    the_worker(&mut seen).await;
    refusals(&mut seen).await;

    for endpoint in ENDPOINTS {
        assert!(seen.snapshots.contains_key(endpoint.name), "{} has no snapshot", endpoint.name);
    }
    let folder = repository_root().join(SNAPSHOTS);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, value) in &seen.snapshots {
            insta::assert_json_snapshot!(file_name(name), value);
        }
    });
    let wanted: BTreeSet<_> =
        seen.snapshots.keys().map(|name| format!("{}.snap", file_name(name))).collect();
    assert_eq!(names_in(&folder), wanted, "a snapshot that nothing refers to");
}

fn file_name(name: &str) -> String {
    name.replace([' ', '/', '.'], "-")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("the folder of snapshots");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}
