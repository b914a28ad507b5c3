//! The client of the volume's socket, over which the program that mounted the volume is asked to
//! commit or to reload it.
//!
//! A request is a connection of its own: one line of JSON each way, at most [`MAX_LINE_BYTES`] long
//! and ended by a newline. The answer repeats the id of the request, so an answer to another
//! request is never taken for this one. A server that is absent, dead, slow or broken gives an
//! error before the deadline.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// The version of the protocol.
const VERSION: u32 = 1;
/// The longest line, in bytes, with its newline.
const MAX_LINE_BYTES: u64 = 4096;
/// The longest text of the server that is logged, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// What the server is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// Publish what this container has changed.
    Commit,
    /// Take in what other containers have committed.
    Reload,
}

#[derive(Serialize)]
struct Request {
    v: u32,
    id: Uuid,
    op: Operation,
}

#[derive(Deserialize)]
struct Answer {
    v: u32,
    id: Uuid,
    ok: bool,
    reason: Option<Reason>,
    message: Option<String>,
}

/// Why the server did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// A file on the volume is open.
    OpenFiles,
    /// The volume does not exist.
    NotFound,
    /// The volume would become too large.
    TooLarge,
    /// The server has too much to do.
    Busy,
    /// The server does not know this request.
    Unsupported,
    /// Everything else, also a reason that this version does not know.
    #[serde(other)]
    Failed,
}

/// Why the volume was not committed or reloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SocketError {
    /// The server cannot be reached.
    #[error("the volume's socket cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    /// There was no answer before the deadline.
    #[error("the volume's socket does not answer in time")]
    Late,
    /// The connection ended before the answer did.
    #[error("the volume's socket broke off")]
    BrokeOff,
    /// The answer does not follow the protocol.
    #[error("the volume's socket does not follow the protocol: {0}")]
    Malformed(&'static str),
    /// The server could not do it.
    #[error("the volume refused: {0:?}")]
    Refused(Reason),
}

impl SocketError {
    /// Whether the same request may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Refused(Reason::OpenFiles | Reason::Busy))
    }
}

/// The socket of a volume.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    turn: Mutex<()>,
}

impl Socket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, turn: Mutex::default() }
    }

    /// Waits until no other operation is under way. The server does one at a time.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Asks the server, and waits for its answer until the deadline.
    pub(super) async fn ask(
        &self,
        operation: Operation,
        deadline: Instant,
    ) -> Result<(), SocketError> {
        let asked = timeout_at(deadline, exchange(&self.path, operation)).await;
        asked.unwrap_or(Err(SocketError::Late))
    }
}

async fn exchange(socket: &Path, op: Operation) -> Result<(), SocketError> {
    let connected = UnixStream::connect(socket).await;
    let mut stream = connected.map_err(|error| SocketError::Unreachable(error.kind()))?;
    let request = Request { v: VERSION, id: Uuid::new_v4(), op };
    let mut line = serde_json::to_vec(&request)
        .map_err(|_| SocketError::Malformed("the request cannot be written"))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(|_| SocketError::BrokeOff)?;
    let mut line = Vec::new();
    let mut limited = BufReader::new(stream.take(MAX_LINE_BYTES));
    limited.read_until(b'\n', &mut line).await.map_err(|_| SocketError::BrokeOff)?;
    read(&line, request.id)
}

/// Reads the answer to the request with this id.
fn read(line: &[u8], id: Uuid) -> Result<(), SocketError> {
    if line.last() != Some(&b'\n') {
        let is_cut = line.len() as u64 == MAX_LINE_BYTES;
        return Err(if is_cut {
            SocketError::Malformed("the line is too long")
        } else {
            SocketError::BrokeOff
        });
    }
    let answer: Answer = serde_json::from_slice(line)
        .map_err(|_| SocketError::Malformed("the line is not an answer"))?;
    if answer.v != VERSION {
        return Err(SocketError::Malformed("the answer is of another version"));
    }
    if answer.id != id {
        return Err(SocketError::Malformed("the answer is to another request"));
    }
    if answer.ok {
        return Ok(());
    }
    let reason = answer.reason.unwrap_or(Reason::Failed);
    let message = answer.message.unwrap_or_default();
    let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    tracing::debug!(?reason, message, "the volume refused");
    Err(SocketError::Refused(reason))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixListener;

    use super::*;

    /// What a server does with the line that it has read.
    type Behaviour = fn(&str) -> Vec<u8>;

    fn id(request: &str) -> String {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        assert_eq!(request["v"], 1);
        request["id"].as_str().unwrap().to_owned()
    }

    async fn asked(behaviour: Behaviour, patience: Duration) -> Result<(), SocketError> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            assert!(line.contains(r#""op":"commit""#), "{line}");
            let answer = behaviour(&line);
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            // The client may have left before the end of a long answer.
            drop(stream.write_all(&answer).await);
        });
        let socket = Socket::new(path);
        let result = socket.ask(Operation::Commit, Instant::now() + patience).await;
        server.abort();
        result
    }

    #[tokio::test]
    async fn each_behaviour_of_a_server_is_one_outcome() {
        use SocketError::{BrokeOff, Late, Malformed, Refused};
        let long = Duration::from_mins(1);
        let answers: [(Behaviour, _); 11] = [
            (|r| format!("{{\"v\":1,\"id\":\"{}\",\"ok\":true}}\n", id(r)).into(), Ok(())),
            (
                |r| {
                    let id = id(r);
                    format!("{{\"v\":1,\"id\":\"{id}\",\"ok\":true,\"more\":[1]}}\nrest").into()
                },
                Ok(()),
            ),
            (
                |r| {
                    let id = id(r);
                    format!(
                        "{{\"v\":1,\"id\":\"{id}\",\"ok\":false,\"reason\":\"open_files\",\"message\":\"x\"}}\n"
                    )
                    .into()
                },
                Err(Refused(Reason::OpenFiles)),
            ),
            (
                |r| {
                    let id = id(r);
                    format!("{{\"v\":1,\"id\":\"{id}\",\"ok\":false,\"reason\":\"moon\"}}\n").into()
                },
                Err(Refused(Reason::Failed)),
            ),
            (
                |r| format!("{{\"v\":1,\"id\":\"{}\",\"ok\":false}}\n", id(r)).into(),
                Err(Refused(Reason::Failed)),
            ),
            (
                |_| format!("{{\"v\":1,\"id\":\"{}\",\"ok\":true}}\n", Uuid::new_v4()).into(),
                Err(Malformed("the answer is to another request")),
            ),
            (
                |r| format!("{{\"v\":2,\"id\":\"{}\",\"ok\":true}}\n", id(r)).into(),
                Err(Malformed("the answer is of another version")),
            ),
            (|_| b"yes\n".to_vec(), Err(Malformed("the line is not an answer"))),
            (|_| vec![b'x'; 1 << 20], Err(Malformed("the line is too long"))),
            (|r| format!("{{\"v\":1,\"id\":\"{}\",\"ok\":tr", id(r)).into(), Err(BrokeOff)),
            (|_| b"\xff\n".to_vec(), Err(Malformed("the line is not an answer"))),
        ];
        for (number, (behaviour, expected)) in answers.into_iter().enumerate() {
            assert_eq!(asked(behaviour, long).await, expected, "{number}");
        }
        assert_eq!(asked(|_| Vec::new(), Duration::from_millis(100)).await, Err(Late));
    }

    #[tokio::test]
    async fn a_server_that_is_absent_or_dead_is_an_error_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        let soon = || Instant::now() + Duration::from_mins(1);
        let socket = Socket::new(path.clone());
        let absent = socket.ask(Operation::Reload, soon()).await;
        assert_eq!(absent, Err(SocketError::Unreachable(io::ErrorKind::NotFound)));
        drop(UnixListener::bind(&path).unwrap());
        let dead = socket.ask(Operation::Reload, soon()).await;
        assert_eq!(dead, Err(SocketError::Unreachable(io::ErrorKind::ConnectionRefused)));
    }
}
