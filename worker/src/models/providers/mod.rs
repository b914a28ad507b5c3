//! Who is asked for Claude's answers: the Anthropic API, Vertex AI, or one of them in the other's place.
//!
//! Runs and short questions share what is known of each. While one provider only fails, new
//! requests go to the other; an answer that has begun is never continued by the other.

mod breaker;
mod vertex;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use breaker::{Breaker, Change, Pass};
use vertex::Vertex;

use super::failure::ApiFailure;
use super::google::Tokens;
use super::redact::{Redactor, of_path};
use super::settings::{Identity, ProviderKind, Settings};
use crate::types::Secret;

pub(crate) use vertex::{BODY_VERSION, anthropic_name};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a provider is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A message, as events or in one piece.
    Message {
        /// As events.
        stream: bool,
    },
    /// A count of tokens.
    CountTokens,
}

/// All providers that are set.
#[derive(Debug)]
pub struct Providers {
    /// The one that is preferred first.
    all: Vec<Arc<Provider>>,
    redactor: Redactor,
}

/// One provider, and how it has answered.
#[derive(Debug)]
struct Provider {
    kind: ProviderKind,
    api: Api,
    breaker: Mutex<Breaker>,
}

#[derive(Debug)]
enum Api {
    Anthropic { base_url: Secret, key: Secret },
    Vertex { service: Vertex, tokens: Tokens },
}

/// Where a request goes, and by what it is let in.
#[derive(Debug)]
pub(crate) struct Target {
    /// The address, which may be a secret.
    pub(crate) url: Secret,
    /// The header with the key or the token; its value is marked as one that must not be shown.
    pub(crate) credential: (HeaderName, HeaderValue),
}

/// The right to ask one provider once. It must be told how the provider answered.
#[derive(Debug)]
pub(crate) struct Attempt {
    provider: Arc<Provider>,
    pass: Pass,
    is_told: bool,
}

impl Providers {
    /// The providers that are set. `client` fetches tokens.
    pub fn new(settings: &Settings, client: &reqwest::Client) -> Self {
        let mut all = Vec::new();
        let mut hidden = Vec::new();
        if let Some(key) = &settings.anthropic.api_key {
            let base_url = settings.anthropic.base_url.clone();
            hidden.extend(of_path(&base_url));
            hidden.push(key.expose().to_owned());
            all.push((ProviderKind::Anthropic, Api::Anthropic { base_url, key: key.clone() }));
        }
        if let Some(vertex) = &settings.vertex {
            let service = Vertex::new(vertex);
            if let Some(url) = &vertex.base_url {
                hidden.extend(of_path(url));
            }
            // Google names it in its errors; a sandbox need not know who pays.
            hidden.push(vertex.project.clone());
            if let Identity::ServiceAccount(key) = &vertex.identity {
                hidden.push(key.expose().to_owned());
            }
            let tokens = Tokens::new(&vertex.identity, client.clone());
            all.push((ProviderKind::Vertex, Api::Vertex { service, tokens }));
        }
        all.sort_by_key(|(kind, _)| *kind != settings.first);
        let provider = |(kind, api)| Arc::new(Provider { kind, api, breaker: Mutex::default() });
        Self {
            all: all.into_iter().map(provider).collect(),
            redactor: Redactor::new(hidden.iter().map(String::as_str)),
        }
    }

    /// Which providers there are, the preferred one first.
    pub fn kinds(&self) -> impl Iterator<Item = ProviderKind> {
        self.all.iter().map(|provider| provider.kind)
    }

    /// What takes their secrets out of a text.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The provider to ask next: the first one that is not known to fail, and none of `tried`. Where
    /// all are known to fail, one of them is asked all the same; `None` if all were tried.
    pub(crate) fn choose(&self, tried: &[ProviderKind]) -> Option<Attempt> {
        let left = || self.all.iter().filter(|one| !tried.contains(&one.kind));
        let now = Instant::now();
        let admitted = left().find_map(|one| Some((one, one.breaker().admit(now)?)));
        let (provider, pass) = match admitted {
            Some(found) => found,
            // A request that was tried elsewhere already is not sent where it is known to fail.
            None if !tried.is_empty() => return None,
            None => (left().next()?, Pass::Ordinary),
        };
        Some(Attempt { provider: Arc::clone(provider), pass, is_told: false })
    }

    /// The right to ask this provider, whatever is known of it.
    pub(crate) fn only(&self, kind: ProviderKind) -> Option<Attempt> {
        let provider = self.all.iter().find(|one| one.kind == kind)?;
        Some(Attempt { provider: Arc::clone(provider), pass: Pass::Ordinary, is_told: false })
    }
}

impl Provider {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // Plain numbers: a panic elsewhere cannot leave them half-changed.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, change: Option<Change>, failure: Option<ApiFailure>) {
        let provider = self.kind.name();
        match change {
            Some(Change::Opened(pause)) => {
                let pause_s = pause.as_secs();
                let failure = failure.map(|failure| format!("{failure:?}"));
                tracing::warn!(provider, failure, pause_s, "a model provider only fails");
            }
            Some(Change::Closed) => tracing::info!(provider, "a model provider answers again"),
            None => {}
        }
    }
}

impl Attempt {
    /// Who is asked.
    pub(crate) fn kind(&self) -> ProviderKind {
        self.provider.kind
    }

    /// What this provider calls a model.
    pub(crate) fn model_name(&self, model: &str) -> String {
        match &self.provider.api {
            Api::Anthropic { .. } => anthropic_name(model),
            Api::Vertex { service, .. } => service.name_of(model),
        }
    }

    /// Where a call about `model` goes. A token may have to be fetched first.
    pub(crate) async fn target(&self, model: &str, call: Call) -> Result<Target, ApiFailure> {
        let (url, name, credential) = match &self.provider.api {
            Api::Anthropic { base_url, key } => {
                let path = match call {
                    Call::Message { .. } => "/v1/messages",
                    Call::CountTokens => "/v1/messages/count_tokens",
                };
                let url = format!("{}{path}", base_url.expose());
                (url, API_KEY, key.expose().to_owned())
            }
            Api::Vertex { service, tokens } => {
                let token = tokens.get().await?;
                (service.url(model, call), AUTHORIZATION, format!("Bearer {}", token.expose()))
            }
        };
        // Keys are checked when they are read; a token server could send anything.
        let mut value = HeaderValue::from_str(&credential).map_err(|_| ApiFailure::Auth)?;
        value.set_sensitive(true);
        Ok(Target { url: Secret::new(url), credential: (name, value) })
    }

    /// The provider answered.
    pub(crate) fn succeeded(mut self) {
        self.is_told = true;
        let change = self.provider.breaker().succeeded(self.pass);
        self.provider.report(change, None);
    }

    /// The provider failed. A failure of the request itself is an answer.
    pub(crate) fn failed(mut self, failure: ApiFailure) {
        if !failure.is_of_the_api() {
            return self.succeeded();
        }
        self.is_told = true;
        if let (ApiFailure::Auth, Api::Vertex { tokens, .. }) = (failure, &self.provider.api) {
            tokens.was_refused();
        }
        let change = self.provider.breaker().failed(self.pass, Instant::now());
        self.provider.report(change, Some(failure));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_told {
            self.provider.breaker().abandoned(self.pass);
        }
    }
}

#[cfg(test)]
mod tests;
