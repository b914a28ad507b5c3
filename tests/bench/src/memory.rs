//! The worker itself: how long its start takes, and how much memory it uses.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Ids, Setup};

use crate::bare::{ms, open_folder};
use crate::generation::{WARM_UPS, generate};
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

const READY_MS: f64 = 50.0;
const MEMORY_MB: f64 = 15.0;
const GENERATIONS: usize = 10;
/// After this time a worker that is not ready counts as failed.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after the start until background work is done.
const REST: Duration = Duration::from_millis(200);

/// Measures the time from exec to the first answer, and the memory when idle and after some work.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let [mut answer, mut ready, mut idle, mut peak] = [const { Vec::new() }; 4];
    for start in 0..WARM_UPS + pairs {
        let one = tokio::task::block_in_place(Started::measure);
        if start >= WARM_UPS {
            answer.push(one.answer_ms);
            ready.push(one.ready_ms);
            idle.push(one.idle_mb);
            peak.push(one.peak_mb);
        }
    }

    let setup = Setup::default().var("DREAMCORE_LOG", "info");
    let worker = setup.start().await;
    for _ in 0..GENERATIONS {
        generate(&worker, Ids::new(), "[script:small] ページ", |_| {}).await;
    }
    tokio::time::sleep(REST).await;
    let after = |field| Samples::from_iter([memory_mb(worker.pid().unsigned_abs(), field)]);

    let single = |name: &str, unit, values: Vec<f64>, aim| {
        Measurement::single(name, unit, values.into_iter().collect(), aim)
    };
    let below = Aim::Below(MEMORY_MB);
    let busy = format!("memory after {GENERATIONS} generations");
    vec![
        single("exec to first answer", "ms", answer, Aim::Know),
        single("exec to ready for a run", "ms", ready, Aim::Below(READY_MS)),
        single("memory idle (VmRSS)", "MB", idle, below),
        single("memory idle, peak (VmHWM)", "MB", peak, below),
        Measurement::single(format!("{busy} (VmRSS)"), "MB", after("VmRSS"), below),
        Measurement::single(format!("{busy}, peak (VmHWM)"), "MB", after("VmHWM"), below),
    ]
}

/// The figures of one start.
struct Started {
    answer_ms: f64,
    ready_ms: f64,
    idle_mb: f64,
    peak_mb: f64,
}

impl Started {
    /// Starts a worker, asks for its health until it is ready, and ends it.
    fn measure() -> Self {
        let folder = open_folder();
        let path = |name: &str| folder.path().join(name);
        for name in ["data", "global"] {
            std::fs::create_dir(path(name)).expect("a folder");
        }
        let mut command = Command::new(harness::target_dir().join("dreamcore-worker"));
        command
            .arg("serve")
            .env_clear()
            .env("MODAL_INTERNAL_SECRET", harness::SECRET)
            .env("ANTHROPIC_API_KEY", harness::REAL_KEY)
            .env("DREAMCORE_LISTEN", "127.0.0.1:0")
            .env("DREAMCORE_DATA_DIR", path("data"))
            .env("DREAMCORE_GLOBAL_DIR", path("global"))
            .env("DREAMCORE_SCRATCH_DIR", path("scratch"))
            .env("DREAMCORE_CLAUDE_BIN", harness::claude())
            .env("DREAMCORE_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let began = Instant::now();
        let mut worker = Ended(command.spawn().expect("the worker can be executed"));
        let address = listening(&mut worker.0);
        assert!(is_well(&address, "/health/live"), "{address} lives");
        let answer_ms = ms(began.elapsed());
        while !is_well(&address, "/health/ready") {
            assert!(began.elapsed() < READY_TIMEOUT, "{address} is not ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        let ready_ms = ms(began.elapsed());
        std::thread::sleep(REST);
        Self {
            answer_ms,
            ready_ms,
            idle_mb: memory_mb(worker.0.id(), "VmRSS"),
            peak_mb: memory_mb(worker.0.id(), "VmHWM"),
        }
    }
}

/// A process that is killed when this value is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // An error means that the process has ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The address at which the worker listens, from its log.
fn listening(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let json: serde_json::Value = serde_json::from_str(&line).ok()?;
        let address = json["address"].as_str()?;
        (json["message"] == "listening").then(|| address.to_owned())
    });
    // The rest of the log is read too, so that the worker's writes do not fail.
    std::thread::spawn(move || lines.for_each(drop));
    address.expect("it listens")
}

/// Whether a health endpoint answers with 200.
fn is_well(address: &str, path: &str) -> bool {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = "Host: bench\r\nConnection: close\r\n\r\n";
    write!(stream, "GET {path} HTTP/1.1\r\n{head}").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.starts_with("HTTP/1.1 200")
}

/// A field of `/proc/PID/status`, in MiB.
fn memory_mb(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with(field));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    f64::from(kb.expect("every process has it")) / 1024.0
}
