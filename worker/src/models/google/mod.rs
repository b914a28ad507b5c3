//! Access tokens of Google. They are fetched when they are needed, kept, and renewed before they
//! expire.
//!
//! The life of a token is counted from the request for it, on a monotonic clock, so a wrong clock
//! of this machine does no harm. Only the assertion that a service account signs contains a time;
//! the library that signs it allows for a difference of some seconds.

mod federation;
mod service_account;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use federation::Exchange;
use service_account::ServiceAccount;

use super::failure::ApiFailure;
use super::settings::Identity;
use crate::types::Secret;

/// How long fetching a token may take, with all requests.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A token is renewed when less than this time of it is left, or less than a fifth of its life.
const MARGIN: Duration = Duration::from_mins(5);
/// A token that is younger than this is kept even if the API refuses it.
const FRESH: Duration = Duration::from_secs(30);
/// After a failure no token is requested for this long.
const PAUSE: Duration = Duration::from_secs(1);

/// A token and its life.
#[derive(Debug, Clone)]
struct Token {
    secret: Secret,
    asked_at: Instant,
    life: Duration,
}

impl Token {
    fn has_ended(&self, now: Instant) -> bool {
        now >= self.asked_at + self.life
    }

    fn is_old(&self, now: Instant) -> bool {
        let margin = MARGIN.min(self.life / 5);
        now + margin >= self.asked_at + self.life
    }
}

/// Keeps the present token.
#[derive(Debug, Clone)]
pub(super) struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    kept: Mutex<Kept>,
    /// Held while a token is fetched, so that only one task fetches at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    token: Option<Token>,
    failed: Option<(Instant, ApiFailure)>,
}

#[derive(Debug)]
enum Source {
    ServiceAccount(ServiceAccount),
    Federation(Exchange),
}

impl Tokens {
    pub(super) fn new(identity: &Identity, client: reqwest::Client) -> Self {
        let source = match identity {
            Identity::ServiceAccount(key) => Source::ServiceAccount(ServiceAccount::new(key)),
            Identity::Federation(federation) => {
                Source::Federation(Exchange::new(federation.clone(), client))
            }
        };
        Self(Arc::new(Inner {
            source,
            kept: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }))
    }

    /// A valid token. The caller waits only if there is none; an old token is renewed in the
    /// background.
    pub(super) async fn get(&self) -> Result<Secret, ApiFailure> {
        let now = Instant::now();
        let token = self.0.kept().token.clone().filter(|token| !token.has_ended(now));
        match token {
            Some(token) => {
                if token.is_old(now) && !self.0.failed_just_now(now) {
                    self.renew();
                }
                Ok(token.secret)
            }
            None => self.0.fetch().await,
        }
    }

    /// Notes that the API has refused the token. The token is not used again, unless it is new:
    /// then another one would be refused too.
    pub(super) fn was_refused(&self) {
        let now = Instant::now();
        let mut kept = self.0.kept();
        if kept.token.as_ref().is_some_and(|token| now > token.asked_at + FRESH) {
            kept.token = None;
        }
    }

    fn renew(&self) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            // A failure was logged, and the next request for a token tries again.
            drop(inner.renew().await);
        });
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Only whole values are assigned, so a panic leaves nothing half-changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed_just_now(&self, now: Instant) -> bool {
        self.kept().failed.is_some_and(|(at, _)| now < at + PAUSE)
    }

    /// Waits for a token, which another task may be fetching already.
    async fn fetch(&self) -> Result<Secret, ApiFailure> {
        let _turn = self.fetching.lock().await;
        let now = Instant::now();
        {
            let kept = self.kept();
            if let Some(token) = kept.token.as_ref().filter(|token| !token.has_ended(now)) {
                return Ok(token.secret.clone());
            }
            if let Some((_, failure)) = kept.failed.filter(|(at, _)| now < *at + PAUSE) {
                return Err(failure);
            }
        }
        self.ask().await
    }

    /// Fetches another token, unless another task is doing so.
    async fn renew(&self) -> Result<Secret, ApiFailure> {
        let Ok(_turn) = self.fetching.try_lock() else {
            return Err(ApiFailure::Timeout);
        };
        self.ask().await
    }

    async fn ask(&self) -> Result<Secret, ApiFailure> {
        let asked = async {
            match &self.source {
                Source::ServiceAccount(account) => account.token().await,
                Source::Federation(exchange) => exchange.token().await,
            }
        };
        let late = || NoToken::new(ApiFailure::Timeout, "it did not come in time");
        let result = timeout(TOKEN_TIMEOUT, asked).await.unwrap_or_else(|_| Err(late()));
        let mut kept = self.kept();
        match result {
            Ok(token) => {
                let secret = token.secret.clone();
                *kept = Kept { token: Some(token), failed: None };
                Ok(secret)
            }
            Err(NoToken { failure, reason }) => {
                tracing::warn!(reason, "there is no token for Vertex AI");
                kept.failed = Some((Instant::now(), failure));
                Err(failure)
            }
        }
    }
}

/// Why there is no token. The reason is for the log. It contains no text of a server, a key or a
/// token.
#[derive(Debug)]
struct NoToken {
    failure: ApiFailure,
    reason: String,
}

impl NoToken {
    fn new(failure: ApiFailure, reason: impl Into<String>) -> Self {
        Self { failure, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(life_s: u64) -> Token {
        let life = Duration::from_secs(life_s);
        Token { secret: Secret::new("t"), asked_at: Instant::now(), life }
    }

    #[test]
    fn a_token_is_old_before_it_ends() {
        let (long, short) = (token(3600), token(100));
        let at = |token: &Token, seconds| token.asked_at + Duration::from_secs(seconds);
        assert!(!long.is_old(at(&long, 3299)) && long.is_old(at(&long, 3300)));
        assert!(!long.has_ended(at(&long, 3599)) && long.has_ended(at(&long, 3600)));
        assert!(!short.is_old(at(&short, 79)) && short.is_old(at(&short, 80)));
        assert!(token(0).has_ended(Instant::now()));
    }
}
