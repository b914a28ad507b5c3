//! Serving a file of a game: requests per second, compared with nginx and with a Python server.
//!
//! nginx shows how little a file can cost, but it does less: the worker checks the secret, the ids
//! and the path, and opens every folder on the way to the file in each request. The Python server
//! makes the same checks. None of them writes an access log here.

use std::fmt;
use std::time::Duration;

use harness::{Ids, SECRET, Setup, Worker};

use crate::generation::WARM_UPS;
use crate::load::{Load, QUIET};
use crate::peers::Peer;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

const FILE: &str = "game.js";
const FILE_BYTES: usize = 27 * 1024;
const CONNECTIONS: usize = 16;
/// The time for one sample.
const TIME: Duration = Duration::from_millis(700);
/// The aim: at least three quarters of the rate of nginx.
const AIM: Aim = Aim::Rate { percent: 75.0 };
/// The aim: twenty times the rate of the Python server with one process.
const AIM_BEFORE: Aim = Aim::Rate { percent: 2000.0 };

/// Measures with connections that are kept alive and with a new one for each request.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let peers = [Kind::Nginx(AIM), Kind::FastApi(1, AIM_BEFORE), Kind::FastApi(2, Aim::Know)];
    beside(&peers, &[true, false], pairs).await
}

/// Measures beside nginx alone, with connections that are kept alive.
pub async fn beside_nginx(pairs: usize) -> Vec<Measurement> {
    beside(&[Kind::Nginx(Aim::Know)], &[true], pairs).await
}

async fn beside(kinds: &[Kind], keep_alive: &[bool], pairs: usize) -> Vec<Measurement> {
    let worker = Setup::default().var("DREAMCORE_LOG", QUIET).start().await;
    worker.settled().await;
    let ids = Ids::new();
    let line = "const step = (x, y) => x * 31 + y;\n";
    worker.put(ids, FILE, line.repeat(FILE_BYTES / line.len()));
    let query = format!("user_id={}&project_id={}&path={FILE}", ids.user, ids.project);
    let with_secret =
        format!("GET /get_file?{query} HTTP/1.1\r\nHost: b\r\nX-Modal-Secret: {SECRET}\r\n");
    let plain = format!("GET /{FILE} HTTP/1.1\r\nHost: b\r\n");
    let peers: Vec<_> = kinds.iter().map(|kind| (kind, kind.start(&worker, ids))).collect();

    let mut measurements = Vec::new();
    for keep_alive in keep_alive.iter().copied() {
        let load = |address: &str, head: &str| Load {
            address: address.to_owned(),
            head: head.to_owned(),
            connections: CONNECTIONS,
            keep_alive,
        };
        let ours = load(worker.address(), &with_secret);
        let how = if keep_alive { "kept alive" } else { "opened for each" };
        let name = format!("27 KB, {CONNECTIONS} connections {how}");
        for (kind, peer) in &peers {
            let name = format!("{name}, beside {kind}");
            measurements.push(match peer {
                Some(peer) => {
                    let head = if kind.wants_secret() { &with_secret } else { &plain };
                    let (bare, worker) = compare(&load(&peer.address, head), &ours, pairs).await;
                    Measurement::pair(name, "requests/s", bare, worker, kind.aim())
                }
                None => {
                    let name = format!("{name} (SKIPPED: not installed)");
                    let alone = compare(&ours, &ours, 1).await.1;
                    Measurement::single(name, "requests/s", alone, Aim::Know)
                }
            });
        }
    }
    measurements
}

/// A server to be measured beside, and what is aimed at.
enum Kind {
    Nginx(Aim),
    /// In so many processes.
    FastApi(u8, Aim),
}

impl Kind {
    fn start(&self, worker: &Worker, ids: Ids) -> Option<Peer> {
        match self {
            Self::Nginx(_) => Peer::nginx(&worker.project(ids)),
            Self::FastApi(processes, _) => Peer::fastapi(&worker.data(), *processes),
        }
    }

    fn wants_secret(&self) -> bool {
        matches!(self, Self::FastApi(..))
    }

    fn aim(&self) -> Aim {
        match self {
            Self::Nginx(aim) | Self::FastApi(_, aim) => *aim,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nginx(_) => f.write_str("nginx"),
            Self::FastApi(1, _) => f.write_str("FastAPI in one process"),
            Self::FastApi(processes, _) => write!(f, "FastAPI in {processes} processes"),
        }
    }
}

async fn compare(theirs: &Load, ours: &Load, pairs: usize) -> (Samples, Samples) {
    let (mut bare, mut worker) = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let (a, b) = (theirs.rate(TIME).await, ours.rate(TIME).await);
        if pair >= WARM_UPS {
            bare.push(a);
            worker.push(b);
        }
    }
    (bare, worker)
}
