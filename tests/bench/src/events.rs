//! Streaming: how many events per second arrive, and with which delay.
//!
//! Measured first with the real CLI and a model that writes as fast as it is read; there the CLI is
//! the slowest part. Then with the emitter instead of the CLI, which shows what the worker can do,
//! and whose pieces carry the time at which they were written.

use std::path::PathBuf;

use harness::{Ids, Setup, Worker};
use serde_json::json;

use crate::bare::{BareCli, Timing, follow};
use crate::clock::{now_ns, stamps};
use crate::generation::{WARM_UPS, generate};
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

/// A streaming model writes about a hundred pieces a second.
const PACE_PER_S: u32 = 500;
const PACED: u32 = 1000;
const FAST: u32 = 20_000;

/// Measures the rates with the CLI and with the emitter, and the delay of events at a steady rate.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    // A third of the pairs, because each takes seconds.
    let pairs = pairs.div_ceil(3);
    let setup = Setup::default().var("DREAMCORE_LOG", "info");
    let cli = rates(&setup.start().await, pairs).await;

    let setup = Setup::default()
        .var("DREAMCORE_LOG", "info")
        .var("DREAMCORE_CLAUDE_BIN", emitter().display());
    let worker = setup.start().await;
    let bare = BareCli::new(worker.api.base_url());
    let mut fast = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let alone = emit(&bare, FAST, 0, |_| {}).await;
        let prompt = order(FAST, 0);
        let through = generate(&worker, Ids::new(), &prompt, |_| {}).await;
        if pair >= WARM_UPS {
            fast.0.push(alone.pieces_a_second());
            fast.1.push(through.pieces_a_second());
        }
    }
    let (mut alone, mut through) = (Samples::default(), Samples::default());
    for _ in 0..pairs {
        let note = |to: &mut Samples, text: &str| to.extend(stamps(text).map(age_ms));
        emit(&bare, PACED, PACE_PER_S, |text| note(&mut alone, text)).await;
        let prompt = order(PACED, PACE_PER_S);
        generate(&worker, Ids::new(), &prompt, |text| {
            note(&mut through, text);
        })
        .await;
    }
    let name = format!("delay of an event at {PACE_PER_S} a second");
    vec![
        cli,
        Measurement::pair("emitter at full speed", "events/s", fast.0, fast.1, Aim::Know),
        Measurement::pair(name, "ms", alone, through, Aim::Know),
    ]
}

/// The rate of the built-in fast script with the real CLI.
async fn rates(worker: &Worker, pairs: usize) -> Measurement {
    let cli = BareCli::new(worker.api.base_url());
    let (mut bare, mut through) = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let prompt = "[script:emit] たくさん書いて";
        let a = cli.generate(prompt).await;
        let b = generate(worker, Ids::new(), prompt, |_| {}).await;
        if pair >= WARM_UPS {
            bare.push(a.pieces_a_second());
            through.push(b.pieces_a_second());
        }
    }
    let aim = Aim::Rate { percent: 95.0 };
    Measurement::pair("CLI with a fast model", "events/s", bare, through, aim)
}

fn emitter() -> PathBuf {
    harness::target_dir().join("dreamcore-emitter")
}

/// The message to the emitter: how many pieces, and how many per second (0 is as fast as possible).
fn order(count: u32, per_second: u32) -> String {
    format!("{count} {per_second}")
}

async fn emit(bare: &BareCli, count: u32, per_second: u32, on_text: impl FnMut(&str)) -> Timing {
    let content = order(count, per_second);
    let line = json!({"type": "user", "message": {"role": "user", "content": content}});
    let input = format!("{line}\n");
    follow(bare.command(&emitter()), Some(input.as_bytes()), on_text).await
}

#[expect(clippy::cast_precision_loss, reason = "delays are far below 2^52 ns")]
fn age_ms(stamp_ns: u64) -> f64 {
    now_ns().saturating_sub(stamp_ns) as f64 / 1e6
}
