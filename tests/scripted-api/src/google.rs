//! What stands before Vertex AI: a token server, and the check of what clients show.
//!
//! Signatures are real: an identity token is checked with the public key of its issuer, and a service
//! account's assertion with that of the account. The keys are made when they are first needed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::HeaderMap;
use rsa::{
    Generate as _, PrivateKey,
    pkcs1v15::{Signature, SigningKey, VerifyingKey},
    pkcs8::{EncodePrivateKey as _, LineEnding},
    sha2::Sha256,
    signature::{Keypair as _, SignatureEncoding as _, Signer as _, Verifier as _},
};
use serde_json::{Value, json};

use crate::{
    Fault,
    plan::{Answer, Plan, Wait},
    wire,
};

/// What the paths of projects begin with.
pub(crate) const PROJECTS: &str = "/v1/projects/";
/// Stands in the place of a model where tokens are counted.
pub(crate) const COUNTER: &str = "count-tokens";

const EXCHANGE: &str = "/sts/v1/token";
const ACCOUNT: &str = "worker@scripted.iam.gserviceaccount.com";
const IMPERSONATE: &str =
    "/v1/projects/-/serviceAccounts/worker@scripted.iam.gserviceaccount.com:generateAccessToken";
const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/scripted";
const ISSUER: &str = "https://oidc.scripted.invalid";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How far clocks may be apart, in seconds.
const SKEW_S: i64 = 60;

static OF_ACCOUNT: LazyLock<PrivateKey> = LazyLock::new(PrivateKey::generate);
static OF_ISSUER: LazyLock<PrivateKey> = LazyLock::new(PrivateKey::generate);

/// The token server of one scripted API.
#[derive(Debug)]
pub struct Google(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tokens that were given out: whether they let in to Vertex, and until when.
    tokens: HashMap<String, (Use, Instant)>,
    faults: VecDeque<Fault>,
    exchanges: usize,
    life: Duration,
    clock_s: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Impersonate,
    Vertex,
}

impl Default for Google {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            tokens: HashMap::new(),
            faults: VecDeque::new(),
            exchanges: 0,
            life: Duration::from_hours(1),
            clock_s: 0,
        }))
    }
}

impl Google {
    /// The key of the service account, as Google hands it out.
    ///
    /// # Panics
    ///
    /// If a key that was just made cannot be written.
    pub fn service_account(&self) -> String {
        let key = OF_ACCOUNT.to_pkcs8_pem(LineEnding::LF).expect("a key that was made");
        json!({
            "type": "service_account", "project_id": "scripted", "private_key_id": "k1",
            "private_key": key.as_str(), "client_email": ACCOUNT,
        })
        .to_string()
    }

    /// An identity token that is good for that long; a negative time is over.
    pub fn identity_token(&self, seconds: i64) -> String {
        let now = unix_s();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "container-1", "iat": now - 1, "exp": now + seconds,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims));
        let signature = SigningKey::<Sha256>::new(OF_ISSUER.clone()).sign(text.as_bytes());
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The next exchanges meet these faults, one each. Those within a body count as a status.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner().faults.extend(faults);
    }

    /// Tokens that are given out from now on are good for that long.
    pub fn set_life(&self, life: Duration) {
        self.inner().life = life;
    }

    /// Sets the clock here that many seconds before the machine's.
    pub fn set_clock(&self, seconds: i64) {
        self.inner().clock_s = seconds;
    }

    /// Forgets every token that was given out, so that none lets in any more.
    pub fn revoke(&self) {
        self.inner().tokens.clear();
    }

    /// How many requests the token server had.
    pub fn exchanges(&self) -> usize {
        self.inner().exchanges
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request to the token server.
    pub(crate) fn token(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Plan {
        let mut inner = self.inner();
        inner.exchanges += 1;
        match inner.faults.pop_front() {
            None => {}
            Some(Fault::CloseBeforeHeaders) => return Plan::Close,
            Some(Fault::HangBeforeHeaders { ms }) => {
                let mut answer = error(503, "UNAVAILABLE", "late");
                answer.hang = Some(Wait::new(ms));
                return Plan::Answer(answer);
            }
            Some(Fault::Garbage { body, content_type }) => {
                return Plan::Answer(Answer::whole(200, &content_type, body.into()));
            }
            Some(Fault::Status { status, message, .. }) => {
                return Plan::Answer(error(status, "SCRIPTED", &message));
            }
            Some(_) => return Plan::Answer(error(500, "INTERNAL", "scripted")),
        }
        let answer =
            if path == EXCHANGE { inner.exchange(body) } else { inner.impersonate(headers) };
        Plan::Answer(answer.unwrap_or_else(|why| error(400, "INVALID_ARGUMENT", why)))
    }

    /// Whether the bearer of a request is let in to Vertex AI.
    pub(crate) fn lets_in(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let inner = self.inner();
        let token = bearer(headers).unwrap_or_default();
        let is_known = inner.is_good(token, Use::Vertex);
        if is_known || inner.is_assertion(token) {
            return Ok(());
        }
        // Google repeats nothing of a token; something in between might.
        let message = format!("Request had invalid authentication credentials: {token}");
        Err(error(401, "UNAUTHENTICATED", &message))
    }
}

impl Inner {
    fn now_s(&self) -> i64 {
        unix_s() + self.clock_s
    }

    fn give(&mut self, what: Use) -> String {
        let number = self.tokens.len();
        let token = format!("ya29.scripted-{what:?}-{number}-{}", unix_s());
        self.tokens.insert(token.clone(), (what, Instant::now() + self.life));
        token
    }

    fn is_good(&self, token: &str, what: Use) -> bool {
        let now = Instant::now();
        self.tokens.get(token).is_some_and(|(of, until)| *of == what && now < *until)
    }

    fn is_assertion(&self, token: &str) -> bool {
        let Some(claims) = signed_by(token, &OF_ACCOUNT) else {
            return false;
        };
        let (now, time) = (self.now_s(), |name: &str| claims[name].as_i64().unwrap_or_default());
        claims["iss"] == ACCOUNT
            && claims["scope"].as_str().is_some_and(|scope| scope.contains(SCOPE))
            && time("iat") <= now + SKEW_S
            && now - SKEW_S < time("exp")
    }

    fn exchange(&mut self, body: &[u8]) -> Result<Answer, &'static str> {
        let field = |name: &str| form_field(body, name).unwrap_or_default();
        if field("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
            return Err("unsupported_grant_type");
        }
        if field("audience") != AUDIENCE || field("scope") != SCOPE {
            return Err("invalid_target");
        }
        let claims = signed_by(&field("subject_token"), &OF_ISSUER).ok_or("invalid_grant")?;
        let ends = claims["exp"].as_i64().unwrap_or_default();
        if claims["iss"] != ISSUER || claims["aud"] != AUDIENCE || ends < self.now_s() - SKEW_S {
            return Err("invalid_grant");
        }
        let answer = json!({
            "access_token": self.give(Use::Vertex),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": self.life.as_secs(),
        });
        // The same token may ask for one of the account.
        let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        self.tokens
            .insert(format!("for-account:{token}"), (Use::Impersonate, Instant::now() + self.life));
        Ok(Answer::whole(200, wire::JSON, wire::to_json(&answer)))
    }

    fn impersonate(&mut self, headers: &HeaderMap) -> Result<Answer, &'static str> {
        let token = bearer(headers).unwrap_or_default();
        if !self.is_good(&format!("for-account:{token}"), Use::Impersonate) {
            return Err("permission denied");
        }
        let answer = json!({
            "accessToken": self.give(Use::Vertex), "expireTime": "2099-01-01T00:00:00Z",
        });
        Ok(Answer::whole(200, wire::JSON, wire::to_json(&answer)))
    }
}

/// The configuration of an external account, as gcloud writes it.
pub(crate) fn federation(base_url: &str, impersonates: bool) -> String {
    let mut config = json!({
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{base_url}{EXCHANGE}"),
        "credential_source": { "file": "/nowhere" },
    });
    if impersonates {
        config["service_account_impersonation_url"] = json!(format!("{base_url}{IMPERSONATE}"));
    }
    config.to_string()
}

pub(crate) fn is_token_server(path: &str) -> bool {
    path == EXCHANGE || path == IMPERSONATE
}

/// Model and method of a path.
pub(crate) fn called(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PROJECTS)?;
    let (_, model) = rest.split_once("/publishers/anthropic/models/")?;
    model.split_once(':').filter(|(_, method)| ["rawPredict", "streamRawPredict"].contains(method))
}

/// What Vertex refuses of a body that the Anthropic API would take, and the other way round.
pub(crate) fn check(body: &Value, model: &str, method: &str) -> Result<(), String> {
    if body.get("anthropic_version") != Some(&json!("vertex-2023-10-16")) {
        return Err("anthropic_version: Field required".to_owned());
    }
    if body.get("model").is_some() != (model == COUNTER) {
        return Err("model: Extra inputs are not permitted".to_owned());
    }
    if body.get("context_management").is_some() {
        return Err("context_management: Extra inputs are not permitted".to_owned());
    }
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    if tools.into_iter().any(|tool| tool.get("defer_loading").is_some()) {
        return Err("tools.0.custom.defer_loading: Extra inputs are not permitted".to_owned());
    }
    let streams = body.get("stream") == Some(&json!(true));
    if streams != (method == "streamRawPredict") {
        return Err("stream: does not fit the method".to_owned());
    }
    Ok(())
}

/// An error in Google's form.
pub(crate) fn error(code: u16, status: &str, message: &str) -> Answer {
    let error = json!({"error": {"code": code, "message": message, "status": status}});
    Answer::whole(code, wire::JSON, wire::to_json(&error))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The claims of a token, if this key signed it.
fn signed_by(token: &str, key: &PrivateKey) -> Option<Value> {
    let (text, signature) = token.rsplit_once('.')?;
    let (header, claims) = text.split_once('.')?;
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    if read(header)?["alg"] != "RS256" {
        return None;
    }
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signature = Signature::try_from(signature.as_slice()).ok()?;
    let public: VerifyingKey<Sha256> = SigningKey::<Sha256>::new(key.clone()).verifying_key();
    public.verify(text.as_bytes(), &signature).ok()?;
    read(claims)
}

/// A field of a form in a body.
fn form_field(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, value) =
        text.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    let value = value.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&value).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_issuer_signed_is_believed() {
        let google = Google::default();
        let token = google.identity_token(60);
        assert_eq!(signed_by(&token, &OF_ISSUER).unwrap()["iss"], ISSUER);
        assert_eq!(signed_by(&token, &OF_ACCOUNT), None);
        let (head, signature) = token.rsplit_once('.').unwrap();
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": i64::MAX}).to_string();
        let header = head.split_once('.').unwrap().0;
        let forged = format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(signed_by(&forged, &OF_ISSUER), None);
        for broken in ["", "..", "a.b.c", head] {
            assert_eq!(signed_by(broken, &OF_ISSUER), None);
        }
    }

    #[test]
    fn a_body_of_the_other_form_is_refused() {
        let good = json!({"anthropic_version": "vertex-2023-10-16", "stream": true});
        assert_eq!(check(&good, "claude-x", "streamRawPredict"), Ok(()));
        for (name, value) in [
            ("model", json!("claude-x")),
            ("anthropic_version", json!("2023-06-01")),
            ("context_management", json!({})),
            ("tools", json!([{"name": "a", "defer_loading": true}])),
            ("stream", json!(false)),
        ] {
            let mut body = good.clone();
            body[name] = value;
            assert!(check(&body, "claude-x", "streamRawPredict").is_err(), "{name}");
        }
    }
}
