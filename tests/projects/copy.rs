//! Copying a project: `copy_project`.

use std::fs;
use std::time::{Duration, SystemTime};

use harness::{Ids, Setup, git};
use serde_json::json;
use uuid::Uuid;

use crate::support::{about, action, files, hash, healthy, messages, write};

#[tokio::test]
async fn a_copy_has_the_files_and_if_asked_the_history() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "index.html", "1").await;
    write(&worker, ids, "assets/絵.png", "2").await;
    let first = hash(&worker, ids, 1).await;
    fs::write(worker.project(ids).join("unsaved.txt"), "3").unwrap();
    fs::write(worker.project(ids).join(".env"), "SECRET").unwrap();

    for (history, other_user) in [(false, false), (true, false), (true, true)] {
        let to = Ids {
            user: if other_user { Uuid::new_v4() } else { ids.user },
            project: Uuid::new_v4(),
        };
        let mut body = about(
            ids,
            &json!({ "target_project_id": to.project, "history": history, "message": "リミックス" }),
        );
        if other_user {
            body["target_user_id"] = json!(to.user);
        }
        let answer = worker.post("copy-project", &body).await;
        assert_eq!(answer.json()["success"], true, "{}\n{}", answer.text(), worker.log());
        let folder = worker.project(to);
        assert_eq!(files(&folder), files(&worker.project(ids)));
        assert!(!folder.join(".env").exists());
        let expected: &[_] =
            if history { &["リミックス", "変更", "変更"] } else { &["リミックス"] };
        assert_eq!(messages(&worker, to).await, expected);
        healthy(&folder);
        // From now on the two projects are independent.
        write(&worker, to, "index.html", "remix").await;
        assert_eq!(worker.get_file(ids, "index.html").await.text(), "1");
        if history {
            let restored = action(&worker, to, "git_restore", json!({ "commit": first })).await;
            assert_eq!(restored.status, 200);
            assert_eq!(worker.get_file(to, "index.html").await.text(), "1");
        }
        let again = worker.post("copy_project", &body).await;
        assert_eq!(
            (again.status.as_u16(), again.json()["code"].as_str()),
            (409, Some("PROJECT_EXISTS"))
        );
        let names = fs::read_dir(folder.parent().unwrap()).unwrap();
        assert!(names.flatten().all(|e| !e.file_name().to_string_lossy().starts_with('.')));
    }
    assert_eq!(git(&worker.project(ids), &["log", "--format=%s"]), "変更\n変更\n");
    let none = about(Ids::new(), &json!({ "target_project_id": Uuid::new_v4() }));
    assert_eq!(worker.post("copy_project", &none).await.status, 404);
    let own = about(ids, &json!({ "target_project_id": ids.project }));
    assert_eq!(worker.post("copy_project", &own).await.status, 409);
}

#[tokio::test]
async fn a_copy_that_needs_no_version_of_its_own_is_as_git_left_it() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "index.html", "1").await;
    let to = Ids { project: Uuid::new_v4(), ..ids };
    let body = about(ids, &json!({ "target_project_id": to.project, "history": true }));
    let answer = worker.post("copy_project", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(messages(&worker, to).await, ["変更"]);
    healthy(&worker.project(to));
}

#[tokio::test]
async fn what_a_crash_left_beside_projects_goes_after_an_hour_and_not_before() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    write(&worker, ids, "index.html", "1").await;
    let projects = worker.project(ids).parent().unwrap().to_owned();
    let hours = |hours: u64| SystemTime::now() - Duration::from_mins(hours * 60);
    let left = |name: &str, since: SystemTime| {
        let folder = projects.join(format!(".dreamcore-tmp-{name}"));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::write(folder.join("deep/file"), "x").unwrap();
        fs::File::open(&folder).unwrap().set_modified(since).unwrap();
        folder
    };
    // No worker of this machine holds these drafts. A young one may belong to another container.
    let young = left("young", SystemTime::now());
    let old = left("old", hours(2));
    let held = left("held", hours(2));
    let holder = fs::File::open(&held).unwrap();
    holder.lock().unwrap();

    let copied = async || {
        let body = about(ids, &json!({ "target_project_id": Uuid::new_v4() }));
        let answer = worker.post("copy_project", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    copied().await;
    assert_eq!((young.exists(), old.exists(), held.exists()), (true, false, true));
    drop(holder);
    copied().await;
    assert_eq!((young.exists(), held.exists()), (true, false));
}
