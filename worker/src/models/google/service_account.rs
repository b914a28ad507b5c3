//! Tokens of a service account: assertions that its key signs, which Google takes as they are.

use std::time::Duration;

use google_cloud_auth::credentials::service_account::Builder;
use tokio::time::Instant;

use super::{NoToken, Token};
use crate::models::failure::ApiFailure;
use crate::types::Secret;

/// How long an assertion is used. The library gives it an hour; half of that leaves room for a clock
/// that was set meanwhile.
const LIFE: Duration = Duration::from_mins(30);

/// The account, by its key.
#[derive(Debug)]
pub(super) struct ServiceAccount(Secret);

impl ServiceAccount {
    pub(super) fn new(key: &Secret) -> Self {
        Self(key.clone())
    }

    /// A fresh assertion. Nothing is sent for it.
    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        // The library's errors may describe what it was given.
        let unusable = || {
            let reason =
                "DREAMCORE_VERTEX_SERVICE_ACCOUNT holds no usable key of a service account";
            NoToken::new(ApiFailure::Auth, reason)
        };
        let key = serde_json::from_str(self.0.expose()).map_err(|_| unusable())?;
        let asked_at = Instant::now();
        // Made anew each time: what the library keeps cannot be thrown away when it is refused.
        let credentials = Builder::new(key).build_access_token_credentials();
        let credentials = credentials.map_err(|_| unusable())?;
        let token = credentials.access_token().await.map_err(|_| unusable())?;
        Ok(Token { secret: Secret::new(token.token), asked_at, life: LIFE })
    }
}
