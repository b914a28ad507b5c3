//! `doctor --live`: asks each provider one tiny question, and says what has to be put right, by the name of
//! the setting.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use dreamcore_worker::config::Config;
use dreamcore_worker::models::messages::{Messages, NoAnswer, Question, Role, Turn};
use dreamcore_worker::models::{ApiFailure, Identity, ProviderKind, Providers, client};
use serde_json::{Value, json};

/// Longest wait for an answer, a token included.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What was found of one provider.
pub(super) struct Finding {
    provider: ProviderKind,
    /// Why it does not answer, and what to do.
    problem: Option<(String, String)>,
}

/// What was found of all of them.
pub(super) struct Findings {
    model: String,
    all: Vec<Finding>,
}

/// Asks every provider that is set.
pub(super) async fn ask(config: &Config) -> reqwest::Result<Findings> {
    let settings = &config.app.models;
    let client = client::new()?;
    let providers = Arc::new(Providers::new(settings, &client));
    let kinds: Vec<_> = providers.kinds().collect();
    let messages = Messages::new(providers, client);
    let model = config.app.assist.quick_model.clone();
    let question = Question {
        model: model.clone(),
        system: "Answer with one word.".to_owned(),
        turns: vec![Turn { role: Role::User, content: "Are you there?".to_owned() }],
        max_tokens: 16,
        form: None,
    };
    let mut all = Vec::new();
    for provider in kinds {
        let problem =
            messages.ask_only(provider, &question, QUESTION_TIMEOUT).await.err().map(|error| {
                let identity = settings.vertex.as_ref().map(|vertex| &vertex.identity);
                (error.to_string(), advice(provider, identity, &error).to_owned())
            });
        all.push(Finding { provider, problem });
    }
    Ok(Findings { model, all })
}

/// What a deployer has to do about a failure.
fn advice(provider: ProviderKind, identity: Option<&Identity>, error: &NoAnswer) -> &'static str {
    match (provider, error.failure) {
        (ProviderKind::Anthropic, ApiFailure::Auth) => {
            "ANTHROPIC_API_KEY is refused: set a valid key"
        }
        (ProviderKind::Vertex, ApiFailure::Auth) => match identity {
            Some(Identity::ServiceAccount(_)) => {
                "DREAMCORE_VERTEX_SERVICE_ACCOUNT is refused: the key, its role in DREAMCORE_VERTEX_PROJECT, or this machine's clock"
            }
            _ => {
                "DREAMCORE_VERTEX_FEDERATION is refused: the identity token (DREAMCORE_IDENTITY_TOKEN_FILE, MODAL_IDENTITY_TOKEN), its audience, or the role in DREAMCORE_VERTEX_PROJECT"
            }
        },
        (ProviderKind::Anthropic, ApiFailure::RateLimit) => {
            "the account of ANTHROPIC_API_KEY has used up its quota"
        }
        (ProviderKind::Vertex, ApiFailure::RateLimit) => {
            "DREAMCORE_VERTEX_PROJECT has no quota for this model in DREAMCORE_VERTEX_LOCATION"
        }
        (ProviderKind::Anthropic, ApiFailure::Network | ApiFailure::Timeout) => {
            "ANTHROPIC_BASE_URL does not answer: the address, or the way to it"
        }
        (ProviderKind::Vertex, ApiFailure::Network | ApiFailure::Timeout) => {
            "DREAMCORE_VERTEX_BASE_URL, or DREAMCORE_VERTEX_LOCATION, or the token server does not answer: the address, or the way to it"
        }
        (ProviderKind::Anthropic, ApiFailure::Refused | ApiFailure::Budget) => {
            "DREAMCORE_QUICK_MODEL is not served, or ANTHROPIC_BASE_URL is not that of the API"
        }
        (ProviderKind::Vertex, ApiFailure::Refused | ApiFailure::Budget) => {
            "the model is not served there: DREAMCORE_QUICK_MODEL, DREAMCORE_VERTEX_MODELS, DREAMCORE_VERTEX_LOCATION, or it is not enabled in DREAMCORE_VERTEX_PROJECT"
        }
    }
}

impl Findings {
    /// Whether there is a provider, and every one answers.
    pub(super) fn are_good(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|finding| finding.problem.is_none())
    }

    pub(super) fn to_json(&self) -> Value {
        let all = self.all.iter().map(|finding| {
            let provider = finding.provider.name();
            match &finding.problem {
                None => json!({ "provider": provider, "answers": true }),
                Some((error, advice)) => json!({
                    "provider": provider, "answers": false, "error": error, "advice": advice,
                }),
            }
        });
        json!({ "model": self.model, "providers": all.collect::<Vec<_>>() })
    }

    pub(super) fn table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "Model providers, asked for {}", self.model)?;
        if self.all.is_empty() {
            writeln!(out, "  none: set ANTHROPIC_API_KEY or DREAMCORE_VERTEX_PROJECT")?;
        }
        for finding in &self.all {
            let name = finding.provider.name();
            match &finding.problem {
                None => writeln!(out, "  {name:<10} answers")?,
                Some((error, advice)) => {
                    writeln!(out, "  {name:<10} FAILS: {error}\n{:13}{advice}", "")?;
                }
            }
        }
        Ok(())
    }
}
