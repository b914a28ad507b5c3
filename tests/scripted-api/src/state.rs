//! What the connections of one server share, and what it answers to a `POST /v1/messages`.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;

use crate::{
    block::{Block, text},
    form,
    message::{Context, Message},
    plan::{Answer, Plan, plan},
    question::{Question, tokens},
    record::{Recorded, TakenAs},
    script::{ScriptSet, Turn},
    wire::{CacheCreation, Usage},
};

/// Requests kept for tests. A body is about 30 kB, so this bounds a long benchmark to some 15 MB.
const KEPT: usize = 500;

/// Answers what is asked beside a conversation.
const SIDE_TEXT: &str = form::FILLER;
/// Answers after the last turn of a script.
const AFTER_LAST_TEXT: &str = "台本はここまでです。(The script has ended; this is not a model.)";

/// A turn of a conversation: hash of its first message, script, number of the turn.
type Place = (u64, String, usize);

pub(crate) struct State {
    scripts: ScriptSet,
    seen: Mutex<VecDeque<Recorded>>,
    attempts: Mutex<HashMap<Place, usize>>,
    /// Makes ids unique across servers: a resumed conversation may hold ids of an earlier one.
    seed: u64,
    next_id: AtomicU64,
}

impl State {
    pub(crate) fn new(scripts: ScriptSet) -> Self {
        Self {
            scripts,
            seen: Mutex::default(),
            attempts: Mutex::default(),
            seed: RandomState::new().hash_one(0),
            next_id: AtomicU64::new(0),
        }
    }

    /// Keeps a request for [`State::seen`].
    pub(crate) fn record(&self, request: Recorded) {
        let mut seen = lock(&self.seen);
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(request);
    }

    /// The last requests, oldest first.
    pub(crate) fn seen(&self) -> Vec<Recorded> {
        lock(&self.seen).iter().cloned().collect()
    }

    pub(crate) fn forget(&self) {
        lock(&self.seen).clear();
    }

    /// An id that no other answer has.
    pub(crate) fn id(&self, prefix: &str) -> String {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}_scripted{:016x}{number:06x}", self.seed)
    }

    /// The plan for a `POST /v1/messages` with this body of so many bytes.
    pub(crate) fn plan(&self, body: &Value, bytes: usize) -> (Plan, Option<TakenAs>) {
        let refused = |message: &str| {
            (Plan::Answer(Answer::error(400, "invalid_request_error", message)), None)
        };
        let question = match Question::read(body) {
            Ok(question) => question,
            Err(message) => return refused(&message),
        };
        if question.marker.is_none()
            && let Some(form) = form::filled(body)
        {
            let message = self.message(&[form], &question, bytes);
            return (plan(&message, question.stream, None), Some(TakenAs::Form));
        }
        if question.side && (question.marker.is_none() || question.of_the_cli) {
            let message = self.message(&[text(SIDE_TEXT)], &question, bytes);
            return (plan(&message, question.stream, None), Some(TakenAs::Side));
        }
        let name = question.marker.as_deref().unwrap_or(self.scripts.default_name());
        let Some(script) = self.scripts.get(name) else {
            let known: Vec<_> = self.scripts.iter().map(|(name, _)| name).collect();
            return refused(&format!("no script {name:?}; there are: {}", known.join(", ")));
        };
        let ended = Turn { blocks: vec![text(AFTER_LAST_TEXT)], ..Turn::default() };
        let turn = script.turns.get(question.turn).unwrap_or(&ended);
        let attempt = self.attempt(turn, (question.conversation, name.into(), question.turn));
        let message = self.message(&turn.blocks, &question, bytes);
        (
            plan(&message, question.stream, turn.fault_at(attempt)),
            Some(TakenAs::Turn { script: name.to_owned(), turn: question.turn, attempt }),
        )
    }

    /// How often this turn was asked for before. Turns that cannot fail are not counted, so that
    /// the table stays small however long the server runs.
    fn attempt(&self, turn: &Turn, place: Place) -> usize {
        if turn.attempts.is_empty() {
            return 0;
        }
        let mut attempts = lock(&self.attempts);
        let count = attempts.entry(place).or_default();
        *count += 1;
        *count - 1
    }

    fn message(&self, blocks: &[Block], question: &Question, bytes: usize) -> Message {
        let context = Context {
            message_id: self.id("msg"),
            model: &question.model,
            cwd: question.cwd.as_deref(),
            usage: input_usage(bytes, question.turn),
        };
        Message::new(blocks, context)
    }
}

/// Input counts as caching makes them: nearly all is cached, written at first and then read.
fn input_usage(bytes: usize, turn: usize) -> Usage {
    let total = tokens(bytes);
    let input_tokens = total.min(4);
    let cached = total - input_tokens;
    let (written, read) = if turn == 0 { (cached, 0) } else { (cached / 20, cached - cached / 20) };
    Usage {
        input_tokens,
        cache_creation_input_tokens: written,
        cache_read_input_tokens: read,
        cache_creation: CacheCreation {
            ephemeral_5m_input_tokens: written,
            ephemeral_1h_input_tokens: 0,
        },
        output_tokens: 0,
        service_tier: "standard",
    }
}

/// The lists stay usable whatever a panicking test did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Script};
    use serde_json::json;

    fn ask(prompt: &str, assistants: usize) -> Value {
        let mut messages = vec![json!({"role": "user", "content": prompt})];
        for _ in 0..assistants {
            messages.push(json!({"role": "assistant", "content": "a"}));
            messages.push(json!({"role": "user", "content": "b"}));
        }
        json!({"model": "m", "tools": [{"name": "Bash"}], "messages": messages})
    }

    fn answer(state: &State, body: &Value) -> (u16, String) {
        match state.plan(body, 4000).0 {
            Plan::Close => (0, String::new()),
            Plan::Answer(answer) => {
                let text = answer.steps.iter().map(|step| match step {
                    crate::plan::Step::Send(timed) => {
                        String::from_utf8_lossy(&timed.frame).into_owned()
                    }
                    _ => String::new(),
                });
                (answer.status, text.collect())
            }
        }
    }

    fn two_scripts() -> State {
        let set = ScriptSet::new("a", Script::new().turn([text("A0")]).turn([text("A1")]))
            .with("b", Script::new().turn([text("B0")]).fault(Fault::status(529, "x", "F0")));
        State::new(set)
    }

    #[test]
    fn marker_and_turn_choose_the_answer() {
        let state = two_scripts();
        for (body, expected) in [
            (ask("hi", 0), "A0"),
            (ask("hi", 1), "A1"),
            (ask("hi", 2), "The script has ended"),
            (ask("hi [script:a]", 0), "A0"),
        ] {
            let (status, text) = answer(&state, &body);
            assert!(status == 200 && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_script_is_an_error_that_names_the_known_ones() {
        let (status, text) = answer(&two_scripts(), &ask("[script:c]", 0));
        assert_eq!(status, 400);
        assert!(text.contains("there are: a, b"), "{text}");
    }

    #[test]
    fn attempts_are_counted_for_each_conversation_and_turn() {
        let state = two_scripts();
        let first = ask("[script:b] one", 0);
        let second = ask("[script:b] two", 0);
        assert_eq!(answer(&state, &first).0, 529);
        assert_eq!(answer(&state, &second).0, 529);
        assert_eq!(answer(&state, &first).0, 200);
        assert_eq!(answer(&state, &second).0, 200);
    }

    #[test]
    fn a_side_request_meets_no_fault_and_counts_nothing() {
        let state = two_scripts();
        let mut side = ask("[script:b]", 0);
        side["tools"] = json!([]);
        side["metadata"] = json!({"user_id": "session"});
        let (status, text) = answer(&state, &side);
        assert!(status == 200 && text.contains("Scripted reply"));
        assert_eq!(answer(&state, &ask("[script:b]", 0)).0, 529);
    }

    #[test]
    fn a_question_without_tools_may_name_a_script() {
        let state = two_scripts();
        let mut question = ask("[script:a]", 0);
        question["tools"] = json!([]);
        assert!(answer(&state, &question).1.contains("A0"));
        assert!(answer(&state, &json!({"messages": []})).1.contains("Scripted reply"));
    }

    #[test]
    fn a_forced_form_is_filled_in_unless_a_script_is_named() {
        let state = two_scripts();
        let mut question = ask("hi", 0);
        question["tools"] = json!([{"name": "label", "input_schema": {"enum": [1, 2]}}]);
        question["tool_choice"] = json!({"type": "tool", "name": "label"});
        let (status, text) = answer(&state, &question);
        assert!(status == 200 && text.contains("\"name\":\"label\""), "{text}");
        question["messages"] = ask("[script:a]", 0)["messages"].clone();
        assert!(answer(&state, &question).1.contains("A0"));
    }

    #[test]
    fn every_answer_has_its_own_id() {
        let state = two_scripts();
        assert_ne!(state.id("msg"), state.id("msg"));
        assert_ne!(state.id("msg"), two_scripts().id("msg"));
    }

    #[test]
    fn the_list_of_requests_is_bounded() {
        let state = two_scripts();
        let (parts, ()) = hyper::Request::new(()).into_parts();
        for number in 0..=KEPT {
            state.record(Recorded::new(&parts, json!(number)));
        }
        let seen = state.seen();
        assert_eq!(seen.len(), KEPT);
        assert_eq!(seen[0].body, 1);
        state.forget();
        assert!(state.seen().is_empty());
    }
}
