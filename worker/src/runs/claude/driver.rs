//! Drives one CLI from its prompt to its end: reads its output, checks the time limits, and ends it
//! if it exceeds one.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::lines::LineSplitter;
use super::parser::{CliEvent, Parser};
use crate::blocking;
use crate::models::ApiFailure;
use crate::models::broker::{Ledger, Overuse};
use crate::runs::events::{Event, Level};
use crate::runs::guard::{Excess, Findings};
use crate::runs::log::LogWriter;
use crate::sandbox::launch::{Confined, Handle, LaunchError};

/// The largest output of one run, in bytes. A long generation with all its pieces has a few MiB.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// From this length on, in bytes, parsing a line keeps the processor busy for milliseconds.
const LONG_LINE_BYTES: usize = 256 * 1024;
/// How much of the end of standard error is kept, in bytes.
const MAX_STDERR_BYTES: usize = 2048;
/// How long the CLI may take to end after its result. It takes milliseconds, unless a process that
/// it started delays it.
const RESULT_GRACE: Duration = Duration::from_secs(10);
/// How long reading the output may take after the end of every process. The output is in the pipe
/// by then.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 64 * 1024;
/// How often the ledger is asked whether the model API only fails.
const API_CHECK: Duration = Duration::from_millis(250);

/// The time limits after which a run ends although the CLI goes on.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// The time at which the run must end.
    pub deadline: Instant,
    /// The longest silence.
    pub idle_timeout: Duration,
    /// The longest time in which the model API only fails.
    pub give_up: Duration,
}

/// How a run of the CLI ended.
#[derive(Debug)]
pub enum Ended {
    /// The CLI ended by itself, with this exit code.
    Exited(i32),
    /// The CLI could not be executed, or its launcher failed.
    Broken(LaunchError),
    /// The time for the whole run was over.
    Deadline,
    /// The CLI was silent for too long.
    Idle,
    /// The CLI wrote its result and did not end.
    Hung,
    /// The model API did nothing but fail for too long.
    ApiDown(ApiFailure),
    /// The run asked the model API for more than any run needs.
    Overuse(Overuse),
    /// The run used too much memory, too many processes or too much disk.
    Excess(Excess),
    /// The CLI wrote too much output.
    TooMuchOutput,
    /// The run was cancelled.
    Stopped,
}

/// What is known about the CLI after its end.
#[derive(Debug)]
pub struct CliReport {
    /// How the CLI ended.
    pub ended: Ended,
    /// The CLI's own result: whether it reports a failure, and the assistant's last message.
    pub result: Option<(bool, Option<String>)>,
    /// The end of the CLI's standard error.
    pub stderr: String,
    /// The number of lines that could not be parsed.
    pub skipped: u64,
    /// How often the kernel killed a process of the run because its memory was used up.
    pub oom_kills: u64,
    /// Whether the kernel refused to start a process of the run, or may have.
    pub was_crowded: bool,
}

/// A CLI that is running.
#[derive(Debug)]
pub struct Driver {
    handle: Handle,
    findings: Findings,
    stdout: ChildStdout,
    stderr: ChildStderr,
    splitter: LineSplitter,
    parser: Parser,
    result: Option<(bool, Option<String>)>,
    errors: Vec<u8>,
    bytes: u64,
}

impl Driver {
    /// Takes over a CLI that was started in `folder` and waits for its prompt. Returns its standard
    /// input too, because giving the prompt is a later step. `findings` tell if the run uses too
    /// much of the machine.
    pub fn new(
        confined: Confined,
        folder: &std::path::Path,
        findings: Findings,
    ) -> (Self, ChildStdin) {
        let driver = Self {
            handle: confined.handle,
            findings,
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

    /// Gives the CLI its prompt and follows it to its end. When this returns, no process of the run
    /// is left.
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
        let was_crowded =
            self.findings.was_crowded(self.handle.remaining()) || self.handle.refused_forks() > 0;
        CliReport {
            ended,
            result: self.result,
            stderr: String::from_utf8_lossy(&self.errors).trim().to_owned(),
            skipped: self.parser.skipped() + self.splitter.skipped(),
            oom_kills: self.handle.oom_kills(),
            was_crowded,
        }
    }

    /// Ends a CLI that has not got its prompt.
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
                excess = self.findings.excess() => return Ended::Excess(excess),
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
                        Ok(code) => match self.findings.unheard() {
                            Some(excess) => Ended::Excess(excess),
                            None => self.drain(code, log, watch, cancel).await,
                        },
                        Err(error) => Ended::Broken(error),
                    };
                }
            }
        }
    }

    /// Reads the output that is still in the pipes after the end.
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
        // A last line without a line feed counts if it can be parsed.
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

    /// Writes events to the run's log. If a reader of the log is slow, this run waits here.
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
                excess = self.findings.excess() => return Err(Ended::Excess(excess)),
                () = sleep_until(watch.deadline) => return Err(Ended::Deadline),
            }
        }
        Ok(())
    }

    /// The event of the stream for an event of the CLI. `None` if clients do not get it.
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

/// Writes the prompt and closes standard input, so that the CLI ends when it has answered. If the
/// CLI does not read, the time limits end it.
async fn feed(mut stdin: ChildStdin, prompt: &[u8]) {
    if let Err(error) = stdin.write_all(prompt).await {
        tracing::debug!(%error, "the CLI did not take its prompt");
    }
}
