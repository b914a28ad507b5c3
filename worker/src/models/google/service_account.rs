//! Tokens of a service account: assertions signed with its key, which Google accepts as tokens.

use std::time::Duration;

use google_cloud_auth::credentials::service_account::Builder;
use tokio::time::Instant;

use super::{NoToken, Token};
use crate::models::failure::ApiFailure;
use crate::types::Secret;

/// How long an assertion is used. The library makes it valid for an hour; half of that leaves room
/// for a change of the clock.
const LIFE: Duration = Duration::from_mins(30);

/// A service account, represented by its key.
#[derive(Debug)]
pub(super) struct ServiceAccount(Secret);

impl ServiceAccount {
    pub(super) fn new(key: &Secret) -> Self {
        Self(key.clone())
    }

    /// Makes a new assertion. This sends no request.
    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        // The library's errors may contain parts of the key, so they are not used.
        let unusable = || {
            let reason =
                "DREAMCORE_VERTEX_SERVICE_ACCOUNT holds no usable key of a service account";
            NoToken::new(ApiFailure::Auth, reason)
        };
        let key = serde_json::from_str(self.0.expose()).map_err(|_| unusable())?;
        let asked_at = Instant::now();
        // Made anew each time, because an assertion that the library keeps could not be dropped
        // when it is refused.
        let credentials = Builder::new(key).build_access_token_credentials();
        let credentials = credentials.map_err(|_| unusable())?;
        let token = credentials.access_token().await.map_err(|_| unusable())?;
        Ok(Token { secret: Secret::new(token.token), asked_at, life: LIFE })
    }
}
