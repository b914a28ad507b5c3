//! What the relay's prompts say of the sandbox is true there: the project's folder is where they say,
//! and the skills are files below it, which can be read and not changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::script::{Block, Script, text, tool};
use harness::{Ids, Kernel, Setup, Worker, git, kernel};
use serde_json::{Value, json};

use crate::support::{answers, changes, expect_done, fingerprint, root_or_skip};

/// The user of a worker that is not root; no machine that tests run on has one.
const ORDINARY: u32 = 1234;
/// The text of the skill, and a pattern for it that is not found in itself.
const WORD: &str = "magic word xyzzy";
const PATTERN: &str = "magic word xyzz[y]";
const SKILL: &str = ".claude/skills/p5js-setup/SKILL.md";
/// What lies beside the skills, or behind a link in them, and must not be seen.
const HIDDEN: &str = "this must stay hidden";

/// Each would change the skills, or put something in their place.
const CHANGES: &[&str] = &[
    "echo x >> .claude/skills/p5js-setup/SKILL.md",
    "echo x > .claude/skills/p5js-setup/new",
    "mkdir .claude/skills/new",
    "mkdir .claude/new",
    "echo x > .claude/settings.json",
    "chmod 777 .claude/skills",
    "rm -f .claude/skills/p5js-setup/SKILL.md",
    "rmdir .claude/skills",
    "mv .claude/skills/p5js-setup .claude/skills/other",
    "mv .claude/skills .claude/other",
    "mv .claude other",
    "ln -sfn /tmp .claude/skills/p5js-setup",
];
/// How many of them give nothing another name.
const IN_PLACE: usize = 8;

fn bash(command: &str) -> Block {
    tool("Bash", json!({"command": command}))
}

fn read(path: &str) -> Block {
    tool("Read", json!({"file_path": path}))
}

/// A global folder with a skill, and much that is not to be taken for settings.
fn furnish(worker: &Worker) {
    worker.add_skill(
        "p5js-setup",
        &format!("---\nname: p5js-setup\ndescription: How to set up p5js-setup\n---\n{WORD}\n"),
    );
    let claude = worker.global().join(".claude");
    let hook = json!({"hooks": {"SessionStart": [{"hooks": [
        {"type": "command", "command": "touch hooked.txt"}
    ]}]}});
    let server = json!({"mcpServers": {"planted-there": {"command": "/usr/bin/true", "args": []}}});
    for (path, content) in [
        ("settings.json", hook.to_string()),
        ("hooks/hooks.json", hook.to_string()),
        (".mcp.json", server.to_string()),
        ("commands/planted-there.md", HIDDEN.to_owned()),
        (
            "agents/planted-there.md",
            format!("---\nname: planted-there\ndescription: {HIDDEN}\n---\n{HIDDEN}"),
        ),
        ("../beside.txt", HIDDEN.to_owned()),
    ] {
        let path = claude.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    symlink("../../../beside.txt", claude.join("skills/p5js-setup/link.txt")).expect("a link");
    symlink(worker.data(), claude.join("skills/volume")).expect("a link");
}

/// Gives a folder to a user: the skills to that of the sandbox, so that it is not their owner that
/// denies, and a project to that of the worker.
fn give_away(folder: &Path, user: u32) {
    let mut command = Command::new("chown");
    let status = command.arg("-RP").arg(format!("{user}:{user}")).arg(folder).status();
    assert!(status.expect("chown runs").success());
}

/// What an older project has: settings and a skill of its own, which nobody is to obey or touch.
fn old_claude_folder(worker: &Worker, ids: Ids) -> PathBuf {
    worker.put(ids, "old.txt", "old");
    worker.put(ids, ".claude/settings.json", r#"{"hooks":{}}"#);
    worker.put(ids, ".claude/skills/own/SKILL.md", HIDDEN);
    worker.project(ids).join(".claude")
}

/// The prompt as the relay makes it, with its own folder before the project's.
fn prompt(ids: Ids, relay: &str) -> String {
    let Ids { user, project } = ids;
    let folder = format!("{relay}/users/{}/projects/{project}", user.to_string().to_uppercase());
    format!(
        "<system>\nゲームを作る。\n作業ディレクトリ: {folder}\n【必須】\n- {SKILL} を読む\n\
         - {folder}/index.html に書く\n</system>\n\n<user>\n星を集めるゲーム\n</user>"
    )
}

/// One run as the relay asks for it, of an agent that does what the prompt says and then tries to
/// change the skills. `folder` is where its project has to be, and `user` whose it is.
async fn run(worker: &Worker, ids: Ids, folder: &str, user: Option<u32>) {
    let claude = old_claude_folder(worker, ids);
    if let Some(user) = user {
        give_away(&worker.data(), user);
    }
    let before = fingerprint(&claude);
    let events = worker.generate(ids, &prompt(ids, "/var/relay/data")).await;
    expect_done(worker, &events);

    assert_eq!(changes(&events), ["create by-bash.txt", "create index.html"]);
    assert_eq!(worker.get_file(ids, "index.html").await.text(), "<p>written</p>");
    assert_eq!(git(&worker.project(ids), &["ls-files"]), "by-bash.txt\nindex.html\nold.txt\n");
    assert_eq!(worker.list_files(ids).await.json()["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(fingerprint(&claude), before, "the project's own folder was touched");

    let requests = worker.api.requests();
    let asked = requests.iter().find(|request| request.body.to_string().contains("ゲームを作る"));
    let asked = asked.expect("the prompt").body.to_string();
    assert!(asked.contains(&format!("作業ディレクトリ: {folder}\\n")), "{asked}");
    assert!(asked.contains(&format!("- {folder}/index.html に書く")), "{asked}");
    assert!(!asked.contains("/var/relay"), "{asked}");
    assert_eq!(asked.matches("How to set up p5js-setup").count(), 1, "known once: {asked}");

    let answers = answers(worker);
    let [place, _, relative, absolute, cat, glob, grep, init, around, denied] = &answers[..] else {
        panic!("{answers:#?}")
    };
    assert_eq!(place, folder);
    for answer in [relative, absolute, cat, grep] {
        assert!(answer.contains(WORD), "{answer}");
    }
    assert!(glob.contains(SKILL), "{glob}");
    // Without a PID namespace, /proc does not show a process its own parent.
    if folder.starts_with("/data/") {
        expect_one_skill_and_nothing_else(init, folder);
    }
    if folder.starts_with("/data/") {
        assert_eq!(denied, &vec!["denied"; CHANGES.len()].join("\n"));
    }
    let kept = fs::read_to_string(worker.global().join(SKILL)).expect("the skill is there");
    assert!(kept.ends_with(&format!("{WORD}\n")), "{kept}");
    // Neither what the links lead to, nor the folders that lead to the project.
    let around = around.trim_start().replace(&ids.user.to_string(), "U");
    assert_eq!(around, "\n.claude/skills\nsearched".trim_start());
    let sent: String = requests.iter().map(|request| request.body.to_string()).collect();
    for word in [HIDDEN, "planted-there", "hooked.txt"] {
        if let Some((before, _)) = sent.split_once(word) {
            let context: String = before.chars().rev().take(300).collect();
            panic!("{word} was seen behind {}", context.chars().rev().collect::<String>());
        }
    }
}

/// Checks what the CLI says of itself when it starts: where it works, that it knows the skill once,
/// and that it has taken nothing else from beside the skills.
fn expect_one_skill_and_nothing_else(init: &str, folder: &str) {
    let init: Value = serde_json::from_str(init).unwrap_or_else(|e| panic!("{e}: {init}"));
    let named = |list: &str, part: &str| {
        let list = init[list].as_array().unwrap_or_else(|| panic!("no {list}: {init:#}"));
        list.iter().filter(|one| one.to_string().contains(part)).count()
    };
    assert_eq!(init["cwd"], folder);
    assert_eq!(named("skills", ":p5js-setup"), 1, "{init:#}");
    // The CLI's own, of which there are 18 if they are not switched off.
    assert!(named("skills", "") <= 4, "{init:#}");
    let built_in = named("plugins", "@builtin");
    assert_eq!(named("plugins", "source") - built_in, 1, "{init:#}");
    assert_eq!(init["mcp_servers"], json!([]), "{init:#}");
    for list in ["skills", "slash_commands", "agents"] {
        assert_eq!(named(list, "planted-there"), 0, "{init:#}");
        assert_eq!(named(list, ":own"), 0, "{init:#}");
    }
    assert_eq!(named("tools", "mcp__"), 0, "{init:#}");
}

/// The calls of that agent, for a project that is in `folder`.
fn script(folder: &str) -> Script {
    let tries: Vec<_> = CHANGES
        .iter()
        .map(|change| {
            format!("if ( {change} ) 2>/dev/null; then echo 'done: {change}'; else echo denied; fi")
        })
        .collect();
    // Where nothing can be mounted over its own copy of the skills, a run can harm that copy. What
    // it renames to a visible name would be its own file.
    let (in_place, _) = tries.split_at(IN_PLACE);
    let tries = if folder.starts_with("/data/") { &tries[..] } else { in_place };
    let denied = tries.join("; ");
    [
        bash("echo here > by-bash.txt; pwd -P"),
        tool(
            "Write",
            json!({"file_path": format!("{folder}/index.html"), "content": "<p>written</p>"}),
        ),
        read(SKILL),
        read(&format!("{folder}/{SKILL}")),
        bash(&format!("cat {SKILL}")),
        tool("Glob", json!({"pattern": ".claude/skills/*/SKILL.md"})),
        tool(
            "Grep",
            json!({"pattern": PATTERN, "path": ".claude/skills", "output_mode": "content"}),
        ),
        // The CLI once more, in the same sandbox and with the same arguments.
        bash(
            "mapfile -d '' -t cli < /proc/$PPID/cmdline; mkdir /tmp/again; \
             echo '{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":\"[script:none]\"}}' \
             | HOME=/tmp/again timeout 60 \"${cli[@]}\" 2>&1 | grep -m1 '\"subtype\":\"init\"'",
        ),
        bash(
            "cat .claude/skills/p5js-setup/link.txt .claude/skills/volume/* .claude/*.json \
             .claude/.mcp.json 2>/dev/null; shopt -s nullglob dotglob; \
             echo /data/* /data/users/*; echo .claude/*; echo searched",
        ),
        bash(&denied),
    ]
    .into_iter()
    .fold(Script::new(), |script, call| script.turn([call]))
    .turn([text("できました")])
}

fn on_the_volume(ids: Ids) -> String {
    format!("/data/users/{}/projects/{}", ids.user, ids.project)
}

#[tokio::test]
async fn the_projects_folder_is_where_the_prompt_says_and_the_skills_are_below_it() {
    let ids = Ids::new();
    let folder = on_the_volume(ids);
    let worker = Setup::default().script(script(&folder)).start().await;
    furnish(&worker);
    if harness::is_root() {
        let skills = worker.global().join(".claude/skills");
        give_away(&skills, dreamcore_wire::plan::SANDBOX_IDENTITY.uid);
    }
    run(&worker, ids, &folder, None).await;
}

#[tokio::test]
async fn the_same_for_a_worker_that_is_not_root() {
    if !root_or_skip("the_same_for_a_worker_that_is_not_root") {
        return;
    }
    let ids = Ids::new();
    // In older gVisor only root can mount, so the run has no root of its own there: it works where
    // its copy is, and the prompt says so.
    let mounts = kernel() != Kernel::OlderGvisor;
    let scratch = tempfile::Builder::new().prefix("dc-").tempdir().expect("a folder");
    give_away(scratch.path(), ORDINARY);
    let folder = if mounts {
        on_the_volume(ids)
    } else {
        scratch.path().join("0/game").display().to_string()
    };
    let policy = if mounts { "strict" } else { "without-guarantees" };
    let setup = Setup::default().script(script(&folder)).as_user(ORDINARY);
    let setup = setup.var("DREAMCORE_SCRATCH_DIR", scratch.path().display());
    let worker = setup.var("DREAMCORE_CONFINEMENT", policy).start().await;
    furnish(&worker);
    give_away(&worker.global().join(".claude/skills"), ORDINARY);
    run(&worker, ids, &folder, Some(ORDINARY)).await;
}
