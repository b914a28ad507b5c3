//! A worker that is not root cannot change users. It reports that, and applies the other
//! mechanisms.

use harness::{Ids, Setup, is_root, leftovers, terminal};

/// The number of a user that no machine on which tests run has.
const USER: u32 = 1234;

#[tokio::test]
async fn generations_work_without_root_and_readiness_says_what_is_missing() {
    if !is_root() {
        // If the tests run as an ordinary user, every other test shows this.
        return;
    }
    let worker = Setup::default().as_user(USER).start().await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    assert!(status.contains(&format!("Uid:\t{USER}\t{USER}\t{USER}")));

    let ready = worker.settled().await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    let confinement = ready.json()["confinement"].clone();
    let applied = confinement["applied"].as_array().expect("a list");
    let missing = confinement["missing"].as_array().expect("a list");
    assert!(!applied.contains(&"identity".into()), "{confinement}");
    assert!(applied.contains(&"no_new_privs".into()), "{confinement}");
    let identity = missing.iter().find(|one| one["mechanism"] == "identity");
    let reason = identity.expect("the change of user is missing")["reason"].as_str();
    assert!(reason.is_some_and(|reason| !reason.is_empty()));

    let ids = Ids::new();
    let events = worker.generate(ids, "[script:small] a page").await;
    assert_eq!(terminal(&events).kind(), "done", "{events:?}\n{}", worker.log());
    assert_eq!(worker.get_file(ids, "index.html").await.status, 200);
    let page = worker.project(ids).join("index.html");
    let owner = std::os::unix::fs::MetadataExt::uid(&page.metadata().unwrap());
    assert_eq!(owner, USER);
    assert_eq!(leftovers(&worker), Vec::<String>::new());
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_is_an_error_and_not_an_empty_project() {
    if !is_root() {
        return;
    }
    let worker = Setup::default().as_user(USER).start().await;
    let ids = Ids::new();
    // Root writes the file, as another program may have done.
    worker.put(ids, "index.html", "<p>");
    let folder = worker.project(ids);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(folder, mode).unwrap();
    for answer in [worker.get_file(ids, "index.html").await, worker.list_files(ids).await] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.json()["code"], "STORAGE_ERROR");
    }
}
