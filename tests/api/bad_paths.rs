//! Values that try to leave the project, in every parameter of every endpoint: refused before the
//! file system is touched.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use harness::{Answer, Ids, SECRET, Setup, Worker};

use crate::corpus::{Payload, encodings, paths};
use crate::parameters::{Kind, Place, Takes, parameters};
use crate::raw::Raw;
use crate::support::{ID, everything, head, refused};

/// Encodes every byte as `%xx`.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02x}").expect("a String takes everything");
        text
    })
}

/// Encodes only what a query requires, so that slashes and dots stay as they are.
fn barely_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_graphic() && !b"%&+#\"<>\\^`{|}".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes everything");
        }
        text
    })
}

/// A query that is valid except for one parameter.
fn with_parameter(parameters: &[(String, Kind)], name: &str, value: &str) -> String {
    let others = parameters.iter().filter(|(other, _)| *other != name);
    others.fold(format!("{name}={value}"), |query, (other, kind)| {
        format!("{query}&{other}={}", kind.good())
    })
}

/// A JSON text that is valid except for one place, which has this text between quotes.
fn with_place(place: &Place, text: &[u8]) -> Vec<u8> {
    let mut body = place.body.clone();
    *body.pointer_mut(&place.pointer).expect("the place") = "HERE".into();
    let body = body.to_string().into_bytes();
    let at = body.windows(6).position(|part| part == b"\"HERE\"").expect("the place");
    [&body[..=at], text, &body[at + 5..]].concat()
}

/// The forms of a value in JSON: as it is, and with every character escaped.
fn json_spellings(payload: &Payload) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(&payload.bytes) else {
        // A value that is not UTF-8 cannot be JSON, but is sent all the same.
        return vec![payload.bytes.clone()];
    };
    let plain = serde_json::to_vec(text).expect("text is JSON");
    let escaped = text.encode_utf16().fold(String::new(), |mut all, unit| {
        write!(all, "\\u{unit:04x}").expect("a String takes everything");
        all
    });
    vec![plain[1..plain.len() - 1].to_vec(), escaped.into_bytes()]
}

/// A connection on which the requests are sent one after the other.
struct Attack {
    worker: Worker,
    raw: Raw,
    before: Vec<String>,
    asked: usize,
    /// The requests that were not refused as they should be. All are shown at the end.
    wrong: Vec<String>,
}

/// The content of every file that no request may show.
const PRIVATE: &str = "seen by nobody";

impl Attack {
    async fn begin() -> Self {
        let worker = Setup::default().start().await;
        let id = ID.parse().expect("an id");
        let ids = Ids { user: id, project: id };
        worker.put(ids, "folder/a.txt", "a");
        worker.put(ids, "page.html", "<p>");
        // Files that a mistake in the checks would show.
        for hidden in [".git/config", ".env", "folder/.git/HEAD", ".claude/settings.json"] {
            worker.put(ids, hidden, PRIVATE);
        }
        worker.put(Ids::new(), "index.html", PRIVATE);
        let root = worker.data();
        for outside in ["secret/key.txt", "users/secret", "key.txt"] {
            let place = root.join(outside);
            std::fs::create_dir_all(place.parent().expect("a folder")).expect("it is made");
            std::fs::write(place, PRIVATE).expect("it is written");
        }
        let before = surroundings(&worker).await;
        let raw = Raw::open(&worker).await;
        Self { worker, raw, before, asked: 0, wrong: Vec::new() }
    }

    /// Sends a request and checks that it is refused with this status.
    async fn refused(&mut self, status: u16, request: &[u8], what: &str) {
        let began = Instant::now();
        self.raw.send(request).await;
        let answer: Answer = self.raw.answer().await.into_answer();
        assert!(began.elapsed() < Duration::from_secs(5), "{what}: {:?}", began.elapsed());
        let (seen, text) = (refused(&self.worker, &answer, what), answer.text());
        if seen != status {
            self.wrong.push(format!("{what}: {seen} {text}"));
        }
        for secret in [PRIVATE, SECRET, "root:x:0", "MODAL_INTERNAL_SECRET"] {
            assert!(!text.contains(secret), "{what}: {text}");
        }
        self.asked += 1;
        // A new connection for every 500 requests, in case a server limits the requests of one.
        if self.asked.is_multiple_of(500) {
            self.raw = Raw::open(&self.worker).await;
        }
    }

    /// Sends a request that is answered by a stream, and checks that it ends with an error.
    async fn refused_in_stream(&mut self, request: &[u8], what: &str) {
        let mut raw = Raw::open(&self.worker).await;
        raw.send(request).await;
        let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 ") && !text.contains(PRIVATE), "{what}: {text}");
        let is_error = text.contains(r#""type":"error""#) && text.contains("INVALID_PATH");
        if !is_error || text.contains(r#""type":"result""#) {
            self.wrong.push(format!("{what}: {text}"));
        }
    }

    async fn query(&mut self, status: u16, endpoint: &str, query: &str, what: &str) {
        let request = format!("{}\r\n", head("GET", &format!("/{endpoint}?{query}")));
        self.refused(status, request.as_bytes(), what).await;
    }

    async fn end(self) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        assert!(self.worker.api.requests().is_empty(), "no model was asked");
        assert_eq!(surroundings(&self.worker).await, self.before);
    }
}

/// All files in the worker's folders, and the names beside the folders.
async fn surroundings(worker: &Worker) -> Vec<String> {
    let mut found = everything(worker).await;
    let data = worker.data();
    let beside = std::fs::read_dir(data.parent().expect("a folder")).expect("it can be read");
    let mut names: Vec<_> =
        beside.map(|entry| entry.expect("an entry").path().display().to_string()).collect();
    names.sort();
    found.append(&mut names);
    found
}

#[tokio::test]
async fn no_value_of_any_parameter_leads_out_of_the_project() {
    let mut attack = Attack::begin().await;
    for (endpoint, takes) in parameters() {
        for payload in paths() {
            let what = |name: &str| format!("{endpoint} {name}={}", payload.shown());
            match &takes {
                Takes::Query(parameters) | Takes::Upload(parameters) => {
                    let is_upload = matches!(takes, Takes::Upload(_));
                    for (name, kind) in parameters {
                        let Some(status) = kind.expects(&payload) else {
                            continue;
                        };
                        for value in [encoded(&payload.bytes), barely_encoded(&payload.bytes)] {
                            // A head has a limit of its own, see `connections`.
                            if value.len() < 8000 {
                                let query = with_parameter(parameters, name, &value);
                                let target = format!("/{endpoint}?{query}");
                                let request = if is_upload {
                                    format!(
                                        "{}Content-Length: 4\r\n\r\nGIF8",
                                        head("POST", &target)
                                    )
                                } else {
                                    format!("{}\r\n", head("GET", &target))
                                };
                                attack.refused(status, request.as_bytes(), &what(name)).await;
                            }
                        }
                    }
                }
                Takes::Json(places) => {
                    for place in places {
                        let Some(status) = place.kind.expects(&payload) else {
                            continue;
                        };
                        for text in json_spellings(&payload) {
                            let body = with_place(place, &text);
                            let head = head("POST", &format!("/{endpoint}"));
                            let length = body.len();
                            let close = if status == 200 { "Connection: close\r\n" } else { "" };
                            let head = format!("{head}{close}Content-Length: {length}\r\n\r\n");
                            let request = [head.as_bytes(), &body].concat();
                            if status == 200 {
                                attack.refused_in_stream(&request, &what(&place.pointer)).await;
                            } else {
                                attack.refused(status, &request, &what(&place.pointer)).await;
                            }
                        }
                    }
                }
            }
        }
    }
    attack.end().await;
}

#[tokio::test]
async fn encodings_are_undone_once_and_strictly() {
    let mut attack = Attack::begin().await;
    for (endpoint, takes) in parameters() {
        let Takes::Query(parameters) = &takes else {
            continue;
        };
        for payload in encodings() {
            let value = std::str::from_utf8(&payload.bytes).expect("encodings are ASCII");
            for (name, kind) in parameters {
                let status = kind.expects(&payload).expect("no payload is a good value");
                let what = format!("{endpoint} {name}={value}");
                let query = with_parameter(parameters, name, value);
                attack.query(status, endpoint, &query, &what).await;
            }
        }
    }
    attack.end().await;
}

#[tokio::test]
async fn parameters_must_be_there_once_and_well_formed() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let many: String = (0..3000).fold(String::new(), |text, n| format!("{text}&p{n}"));
    let queries = [
        String::new(),
        "?".to_owned(),
        "?&&&".to_owned(),
        format!("?user_id={ID}"),
        format!("?project_id={ID}"),
        format!("?user_id=&project_id={ID}"),
        format!("?user_id&project_id={ID}"),
        format!("?USER_ID={ID}&project_id={ID}"),
        format!("?user_id={ID}&project_id={ID}&project_id={ID}"),
        format!("?user_id={ID}&project_id={ID}&%75ser_id={ID}"),
        format!("?user_id={ID}&project_id={ID}&%ff=1"),
        format!("?user_id={ID}&project_id={ID}{many}"),
        format!("?user_id={ID}/..&project_id={ID}"),
        format!("?user_id={{{ID}}}&project_id={ID}"),
        format!("?user_id={ID}&project_id=urn:uuid:{ID}"),
        format!("?user_id={ID}&project_id={}", ID.replace('-', "")),
        format!("?user_id={ID}&project_id=%20{ID}"),
        format!("?user_id={ID}&project_id={ID}+"),
        format!("?user_id={ID}&project_id={ID}%00"),
        format!("?user_id={ID}&project_id={}", ID.replacen('6', "%EF%BC%96", 1)),
        format!("?user_id=..%2f..%2f..&project_id={ID}"),
    ];
    for endpoint in ["/get_file", "/list_files"] {
        for query in &queries {
            let target = format!("{endpoint}{query}");
            let answer = Raw::ask(&worker, format!("{}\r\n", head("GET", &target))).await;
            let answer = answer.into_answer();
            assert_eq!(refused(&worker, &answer, &target), 400, "{target}");
        }
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn reading_what_is_not_there_makes_nothing() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let ids = Ids::new();
    for path in ["index.html", "a/b.png", ".style-pending.json"] {
        let answer = worker.get_file(ids, path).await;
        assert_eq!(refused(&worker, &answer, path), 404);
    }
    assert_eq!(worker.list_files(ids).await.status, 404);
    assert_eq!(everything(&worker).await, before);
}
