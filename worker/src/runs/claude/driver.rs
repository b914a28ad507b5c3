//! One run of the CLI from its prompt to its end: reads what it writes, watches the clock, and ends
//! it when it must.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::lines::LineSplitter;
use super::parser::{CliEvent, Parser};
use crate::blocking;
use crate::models::broker::{ApiFailure, Ledger, Overuse};
use crate::runs::events::{Event, Level};
use crate::runs::guard::Excess;
use crate::runs::log::LogWriter;
use crate::sandbox::launch::{Confined, Handle, LaunchError};

/// Most output of one run. A long generation with all its pieces is a few MiB.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// A line from this length on keeps the processor busy for milliseconds.
const LONG_LINE_BYTES: usize = 256 * 1024;
/// How much of standard error is kept: its end.
const MAX_STDERR_BYTES: usize = 2048;
/// How long the CLI may take to end after its result. It takes milliseconds, unless something that
/// it started holds it up.
const RESULT_GRACE: Duration = Duration::from_secs(10);
/// How long output may go on after the end of every process. It is in the pipe already.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 64 * 1024;
/// How often the model API's health is looked at.
const API_CHECK: Duration = Duration::from_millis(250);

/// When a run is over although the CLI goes on.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// The latest end.
    pub deadline: Instant,
    /// The longest silence.
    pub idle_timeout: Duration,
    /// The longest time in which the model API only fails.
    pub give_up: Duration,
}

/// How a run of the CLI ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// It could not be executed, or its launcher broke.
    Broken(LaunchError),
    /// The whole time was over.
    Deadline,
    /// It was silent for too long.
    Idle,
    /// It gave its result and did not end.
    Hung,
    /// The model API only failed.
    ApiDown(ApiFailure),
    /// It asked the model API for more than any run needs.
    Overuse(Overuse),
    /// It took too much of the machine.
    Excess(Excess),
    /// It wrote too much.
    TooMuchOutput,
    /// The run was stopped, or its reader left.
    Stopped,
}

/// What is known after the end.
#[derive(Debug)]
pub struct CliReport {
    /// How it ended.
    pub ended: Ended,
    /// The CLI's own account: whether it failed, and its last words.
    pub result: Option<(bool, Option<String>)>,
    /// The end of what it wrote to standard error.
    pub stderr: String,
    /// Lines that could not be read.
    pub skipped: u64,
    /// How often the kernel killed one of its processes because the memory was used up.
    pub oom_kills: u64,
    /// How often it was refused one more process.
    pub refused_forks: u64,
}

/// A CLI that is running.
#[derive(Debug)]
pub struct Driver {
    handle: Handle,
    excess: oneshot::Receiver<Excess>,
    stdout: ChildStdout,
    stderr: ChildStderr,
    splitter: LineSplitter,
    parser: Parser,
    result: Option<(bool, Option<String>)>,
    errors: Vec<u8>,
    bytes: u64,
}

impl Driver {
    /// Takes over a CLI that was started in `folder` and waits for its prompt. Its standard input
    /// is handed back, because giving the prompt is a step of its own. `excess` tells when it takes
    /// too much of the machine.
    pub fn new(
        confined: Confined,
        folder: &std::path::Path,
        excess: oneshot::Receiver<Excess>,
    ) -> (Self, ChildStdin) {
        let driver = Self {
            handle: confined.handle,
            excess,
            stdout: confined.stdout,
            stderr: confined.stderr,
            splitter: LineSplitter::default(),
            parser: Parser::new(folder.to_string_lossy()),
            result: None,
            errors: Vec::new(),
            bytes: 0,
        };
        (driver, confined.stdin)
    }

    /// Gives the CLI its task and follows it to its end. Whatever the end, no process is left.
    pub async fn run(
        mut self,
        stdin: ChildStdin,
        prompt: &[u8],
        log: &LogWriter,
        ledger: &Ledger,
        watch: Watch,
        cancel: &CancellationToken,
    ) -> CliReport {
        let ended = self.follow(stdin, prompt, log, ledger, watch, cancel).await;
        if !matches!(ended, Ended::Exited(_)) {
            self.handle.kill().await;
        }
        let (oom_kills, refused_forks) = (self.handle.oom_kills(), self.handle.refused_forks());
        CliReport {
            ended,
            result: self.result,
            stderr: String::from_utf8_lossy(&self.errors).trim().to_owned(),
            skipped: self.parser.skipped() + self.splitter.skipped(),
            oom_kills,
            refused_forks,
        }
    }

    /// Ends the CLI before it got a prompt.
    pub async fn abandon(mut self) {
        self.handle.kill().await;
    }

    async fn follow(
        &mut self,
        stdin: ChildStdin,
        prompt: &[u8],
        log: &LogWriter,
        ledger: &Ledger,
        watch: Watch,
        cancel: &CancellationToken,
    ) -> Ended {
        let mut feeding = std::pin::pin!(feed(stdin, prompt));
        let (mut fed, mut out_open, mut err_open) = (false, true, true);
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        let mut err_chunk = [0_u8; 4096];
        let mut check = interval(API_CHECK);
        let mut last_output = Instant::now();
        let mut result_at: Option<Instant> = None;
        loop {
            let silent_until = last_output + watch.idle_timeout;
            let hung_at = result_at.map_or(watch.deadline, |at| at + RESULT_GRACE);
            tokio::select! {
                () = cancel.cancelled() => return Ended::Stopped,
                () = sleep_until(watch.deadline) => return Ended::Deadline,
                () = sleep_until(hung_at), if result_at.is_some() => return Ended::Hung,
                () = sleep_until(silent_until) => return Ended::Idle,
                Ok(excess) = &mut self.excess => return Ended::Excess(excess),
                _ = check.tick() => {
                    if let Some(overuse) = ledger.overuse() {
                        return Ended::Overuse(overuse);
                    }
                    if let Some(failure) = given_up(ledger, watch.give_up) {
                        return Ended::ApiDown(failure);
                    }
                }
                () = &mut feeding, if !fed => fed = true,
                read = self.stdout.read(&mut chunk), if out_open => {
                    let n = read.unwrap_or(0);
                    out_open = n > 0;
                    if let Err(ended) = self.take(chunk.get(..n), log, watch, cancel).await {
                        return ended;
                    }
                    if !self.parser.last_was_ping() {
                        last_output = Instant::now();
                    }
                    if self.result.is_some() {
                        result_at.get_or_insert_with(Instant::now);
                    }
                }
                read = self.stderr.read(&mut err_chunk), if err_open => {
                    let n = read.unwrap_or(0);
                    err_open = n > 0;
                    self.keep_error(err_chunk.get(..n).unwrap_or_default());
                }
                exit = self.handle.wait() => {
                    return match exit {
                        Ok(code) => self.drain(code, log, watch, cancel).await,
                        Err(error) => Ended::Broken(error),
                    };
                }
            }
        }
    }

    /// Reads what is still in the pipes after the end.
    async fn drain(
        &mut self,
        code: i32,
        log: &LogWriter,
        watch: Watch,
        cancel: &CancellationToken,
    ) -> Ended {
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        while let Ok(Ok(n @ 1..)) = timeout(DRAIN_TIMEOUT, self.stdout.read(&mut chunk)).await {
            if let Err(ended) = self.take(chunk.get(..n), log, watch, cancel).await {
                return ended;
            }
        }
        while let Ok(Ok(n @ 1..)) = timeout(DRAIN_TIMEOUT, self.stderr.read(&mut chunk)).await {
            self.keep_error(chunk.get(..n).unwrap_or_default());
        }
        // A last line without its end counts if it is whole.
        let rest = self.splitter.rest().to_vec();
        let events = self.parser.line(&rest);
        match self.pass_on(events, log, watch, cancel).await {
            Ok(()) => Ended::Exited(code),
            Err(ended) => ended,
        }
    }

    async fn take(
        &mut self,
        bytes: Option<&[u8]>,
        log: &LogWriter,
        watch: Watch,
        cancel: &CancellationToken,
    ) -> Result<(), Ended> {
        let bytes = bytes.unwrap_or_default();
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > MAX_OUTPUT_BYTES {
            return Err(Ended::TooMuchOutput);
        }
        let mut events = Vec::new();
        let parser = &mut self.parser;
        self.splitter.push(bytes, |line| {
            events.extend(if line.len() < LONG_LINE_BYTES {
                parser.line(line)
            } else {
                blocking::in_place(|| parser.line(line))
            });
        });
        self.pass_on(events, log, watch, cancel).await
    }

    /// Passes events on. A reader that is slow stops the run here, and only this run.
    async fn pass_on(
        &mut self,
        events: Vec<CliEvent>,
        log: &LogWriter,
        watch: Watch,
        cancel: &CancellationToken,
    ) -> Result<(), Ended> {
        for event in events {
            let Some(event) = self.translate(event) else {
                continue;
            };
            let Err(event) = log.try_write(event) else {
                continue;
            };
            tokio::select! {
                () = log.write(event) => {}
                () = cancel.cancelled() => return Err(Ended::Stopped),
                Ok(excess) = &mut self.excess => return Err(Ended::Excess(excess)),
                () = sleep_until(watch.deadline) => return Err(Ended::Deadline),
            }
        }
        Ok(())
    }

    /// The relay's word for what the CLI said.
    fn translate(&mut self, event: CliEvent) -> Option<Event> {
        match event {
            CliEvent::Started { version } => {
                tracing::debug!(version, "the CLI is up");
                Some(Event::Status {
                    message: "AIがリクエストを確認しています…".to_owned()
                })
            }
            CliEvent::Text(content) => Some(Event::Stream { content }),
            CliEvent::Tool { name, detail } => {
                let content = format!("[{name}] {detail}").trim_end().to_owned();
                Some(Event::Log { content, level: Level::Info })
            }
            CliEvent::Retry { attempt, max } => {
                let message = format!("AIサービスの応答を待っています…（再試行 {attempt}/{max}）");
                Some(Event::Status { message })
            }
            CliEvent::Result { is_error, text } => {
                self.result = Some((is_error, text));
                None
            }
        }
    }

    fn keep_error(&mut self, bytes: &[u8]) {
        self.errors.extend_from_slice(bytes);
        let over = self.errors.len().saturating_sub(MAX_STDERR_BYTES);
        self.errors.drain(..over);
    }
}

fn given_up(ledger: &Ledger, give_up: Duration) -> Option<ApiFailure> {
    if ledger.failing_for()? < give_up {
        return None;
    }
    ledger.last_failure()
}

/// Writes the prompt and closes standard input, after which the CLI ends when it has answered. A
/// CLI that does not read is noticed elsewhere.
async fn feed(mut stdin: ChildStdin, prompt: &[u8]) {
    if let Err(error) = stdin.write_all(prompt).await {
        tracing::debug!(%error, "the CLI did not take its prompt");
    }
}
