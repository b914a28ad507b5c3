//! Load on an HTTP server: a number of connections that repeat the same request.
//!
//! Every connection writes a request that was made beforehand and parses the answers only as far as
//! necessary, all on one thread. So the load generator takes little processor time from the server,
//! which runs on the same machine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A log filter for the worker that leaves out the access log but keeps the line `listening`, for
/// which the bench waits.
pub const QUIET: &str = "warn,dreamcore_worker::cli=info";

/// The request, its server, and the connections.
#[derive(Debug, Clone)]
pub struct Load {
    /// Host and port.
    pub address: String,
    /// The head of a GET request, up to and without its empty line.
    pub head: String,
    /// The number of connections at the same time.
    pub connections: usize,
    /// Whether a connection is used for several requests.
    pub keep_alive: bool,
}

/// The state that all connections share.
struct Shared {
    load: Load,
    stop: AtomicBool,
    answers: AtomicU32,
}

impl Load {
    /// Measures for `time` how many requests per second are answered. Panics at an answer that is
    /// not 200.
    pub async fn rate(&self, time: Duration) -> f64 {
        let load = self.clone();
        let measured = tokio::task::spawn_blocking(move || load.measure(time));
        measured.await.expect("the load ends").expect("the server answers")
    }

    fn measure(self, time: Duration) -> io::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connections = self.connections;
        let shared = Arc::new(Shared {
            load: self,
            stop: AtomicBool::new(false),
            answers: AtomicU32::new(0),
        });
        runtime.block_on(async {
            let began = Instant::now();
            let tasks: Vec<_> =
                (0..connections).map(|_| tokio::spawn(ask(Arc::clone(&shared)))).collect();
            tokio::time::sleep(time).await;
            let answers = shared.answers.load(Ordering::Relaxed);
            let elapsed = began.elapsed();
            shared.stop.store(true, Ordering::Relaxed);
            for task in tasks {
                task.await.map_err(io::Error::other)??;
            }
            Ok(f64::from(answers) / elapsed.as_secs_f64())
        })
    }
}

async fn ask(shared: Arc<Shared>) -> io::Result<()> {
    let connection = if shared.load.keep_alive { "keep-alive" } else { "close" };
    let request = format!("{}Connection: {connection}\r\n\r\n", shared.load.head);
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut open: Option<TcpStream> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&shared.load.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
        shared.answers.fetch_add(1, Ordering::Relaxed);
        if shared.load.keep_alive {
            open = Some(stream);
        }
    }
    Ok(())
}

/// Reads one answer, which must have the status 200 and a `Content-Length`.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let bad = || io::Error::other("not an answer that was expected");
    let (head, length) = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(bad());
        }
        if let Some(end) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).map_err(|_| bad())?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if !head.starts_with("HTTP/1.1 200") {
                return Err(bad());
            }
            break (end + 4, length.ok_or_else(bad)?);
        }
    };
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(bad());
        }
    }
    Ok(())
}
