//! Serving a file of a game: requests per second, compared with nginx and with a Python server.
//!
//! nginx shows how little a file can cost, but it does less: the worker checks the secret, the ids
//! and the path, and opens every folder on the way to the file in each request. The Python server
//! makes the same checks. None of them writes an access log here.

use std::time::Duration;

use harness::{Ids, SECRET, Setup};

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
    let worker = Setup::default().var("DREAMCORE_LOG", QUIET).start().await;
    let ids = Ids::new();
    let line = "const step = (x, y) => x * 31 + y;\n";
    worker.put(ids, FILE, line.repeat(FILE_BYTES / line.len()));
    let query = format!("user_id={}&project_id={}&path={FILE}", ids.user, ids.project);
    let with_secret =
        format!("GET /get_file?{query} HTTP/1.1\r\nHost: b\r\nX-Modal-Secret: {SECRET}\r\n");
    let plain = format!("GET /{FILE} HTTP/1.1\r\nHost: b\r\n");
    let nginx = Peer::nginx(&worker.project(ids));
    let one = Peer::fastapi(&worker.data(), 1);
    let two = Peer::fastapi(&worker.data(), 2);

    let mut measurements = Vec::new();
    for keep_alive in [true, false] {
        let load = |address: &str, head: &str| Load {
            address: address.to_owned(),
            head: head.to_owned(),
            connections: CONNECTIONS,
            keep_alive,
        };
        let ours = load(worker.address(), &with_secret);
        let how = if keep_alive { "kept alive" } else { "opened for each" };
        let name = format!("27 KB, {CONNECTIONS} connections {how}");
        let peers = [
            ("nginx", nginx.as_ref(), &plain, AIM),
            ("FastAPI in one process", one.as_ref(), &with_secret, AIM_BEFORE),
            ("FastAPI in two", two.as_ref(), &with_secret, Aim::Know),
        ];
        for (peer, theirs, head, aim) in peers {
            let theirs = theirs.map(|peer| load(&peer.address, head));
            let name = format!("{name}, beside {peer}");
            measurements.push(match theirs {
                Some(theirs) => {
                    let (bare, worker) = compare(&theirs, &ours, pairs).await;
                    Measurement::pair(name, "requests/s", bare, worker, aim)
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
