//! A small job from request to end: the bare CLI compared with `POST /generate_game`.
//!
//! The worker does everything that the bare CLI does not: the private copy, the sandbox, a new
//! home, the broker, the save and the version.

use std::time::Instant;

use harness::script::{Fault, Script, builtin};
use harness::{Ids, Setup, Worker};

use crate::bare::{BareCli, Timing};
use crate::project;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

/// The number of first pairs that are not counted, in which files get into the page cache and the
/// bare CLI fills its home.
pub const WARM_UPS: usize = 2;

/// The aim: how much more a generation may take than the bare CLI, in percent and milliseconds.
const AIM: Aim = Aim::More { percent: 5.0, by: 50.0 };
const PROMPT: &str = "小さなページを作って";

/// Measures with a model that answers at once and with one that waits for a second.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let mut all = Vec::new();
    for (name, thinking_ms) in [("answers at once", None), ("answers after 1 s", Some(1000))] {
        let setup = Setup::default().var("DREAMCORE_LOG", "info").script(small(thinking_ms));
        all.extend(compare(name, &setup.start().await, pairs).await);
    }
    all
}

/// The built-in script `small`, in which every answer waits for `thinking_ms`.
fn small(thinking_ms: Option<u64>) -> Script {
    let scripts = builtin::scripts();
    let mut script = scripts.get("small").expect("it is built in").clone();
    if let Some(ms) = thinking_ms {
        for turn in &mut script.turns {
            turn.attempts = vec![Fault::hang(ms)];
            turn.forever = true;
        }
    }
    script
}

async fn compare(name: &str, worker: &Worker, pairs: usize) -> Vec<Measurement> {
    let cli = BareCli::new(worker.api.base_url());
    let ids = Ids::new();
    project::fill_worker(worker, ids);
    let mut first = (Samples::default(), Samples::default());
    let mut wall = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs {
        project::reset(&cli.project());
        let bare = cli.generate(PROMPT).await;
        project::is_written(&cli.project());

        project::reset_worker(worker, ids);
        let confined = generate(worker, ids, PROMPT, |_| {}).await;
        project::is_written(&worker.project(ids));

        worker.api.clear_requests();
        if pair >= WARM_UPS {
            first.0.push(bare.first_text_ms());
            first.1.push(confined.first_text_ms());
            wall.0.push(bare.wall_ms());
            wall.1.push(confined.wall_ms());
        }
    }
    vec![
        Measurement::pair(format!("{name}: first text"), "ms", first.0, first.1, AIM),
        Measurement::pair(format!("{name}: whole"), "ms", wall.0, wall.1, AIM),
    ]
}

/// Generates once with the worker, and calls `on_text` for every piece of text. Panics if the run
/// fails.
pub async fn generate(
    worker: &Worker,
    ids: Ids,
    prompt: &str,
    mut on_text: impl FnMut(&str),
) -> Timing {
    let (began, mut timing) = (Instant::now(), Timing::default());
    let mut stream = worker.generate_stream(ids, prompt).await;
    let mut last = None;
    while let Some(event) = stream.next().await {
        if event.kind() == "stream" {
            timing.piece(began.elapsed());
            on_text(event.text("content"));
        }
        last = Some(event);
    }
    timing.wall = began.elapsed();
    let last = last.expect("a stream has events");
    assert_eq!(last.kind(), "done", "{last:?}\n{}", worker.log());
    timing
}
