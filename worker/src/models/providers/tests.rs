//! Tests of the choice of a provider, and of the reports about it.

use std::collections::BTreeMap;

use super::*;
use crate::models::settings::{Anthropic, Gemini, Lending, Vertex};

fn providers(first: ProviderKind, key: Option<&str>, project: Option<&str>) -> Providers {
    drop(rustls::crypto::ring::default_provider().install_default());
    let settings = Settings {
        anthropic: Anthropic {
            api_key: key.map(Secret::new),
            base_url: Secret::new("https://host/a/0123456789abcdef"),
        },
        vertex: project.map(|project| Vertex {
            project: project.to_owned(),
            location: "global".to_owned(),
            base_url: None,
            models: BTreeMap::new(),
            identity: Identity::ServiceAccount(Secret::new("{}")),
        }),
        first,
        lending: Lending {
            first_byte_timeout: std::time::Duration::ZERO,
            stall_timeout: std::time::Duration::ZERO,
            give_up: std::time::Duration::ZERO,
            max_requests: 1,
            max_tokens: 1,
            allowed_models: Vec::new(),
            allowed_betas: Vec::new(),
        },
        gemini: Gemini { api_key: None, base_url: String::new() },
    };
    Providers::new(&settings, &reqwest::Client::new())
}

fn both() -> Providers {
    providers(ProviderKind::Anthropic, Some("sk-ant-1"), Some("the-payer"))
}

fn chosen(providers: &Providers, tried: &[ProviderKind]) -> Option<ProviderKind> {
    providers.choose(tried).map(|attempt| attempt.kind())
}

#[test]
fn the_preferred_one_is_asked_first_and_the_other_one_then() {
    let (anthropic, vertex) = (ProviderKind::Anthropic, ProviderKind::Vertex);
    assert_eq!(chosen(&both(), &[]), Some(anthropic));
    assert_eq!(chosen(&both(), &[anthropic]), Some(vertex));
    assert_eq!(chosen(&both(), &[anthropic, vertex]), None);
    let other = providers(vertex, Some("k"), Some("p"));
    assert_eq!(chosen(&other, &[]), Some(vertex));
    assert_eq!(chosen(&providers(vertex, Some("k"), None), &[]), Some(anthropic));
    assert_eq!(chosen(&providers(vertex, None, None), &[]), None);
}

#[test]
fn one_that_only_fails_is_left_out_until_it_answers_a_probe() {
    let providers = both();
    for _ in 0..3 {
        let attempt = providers.choose(&[]).unwrap();
        assert_eq!(attempt.kind(), ProviderKind::Anthropic);
        attempt.failed(ApiFailure::RateLimit);
    }
    assert_eq!(chosen(&providers, &[]), Some(ProviderKind::Vertex));
    // If both fail, one of them is asked all the same, and none is asked twice for one request.
    for _ in 0..3 {
        providers.only(ProviderKind::Vertex).unwrap().failed(ApiFailure::Network);
    }
    assert_eq!(chosen(&providers, &[]), Some(ProviderKind::Anthropic));
    assert_eq!(chosen(&providers, &[ProviderKind::Anthropic]), None);
}

#[test]
fn a_request_that_is_refused_says_nothing_about_the_provider() {
    let providers = both();
    for failure in [ApiFailure::Refused, ApiFailure::Budget] {
        for _ in 0..9 {
            providers.choose(&[]).unwrap().failed(failure);
        }
    }
    assert_eq!(chosen(&providers, &[]), Some(ProviderKind::Anthropic));
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_secret() {
    let providers = both();
    let call = Call::Message { stream: true };
    let target = providers.choose(&[]).unwrap().target("claude-x", call).await.unwrap();
    assert_eq!(target.url.expose(), "https://host/a/0123456789abcdef/v1/messages");
    let shown = format!("{providers:?} {target:?}");
    for secret in ["0123456789abcdef", "sk-ant-1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let text = b"/a/0123456789abcdef sk-ant-1 projects/the-payer";
    assert_eq!(providers.redactor().clean(text), b"[removed] [removed] projects/[removed]");
}

#[tokio::test]
async fn a_key_that_signs_nothing_lets_nobody_in() {
    let attempt = both().only(ProviderKind::Vertex).unwrap();
    let call = Call::Message { stream: false };
    assert_eq!(attempt.target("claude-x", call).await.unwrap_err(), ApiFailure::Auth);
}
