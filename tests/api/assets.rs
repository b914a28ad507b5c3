//! Assets are uploaded, sent, listed, deleted and restored.

use harness::{Answer, Setup, Worker};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::support::refused;

/// A file of this length that begins like a PNG.
pub(crate) fn png(length: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend((bytes.len()..length).map(|n| u8::try_from(n * 7 % 251).expect("below 251")));
    bytes
}

pub(crate) async fn upload(worker: &Worker, user: Uuid, name: &str, bytes: Vec<u8>) -> Answer {
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let target = format!("upload_asset?user_id={user}&filename={name}");
    worker.send(worker.request(Method::POST, &target).body(bytes)).await
}

pub(crate) async fn uploaded(worker: &Worker, user: Uuid, name: &str, bytes: Vec<u8>) -> Value {
    let answer = upload(worker, user, name, bytes).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), worker.log());
    answer.json()
}

pub(crate) async fn listed(worker: &Worker, user: Uuid) -> Vec<Value> {
    let answer = worker.get(&format!("list_assets?user_id={user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["assets"].as_array().expect("a list").clone()
}

fn address(user: Uuid, asset: &Value) -> String {
    let id = asset["id"].as_str().expect("an id");
    format!("get_asset?user_id={user}&asset_id={id}")
}

fn one(user: Uuid, asset: &Value) -> Value {
    json!({ "user_id": user, "asset_id": asset["id"] })
}

#[tokio::test]
async fn what_was_uploaded_comes_back_byte_for_byte() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let bytes = png(3 << 20);
    let asset = uploaded(&worker, user, "背景 その１.png", bytes.clone()).await;
    let id: Uuid = asset["id"].as_str().unwrap().parse().unwrap();
    let halves = Sha256::digest(&bytes).into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let digest: String = halves.filter_map(|half| char::from_digit(half.into(), 16)).collect();
    assert_eq!(asset["size"], bytes.len());
    assert_eq!(asset["sha256"], digest);
    assert_eq!(asset["content_type"], "image/png");
    assert_eq!(asset["filename"], "背景 その１.png");
    assert_eq!(asset["url"], format!("/get_asset?user_id={user}&asset_id={id}"));
    let path = asset["path"].as_str().unwrap();
    assert!(path.starts_with(&format!("users/{user}/assets/{id}/")), "{path}");
    assert_eq!(std::fs::read(worker.data().join(path)).unwrap(), bytes);

    let answer = worker.get(asset["url"].as_str().unwrap()).await;
    assert!(answer.status == 200 && answer.body == bytes);
    assert_eq!(answer.header("content-type"), "image/png");
    assert_eq!(answer.header("etag"), format!("\"{digest}\""));
    assert_eq!(answer.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
    let disposition = answer.header("content-disposition");
    assert!(disposition.starts_with("inline; filename=\""), "{disposition}");
    let encoded = "filename*=UTF-8''%E8%83%8C%E6%99%AF%20%E3%81%9D%E3%81%AE%EF%BC%91.png";
    assert!(disposition.ends_with(encoded), "{disposition}");

    let created = &listed(&worker, user).await[0];
    assert_eq!(created["id"], asset["id"]);
    assert_eq!(created["created_at"], asset["created_at"]);
}

#[tokio::test]
async fn an_asset_is_fetched_in_parts_and_not_again() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let bytes = png(1000);
    let asset = uploaded(&worker, user, "a.png", bytes.clone()).await;
    let request = || worker.request(Method::GET, &address(user, &asset));
    let answer = worker.send(request().header("range", "bytes=100-199")).await;
    assert_eq!(answer.status, 206);
    assert!(answer.body == bytes[100..200]);
    assert_eq!(answer.header("content-range"), "bytes 100-199/1000");
    assert_eq!(worker.send(request().header("range", "bytes=1000-")).await.status, 416);
    let etag = format!("\"{}\"", asset["sha256"].as_str().unwrap());
    assert_eq!(worker.send(request().header("if-none-match", &etag)).await.status, 304);
    let answer = worker.send(worker.request(Method::HEAD, &address(user, &asset))).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "1000"));
}

#[tokio::test]
async fn the_list_has_the_newest_first_and_nothing_of_others() {
    let worker = Setup::default().start().await;
    let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(listed(&worker, user).await, Vec::<Value>::new());
    assert!(!worker.data().join(format!("users/{user}")).exists(), "asking makes nothing");
    let mut expected = Vec::new();
    for n in 0..5 {
        let asset = uploaded(&worker, user, &format!("{n}.png"), png(100 + n)).await;
        expected.insert(0, asset);
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    // A second upload of the same bytes under the same name is another asset.
    let again = uploaded(&worker, user, "0.png", png(100)).await;
    assert_ne!(again["id"], expected[4]["id"]);
    assert_eq!(again["sha256"], expected[4]["sha256"]);
    expected.insert(0, again);
    uploaded(&worker, other, "other.png", png(100)).await;
    assert_eq!(listed(&worker, user).await, expected);
    // A user does not get another user's asset.
    let answer = worker.get(&address(other, &expected[0])).await;
    assert_eq!(refused(&worker, &answer, "other"), 404);
}

#[tokio::test]
async fn files_of_another_program_are_neither_listed_nor_touched() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let folder = worker.data().join(format!("users/{user}/assets"));
    let stray = Uuid::new_v4();
    std::fs::create_dir_all(folder.join(stray.to_string())).unwrap();
    std::fs::create_dir_all(folder.join("sprites")).unwrap();
    let old = [
        "a.png",
        "画像.png",
        "sprites/b.png",
        &format!("{}.png", Uuid::new_v4()),
        &format!("{stray}/content.png"),
    ]
    .map(str::to_owned);
    for path in &old {
        std::fs::write(folder.join(path), path).unwrap();
    }
    std::os::unix::fs::symlink("/etc", folder.join(Uuid::new_v4().to_string())).unwrap();
    let asset = uploaded(&worker, user, "a.png", png(100)).await;
    let assets = listed(&worker, user).await;
    assert_eq!(assets.len(), 1);
    for id in [stray.to_string(), Uuid::new_v4().to_string()] {
        let body = json!({ "user_id": user, "asset_id": id });
        let status = worker.post("delete_asset", &body).await.status.as_u16();
        assert!(matches!(status, 404), "{status}");
    }
    worker.post("delete_asset", &one(user, &asset)).await;
    for path in &old {
        assert_eq!(std::fs::read_to_string(folder.join(path)).unwrap(), *path);
    }
}

#[tokio::test]
async fn what_was_deleted_is_gone_and_can_be_brought_back() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let bytes = png(5000);
    let asset = uploaded(&worker, user, "a.png", bytes.clone()).await;
    let kept = uploaded(&worker, user, "b.png", png(10)).await;

    let answer = worker.post("delete_asset", &one(user, &asset)).await;
    assert_eq!(answer.json(), json!({ "success": true }));
    assert_eq!(listed(&worker, user).await, std::slice::from_ref(&kept));
    let answer = worker.get(&address(user, &asset)).await;
    assert_eq!(refused(&worker, &answer, "deleted"), 404);
    let answer = worker.post("delete_asset", &one(user, &asset)).await;
    assert_eq!(refused(&worker, &answer, "twice"), 404);

    let answer = worker.post("restore_asset", &one(user, &asset)).await;
    assert_eq!(answer.json(), json!({ "success": true, "asset": asset }));
    assert!(worker.get(&address(user, &asset)).await.body == bytes);
    assert_eq!(listed(&worker, user).await, [kept, asset.clone()]);
    // Restoring an asset that is not deleted succeeds; restoring one that never existed fails.
    assert_eq!(worker.post("restore_asset", &one(user, &asset)).await.status, 200);
    let none = json!({ "user_id": user, "asset_id": Uuid::new_v4() });
    let answer = worker.post("restore_asset", &none).await;
    assert_eq!(refused(&worker, &answer, "never"), 404);
    let stranger = json!({ "user_id": Uuid::new_v4(), "asset_id": asset["id"] });
    for endpoint in ["delete_asset", "restore_asset"] {
        let answer = worker.post(endpoint, &stranger).await;
        assert_eq!(refused(&worker, &answer, endpoint), 404);
    }
}

#[tokio::test]
async fn the_trash_is_emptied_after_thirty_days_and_not_before() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let [old, recent] = [
        uploaded(&worker, user, "a.png", png(10)).await,
        uploaded(&worker, user, "b.png", png(10)).await,
    ];
    let trash = worker.data().join(format!("users/{user}/assets/.trash"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (asset, days) in [(&old, 31), (&recent, 29)] {
        worker.post("delete_asset", &one(user, asset)).await;
        let id = asset["id"].as_str().unwrap();
        let name = std::fs::read_dir(&trash).unwrap().map(|entry| entry.unwrap().path());
        let name = name.into_iter().find(|path| path.to_str().unwrap().contains(id)).unwrap();
        std::fs::rename(name, trash.join(format!("{id}.{}", now - days * 86_400))).unwrap();
    }
    listed(&worker, user).await;
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 1);
    assert_eq!(worker.post("restore_asset", &one(user, &old)).await.status, 404);
    assert_eq!(worker.post("restore_asset", &one(user, &recent)).await.status, 200);
}

#[tokio::test]
async fn a_user_has_a_quota_and_deleting_makes_room_only_so_often() {
    let worker = Setup::default()
        .var("DREAMCORE_ASSET_QUOTA_BYTES", 10_000)
        .var("DREAMCORE_MAX_ASSETS", 3)
        .start()
        .await;
    let user = Uuid::new_v4();
    let first = uploaded(&worker, user, "a.png", png(6000)).await;
    let answer = upload(&worker, user, "b.png", png(6000)).await;
    assert_eq!(refused(&worker, &answer, "bytes"), 413);
    assert_eq!(answer.json()["code"], "QUOTA_EXCEEDED");
    worker.post("delete_asset", &one(user, &first)).await;
    let second = uploaded(&worker, user, "b.png", png(6000)).await;
    // Restoring fails if the quota is used up by other assets.
    let answer = worker.post("restore_asset", &one(user, &first)).await;
    assert_eq!(refused(&worker, &answer, "restore"), 413);
    worker.post("delete_asset", &one(user, &second)).await;
    uploaded(&worker, user, "c.png", png(4000)).await;
    // 4,000 of 10,000 bytes, and with the trash 16,000 of 20,000.
    let answer = upload(&worker, user, "d.png", png(5000)).await;
    assert_eq!(refused(&worker, &answer, "trash"), 413);
    uploaded(&worker, user, "d.png", png(100)).await;
    uploaded(&worker, user, "e.png", png(100)).await;
    let answer = upload(&worker, user, "f.png", png(100)).await;
    assert_eq!(refused(&worker, &answer, "count"), 413);
    assert_eq!(listed(&worker, user).await.len(), 3);
    // The quota of another user is not affected.
    uploaded(&worker, Uuid::new_v4(), "a.png", png(6000)).await;
}

#[tokio::test]
async fn urls_begin_with_the_public_base_where_there_is_one() {
    let base = "https://assets.example.com/v1";
    let worker = Setup::default().var("DREAMCORE_ASSET_BASE_URL", base).start().await;
    let user = Uuid::new_v4();
    let asset = uploaded(&worker, user, "a.png", png(10)).await;
    let url = asset["url"].as_str().unwrap();
    assert_eq!(url, format!("{base}/{}", address(user, &asset)));
    assert_eq!(listed(&worker, user).await[0]["url"], url);
}

#[tokio::test]
async fn a_damaged_asset_is_an_error_of_the_volume_and_hides_no_other() {
    let worker = Setup::default().start().await;
    let user = Uuid::new_v4();
    let [cut, broken, whole] = [
        uploaded(&worker, user, "a.png", png(100)).await,
        uploaded(&worker, user, "b.png", png(100)).await,
        uploaded(&worker, user, "c.png", png(100)).await,
    ];
    let place = |asset: &Value| worker.data().join(asset["path"].as_str().unwrap());
    std::fs::write(place(&cut), "cut").unwrap();
    std::fs::write(place(&broken).with_file_name("asset.json"), "{").unwrap();
    for asset in [&cut, &broken] {
        let answer = worker.get(&address(user, asset)).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["code"], "STORAGE_ERROR");
    }
    assert_eq!(worker.get(&address(user, &whole)).await.status, 200);
    assert_eq!(listed(&worker, user).await.len(), 2);
}
