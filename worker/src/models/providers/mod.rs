//! The providers of Claude: the Anthropic API and Vertex AI. If one fails, the other is asked in
//! its place.
//!
//! Runs and short questions share the knowledge about each provider. While one does nothing but
//! fail, new requests go to the other. An answer that has begun is never continued by the other
//! provider.

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

/// The kind of a request to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A request for a message.
    Message {
        /// Whether the answer is streamed.
        stream: bool,
    },
    /// A request to count tokens.
    CountTokens,
}

/// All providers that have settings.
#[derive(Debug)]
pub struct Providers {
    /// The providers, the preferred one first.
    all: Vec<Arc<Provider>>,
    redactor: Redactor,
}

/// One provider, and its circuit breaker.
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

/// The URL of a request, and its credential.
#[derive(Debug)]
pub(crate) struct Target {
    /// The URL, which may contain a secret.
    pub(crate) url: Secret,
    /// The header with the key or the token. Its value is marked as sensitive.
    pub(crate) credential: (HeaderName, HeaderValue),
}

/// The permission to ask one provider once. The result must be reported to it.
#[derive(Debug)]
pub(crate) struct Attempt {
    provider: Arc<Provider>,
    pass: Pass,
    is_told: bool,
}

impl Providers {
    /// Makes the providers that have settings. `client` fetches tokens.
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
            // Google's errors contain the name of the project, which a sandbox need not know.
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

    /// The kinds of the providers, the preferred one first.
    pub fn kinds(&self) -> impl Iterator<Item = ProviderKind> {
        self.all.iter().map(|provider| provider.kind)
    }

    /// Removes the providers' secrets from texts.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The provider to ask next: the first one that is not in `tried` and whose breaker lets a
    /// request pass. If no breaker does, the first provider is asked all the same, but only if none
    /// was tried before. `None` if there is no provider to ask.
    pub(crate) fn choose(&self, tried: &[ProviderKind]) -> Option<Attempt> {
        let left = || self.all.iter().filter(|one| !tried.contains(&one.kind));
        let now = Instant::now();
        let admitted = left().find_map(|one| Some((one, one.breaker().admit(now)?)));
        let (provider, pass) = match admitted {
            Some(found) => found,
            // A request that another provider has tried is not sent to one that is known to fail.
            None if !tried.is_empty() => return None,
            None => (left().next()?, Pass::Ordinary),
        };
        Some(Attempt { provider: Arc::clone(provider), pass, is_told: false })
    }

    /// The permission to ask this provider, whatever its breaker says.
    pub(crate) fn only(&self, kind: ProviderKind) -> Option<Attempt> {
        let provider = self.all.iter().find(|one| one.kind == kind)?;
        Some(Attempt { provider: Arc::clone(provider), pass: Pass::Ordinary, is_told: false })
    }
}

impl Provider {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // The state is plain numbers, which a panic cannot leave half-changed.
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
    /// The kind of the provider that is asked.
    pub(crate) fn kind(&self) -> ProviderKind {
        self.provider.kind
    }

    /// The provider's name of a model.
    pub(crate) fn model_name(&self, model: &str) -> String {
        match &self.provider.api {
            Api::Anthropic { .. } => anthropic_name(model),
            Api::Vertex { service, .. } => service.name_of(model),
        }
    }

    /// The target of a call about `model`. If necessary, this fetches a token first.
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
        // Keys were checked when the settings were read, but a token server may send any text.
        let mut value = HeaderValue::from_str(&credential).map_err(|_| ApiFailure::Auth)?;
        value.set_sensitive(true);
        Ok(Target { url: Secret::new(url), credential: (name, value) })
    }

    /// Reports that the provider answered.
    pub(crate) fn succeeded(mut self) {
        self.is_told = true;
        let change = self.provider.breaker().succeeded(self.pass);
        self.provider.report(change, None);
    }

    /// Reports that the provider failed. A failure of the request itself counts as an answer.
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
