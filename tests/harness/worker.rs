//! Starting the worker of one test, on free ports and in folders of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use scripted_api::{Options, ScriptSet, ScriptedApi};

use crate::client::SECRET;
use crate::container::Container;
use crate::places;

/// The user that a worker runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The user that runs the test.
    Same,
    /// The user with this number.
    User(u32),
    /// Root without `CAP_SYS_ADMIN`, which may not make namespaces.
    WithoutSysAdmin,
}

/// The settings of a worker that is to be started.
#[derive(Debug)]
pub struct Setup {
    vars: BTreeMap<String, String>,
    scripts: ScriptSet,
    who: Who,
    container: Option<Arc<Container>>,
}

/// A running worker. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Worker {
    pub(crate) child: Child,
    pub(crate) http: reqwest::Client,
    base_url: String,
    log: Arc<Mutex<Vec<String>>>,
    /// The scripted model API that the worker's broker forwards to.
    pub api: ScriptedApi,
    folders: tempfile::TempDir,
    vars: BTreeMap<String, String>,
    who: Who,
    container: Option<Arc<Container>>,
}

/// The process of a worker that listens.
struct Running {
    child: Child,
    base_url: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Default for Setup {
    fn default() -> Self {
        let scripts = scripted_api::builtin::scripts();
        Self { vars: BTreeMap::new(), scripts, who: Who::Same, container: None }
    }
}

impl Setup {
    /// Sets one variable of the worker's environment.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a call with a number reads better")]
    pub fn var(mut self, name: &str, value: impl ToString) -> Self {
        self.vars.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets what the model API answers by default.
    #[must_use]
    pub fn script(mut self, script: scripted_api::Script) -> Self {
        self.scripts = ScriptSet::new("test", script);
        self
    }

    /// Sets several scripts; `[script:NAME]` in a prompt chooses one.
    #[must_use]
    pub fn scripts(mut self, scripts: ScriptSet) -> Self {
        self.scripts = scripts;
        self
    }

    /// Runs the worker as another user. Only root can.
    #[must_use]
    pub fn as_user(mut self, uid: u32) -> Self {
        self.who = Who::User(uid);
        self
    }

    /// Runs the worker as root without the capability to make namespaces. Only root can.
    #[must_use]
    pub fn without_sys_admin(mut self) -> Self {
        self.who = Who::WithoutSysAdmin;
        self
    }

    /// Puts the worker, with everything that it starts, into a container. Only root can.
    #[must_use]
    pub fn inside(mut self, container: Container) -> Self {
        self.container = Some(Arc::new(container));
        self
    }

    /// Replaces the CLI by a shell script with these lines.
    #[must_use]
    pub fn instead_of_claude(self, folder: &Path, script: &str) -> Self {
        let path = folder.join("claude");
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).expect("a script is written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("a script is executable");
        self.var("DREAMCORE_CLAUDE_BIN", path.display())
    }

    /// Starts the worker and waits until it listens.
    pub async fn start(self) -> Worker {
        let options = Options { expect_key: Some(REAL_KEY.to_owned()), ..Options::default() };
        let api = ScriptedApi::start(self.scripts, options).await.expect("the scripted API starts");
        let folders = tempfile::Builder::new().prefix("dc-").tempdir().expect("a folder");
        for name in ["data", "global/.claude/skills", "scratch"] {
            std::fs::create_dir_all(folders.path().join(name)).expect("a folder");
        }
        if let Who::User(uid) = self.who {
            chown_all(folders.path(), uid);
        }
        let path = |name: &str| folders.path().join(name).display().to_string();
        let mut vars = BTreeMap::from([
            ("MODAL_INTERNAL_SECRET".to_owned(), SECRET.to_owned()),
            ("DREAMCORE_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("DREAMCORE_DATA_DIR".to_owned(), path("data")),
            ("DREAMCORE_GLOBAL_DIR".to_owned(), path("global")),
            ("DREAMCORE_SCRATCH_DIR".to_owned(), path("scratch")),
            ("DREAMCORE_LOG_FORMAT".to_owned(), "json".to_owned()),
            ("DREAMCORE_LOG".to_owned(), "debug".to_owned()),
            ("ANTHROPIC_API_KEY".to_owned(), REAL_KEY.to_owned()),
            ("ANTHROPIC_BASE_URL".to_owned(), api.base_url()),
        ]);
        if !self.vars.contains_key("DREAMCORE_CLAUDE_BIN") {
            let claude = places::claude().display().to_string();
            vars.insert("DREAMCORE_CLAUDE_BIN".to_owned(), claude);
        }
        vars.extend(self.vars);
        // A test passes an empty value to leave a variable out.
        vars.retain(|_, value| !value.is_empty());
        let running = Running::start(&vars, self.who, self.container.as_deref()).await;
        Worker {
            child: running.child,
            http: reqwest_client(),
            base_url: running.base_url,
            log: running.log,
            api,
            folders,
            vars,
            who: self.who,
            container: self.container,
        }
    }

    /// Starts a worker that is expected to refuse its settings, and returns its status and its
    /// message.
    pub fn refuse(self) -> (ExitStatus, String) {
        let output = Command::new(places::program("dreamcore-worker"))
            .arg("serve")
            .env_clear()
            .envs(&self.vars)
            .output()
            .expect("the worker can be executed");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The key that only the broker may know. Tests search for it in places where it must not be.
pub const REAL_KEY: &str = "sk-ant-real-key-of-the-test-0123456789";

fn chown_all(folder: &Path, uid: u32) {
    let status = Command::new("chown")
        .args(["-R", &format!("{uid}:{uid}")])
        .arg(folder)
        .status()
        .expect("chown runs");
    assert!(status.success());
}

impl Worker {
    /// Kills the process as a crash would, and starts it anew with the same settings and folders.
    pub async fn restart(&mut self) {
        // An error means that the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        let running = Running::start(&self.vars, self.who, self.container.as_deref()).await;
        self.child = running.child;
        self.base_url = running.base_url;
        self.log = running.log;
    }

    /// The URL at which the worker listens.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Host and port, for raw connections.
    pub fn address(&self) -> &str {
        self.base_url.trim_start_matches("http://")
    }

    /// The process id of the worker.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Everything that the worker has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder_of("DREAMCORE_DATA_DIR")
    }

    /// The global folder, which holds the shared skills.
    pub fn global(&self) -> PathBuf {
        self.folders.path().join("global")
    }

    /// The scratch folder.
    pub fn scratch(&self) -> PathBuf {
        self.folder_of("DREAMCORE_SCRATCH_DIR")
    }

    fn folder_of(&self, variable: &str) -> PathBuf {
        self.vars.get(variable).map(PathBuf::from).expect("it is always set")
    }

    /// Adds a shared skill.
    pub fn add_skill(&self, name: &str, text: &str) {
        let folder = self.global().join(".claude/skills").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("SKILL.md"), text).expect("a skill is written");
    }

    /// Sends a signal to the worker.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("it lives");
    }

    /// Waits until the worker has ended. `None` if it still runs after `patience`.
    pub async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }
}

impl Running {
    async fn start(
        vars: &BTreeMap<String, String>,
        who: Who,
        container: Option<&Container>,
    ) -> Self {
        let program = places::program("dreamcore-worker");
        let mut command = if who == Who::WithoutSysAdmin {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]).arg(program);
            command
        } else if let Some(container) = container {
            container.command(&program)
        } else {
            Command::new(program)
        };
        command.arg("serve").env_clear().envs(vars).stderr(Stdio::piped());
        if let Who::User(uid) = who {
            std::os::unix::process::CommandExt::uid(&mut command, uid);
            std::os::unix::process::CommandExt::gid(&mut command, uid);
        }
        let mut child = command.spawn().expect("the worker can be executed");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (address_sender, address) = tokio::sync::oneshot::channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut sender = Some(address_sender);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if json["message"] == "listening"
                    && let Some(sender) = sender.take()
                {
                    drop(sender.send(json["address"].as_str().unwrap_or_default().to_owned()));
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let waited = tokio::time::timeout(Duration::from_secs(20), address).await;
        let Ok(Ok(address)) = waited else {
            let lines = log.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
            panic!("the worker did not start:\n{lines}");
        };
        Self { child, base_url: format!("http://{address}"), log }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error means that the process has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn reqwest_client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().expect("an HTTP client")
}
