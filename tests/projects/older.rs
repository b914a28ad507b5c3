//! Older projects, which other programs or other users have made, with all features of git.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::{Ids, Setup, Worker, git};
use serde_json::json;

use crate::support::{action, files, hash, healthy, messages, write};

fn shell(folder: &Path, script: &str) {
    let status = Command::new("bash")
        .args(["-ec", script])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Old")
        .env("GIT_AUTHOR_EMAIL", "old@x")
        .env("GIT_COMMITTER_NAME", "Old")
        .env("GIT_COMMITTER_EMAIL", "old@x")
        .status();
    assert!(status.expect("it works").success(), "{script}");
}

/// Makes a project with a shell script.
fn made(worker: &Worker, script: &str) -> Ids {
    let ids = Ids::new();
    fs::create_dir_all(worker.project(ids)).expect("it works");
    shell(&worker.project(ids), script);
    ids
}

const BEGUN: &str =
    "git init -q -b master . && echo 1 > index.html && git add -A && git commit -qm eins";

#[tokio::test]
async fn any_ordinary_history_goes_on() {
    let worker = Setup::default().start().await;
    for habit in [
        ":",
        "git gc -q --aggressive --prune=now",
        "git pack-refs --all",
        "git checkout -q --detach",
        "git branch -m main",
        "git branch -m 日本語/ブランチ",
        "git tag -am tag v1; git stash list",
        "touch .git/index.lock .git/refs/heads/master.lock .git/HEAD.lock",
        "printf '#!/bin/sh\\ntouch HOOKED' > .git/hooks/post-commit; chmod +x .git/hooks/post-commit",
        "git config core.fsmonitor 'touch HOOKED'; git config core.hooksPath .; git config filter.x.clean 'touch HOOKED'; echo '* filter=x' > .gitattributes",
        "git config include.path /dev/zero",
        "echo '*.html text eol=crlf' > .gitattributes; echo '*.html export-ignore' >> .gitattributes",
        "echo 'index.html' > .gitignore; echo '*' > .git/info/exclude",
        "git remote add origin https://example.com/x.git; git config branch.master.remote origin",
        "git update-index --split-index; git update-index --untracked-cache || true",
        "git config core.commitGraph true; git commit-graph write --reachable; git multi-pack-index write 2>/dev/null || true",
        "git update-index --assume-unchanged index.html",
        "git config extensions.worktreeConfig true; git config --worktree core.bare false",
    ] {
        let ids = made(&worker, &format!("{BEGUN}; {habit}"));
        write(&worker, ids, "new.txt", "2").await;
        let names = messages(&worker, ids).await;
        assert_eq!(
            (names[0].as_str(), names.last().unwrap().as_str()),
            ("変更", "eins"),
            "{habit}"
        );
        let folder = worker.project(ids);
        assert!(!folder.join("HOOKED").exists(), "{habit}");
        assert_eq!(fs::read_to_string(folder.join("index.html")).unwrap(), "1\n", "{habit}");
        git(&folder, &["fsck", "--strict"]);
        let newest = git(&folder, &["log", "-1", "--format=%s"]);
        assert_eq!(newest.trim(), "変更", "{habit}");
        assert!(
            git(&folder, &["ls-tree", "-r", "--name-only", "HEAD"]).contains("new.txt"),
            "{habit}"
        );
    }
}

#[tokio::test]
async fn work_that_nobody_saved_becomes_a_version_first() {
    let worker = Setup::default().start().await;
    let ids = made(
        &worker,
        &format!("{BEGUN}; echo dirty > index.html; echo new > 新しい.txt; git add 新しい.txt"),
    );
    write(&worker, ids, "index.html", "later").await;
    assert_eq!(messages(&worker, ids).await, ["変更", "保存されていなかった変更", "eins"]);
    let folder = worker.project(ids);
    assert_eq!(git(&folder, &["show", "HEAD~1:index.html"]), "dirty\n");
    assert_eq!(git(&folder, &["show", "HEAD:新しい.txt"]), "new\n");
    healthy(&folder);
}

#[tokio::test]
async fn a_project_without_history_gets_one_when_it_is_asked_for() {
    let worker = Setup::default().start().await;
    let ids = made(&worker, "echo 1 > index.html; mkdir assets; echo a > assets/a.png");
    let answer = action(&worker, ids, "git_log", json!({})).await.json();
    assert_eq!(answer["autoInitialized"], true);
    assert_eq!(answer["commits"][0]["message"], "最初のバージョン");
    let again = action(&worker, ids, "git_log", json!({})).await.json();
    assert!(again.get("autoInitialized").is_none(), "{again}");
    assert_eq!(again["commits"], answer["commits"]);
    healthy(&worker.project(ids));
    // A project without files gets no version.
    let empty = made(&worker, ":");
    let answer = action(&worker, empty, "git_log", json!({})).await.json();
    assert_eq!(answer["commits"], json!([]));
    // The first save makes a version of the existing files first.
    let ids = made(&worker, "echo 1 > index.html");
    write(&worker, ids, "index.html", "2").await;
    assert_eq!(messages(&worker, ids).await, ["変更", "最初のバージョン"]);
}

#[tokio::test]
async fn owners_and_modes_do_not_matter() {
    if !harness::is_root() {
        eprintln!("SKIPPED owners_and_modes_do_not_matter: only root can give files away");
        return;
    }
    let worker = Setup::default().start().await;
    let ids = made(
        &worker,
        &format!(
            "{BEGUN}; mkdir a; echo x > a/run.sh; chmod 700 a; chmod 4755 a/run.sh; git add -A; git commit -qm zwei; chown -R 1234:99 a .git/objects; chown 77 .git"
        ),
    );
    write(&worker, ids, "a/new.txt", "2").await;
    assert_eq!(messages(&worker, ids).await, ["変更", "zwei", "eins"]);
    healthy(&worker.project(ids));
    assert!(git(&worker.project(ids), &["ls-tree", "HEAD", "a/run.sh"]).starts_with("100755"));
}

#[tokio::test]
async fn both_forms_of_japanese_names_are_two_files() {
    let worker = Setup::default().start().await;
    let ids = Ids::new();
    let (composed, decomposed) = ("が.txt", "か\u{3099}.txt");
    write(&worker, ids, composed, "1").await;
    write(&worker, ids, decomposed, "2").await;
    let v2 = hash(&worker, ids, 0).await;
    assert_eq!(worker.get_file(ids, composed).await.text(), "1");
    assert_eq!(worker.get_file(ids, decomposed).await.text(), "2");
    write(&worker, ids, decomposed, "3").await;
    action(&worker, ids, "git_restore", json!({ "commit": v2 })).await;
    assert_eq!(worker.get_file(ids, decomposed).await.text(), "2");
    assert_eq!(worker.list_files(ids).await.json()["files"].as_array().unwrap().len(), 2);
    healthy(&worker.project(ids));
}

#[tokio::test]
async fn submodules_worktrees_and_links_are_lived_with() {
    let worker = Setup::default().start().await;
    let outside = tempfile::tempdir().unwrap();
    shell(outside.path(), BEGUN);
    let out = outside.path().display();
    let ids = made(
        &worker,
        &format!(
            "{BEGUN}; git -c protocol.file.allow=always submodule --quiet add {out} sub; ln -s index.html link; ln -s /etc/passwd out; git add -A; git commit -qm zwei"
        ),
    );
    let folder = worker.project(ids);
    let tree = git(&folder, &["ls-tree", "HEAD"]);
    write(&worker, ids, "new.txt", "2").await;
    let now = git(&folder, &["ls-tree", "HEAD"]);
    for line in tree.lines().filter(|line| line.starts_with("120000")) {
        assert!(now.contains(line), "{line}\n{now}");
    }
    // The files of a submodule are files of the project, so its versions have them.
    assert_eq!(git(&folder, &["show", "HEAD:sub/index.html"]), "1\n");
    // The files of a submodule are files of the project, so its versions have them.
    assert_eq!(git(&folder, &["show", "HEAD:sub/index.html"]), "1\n");
    assert!(files(&folder).contains(&"out -> /etc/passwd".to_owned()));
    assert_eq!(worker.get_file(ids, "out").await.status, 404);
    git(&folder, &["fsck", "--strict"]);

    // A worktree: `.git` is a file that points elsewhere.
    let ids = Ids::new();
    let folder = worker.project(ids);
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    shell(outside.path(), &format!("git worktree add -q {}", folder.display()));
    let head = git(outside.path(), &["for-each-ref"]);
    write(&worker, ids, "new.txt", "2").await;
    assert_eq!(messages(&worker, ids).await, ["変更", "最初のバージョン"]);
    let kept: Vec<_> = fs::read_dir(folder.join(".git/before-dreamcore")).unwrap().collect();
    assert_eq!(kept.len(), 1);
    let kept = fs::read_to_string(kept[0].as_ref().unwrap().path()).unwrap();
    assert!(kept.starts_with("gitdir: "), "{kept}");
    assert_eq!(git(outside.path(), &["for-each-ref"]), head, "the other repository is not touched");
    healthy(&folder);
}

#[tokio::test]
async fn nothing_of_another_project_is_reached_through_git() {
    let worker = Setup::default().start().await;
    let victim = Ids::new();
    write(&worker, victim, "secret.txt", "geheim").await;
    let secret = hash(&worker, victim, 0).await;
    let theirs = worker.project(victim).join(".git");
    let full = git(&worker.project(victim), &["rev-parse", "HEAD"]);
    for trap in ["objects", "refs", "objects/alternates", "commondir", "packed", "head"] {
        let ids = made(&worker, BEGUN);
        let mine = worker.project(ids).join(".git");
        match trap {
            "objects" | "refs" => {
                fs::remove_dir_all(mine.join(trap)).unwrap();
                symlink(theirs.join(trap), mine.join(trap)).unwrap();
            }
            "objects/alternates" => {
                fs::write(
                    mine.join("objects/info/alternates"),
                    format!("{}\n", theirs.join("objects").display()),
                )
                .unwrap();
            }
            "commondir" => {
                fs::write(mine.join("commondir"), format!("{}\n", theirs.display())).unwrap();
            }
            "packed" => {
                for folder in fs::read_dir(theirs.join("objects")).unwrap().flatten() {
                    let name = folder.file_name();
                    if name.len() == 2 && !mine.join("objects").join(&name).exists() {
                        symlink(folder.path(), mine.join("objects").join(&name)).unwrap();
                    }
                }
            }
            _ => {
                fs::remove_file(mine.join("refs/heads/master")).unwrap();
                symlink(theirs.join("refs/heads/main"), mine.join("refs/heads/master")).unwrap();
            }
        }
        for name in ["git_diff", "git_restore"] {
            for commit in [secret.as_str(), full.trim()] {
                let answer = action(&worker, ids, name, json!({ "commit": commit })).await;
                assert!(!answer.text().contains("geheim"), "{trap}: {}", answer.text());
                assert!(answer.status.is_client_error(), "{trap} {name}: {}", answer.text());
            }
        }
        write(&worker, ids, "mine.txt", "x").await;
        assert!(!files(&worker.project(ids)).join("\n").contains("geheim"), "{trap}");
        assert_eq!(worker.get_file(ids, "secret.txt").await.status, 404, "{trap}");
    }
    assert_eq!(messages(&worker, victim).await, ["変更"]);
    healthy(&worker.project(victim));
}
