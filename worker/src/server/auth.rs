//! Authentication of requests by the shared secret.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::error::ApiError;
use super::settings::Secrets;

pub(super) const HEADER: &str = "x-modal-secret";

/// The digests of the accepted secrets. Digests are compared, because all have the same length, so
/// the time of a comparison does not depend on the length of what a client sent.
#[derive(Debug, Clone)]
pub(super) struct Accepted(Arc<Vec<[u8; 32]>>);

impl Accepted {
    pub(super) fn new(secrets: &Secrets) -> Self {
        let all = std::iter::once(&secrets.current).chain(&secrets.previous);
        Self(Arc::new(all.map(|secret| digest(secret.expose().as_bytes())).collect()))
    }

    /// Whether a candidate is accepted. It is compared with every secret, also after one has
    /// matched, so that the time does not show which one it was.
    fn contains(&self, candidate: &[u8]) -> bool {
        let candidate = digest(candidate);
        let found = self.0.iter().fold(Choice::from(0), |found, accepted| {
            found | accepted.as_slice().ct_eq(candidate.as_slice())
        });
        found.into()
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Passes a request on if it carries an accepted secret. A missing secret is treated like a wrong
/// one: it is compared as an empty text, which no secret is.
pub(super) async fn require_secret(
    State(accepted): State<Accepted>,
    request: Request,
    next: Next,
) -> Response {
    let mut sent = request.headers().get_all(HEADER).iter();
    let candidate = sent.next().map_or(&b""[..], |value| value.as_bytes());
    let right = accepted.contains(candidate);
    if right && sent.next().is_none() {
        next.run(request).await
    } else {
        ApiError::unauthorized().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    #[test]
    fn accepts_both_secrets_and_nothing_near_them() {
        let accepted = Accepted::new(&Secrets {
            current: Secret::new("a".repeat(32)),
            previous: Some(Secret::new("b".repeat(32))),
        });
        assert!(accepted.contains("a".repeat(32).as_bytes()));
        assert!(accepted.contains("b".repeat(32).as_bytes()));
        for wrong in ["", "a", &"a".repeat(31), &"a".repeat(33), &"A".repeat(32)] {
            assert!(!accepted.contains(wrong.as_bytes()), "{wrong}");
        }
    }
}
