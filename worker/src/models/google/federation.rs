//! Workload Identity Federation: exchanges an identity token for a token of Google and, if that is
//! set, exchanges that one for a token of a service account.
//!
//! Both requests use the worker's own HTTP client, which follows no redirects, because a redirect
//! would send the identity token to another host.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::{NoToken, Token};
use crate::blocking;
use crate::models::failure::ApiFailure;
use crate::models::settings::{Federation, Subject};
use crate::types::Secret;

/// The scope of the token. The roles of its account decide what it may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The largest answer of a token server, and the largest identity token, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// The longest life of a token. A server that announces more is not believed.
const MAX_LIFE: Duration = Duration::from_hours(12);
/// The life of a service account's token. It is requested and then assumed: the server announces
/// the end of the token as a time of day, and the clock of this machine may be wrong.
const ACCOUNT_LIFE: Duration = Duration::from_hours(1);

/// The way from an identity token to an access token.
#[derive(Debug)]
pub(super) struct Exchange {
    settings: Federation,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfAccount {
    access_token: String,
}

impl Exchange {
    pub(super) fn new(settings: Federation, client: reqwest::Client) -> Self {
        Self { settings, client }
    }

    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        let asked_at = Instant::now();
        let subject = self.subject().await?;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", &self.settings.audience),
            ("scope", SCOPE),
            ("subject_token_type", &self.settings.subject_token_type),
            ("subject_token", subject.expose()),
        ];
        let request = self.client.post(&self.settings.token_url).form(&form);
        let exchanged: Exchanged = answer(request, "the token server").await?;
        let life = Duration::from_secs(exchanged.expires_in).min(MAX_LIFE);
        let Some(url) = &self.settings.service_account_impersonation_url else {
            return Ok(Token { secret: Secret::new(exchanged.access_token), asked_at, life });
        };
        let body = json!({ "scope": [SCOPE], "lifetime": format!("{}s", ACCOUNT_LIFE.as_secs()) });
        let request = self.client.post(url).bearer_auth(exchanged.access_token).json(&body);
        let of_account: OfAccount = answer(request, "the server of service accounts").await?;
        Ok(Token { secret: Secret::new(of_account.access_token), asked_at, life: ACCOUNT_LIFE })
    }

    /// Reads the identity token. A file is read each time, because the platform replaces it.
    async fn subject(&self) -> Result<Secret, NoToken> {
        match &self.settings.subject {
            Subject::Given(token) => Ok(token.clone()),
            Subject::Missing => Err(NoToken::new(ApiFailure::Auth, "there is no identity token")),
            Subject::File(path) => {
                let path = path.clone();
                let read = blocking::run(move || read_token(&path)).await;
                read.ok().and_then(Result::ok).ok_or_else(|| {
                    let reason = "DREAMCORE_IDENTITY_TOKEN_FILE cannot be read as a token";
                    NoToken::new(ApiFailure::Auth, reason)
                })
            }
        }
    }
}

/// Reads the platform's file. Its path is a setting, and no process in a sandbox can change the
/// file.
fn read_token(path: &std::path::Path) -> std::io::Result<Secret> {
    use std::io::Read as _;
    let mut text = String::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    std::fs::OpenOptions::new().read(true).open(path)?.take(limit).read_to_string(&mut text)?;
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    Ok(Secret::new(text))
}

/// Sends a request and reads the answer. The text of an error is not logged, because it may contain
/// the token.
async fn answer<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    who: &str,
) -> Result<T, NoToken> {
    let response = request.send().await.map_err(|error| {
        NoToken::new(ApiFailure::Network, format!("{who}: {}", error.without_url()))
    })?;
    let status = response.status();
    if let Some(failure) = ApiFailure::of_status(status.as_u16()) {
        // A token server answers 400 to a token that it does not accept.
        let failure = if failure == ApiFailure::Refused { ApiFailure::Auth } else { failure };
        return Err(NoToken::new(failure, format!("{who} answered {status}")));
    }
    let mut bytes = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            NoToken::new(ApiFailure::Network, format!("{who}: {}", error.without_url()))
        })?;
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(NoToken::new(ApiFailure::Network, format!("{who} says too much")));
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes)
        .map_err(|_| NoToken::new(ApiFailure::Network, format!("{who} sent no token")))
}
