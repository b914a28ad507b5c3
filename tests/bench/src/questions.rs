//! Short questions: `POST /detect_intent` compared with the same request sent by hand to the same scripted
//! API, and with a CLI that is started for it.

use std::hint::black_box;
use std::time::Instant;

use dreamcore_worker::assist::intent::guess;
use harness::script::{ScriptSet, ScriptedApi, builtin, text};
use harness::{Setup, Worker};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bare::{BareCli, ms};
use crate::generation::WARM_UPS;
use crate::load::QUIET;
use crate::report::{Aim, Measurement};
use crate::stats::Samples;

const MESSAGE: &str = "敵をもう少し速くして、色も赤にして";
/// Questions that make one sample of a 99th percentile.
const ROUND: usize = 100;
/// Questions in a crowd, and the connections that they come over.
const CROWD: usize = 1_000;
const CONNECTIONS: usize = 64;
/// Guesses that make one sample.
const GUESSES: u32 = 1_000;

/// A request to the model API as the worker makes it, to be sent by hand.
#[derive(Clone)]
struct ByHand {
    client: Client,
    url: String,
    body: Value,
}

/// Measures single questions, a crowd of them, a guess, and what a kept token costs.
pub async fn measure(pairs: usize) -> Vec<Measurement> {
    let worker = Setup::default().var("DREAMCORE_LOG", QUIET).start().await;
    let by_hand = ByHand::like(&worker).await;
    let mut all = single(&worker, &by_hand, pairs).await;
    all.push(instead_of_a_cli(&worker, pairs).await);
    all.push(crowd(&worker, &by_hand, pairs).await);
    all.push(guessed(pairs));
    all.push(by_token(&worker, pairs).await);
    all
}

impl ByHand {
    /// The request that this worker sends for the message.
    async fn like(worker: &Worker) -> Self {
        ask(worker).await;
        let asked = worker.api.requests().pop().expect("the worker asked");
        let client = Client::builder().no_proxy().build().expect("an HTTP client");
        Self { client, url: format!("{}{}", worker.api.base_url(), asked.path), body: asked.body }
    }

    async fn ask(&self) -> f64 {
        let began = Instant::now();
        let request = self.client.post(&self.url).header("x-api-key", harness::REAL_KEY);
        let answer = request.json(&self.body).send().await.expect("an answer");
        assert!(answer.status().is_success());
        let answer: Value = answer.json().await.expect("it is JSON");
        assert_eq!(answer["content"][0]["name"], "label");
        ms(began.elapsed())
    }
}

async fn ask(worker: &Worker) -> f64 {
    let began = Instant::now();
    let request = worker.request(Method::POST, "detect_intent");
    let answer = worker.send(request.json(&json!({ "message": MESSAGE }))).await;
    let took = ms(began.elapsed());
    let answer = answer.json();
    assert!(answer["intent"].is_string() && answer.get("fallback").is_none(), "{answer}");
    took
}

async fn single(worker: &Worker, by_hand: &ByHand, pairs: usize) -> Vec<Measurement> {
    let mut median = (Samples::default(), Samples::default());
    let mut tail = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs {
        let mut round = (Samples::default(), Samples::default());
        for _ in 0..ROUND {
            round.0.push(by_hand.ask().await);
            round.1.push(ask(worker).await);
        }
        if pair >= WARM_UPS {
            let p99 = |samples: &Samples| samples.summary().expect("there are some").p99;
            tail.0.push(p99(&round.0));
            tail.1.push(p99(&round.1));
            median.0.extend(round.0.values().iter().copied());
            median.1.extend(round.1.values().iter().copied());
        }
    }
    let (name, tail_name) = ("one question", format!("the slowest of {ROUND} questions"));
    vec![
        Measurement::pair(name, "ms", median.0, median.1, Aim::Added(1.0)),
        Measurement::pair(tail_name, "ms", tail.0, tail.1, Aim::Added(3.0)),
    ]
}

async fn instead_of_a_cli(worker: &Worker, pairs: usize) -> Measurement {
    let api = ScriptedApi::start(
        ScriptSet::new("label", harness::script::Script::new().turn([text("edit")])),
        harness::script::Options::default(),
    );
    let api = api.await.expect("the scripted API starts");
    let cli = BareCli::new(api.base_url());
    let (mut bare, mut asked) = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs.div_ceil(2) {
        let (a, b) = (cli.generate(MESSAGE).await.wall_ms(), ask(worker).await);
        if pair >= WARM_UPS {
            bare.push(a);
            asked.push(b);
        }
    }
    Measurement::pair("one question, a CLI started for it", "ms", bare, asked, Aim::Know)
}

/// So many questions over so many connections: the time until all are answered.
async fn crowd(worker: &Worker, by_hand: &ByHand, pairs: usize) -> Measurement {
    let client = Client::builder().no_proxy().build().expect("an HTTP client");
    let through = ByHand {
        client,
        url: format!("{}/detect_intent", worker.base_url()),
        body: json!({ "message": MESSAGE }),
    };
    let (mut bare, mut asked) = (Samples::default(), Samples::default());
    for pair in 0..WARM_UPS + pairs.div_ceil(2) {
        let (a, b) = (all_at_once(by_hand).await, all_at_once(&through).await);
        if pair >= WARM_UPS {
            bare.push(a);
            asked.push(b);
        }
    }
    let name = format!("{CROWD} questions at {CONNECTIONS} connections");
    Measurement::pair(name, "ms", bare, asked, Aim::Know)
}

async fn all_at_once(request: &ByHand) -> f64 {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let request = request.clone();
        let count = CROWD / CONNECTIONS + usize::from(connection < CROWD % CONNECTIONS);
        asking.spawn(async move {
            for _ in 0..count {
                let one = request.client.post(&request.url).json(&request.body);
                let one = one.header("x-api-key", harness::REAL_KEY);
                let answer = one.header("x-modal-secret", harness::SECRET).send().await;
                let answer = answer.expect("an answer");
                assert!(answer.status().is_success(), "{}", answer.status());
                let text = answer.text().await.expect("a body");
                assert!(!text.contains("fallback"), "{text}");
            }
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.expect("all are answered");
    }
    ms(began.elapsed())
}

/// The table that answers when no model does.
fn guessed(pairs: usize) -> Measurement {
    let mut samples = Samples::default();
    for _ in 0..WARM_UPS + pairs {
        let began = Instant::now();
        for _ in 0..GUESSES {
            black_box(guess(black_box(MESSAGE)));
        }
        samples.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(GUESSES));
    }
    Measurement::single("the intent without a model", "µs", samples, Aim::Below(50.0))
}

/// The same question at Vertex AI, whose token is kept, against the Anthropic API and its key.
async fn by_token(by_key: &Worker, pairs: usize) -> Measurement {
    let vertex = ScriptedApi::start(builtin::scripts(), harness::script::Options::default()).await;
    let vertex = vertex.expect("the scripted API starts");
    let setup = Setup::default()
        .var("DREAMCORE_LOG", QUIET)
        .var("ANTHROPIC_API_KEY", "")
        .var("DREAMCORE_VERTEX_PROJECT", "bench")
        .var("DREAMCORE_VERTEX_BASE_URL", vertex.vertex_url())
        .var("DREAMCORE_VERTEX_FEDERATION", vertex.federation(true))
        .var("MODAL_IDENTITY_TOKEN", vertex.google().identity_token(3_600));
    let worker = setup.start().await;
    let (mut key, mut token) = (Samples::default(), Samples::default());
    for pair in 0..(WARM_UPS + pairs) * ROUND {
        let (a, b) = (ask(by_key).await, ask(&worker).await);
        if pair >= WARM_UPS * ROUND {
            key.push(a);
            token.push(b);
        }
    }
    assert_eq!(vertex.google().exchanges(), 2, "the token is kept");
    Measurement::pair("one question by a kept token", "ms", key, token, Aim::Added(0.1))
}
