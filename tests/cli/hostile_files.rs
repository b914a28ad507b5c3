//! Files that an agent can leave in its copy of a project, from links to names that break
//! terminals. Either they become ordinary files of the project or the whole run is refused.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use harness::{Ids, Setup, git, has_git_identity};

use crate::support::{GOOD, Scene, changes, visible};

/// A run that changes a file and leaves something that must not be saved.
async fn rejected(scene: &Scene, mess: &str) -> String {
    let script = format!("echo new > index.html; echo new > another.txt\n{mess}\n{GOOD}");
    let end = scene.fail(Ids::new(), &script, "OUTPUT_REJECTED").await;
    end.text("message").to_owned()
}

#[tokio::test]
async fn links_and_special_files_are_refused_and_named() {
    let scene = Scene::start(Setup::default()).await;
    let secret = Ids::new();
    scene.worker.put(secret, "index.html", "somebody else's");
    let other = scene.worker.project(secret);
    let other = other.display();
    for (mess, said) in [
        ("ln -s /etc/passwd passwd.txt".to_owned(), "passwd.txt is a symbolic link"),
        (format!("ln -s {other}/index.html theirs.html"), "theirs.html is a symbolic link"),
        (format!("ln -s {other} theirs"), "theirs is a symbolic link"),
        ("ln -s ../../../../../../etc etc".to_owned(), "etc is a symbolic link"),
        ("ln -s nowhere dangling".to_owned(), "dangling is a symbolic link"),
        ("ln -s . loop".to_owned(), "loop is a symbolic link"),
        (
            "mkdir assets; ln -s /proc/self/environ assets/a.png".to_owned(),
            "assets/a.png is a symbolic link",
        ),
        ("rm index.html; ln -s /etc/passwd index.html".to_owned(), "index.html is a symbolic link"),
        ("mkfifo pipe".to_owned(), "pipe is not a regular file"),
        ("mkdir -p a/b; mkfifo a/b/index.html".to_owned(), "a/b/index.html is not a regular file"),
        (
            "perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un(\"s\")) or die'"
                .to_owned(),
            "s is not a regular file",
        ),
        ("ln another.txt second.txt".to_owned(), "has a second hard link"),
        ("ln another.txt .hidden-second".to_owned(), "another.txt has a second hard link"),
        ("ln another.txt \"$HOME/kept\" || ln -s x kept".to_owned(), ""),
    ] {
        let message = rejected(&scene, &mess).await;
        assert!(message.contains(said), "{mess}: {message}");
    }
    assert_eq!(scene.worker.get_file(secret, "index.html").await.text(), "somebody else's");
}

#[tokio::test]
async fn names_that_no_client_could_ask_for_are_refused() {
    let scene = Scene::start(Setup::default()).await;
    for mess in [
        r"echo x > $'\xff\xfe.js'",
        r"mkdir $'\xff'; echo x > $'\xff/a.js'",
        r"echo x > $'line\nbreak.js'",
        r"echo x > $'escape\e[2J.js'",
        r"echo x > $'\x7f'",
        r"echo x > 'back\slash.js'",
        "echo x > 'trailing.'",
        "echo x > 'trailing '",
        "echo x > ' leading'",
        "mkdir 'folder '; echo x > 'folder /a.js'",
        "echo x > '~'",
        // A name with a character that reverses the direction, which would look like another name.
        r"echo x > $'\u202egpj.exe'",
        "for i in $(seq 90); do mkdir d && cd d; done; echo x > deep.js",
        "for i in $(seq 40); do mkdir d && cd d; done; echo x > deep.js",
        "n=$(printf 'n%.0s' $(seq 250)); mkdir -p $n/$n/$n/$n/$n; echo x > $n/$n/$n/$n/$n/f",
    ] {
        let message = rejected(&scene, mess).await;
        assert!(!message.contains(['\n', '\u{1b}', '\u{7f}', '\u{202e}']), "{mess}: {message:?}");
    }
}

#[tokio::test]
async fn too_much_is_refused() {
    let setup = Setup::default()
        .var("DREAMCORE_MAX_FILES", 100)
        .var("DREAMCORE_MAX_FILE_BYTES", 1_000_000)
        .var("DREAMCORE_MAX_PROJECT_BYTES", 3_000_000);
    let scene = Scene::start(setup).await;
    for (mess, said) in [
        ("for i in $(seq 100); do echo $i > f$i; done", "more than 100 files"),
        ("truncate -s 1500000 sparse", "sparse is larger than 1000000 bytes"),
        ("head -c 1000001 /dev/zero > big", "big is larger than 1000000 bytes"),
        (
            "for i in 1 2 3 4; do head -c 900000 /dev/zero > f$i; done",
            "larger than 3000000 bytes together",
        ),
        ("for i in 1 2 3 4; do truncate -s 900000 f$i; done", "larger than 3000000 bytes together"),
    ] {
        let message = rejected(&scene, mess).await;
        assert!(message.contains(said), "{mess}: {message}");
    }
    // The kernel refuses to make such a large file.
    let huge = "truncate -s 1T huge; head -c 3000000 /dev/zero > cut; rm -f cut; echo $(stat -c %s huge) >&2; rm -f huge; echo x > a";
    scene.succeed(Ids::new(), huge).await;
    // Files that are exactly at the limits are accepted.
    let most = "for i in $(seq 100); do echo $i > f$i; done; head -c 1000000 /dev/zero > f1";
    scene.succeed(Ids::new(), most).await;
}

#[tokio::test]
async fn a_hundred_thousand_files_are_refused_and_removed() {
    let scene = Scene::start(Setup::default()).await;
    let mess = "mkdir many; cd many; seq 100000 | xargs touch; cd ..";
    let message = rejected(&scene, mess).await;
    assert!(message.contains("more than 10000 files"), "{message}");
}

#[tokio::test]
async fn modes_and_owners_of_the_agent_do_not_enter_the_project() {
    let scene = Scene::start(Setup::default()).await;
    let ids = Ids::new();
    let events = scene
        .succeed(
            ids,
            "echo run > run.sh; chmod 755 run.sh
            cp /bin/true suid; chmod 6755 suid
            mkdir -p private/inner; echo x > private/inner/a.js; echo y > private/none
            chmod 000 private/none private/inner private
            : > empty.txt
            d=$(printf 'd/%.0s' $(seq 31)); mkdir -p $d; echo deep > $d/f
            mkdir -p no/files/here
            echo w > world; chmod 666 world",
        )
        .await;
    let deep = format!("create {}f", "d/".repeat(31));
    assert_eq!(
        changes(&events),
        [
            deep.as_str(),
            "create empty.txt",
            "create private/inner/a.js",
            "create private/none",
            "create run.sh",
            "create suid",
            "create world"
        ]
    );
    let folder = worker_folder(&scene, ids);
    for name in ["run.sh", "suid", "private/none", "private/inner/a.js", "empty.txt", "world"] {
        let meta = fs::symlink_metadata(folder.join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o644, "{name}");
        assert_eq!(meta.uid(), nix::unistd::geteuid().as_raw(), "{name}");
    }
    let mode = fs::metadata(folder.join("private")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert!(!folder.join("no").exists(), "git knows no empty folders");
    has_git_identity(&folder);
}

fn worker_folder(scene: &Scene, ids: Ids) -> std::path::PathBuf {
    scene.worker.project(ids)
}

#[tokio::test]
async fn hidden_files_of_the_agent_are_passed_over() {
    let scene = Scene::start(Setup::default()).await;
    let ids = Ids::new();
    let kept = "echo '<p>game</p>' > index.html";
    scene.succeed(ids, kept).await;
    let folder = scene.worker.project(ids);
    let config = fs::read(folder.join(".git/config")).unwrap();
    let events = scene
        .succeed(
            ids,
            "mkdir -p .git/hooks .claude .cache/x assets/.git
            echo '[core] fsmonitor = touch /tmp/evil' > .git/config
            echo 'ref: refs/heads/evil' > .git/HEAD
            printf '#!/bin/sh\\nexit 1' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit
            echo '{}' > .claude/settings.json; echo '{}' > .mcp.json; echo x > .env
            echo x > assets/.hidden; ln -s /etc/passwd .link; mkfifo .pipe; ln -s /etc .cache/x/etc
            echo x > assets/a.txt",
        )
        .await;
    assert_eq!(changes(&events), ["create assets/a.txt"]);
    assert_eq!(fs::read(folder.join(".git/config")).unwrap(), config);
    for name in [
        ".git/hooks/pre-commit",
        ".claude",
        ".mcp.json",
        ".env",
        ".link",
        ".pipe",
        ".cache",
        "assets/.git",
    ] {
        assert!(fs::symlink_metadata(folder.join(name)).is_err(), "{name}");
    }
    assert_eq!(git(&folder, &["ls-files"]), "assets/a.txt\nindex.html\n");
    has_git_identity(&folder);
}

#[tokio::test]
async fn the_folder_itself_cannot_be_replaced() {
    let scene = Scene::start(Setup::default()).await;
    for attack in [
        "mv \"$PWD\" \"$PWD.moved\"",
        "mv \"$PWD\" \"$TMPDIR/game\"",
        "g=$PWD; cd ..; rmdir game; ln -sT /etc game",
        "g=$PWD; cd ..; mkdir other; ln -s /etc other/x",
        "cd ..; mv home game2; mv tmp home",
        "rm -rf \"$HOME\" \"$TMPDIR\"; ln -sT /etc \"$HOME\"",
    ] {
        let ids = Ids::new();
        let attack = format!("( {attack} ) 2>/dev/null; cd \"$PWD\"; echo '<p>x</p>' > index.html");
        let events = scene.succeed(ids, &attack).await;
        assert_eq!(changes(&events), ["create index.html"], "{attack}");
        // The slot can be used again.
        scene.succeed(ids, "echo again > again.txt").await;
    }
    // Removing all files is an ordinary change: the version before still has them.
    let ids = Ids::new();
    scene.succeed(ids, "echo x > index.html; mkdir a; echo y > a/b").await;
    let events = scene.succeed(ids, "rm -rf \"$PWD\" 2>/dev/null").await;
    assert_eq!(changes(&events), ["delete a/b", "delete index.html"]);
    let folder = scene.worker.project(ids);
    assert_eq!(git(&folder, &["show", "HEAD~1:index.html"]), "x\n");
    has_git_identity(&folder);
}

/// Hidden files of a project, which the agent does not see, can be in the way of files that it
/// makes.
#[tokio::test]
async fn what_is_in_the_way_in_the_project_stops_the_save_before_it_begins() {
    let scene = Scene::start(Setup::default()).await;
    for (present, script) in [
        // A folder that is not empty after its visible files are removed.
        ("mkdir a; echo x > a/x; echo y > a/.kept", "rm -r a; echo file > a"),
        ("mkdir a; echo x > a/x; ln -s /etc/passwd a/link", "rm -r a; echo file > a"),
        ("mkdir -p a/b/.git", "rm -rf a; echo file > a"),
        // A link in the place of a folder.
        ("ln -s /tmp a", "mkdir a; echo x > a/x"),
        ("mkdir z; ln -s /tmp z/a", "mkdir -p z/a; echo x > z/a/x"),
        ("mkfifo a", "mkdir a; echo x > a/x"),
    ] {
        let ids = Ids::new();
        scene.succeed(ids, "echo '<p>game</p>' > index.html; echo x > gone.txt").await;
        let folder = scene.worker.project(ids);
        let status =
            std::process::Command::new("bash").args(["-c", present]).current_dir(&folder).status();
        assert!(status.unwrap().success());
        let before = visible(&folder);
        let script = format!("rm gone.txt; echo new > 0; echo new > index.html; {script}\n{GOOD}");
        let events = scene.run(ids, &script).await;
        crate::support::expect_error(&scene.worker, &events, "STORAGE_ERROR");
        assert_eq!(visible(&folder), before, "{present}; {script}");
    }
}
