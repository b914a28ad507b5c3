//! Connections byte by byte, for requests that no HTTP client would send.

use std::time::Duration;

use harness::{Answer, Worker};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Longest wait for the worker; only a defect makes a test wait so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);

/// An answer as it stood on the wire.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    /// A header's value; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.trim())
    }

    /// In the form in which the harness has answers.
    pub(crate) fn into_answer(self) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in self.head.lines().filter_map(|line| line.split_once(':')) {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.append(name, value.trim().parse().expect("a header's value"));
        }
        Answer {
            status: StatusCode::from_u16(self.status).expect("a status"),
            headers,
            body: self.body,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn open(worker: &Worker) -> Self {
        let stream = TcpStream::connect(worker.address()).await;
        Self { stream: stream.expect("the worker listens"), read: Vec::new() }
    }

    /// A connection for which the system takes little that has not been read, as over a slow line.
    pub(crate) async fn with_small_window(worker: &Worker) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
        let address = worker.address().parse().expect("an address");
        let stream = socket.connect(address).await.expect("the worker listens");
        Self { stream, read: Vec::new() }
    }

    /// Opens a connection, sends this and reads the first answer.
    pub(crate) async fn ask(worker: &Worker, request: impl AsRef<[u8]>) -> RawAnswer {
        let mut raw = Self::open(worker).await;
        raw.send(request).await;
        raw.answer().await
    }

    /// Sends bytes. A worker that has answered and closed already is no error.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.write_all(bytes.as_ref()).await);
    }

    /// Sends as much of this as the system takes at once.
    pub(crate) fn send_now(&self, bytes: impl AsRef<[u8]>) -> usize {
        self.stream.try_write(bytes.as_ref()).unwrap_or_default()
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn close_own_side(&mut self) {
        self.stream.shutdown().await.expect("one side of a connection can be closed");
    }

    /// Reads until there are more bytes; false at the end of the connection.
    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.read);
        let read = tokio::time::timeout(ANSWER_TIMEOUT, read).await;
        read.expect("the worker answers in time").is_ok_and(|n| n > 0)
    }

    /// The head of the next answer.
    pub(crate) async fn head(&mut self) -> RawAnswer {
        loop {
            if let Some(end) = self.read.windows(4).position(|part| part == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                let head = String::from_utf8(head).expect("heads are text");
                let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
                return RawAnswer {
                    status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
                    head,
                    body: Vec::new(),
                };
            }
            let seen = String::from_utf8_lossy(&self.read).into_owned();
            assert!(self.fill().await, "closed without an answer: {seen:?}");
        }
    }

    /// The next answer, whose body has a length.
    pub(crate) async fn answer(&mut self) -> RawAnswer {
        let mut answer = self.head().await;
        let length = answer.header("content-length").parse().unwrap_or(0);
        answer.body = self.body(length).await;
        answer
    }

    /// A body of this length.
    pub(crate) async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.fill().await, "the body breaks off");
        }
        self.read.drain(..length).collect()
    }

    /// Everything that comes until the worker closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.read)
    }
}
