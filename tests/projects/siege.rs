//! A hostile project under siege: every request that reads a history, while the worker's health and
//! memory are watched, and what must be true of the project afterwards.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Event, Ids, Setup, Worker, git, terminal};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bombs::Bomb;
use crate::support::{about, apply, files, healthy};

/// The largest peak of the worker's memory, in KiB.
const MOST_MEMORY_KIB: u64 = 300 * 1024;
/// How long an answer to `/health/live` may take.
const PROMPT: Duration = Duration::from_secs(1);
/// How long a request may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// The peak of the worker's own memory since the last call of [`forget_peak`]. 0 if the kernel does
/// not show it.
fn peak_kib(worker: &Worker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.pid())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn forget_peak(worker: &Worker) {
    // gVisor has neither this file nor the peak.
    drop(fs::write(format!("/proc/{}/clear_refs", worker.pid()), "5"));
}

/// A worker with a hostile project.
pub(crate) struct Siege {
    pub(crate) worker: Worker,
    pub(crate) ids: Ids,
}

/// The results of all requests together.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The messages of the versions before anything is saved, the newest first.
    pub(crate) names: Vec<String>,
    pub(crate) diff: String,
    /// The time of the slowest request.
    pub(crate) longest: Duration,
}

impl Siege {
    pub(crate) async fn new(build: impl FnOnce(&Bomb) + Send + 'static) -> Self {
        Self::with(Setup::default(), build).await
    }

    pub(crate) async fn with(setup: Setup, build: impl FnOnce(&Bomb) + Send + 'static) -> Self {
        let worker = setup.start().await;
        worker.settled().await;
        let ids = Ids::new();
        let project = worker.project(ids);
        // On another thread, so that the runtime can serve open connections in the meantime.
        let built = tokio::task::spawn_blocking(move || build(&Bomb::new(&project)));
        built.await.expect("it is built");
        give_away(&worker);
        Self { worker, ids }
    }

    pub(crate) fn project(&self) -> std::path::PathBuf {
        self.worker.project(self.ids)
    }

    pub(crate) async fn post(
        &self,
        endpoint: &str,
        further: Value,
        longest: &mut Duration,
    ) -> Value {
        let (status, answer) = self.answer(endpoint, further, longest).await;
        assert!(status.is_success(), "{endpoint}: {status} {answer}\n{}", self.worker.log());
        answer
    }

    /// The same for the first request that needs the history. The import may take longer than the
    /// request may: it is then told to come back, and the import is finished all the same, so that
    /// it is told once.
    async fn first_post(&self, endpoint: &str, further: Value, longest: &mut Duration) -> Value {
        let (status, answer) = self.answer(endpoint, further.clone(), longest).await;
        if status != reqwest::StatusCode::SERVICE_UNAVAILABLE {
            assert!(status.is_success(), "{endpoint}: {status} {answer}\n{}", self.worker.log());
            return answer;
        }
        assert_eq!(answer["code"], "STORAGE_ERROR", "{answer}");
        assert_eq!(self.kept().len(), 1, "{answer}\n{}", self.worker.log());
        self.post(endpoint, further, longest).await
    }

    async fn answer(
        &self,
        endpoint: &str,
        further: Value,
        longest: &mut Duration,
    ) -> (reqwest::StatusCode, Value) {
        let began = Instant::now();
        let request = self.worker.request(reqwest::Method::POST, endpoint);
        let request = request.json(&about(self.ids, &further)).timeout(DEADLINE);
        let answer = request.send().await;
        let answer = answer.unwrap_or_else(|e| panic!("{endpoint}: {e}\n{}", self.worker.log()));
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        *longest = began.elapsed().max(*longest);
        let answer = serde_json::from_str(&text);
        (status, answer.unwrap_or_else(|e| panic!("{endpoint}: {status} {e} {text}")))
    }

    pub(crate) async fn save(&self, path: &str, longest: &mut Duration) {
        let began = Instant::now();
        let file = json!([{ "path": path, "content": "new" }]);
        let saved = tokio::time::timeout(DEADLINE, apply(&self.worker, self.ids, file));
        let events: Vec<Event> = saved.await.expect("it ends in time");
        *longest = began.elapsed().max(*longest);
        assert_eq!(terminal(&events).kind(), "done", "{events:#?}\n{}", self.worker.log());
    }

    /// Sends every request that reads a history.
    pub(crate) async fn requests(&self) -> Seen {
        let mut seen = Seen::default();
        let longest = &mut seen.longest;
        let details = about(self.ids, &json!({}));
        let (user, project) = (&details["user_id"], &details["project_id"]);
        let query = format!("user_id={user}&project_id={project}&details=1").replace('"', "");
        assert_eq!(self.worker.get(&format!("list_files?{query}")).await.status, 200);

        let log = json!({ "action": "git_log", "limit": 500 });
        let log = self.first_post("apply_files", log, longest).await;
        let commits = log["commits"].as_array().expect("a list");
        let name = |commit: &Value| commit["message"].as_str().unwrap_or_default().to_owned();
        seen.names = commits.iter().map(name).collect();
        let newest = commits[0]["hash"].clone();
        let diff = json!({ "action": "git_diff", "commit": newest });
        let diff = self.post("apply_files", diff, longest).await;
        seen.diff = diff["diff"].as_str().unwrap_or_default().to_owned();
        self.save("new.txt", longest).await;
        let restore = json!({ "commit": newest });
        assert_eq!(self.post("restore_version", restore, longest).await["success"], true);
        let target = Uuid::new_v4();
        let copy = json!({ "target_project_id": target, "history": true });
        assert_eq!(self.post("copy_project", copy, longest).await["success"], true);
        let copy = Ids { user: self.ids.user, project: target };
        git(&self.worker.project(copy), &["fsck", "--strict"]);
        self.save("newer.txt", longest).await;
        seen
    }

    /// The same, while the worker's health is requested and its memory is measured.
    pub(crate) async fn endured(&self) -> Seen {
        forget_peak(&self.worker);
        let health = async {
            let mut slowest = Duration::ZERO;
            loop {
                let asked = Instant::now();
                assert_eq!(self.worker.get("health/live").await.status, 200);
                slowest = slowest.max(asked.elapsed());
                assert!(slowest < PROMPT, "the worker's health took {slowest:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::select! {
            seen = self.requests() => seen,
            () = health => unreachable!("it has no end"),
        };
        let peak = peak_kib(&self.worker);
        eprintln!("peak {} MiB, longest request {:?}", peak / 1024, seen.longest);
        assert!(peak < MOST_MEMORY_KIB, "{} MiB", peak / 1024);
        healthy(&self.project());
        assert!(files(&self.project()).contains(&"newer.txt=new".to_owned()));
        seen
    }

    /// The names of old repositories that were kept.
    pub(crate) fn kept(&self) -> Vec<String> {
        let folder = self.project().join(".git/before-dreamcore");
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Checks that the history is as before and that the old repository is kept.
    pub(crate) async fn is_kept(&self, names: &[&str]) -> Seen {
        let seen = self.endured().await;
        assert_eq!(seen.names, names);
        assert_eq!(self.kept().len(), 1, "{:?}", self.kept());
        seen
    }

    /// Checks that there is a new history, which begins with the files as they were.
    pub(crate) async fn is_begun_anew(&self) {
        self.is_kept(&["最初のバージョン"]).await;
        assert!(self.worker.log().contains("are left out"), "{}", self.worker.log());
    }
}

/// Gives the files to the worker's user, which may be another one than the test's.
fn give_away(worker: &Worker) {
    fn visit(path: &Path, owner: u32) {
        chown(path, Some(owner), Some(owner)).expect("it is ours");
        if path.is_dir() {
            fs::read_dir(path)
                .expect("a folder")
                .flatten()
                .for_each(|entry| visit(&entry.path(), owner));
        }
    }
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(worker.scratch()).expect("ours"));
    if harness::is_root() && owner != 0 {
        visit(&worker.data().join("users"), owner);
    }
}
