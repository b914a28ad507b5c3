//! A model API that answers with any bytes at all, for what a server that keeps to HTTP cannot do.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The head of an answer in events.
pub(crate) const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
/// The head of an answer in one piece.
pub(crate) const JSON: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";

/// An answer: how it begins, and what follows again and again; without that, silence follows.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Asked for as `[case:NAME]`.
    pub(crate) name: &'static str,
    start: Vec<u8>,
    again: Option<Vec<u8>>,
    pause: Duration,
}

impl Answer {
    /// The same, with a pause before each repetition.
    pub(crate) fn every(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// An answer that begins like this and goes on like that.
pub(crate) fn answer(name: &'static str, start: impl AsRef<[u8]>, again: Option<&[u8]>) -> Answer {
    Answer {
        name,
        start: start.as_ref().to_vec(),
        again: again.map(<[u8]>::to_vec),
        pause: Duration::ZERO,
    }
}

/// Listens as a model API that gives these answers. It ends with the test's runtime.
pub(crate) async fn api(answers: impl IntoIterator<Item = Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answers: Arc<[Answer]> = answers.into_iter().collect();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                // The broker hangs up, which is the point.
                drop(serve(stream, &answers).await);
            });
        }
    });
    url
}

async fn serve(mut stream: TcpStream, answers: &[Answer]) -> std::io::Result<()> {
    let mut request = Vec::new();
    let answer = loop {
        let mut piece = vec![0; 1 << 16];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request);
        let asked = |answer: &&Answer| text.contains(&format!("[case:{}]", answer.name));
        if let Some(answer) = answers.iter().find(asked) {
            break answer;
        }
    };
    let (mut from, mut to) = stream.split();
    let answering = async {
        to.write_all(&answer.start).await?;
        let Some(again) = &answer.again else {
            return std::future::pending::<std::io::Result<()>>().await;
        };
        loop {
            tokio::time::sleep(answer.pause).await;
            to.write_all(again).await?;
        }
    };
    // What is left of the request.
    let reading = async {
        let mut rest = vec![0; 1 << 16];
        while from.read(&mut rest).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = answering => ended,
        ended = reading => ended,
    }
}
