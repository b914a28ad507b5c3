//! The CLI's own tools are told to reach files outside of the project. For comparison, the same
//! tool works in the project. The answers of the tools are in the requests to the model API.

use harness::script::{Block, Script, text, tool};
use harness::{Ids, REAL_KEY, SECRET, Setup, Worker, leftovers, terminal};
use serde_json::{Value, json};

use crate::support::answers;

/// The text in every file that must not be read. Patterns that search for it are written so that
/// they do not contain it.
const MARKER: &str = "dreamcore-marker-of-another-user";
const MARKER_PATTERN: &str = "dreamcore-marke[r]-of-another-user";

/// The folders around the attacker's project.
struct Around {
    worker: Worker,
    own: Ids,
    other: Ids,
    _folders: tempfile::TempDir,
}

/// Runs these calls, one per turn, beside another user's project and another run's folder. Returns
/// the answer of each.
async fn calls(blocks: impl FnOnce(&str) -> Vec<Block>) -> (Around, Vec<String>) {
    let folders = tempfile::Builder::new().prefix("dc-").tempdir().expect("a folder");
    let (own, other) = (Ids::new(), Ids::new());
    let theirs =
        format!("{}/users/{}/projects/{}", folders.path().display(), other.user, other.project);
    let blocks = blocks(&theirs);
    let (count, mut script) = (blocks.len(), Script::new());
    for block in blocks {
        script = script.turn([block]);
    }
    let setup = Setup::default().script(script.turn([text("ok")]));
    let worker = setup.var("DREAMCORE_DATA_DIR", folders.path().display()).start().await;
    worker.put(own, "index.html", "<p>mine-and-readable</p>\n");
    worker.put(own, "notes.txt", "here is a needle\n");
    worker.put(other, "index.html", MARKER);
    worker.put(other, ".git/hooks/post-commit", MARKER);
    let neighbour = worker.scratch().join("1");
    std::fs::create_dir_all(neighbour.join("game")).expect("a folder");
    std::fs::write(neighbour.join("game/secret.txt"), MARKER).expect("a file");

    let events = worker.generate(own, "test").await;
    assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", worker.log());
    std::fs::remove_dir_all(neighbour).expect("it is still there");
    assert_eq!(leftovers(&worker), Vec::<String>::new());
    let answers = answers(&worker);
    assert_eq!(answers.len(), count, "{answers:#?}");
    // The calls themselves do not contain one of these texts.
    let sent: String = worker.api.requests().iter().map(|r| r.body.to_string()).collect();
    for secret in [MARKER, REAL_KEY, SECRET, "root:*:", "root:$", "MODAL_INTERNAL_SECRET"] {
        assert!(!sent.contains(secret), "{secret} was sent to the model API");
    }
    assert_eq!(worker.get_file(other, "index.html").await.text(), MARKER);
    (Around { worker, own, other, _folders: folders }, answers)
}

fn read(path: impl Into<Value>) -> Block {
    tool("Read", json!({"file_path": path.into()}))
}

fn write(path: impl Into<Value>) -> Block {
    tool("Write", json!({"file_path": path.into(), "content": "planted"}))
}

fn bash(command: &str) -> Block {
    tool("Bash", json!({"command": command}))
}

#[tokio::test]
async fn read_reaches_the_project_and_nothing_else() {
    let (_, answers) = calls(|theirs| {
        [
            "{{cwd}}/index.html".to_owned(),
            format!("{theirs}/index.html"),
            format!("{theirs}/.git/hooks/post-commit"),
            "{{cwd}}/../../1/game/secret.txt".to_owned(),
            format!("{{{{cwd}}}}/../../../../../../../..{theirs}/index.html"),
            "/etc/shadow".to_owned(),
            "/proc/1/root/etc/shadow".to_owned(),
            "/proc/1/environ".to_owned(),
            concat!("/roo", "t/.bashrc").to_owned(),
        ]
        .map(read)
        .into()
    })
    .await;
    assert!(answers[0].contains("mine-and-readable"), "{answers:#?}");
    for answer in answers.iter().skip(1) {
        let refused = [
            "does not exist",
            "EACCES",
            "denied",
            "ENOENT",
            "permission",
            "Refusing",
            "Cannot read",
        ];
        assert!(refused.iter().any(|word| answer.contains(word)), "{answer}");
    }
}

#[tokio::test]
async fn links_made_by_bash_are_read_neither_by_read_nor_by_clients() {
    let (around, answers) = calls(|theirs| {
        vec![
            bash("ln -s notes.txt good.txt"),
            read("{{cwd}}/good.txt"),
            bash(&format!(
                "ln -s {theirs}/index.html a.txt; ln -s /etc/shadow b.txt; ln -s /proc/1/root c; \
                 ln -s ../../1/game/secret.txt d.txt; ln -s {theirs} e; echo linked"
            )),
            read("{{cwd}}/a.txt"),
            read("{{cwd}}/b.txt"),
            read("{{cwd}}/c/etc/shadow"),
            read("{{cwd}}/d.txt"),
            read("{{cwd}}/e/index.html"),
            // A link that stays would end the run; tests/cli/hostile_files.rs shows that.
            bash("rm good.txt a.txt b.txt c d.txt e; echo removed"),
        ]
    })
    .await;
    assert!(answers[1].contains("needle"), "{answers:#?}");
    assert!(answers[2].contains("linked"), "{answers:#?}");
    for path in ["a.txt", "b.txt", "c/etc/shadow", "e/index.html"] {
        assert_ne!(around.worker.get_file(around.own, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn write_and_edit_change_the_project_and_nothing_else() {
    let outside = ["/etc/cron.d/x", "{{cwd}}/../x", "{{cwd}}/../../1/game/x.txt", "/usr/bin/x"];
    let (around, answers) = calls(|theirs| {
        let mut blocks = vec![
            write("{{cwd}}/new.txt"),
            tool("Edit", json!({"file_path": "{{cwd}}/notes.txt", "old_string": "needle", "new_string": "pin"})),
            tool("Edit", json!({"file_path": format!("{theirs}/index.html"), "old_string": "m", "new_string": "x"})),
            write(format!("{theirs}/planted.txt")),
            write(format!("{theirs}/.git/hooks/pre-commit")),
            write("{{cwd}}/.git/hooks/pre-commit"),
        ];
        blocks.extend(outside.map(write));
        blocks
    })
    .await;
    let Around { worker, own, other, .. } = &around;
    assert_eq!(worker.get_file(*own, "new.txt").await.text(), "planted", "{answers:#?}");
    assert!(worker.get_file(*own, "notes.txt").await.text().contains("here is a pin"));
    for path in ["planted.txt", ".git/hooks/pre-commit"] {
        assert!(!worker.project(*other).join(path).exists(), "{path}");
    }
    // The private copy has no .git, so a .git that the agent makes is removed with the copy.
    assert!(!worker.project(*own).join(".git/hooks/pre-commit").exists());
    for path in ["/etc/cron.d/x", "/usr/bin/x"] {
        assert!(!std::path::Path::new(path).exists(), "{path}");
    }
}

#[tokio::test]
async fn glob_and_grep_find_the_project_and_nothing_else() {
    let (around, answers) = calls(|theirs| {
        let grep = |path: &str| {
            tool("Grep", json!({"pattern": MARKER_PATTERN, "path": path, "output_mode": "content"}))
        };
        let glob = |pattern: &str, path: &str| tool("Glob", json!({"pattern": pattern, "path": path}));
        vec![
            tool("Grep", json!({"pattern": "needle", "path": "{{cwd}}", "output_mode": "content"})),
            glob("**/*.html", "{{cwd}}"),
            grep(theirs),
            grep("{{cwd}}/../.."),
            grep("/etc"),
            grep("/proc/1/root/home"),
            glob("*", theirs),
            glob("../../*/game/*", "{{cwd}}"),
            glob("users/*/projects/*/*", "/"),
            bash(&format!("grep -rl '{MARKER_PATTERN}' / --exclude-dir=proc --exclude-dir=usr 2>/dev/null | grep -v '^/tmp/claude'; echo searched")),
        ]
    })
    .await;
    assert!(answers[0].contains("here is a needle"), "{answers:#?}");
    assert!(answers[1].contains("index.html"), "{answers:#?}");
    let user = around.other.user.to_string();
    for answer in answers.iter().skip(6) {
        assert!(!answer.contains("secret.txt"), "{answer}");
    }
    assert!(!answers[8].contains(&user), "{}", answers[8]);
    assert!(answers[9].contains("searched"), "{}", answers[9]);
}
