//! The program that mounted the volume, as the worker sees it: a server on a Unix socket that
//! answers one line with one line.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::worker::Worker;

/// How a server answers.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// It succeeds after this time.
    Succeed(Duration),
    /// It refuses for this reason.
    Refuse(&'static str),
    /// It never answers.
    Hang,
    /// It answers with this line, whatever was asked.
    Say(&'static str),
    /// It closes the connection in the middle of its answer.
    Close,
}

/// A server on the socket of a volume.
#[derive(Debug)]
pub struct VolumeSocket {
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    /// What was asked, in the order in which it arrived.
    asked: Vec<String>,
    /// How many commits have succeeded.
    committed: usize,
    /// Files that the next reload brings.
    arriving: Vec<(PathBuf, String)>,
    /// The worker, and its view of the volume, on which it may have no file open in a reload.
    watched: Option<(i32, PathBuf)>,
}

impl VolumeSocket {
    /// Starts a server that answers at once.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("dc-volume-").tempdir().expect("a folder");
        let behaviour = Behaviour::Succeed(Duration::ZERO);
        let state = Arc::new(Mutex::new(State {
            behaviour,
            asked: Vec::new(),
            committed: 0,
            arriving: Vec::new(),
            watched: None,
        }));
        let listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { folder, state, server }
    }

    /// The path of the socket.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Lets a file of another container arrive with the next reload.
    pub fn deliver(&self, path: PathBuf, text: &str) {
        lock(&self.state).arriving.push((path, text.to_owned()));
    }

    /// Refuses reloads as a volume does while this worker has a file open on it.
    pub fn watch(&self, worker: &Worker) {
        lock(&self.state).watched = Some((worker.pid(), worker.data()));
    }

    /// Answers like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// How often this operation was asked for.
    pub fn count(&self, operation: &str) -> usize {
        lock(&self.state).asked.iter().filter(|asked| *asked == operation).count()
    }

    /// How many commits have succeeded.
    pub fn committed(&self) -> usize {
        lock(&self.state).committed
    }

    /// Waits until this operation was asked for that often.
    pub async fn asked(&self, operation: &str, times: usize) {
        for _ in 0..3000 {
            if self.count(operation) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{operation} was asked for {} times, not {times}", self.count(operation));
    }
}

impl Drop for VolumeSocket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Whether a process has a file or a folder open below this one.
fn has_open_files(pid: i32, folder: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|path| path.starts_with(folder))
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: UnixListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&state)));
    }
}

async fn answer(stream: UnixStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("a line");
    let request: Value = serde_json::from_str(&line).expect("it is JSON");
    assert_eq!(request["v"], 1);
    let behaviour = {
        let mut state = lock(&state);
        state.asked.push(request["op"].as_str().expect("a text").to_owned());
        state.behaviour.clone()
    };
    let id = &request["id"];
    let behaviour = match behaviour {
        Behaviour::Succeed(after) if request["op"] == "reload" => {
            // What a reload brings is decided when it is issued.
            let brought = std::mem::take(&mut lock(&state).arriving);
            let watched = lock(&state).watched.clone();
            if watched.is_some_and(|(pid, data)| has_open_files(pid, &data)) {
                lock(&state).arriving.extend(brought);
                Behaviour::Refuse("open_files")
            } else {
                tokio::time::sleep(after).await;
                for (path, text) in brought {
                    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                    std::fs::write(path, text).expect("a file arrives");
                }
                Behaviour::Succeed(Duration::ZERO)
            }
        }
        other => other,
    };
    let text = match behaviour {
        Behaviour::Succeed(after) => {
            tokio::time::sleep(after).await;
            if request["op"] == "commit" {
                lock(&state).committed += 1;
            }
            format!("{}\n", json!({ "v": 1, "id": id, "ok": true }))
        }
        Behaviour::Refuse(reason) => {
            let message = "as the test wants";
            let answer =
                json!({ "v": 1, "id": id, "ok": false, "reason": reason, "message": message });
            format!("{answer}\n")
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Say(text) => format!("{text}\n"),
        Behaviour::Close => format!("{{\"v\":1,\"id\":{id},\"ok\":tr"),
    };
    // The worker may have given up.
    drop(stream.write_all(text.as_bytes()).await);
}
