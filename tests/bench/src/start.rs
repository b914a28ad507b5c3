//! The start of a process: by the launcher with all of its steps, compared with a plain spawn. Both
//! sides wait for the end of the program, and both run as the same user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use dreamcore_wire::plan::{Access, Grant, Limits};
use dreamcore_worker::sandbox::explore::{Confinement, explore};
use dreamcore_worker::sandbox::launch::Launcher;
use dreamcore_worker::sandbox::policy::{INNER_API_PORT, Program};
use tokio::process::Command;

use crate::bare::{UID, give_away, ms, open_folder};
use crate::generation::WARM_UPS;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

/// The aim: how much the confinement may add to a start, in milliseconds.
const AIM: Aim = Aim::Added(10.0);
/// Limits like those of a run. Their values do not affect the time.
const LIMITS: Limits = Limits {
    file_bytes: 100 << 20,
    open_files: 4096,
    processes: 512,
    cpu_s: 1200,
    memory_bytes: 2 << 30,
};

/// The folders and programs that both ways of starting need.
struct Place {
    folder: tempfile::TempDir,
    launcher: Launcher,
    confinement: Confinement,
}

/// Measures `true`, which does nothing else than start, and the CLI with `--version`.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let place = Place::new().await;
    let mut all = Vec::new();
    for (program, args, pairs) in [
        (PathBuf::from("/usr/bin/true"), &[][..], pairs * 10),
        (harness::claude(), &["--version"][..], pairs * 2),
    ] {
        let (mut bare, mut confined) = (Samples::default(), Samples::default());
        for pair in 0..WARM_UPS + pairs {
            let (a, b) = (place.bare(&program, args).await, place.confined(&program, args).await);
            if pair >= WARM_UPS {
                bare.push(a);
                confined.push(b);
            }
        }
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name} {}", args.join(" "));
        all.push(Measurement::pair(name.trim(), "ms", bare, confined, AIM));
    }
    all
}

impl Place {
    async fn new() -> Self {
        let folder = open_folder();
        for name in ["game", "home", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        give_away(folder.path());
        std::fs::create_dir(folder.path().join("root")).expect("a folder");
        let launcher = Launcher::new(harness::target_dir().join("dreamcore-confine"));
        let confinement = explore(&launcher, LIMITS, &folder.path().join("root"))
            .await
            .expect("something can be confined here");
        Self { folder, launcher, confinement }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn env(&self) -> BTreeMap<String, String> {
        let home = self.path("home").display().to_string();
        [("PATH", "/usr/bin:/bin".to_owned()), ("HOME", home)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    async fn bare(&self, program: &Path, args: &[&str]) -> f64 {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(self.env())
            .current_dir(self.path("game"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if harness::is_root() {
            command.uid(UID).gid(UID);
        }
        let began = Instant::now();
        let mut child = command.spawn().expect("the program can be executed");
        let status = child.wait().await.expect("it is our child");
        let took = began.elapsed();
        assert!(status.success(), "{}: {status}", program.display());
        ms(took)
    }

    async fn confined(&self, program: &Path, args: &[&str]) -> f64 {
        let plan = self.confinement.policy.plan(Program {
            path: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: self.env(),
            cwd: self.path("game"),
            grants: vec![
                Grant::new(self.path("game"), Access::Write),
                Grant::new(self.path("home"), Access::Write),
                Grant::new(self.path("tmp"), Access::Write).at("/tmp"),
            ],
            root_dir: self.path("root"),
            api_port: Some(INNER_API_PORT),
        });
        let began = Instant::now();
        let mut started = self.launcher.start(&plan).await.expect("it starts");
        let code = started.handle.wait().await.expect("it ends");
        let took = began.elapsed();
        assert_eq!(code, 0, "{}", program.display());
        ms(took)
    }
}
