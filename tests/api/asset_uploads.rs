//! Uploads that are cut, malformed, too large, of the wrong kind, or broken off by a crash.

use std::time::{Duration, SystemTime};

use harness::{Answer, Setup, Worker};
use reqwest::Method;
use uuid::Uuid;

use crate::assets::{listed, png, upload, uploaded};
use crate::files::most_memory_kib;
use crate::raw::Raw;
use crate::support::{head, refused};

/// Sends a form with this body.
async fn form(worker: &Worker, query: &str, boundary: &str, body: Vec<u8>) -> Answer {
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let request = worker.request(Method::POST, &format!("upload_asset?{query}"));
    worker.send(request.header("content-type", content_type).body(body)).await
}

fn part(disposition: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--X\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

/// All files and folders of a user's assets on the disk, the hidden ones too.
fn on_disk(worker: &Worker, user: Uuid) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(worker.data().join(format!("users/{user}/assets"))) else {
        return Vec::new();
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("our names are UTF-8")
    };
    entries.map(name).collect()
}

/// Waits until no file of an upload is left.
async fn nothing_is_left(worker: &Worker, user: Uuid) {
    for _ in 0..200 {
        if on_disk(worker, user).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left: {:?}", on_disk(worker, user));
}

#[tokio::test]
async fn a_form_is_taken_as_browsers_send_it() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    // The file is larger than a piece, and contains bytes that look like a boundary.
    let mut bytes = png(700_000);
    bytes.extend(b"--X\r\n --X\r\n--x\r\n-");
    let body = [
        part("name=\"note\"", b"a field beside it"),
        part("name=\"file\"; filename=\"C:\\\\fakepath\\\\\u{753b}\u{50cf}.png\"", &bytes),
        b"--X--\r\n".to_vec(),
    ]
    .concat();
    let answer = form(&worker, &format!("user_id={user}"), "X", body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let asset = answer.json();
    assert_eq!((&asset["filename"], &asset["size"]), (&"画像.png".into(), &bytes.len().into()));
    assert!(worker.get(asset["url"].as_str().unwrap()).await.body == bytes);
    // If the query has a name, it counts.
    let query = format!("user_id={user}&filename=b.png");
    assert_eq!(form(&worker, &query, "X", body).await.json()["filename"], "b.png");
}

#[tokio::test]
async fn a_malformed_form_is_refused_and_leaves_nothing() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let query = format!("user_id={user}&filename=a.png");
    let file = || part("name=\"f\"; filename=\"a.png\"", &png(20_000));
    let end = b"--X--\r\n".to_vec();
    for (what, body) in [
        ("nothing", Vec::new()),
        ("garbage", vec![0xff; 50_000]),
        ("another boundary", b"--Y\r\n\r\n".to_vec()),
        ("no end", file()),
        ("cut in the file", file()[..10_000].to_vec()),
        ("only a boundary", b"--X\r\n".to_vec()),
        ("an endless head", [b"--X\r\nA: ".to_vec(), vec![b'a'; 200_000]].concat()),
        ("no file", [part("name=\"f\"", b"text"), end.clone()].concat()),
        ("two files", [file(), file(), end.clone()].concat()),
        ("an empty file", [part("name=\"f\"; filename=\"a.png\"", b""), end.clone()].concat()),
        ("many parts", [part("name=\"f\"", b"x").repeat(40), end.clone()].concat()),
        ("no disposition", b"--X\r\n\r\ntext\r\n--X--\r\n".to_vec()),
    ] {
        let answer = form(&worker, &query, "X", body).await;
        assert_eq!(refused(&worker, &answer, what), 400, "{what}: {}", answer.text());
    }
    for boundary in ["", "\"", ";"] {
        let answer = form(&worker, &query, boundary, file()).await;
        assert_eq!(refused(&worker, &answer, boundary), 400, "{boundary:?}");
    }
    let bad_name = [part("name=\"f\"; filename=\"..\"", &png(100)), end].concat();
    let answer = form(&worker, &format!("user_id={user}"), "X", bad_name).await;
    assert_eq!(refused(&worker, &answer, "name"), 400);
    nothing_is_left(&worker, user).await;
}

#[tokio::test]
async fn only_what_is_on_the_list_is_taken_whatever_it_calls_itself() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    for (name, bytes) in [
        ("a.png", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ("a.png", b"%PDF-1.7".to_vec()),
        ("a.zip", b"PK\x03\x04".to_vec()),
        ("a.exe", b"MZ\x90\0".to_vec()),
        ("a.png", vec![0; 1 << 20]),
        ("a.txt", "テキスト".into()),
        ("a.gif", b"GIF".to_vec()),
    ] {
        let answer = upload(&worker, user, name, bytes).await;
        assert_eq!(refused(&worker, &answer, name), 415, "{name}");
        assert_eq!(answer.json()["code"], "UNSUPPORTED_MEDIA_TYPE");
    }
    let answer = upload(&worker, user, "a.png", Vec::new()).await;
    assert_eq!(refused(&worker, &answer, "empty"), 400);
    assert!(!worker.data().join(format!("users/{user}")).exists(), "nothing was made");

    // A page that begins like an image is served as that kind of image and as nothing else.
    let polyglot = b"GIF89a/*<script>alert(1)</script>*/=1".to_vec();
    let asset = uploaded(&worker, user, "evil.html", polyglot).await;
    let answer = worker.get(asset["url"].as_str().unwrap()).await;
    assert_eq!(answer.header("content-type"), "image/gif");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
    assert!(answer.header("content-disposition").contains("\"evil.html.gif\""));
}

#[tokio::test]
async fn ids_and_names_are_checked_before_anything_is_made() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    for query in [
        String::new(),
        "user_id=1&filename=a.png".to_owned(),
        format!("user_id={user}"),
        format!("user_id={user}&filename="),
        format!("user_id={user}&filename=.."),
        format!("user_id={user}&filename=a%00.png"),
        format!("user_id={user}&filename=a%0d%0ax:y.png"),
        format!("user_id={user}&filename=%ff.png"),
        format!("user_id={user}&filename=a.png&filename=b.png"),
        format!("user_id={user}&filename={}", "a".repeat(256)),
    ] {
        let request = worker.request(Method::POST, &format!("upload_asset?{query}"));
        let answer = worker.send(request.body(png(100))).await;
        assert_eq!(refused(&worker, &answer, &query), 400, "{query}");
    }
    for target in ["get_asset", "get_asset?user_id=x&asset_id=y", "list_assets?user_id=../.."] {
        let answer = worker.get(target).await;
        assert_eq!(refused(&worker, &answer, target), 400, "{target}");
    }
    assert!(!worker.data().join("users").exists());
}

#[tokio::test]
async fn an_asset_may_be_as_large_as_is_set_and_no_larger() {
    const MAX: usize = 300_000;
    let worker = Setup::default().var("DREAMCORE_MAX_ASSET_BYTES", MAX).start().await;
    let user = Uuid::new_v4();
    assert_eq!(uploaded(&worker, user, "a.png", png(MAX)).await["size"], MAX);
    let answer = upload(&worker, user, "a.png", png(MAX + 1)).await;
    assert_eq!(refused(&worker, &answer, "one more"), 413);
    assert_eq!(answer.json()["code"], "BODY_TOO_LARGE");

    // The length of this body is not announced.
    let target = format!("/upload_asset?user_id={user}&filename=a.png");
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{}Transfer-Encoding: chunked\r\n\r\n", head("POST", &target))).await;
    raw.send(format!("{:x}\r\n", MAX + 1)).await;
    raw.send(png(MAX + 1)).await;
    let answer = raw.answer().await.into_answer();
    assert_eq!(refused(&worker, &answer, "chunked"), 413);

    let body = [part("name=\"f\"; filename=\"a.png\"", &png(MAX + 1)), b"--X--\r\n".to_vec()];
    let answer = form(&worker, &format!("user_id={user}"), "X", body.concat()).await;
    assert_eq!(refused(&worker, &answer, "form"), 413);
    let body = [part("name=\"f\"; filename=\"a.png\"", &png(MAX)), b"--X--\r\n".to_vec()];
    let answer = form(&worker, &format!("user_id={user}"), "X", body.concat()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(on_disk(&worker, user).len(), 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let target = format!("/upload_asset?user_id={user}&filename=a.png");
    for sent in [0, 100, 600_000] {
        let mut raw = Raw::open(&worker).await;
        raw.send(format!("{}Content-Length: 1000000\r\n\r\n", head("POST", &target))).await;
        raw.send(png(sent)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(raw);
        nothing_is_left(&worker, user).await;
    }
    assert!(listed(&worker, user).await.is_empty());
}

#[tokio::test]
async fn two_uploads_at_once_are_two_assets_and_the_quota_holds() {
    let worker = Setup::default().var("DREAMCORE_ASSET_QUOTA_BYTES", 500_000).start().await;
    let user = Uuid::new_v4();
    let (a, b, c) = tokio::join!(
        upload(&worker, user, "a.png", png(200_000)),
        upload(&worker, user, "a.png", png(200_000)),
        upload(&worker, user, "a.png", png(200_000)),
    );
    let mut statuses = [a, b, c].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 413]);
    assert_eq!(listed(&worker, user).await.len(), 2);
    assert_eq!(on_disk(&worker, user).len(), 2);
}

#[tokio::test]
async fn a_crash_leaves_no_half_asset_and_the_rest_is_cleared_away_later() {
    let mut worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let kept = uploaded(&worker, user, "kept.png", png(1000)).await;
    let target = format!("/upload_asset?user_id={user}&filename=a.png");
    let mut raw = Raw::open(&worker).await;
    raw.send(format!("{}Content-Length: 9000000\r\n\r\n", head("POST", &target))).await;
    raw.send(png(2_000_000)).await;
    for _ in 0..100 {
        if on_disk(&worker, user).len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.restart().await;
    assert_eq!(listed(&worker, user).await, std::slice::from_ref(&kept));
    assert!(worker.get(kept["url"].as_str().unwrap()).await.body == png(1000));

    let folder = worker.data().join(format!("users/{user}/assets"));
    let left = on_disk(&worker, user).into_iter().find(|name| name.starts_with('.'));
    let left = folder.join(left.expect("what the crash left"));
    // A young draft may belong to another worker, so it stays for an hour.
    let hour_ago = SystemTime::now() - Duration::from_mins(61);
    std::fs::File::open(&left).unwrap().set_modified(hour_ago).unwrap();
    assert_eq!(listed(&worker, user).await, [kept]);
    assert!(!left.exists());
    assert_eq!(on_disk(&worker, user).len(), 1);
}

#[tokio::test]
async fn a_large_upload_costs_little_memory() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    uploaded(&worker, user, "small.png", png(1000)).await;
    let before = most_memory_kib(&worker);
    uploaded(&worker, user, "raw.png", png(40 << 20)).await;
    let body = [part("name=\"f\"; filename=\"form.png\"", &png(40 << 20)), b"--X--\r\n".to_vec()];
    let answer = form(&worker, &format!("user_id={user}"), "X", body.concat()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let grown = most_memory_kib(&worker) - before;
    assert!(grown < 12 << 10, "the worker grew by {grown} KiB");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "whoever reads the results must see it")]
async fn a_full_volume_is_said_to_be_full_and_keeps_what_it_has() {
    if !harness::is_root() {
        println!("SKIPPED: mounting a small file system needs root");
        return;
    }
    let folder = tempfile::Builder::new().prefix("dcd-").tempdir().unwrap();
    let place = folder.path().display().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let status = std::process::Command::new(program).args(arguments).status();
        assert!(status.unwrap().success(), "{program} {arguments:?}");
    };
    run("mount", &["-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", &place]);
    let worker = Setup::default().var("DREAMCORE_DATA_DIR", &place).start().await;
    let user = Uuid::new_v4();
    let kept = uploaded(&worker, user, "kept.png", png(200_000)).await;

    let answer = upload(&worker, user, "large.png", png(8 << 20)).await;
    let left = on_disk(&worker, user);
    let (listed, fetched) = (listed(&worker, user).await, kept["url"].as_str().unwrap());
    let fetched = worker.get(fetched).await;
    let again = upload(&worker, user, "small.png", png(200_000)).await;
    drop(worker);
    run("umount", &["-l", &place]);

    assert_eq!(answer.status, 507, "{}", answer.text());
    assert_eq!(answer.json()["code"], "STORAGE_FULL");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(listed, [kept]);
    assert!(fetched.body == png(200_000));
    assert_eq!(again.status, 200, "room was given back: {}", again.text());
}
