//! Questions that the worker itself asks the Messages API. The answer does not stream.
//!
//! The answer is bounded in size and time. If the question has a form, the model must call a tool,
//! and the input of that call is the answer; text does not count as an answer then. A request that
//! fails is repeated while there is time, which is safe because nothing of an answer was passed on.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

pub use answer::Answer;

use super::ApiFailure;
use super::providers::{Attempt, BODY_VERSION, Call, Providers};
use super::settings::ProviderKind;

/// The version of the API for whose requests and answers this module is written.
const API_VERSION: &str = "2023-06-01";
/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The largest number of requests for one question.
const MAX_ATTEMPTS: u32 = 4;
/// The pause before a request is repeated for the first time. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A request is not repeated if less than this time would be left for its answer.
const LEAST_TIME: Duration = Duration::from_millis(500);

/// The author of a turn of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user.
    User,
    /// The model itself.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// The author of the turn.
    pub role: Role,
    /// The text of the turn, which is not empty.
    pub content: String,
}

/// The form that an answer must have: the input of a tool that the model has to call.
#[derive(Debug, Clone)]
pub struct Form {
    /// The tool's name.
    pub name: &'static str,
    /// The description of the tool for the model.
    pub description: &'static str,
    /// The JSON Schema of the tool's input.
    pub schema: Value,
}

/// A question to a model.
#[derive(Debug, Clone)]
pub struct Question {
    /// The full name of the model.
    pub model: String,
    /// The instructions, which contain no text of a user.
    pub system: String,
    /// The conversation. It begins and ends with a turn of the user.
    pub turns: Vec<Turn>,
    /// The largest answer, in tokens.
    pub max_tokens: u32,
    /// The form of the answer. `None` asks for text.
    pub form: Option<Form>,
}

/// Why there is no answer. The text is for the log, and contains neither the key nor the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoAnswer {
    /// The kind of failure.
    pub failure: ApiFailure,
    reason: String,
}

impl NoAnswer {
    /// Makes an error from a kind of failure and its reason.
    pub fn new(failure: ApiFailure, reason: impl Into<String>) -> Self {
        Self { failure, reason: reason.into() }
    }
}

/// The failure of one request, and the pause that the API asks for before it is repeated.
struct Failed {
    error: NoAnswer,
    may_repeat: bool,
    retry_after: Option<Duration>,
}

impl Failed {
    fn for_good(failure: ApiFailure, reason: impl Into<String>) -> Self {
        Self { error: NoAnswer::new(failure, reason), may_repeat: false, retry_after: None }
    }
}

/// Asks the Messages API. Clones share one HTTP client.
#[derive(Debug, Clone)]
pub struct Messages {
    providers: Arc<Providers>,
    client: reqwest::Client,
}

impl Messages {
    /// A client of these providers, over the connections of `client`.
    pub fn new(providers: Arc<Providers>, client: reqwest::Client) -> Self {
        Self { providers, client }
    }

    /// Asks, and asks again while the API only fails for the moment and `patience` is not over. Where
    /// there is another provider, it is asked at once; the same one is asked again after a pause.
    pub async fn ask(&self, question: &Question, patience: Duration) -> Result<Answer, NoAnswer> {
        let deadline = Instant::now() + patience;
        let has_time = |wait| Instant::now() + wait + LEAST_TIME <= deadline;
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        let mut asking = self.providers.choose(&[]);
        loop {
            let Some(present) = asking else {
                let reason = "neither ANTHROPIC_API_KEY nor DREAMCORE_VERTEX_PROJECT is set";
                return Err(NoAnswer::new(ApiFailure::Auth, reason));
            };
            let provider = present.kind();
            let failed = match self.ask_provider(question, present, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if attempt == MAX_ATTEMPTS || !failed.error.failure.is_of_the_api() {
                return Err(failed.error);
            }
            let another = self.providers.choose(&[provider]);
            asking = if another.is_some() && has_time(Duration::ZERO) {
                another
            } else {
                let wait = failed.retry_after.unwrap_or(pause);
                if !failed.may_repeat || !has_time(wait) {
                    return Err(failed.error);
                }
                sleep(wait).await;
                pause *= 2;
                self.providers.choose(&[])
            };
            let provider = provider.name();
            tracing::debug!(error = %failed.error, provider, attempt, "a question is asked again");
            attempt += 1;
        }
    }

    /// Asks this provider once, whatever is known of it.
    pub async fn ask_only(
        &self,
        provider: ProviderKind,
        question: &Question,
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        let Some(asking) = self.providers.only(provider) else {
            return Err(NoAnswer::new(ApiFailure::Auth, "this provider is not set"));
        };
        let asked = self.ask_provider(question, asking, Instant::now() + patience).await;
        asked.map_err(|failed| failed.error)
    }

    /// Asks once, and notes how the provider answered. When whoever asked leaves meanwhile, that says
    /// nothing about it.
    async fn ask_provider(
        &self,
        question: &Question,
        asking: Attempt,
        deadline: Instant,
    ) -> Result<Answer, Failed> {
        let late = || Failed::for_good(ApiFailure::Timeout, "no answer within the time");
        let asked = timeout_at(deadline, self.ask_once(question, &asking)).await;
        let asked = asked.unwrap_or_else(|_| Err(late()));
        match &asked {
            Ok(_) => asking.succeeded(),
            Err(failed) => asking.failed(failed.error.failure),
        }
        asked
    }

    async fn ask_once(&self, question: &Question, asking: &Attempt) -> Result<Answer, Failed> {
        let target = asking.target(&question.model, Call::Message { stream: false }).await;
        let target = target.map_err(|failure| Failed {
            error: NoAnswer::new(failure, "there is no token for Vertex AI"),
            may_repeat: false,
            retry_after: None,
        })?;
        let (name, value) = target.credential;
        let request = self
            .client
            .post(target.url.expose())
            .header(name, value)
            .header("anthropic-version", API_VERSION)
            .header("content-type", "application/json")
            .body(body(question, asking.kind(), &asking.model_name(&question.model)));
        let response = request.send().await.map_err(|error| Failed {
            error: NoAnswer::new(ApiFailure::Network, error.without_url().to_string()),
            may_repeat: true,
            retry_after: None,
        })?;
        let status = response.status();
        if let Some(failure) = ApiFailure::of_status(status.as_u16()) {
            let may_repeat = matches!(
                failure,
                ApiFailure::Network | ApiFailure::RateLimit | ApiFailure::Timeout
            );
            let error = NoAnswer::new(failure, format!("the model API answered {status}"));
            return Err(Failed { error, may_repeat, retry_after: retry_after(response.headers()) });
        }
        let bytes = read(response).await?;
        Answer::read(&bytes, question.form.as_ref())
            .map_err(|reason| Failed::for_good(ApiFailure::Refused, reason))
    }
}

/// The request's body, as the provider reads it: the model stands there, or in the address.
fn body(question: &Question, provider: ProviderKind, model: &str) -> String {
    let mut body = json!({
        "max_tokens": question.max_tokens,
        "system": question.system,
        "messages": question.turns,
    });
    match provider {
        ProviderKind::Anthropic => body["model"] = json!(model),
        ProviderKind::Vertex => body["anthropic_version"] = json!(BODY_VERSION),
    }
    if let Some(form) = &question.form {
        body["tools"] = json!([{
            "name": form.name,
            "description": form.description,
            "input_schema": form.schema,
        }]);
        body["tool_choice"] = json!({ "type": "tool", "name": form.name });
    }
    body.to_string()
}

/// Reads the whole body of an answer. Fails if it is too large.
async fn read(response: reqwest::Response) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Failed {
            error: NoAnswer::new(ApiFailure::Network, error.without_url().to_string()),
            may_repeat: true,
            retry_after: None,
        })?;
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Failed::for_good(ApiFailure::Refused, "the answer is too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The pause that the API asks for. The API sends a number of seconds and never a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(form: Option<Form>) -> Question {
        Question {
            model: "claude-x".to_owned(),
            system: "s".to_owned(),
            turns: vec![Turn { role: Role::User, content: "q".to_owned() }],
            max_tokens: 9,
            form,
        }
    }

    fn of(question: &Question) -> String {
        body(question, ProviderKind::Anthropic, &question.model)
    }

    #[test]
    fn the_model_stands_in_the_body_or_in_the_address() {
        let at_anthropic: Value = serde_json::from_str(&of(&question(None))).unwrap();
        assert_eq!(at_anthropic["model"], "claude-x");
        let vertex = body(&question(None), ProviderKind::Vertex, "claude-x");
        let vertex: Value = serde_json::from_str(&vertex).unwrap();
        assert!(vertex.get("model").is_none());
        assert_eq!(vertex["anthropic_version"], "vertex-2023-10-16");
    }

    #[test]
    fn a_form_forces_the_call_of_its_tool() {
        let form = Form { name: "say", description: "d", schema: json!({ "type": "object" }) };
        let body: Value = serde_json::from_str(&of(&question(Some(form)))).unwrap();
        assert_eq!(body["tool_choice"], json!({ "type": "tool", "name": "say" }));
        assert_eq!(body["tools"][0]["input_schema"], json!({ "type": "object" }));
        assert_eq!(body["messages"], json!([{ "role": "user", "content": "q" }]));
    }

    #[test]
    fn without_a_form_there_is_no_tool() {
        let body: Value = serde_json::from_str(&of(&question(None))).unwrap();
        assert!(body.get("tools").is_none() && body.get("tool_choice").is_none());
    }

    #[test]
    fn a_pause_is_read_in_seconds() {
        let of = |text: &str| {
            let value = text.parse().unwrap();
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(of("3"), Some(Duration::from_secs(3)));
        assert_eq!(of(" 0 "), Some(Duration::ZERO));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(of("-1"), None);
    }
}
