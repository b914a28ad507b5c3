//! A volume that has to be committed and reloaded, which take no time, 50 ms and 500 ms: how many of
//! them a load needs, and what they add to its requests.

use std::time::{Duration, Instant};

use harness::{Behaviour, Ids, Setup, VolumeSocket, Worker, terminal};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bare::ms;
use crate::load::QUIET;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

/// How long a commit or a reload takes, in milliseconds.
const DELAYS_MS: [u64; 3] = [0, 50, 500];
/// Clients at the same time, each with a project of its own.
const CLIENTS: usize = 16;
/// Requests of the mixed load. Of each client's, every fourth changes its project.
const MIXED: usize = 100;
/// Reads of the relay's pattern: how often a project is read after another container has changed
/// it, while the other clients read theirs.
const READS_AFTER_DONE: usize = 20;
const CHANGES: usize = 5;

/// The requests of one load, and what the volume was asked for meanwhile.
struct Load {
    took: Samples,
    commits: usize,
    reloads: usize,
}

/// Measures both loads, without a socket and with each delay.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let mut all = Vec::new();
    let mut plain = (Samples::default(), Samples::default());
    for _ in 0..pairs.div_ceil(4) {
        plain.0.extend(mixed(None).await.took.values().iter().copied());
        plain.1.extend(relay(None).await.took.values().iter().copied());
    }
    for delay in DELAYS_MS {
        let delay = Duration::from_millis(delay);
        let shown = format!("{} ms", delay.as_millis());
        let (mut took, mut commits) = (Samples::default(), Samples::default());
        let (mut read, mut reloads) = (Samples::default(), Samples::default());
        for _ in 0..pairs.div_ceil(4) {
            let load = mixed(Some(delay)).await;
            took.extend(load.took.values().iter().copied());
            commits.push(count(load.commits));
            let load = relay(Some(delay)).await;
            let per_hundred = count(load.reloads) * 100.0 / count(load.took.values().len());
            read.extend(load.took.values().iter().copied());
            reloads.push(per_hundred);
        }
        let name = format!("{shown}: {MIXED} mixed requests of {CLIENTS} clients");
        all.push(Measurement::pair(name, "ms", plain.0.clone(), took, Aim::Know));
        let name = format!("{shown}: commits for them");
        all.push(Measurement::single(name, "commits", commits, Aim::Know));
        let name = format!("{shown}: reads of {CLIENTS} clients, one project changed elsewhere");
        all.push(Measurement::pair(name, "ms", plain.1.clone(), read, Aim::Know));
        let name = format!("{shown}: reloads for 100 reads");
        all.push(Measurement::single(name, "reloads", reloads, Aim::Know));
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "these are small numbers")]
fn count(number: usize) -> f64 {
    number as f64
}

async fn start(volume: Option<&VolumeSocket>) -> (Worker, Vec<Ids>) {
    let mut setup = Setup::default().var("DREAMCORE_LOG", QUIET);
    if let Some(volume) = volume {
        setup = setup.var("DREAMCORE_VOLUME_SOCKET", volume.path().display());
    }
    let worker = setup.start().await;
    worker.settled().await;
    let all: Vec<Ids> = (0..CLIENTS).map(|_| Ids::new()).collect();
    for ids in &all {
        worker.put(*ids, "index.html", "<p>");
    }
    (worker, all)
}

/// A volume with this delay; `None` for a worker without one.
fn volume(delay: Option<Duration>) -> Option<VolumeSocket> {
    delay.map(|delay| {
        let volume = VolumeSocket::start();
        volume.behave(Behaviour::Succeed(delay));
        volume
    })
}

/// Each client sends its requests one after the other: three reads, then a change.
async fn mixed(delay: Option<Duration>) -> Load {
    let volume = volume(delay);
    let (worker, all) = start(volume.as_ref()).await;
    let worker = std::sync::Arc::new(worker);
    let mut clients = JoinSet::new();
    for (number, ids) in all.into_iter().enumerate() {
        let worker = std::sync::Arc::clone(&worker);
        let requests = (number..MIXED).step_by(CLIENTS).count();
        clients.spawn(async move {
            let mut took = Vec::new();
            for request in 0..requests {
                // The clients do not all change something in the same moment.
                took.push(if (request + number) % 4 == 3 {
                    change(&worker, ids, request).await
                } else {
                    read(&worker, ids).await
                });
            }
            took
        });
    }
    let took = clients.join_all().await.into_iter().flatten().collect();
    counted(took, volume.as_ref())
}

/// Again and again a project is changed elsewhere and then read, while the others are read.
async fn relay(delay: Option<Duration>) -> Load {
    let volume = volume(delay);
    let (worker, all) = start(volume.as_ref()).await;
    let mut took = Samples::default();
    for changed in all.iter().take(CHANGES) {
        if volume.is_some() {
            let body = json!({ "user_id": changed.user, "project_id": changed.project });
            assert_eq!(worker.post("volume_changed", &body).await.status, 200);
        }
        for _ in 0..READS_AFTER_DONE {
            let reads = all.iter().map(|ids| read(&worker, *ids));
            took.extend(futures_util::future::join_all(reads).await);
        }
    }
    counted(took, volume.as_ref())
}

fn counted(took: Samples, volume: Option<&VolumeSocket>) -> Load {
    let count = |what| volume.map_or(0, |volume| volume.count(what));
    Load { took, commits: count("commit"), reloads: count("reload") }
}

async fn read(worker: &Worker, ids: Ids) -> f64 {
    let began = Instant::now();
    let path = format!("get_file?user_id={}&project_id={}", ids.user, ids.project);
    let answer = worker.send(worker.request(Method::GET, &path)).await;
    assert_eq!(answer.status, 200);
    ms(began.elapsed())
}

async fn change(worker: &Worker, ids: Ids, number: usize) -> f64 {
    let files: Value = json!([{ "path": "a.txt", "content": number.to_string() }]);
    let body = json!({ "user_id": ids.user, "project_id": ids.project, "files": files });
    let began = Instant::now();
    let events = worker.stream("apply_files", &body).await.collect().await;
    assert_eq!(terminal(&events).kind(), "done", "{events:?}");
    ms(began.elapsed())
}
