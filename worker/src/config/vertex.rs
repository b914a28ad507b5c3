//! The settings of Vertex AI, which depend on one another.

use std::collections::BTreeMap;

use super::reader::{self, Reader};
use super::settings as s;
use crate::models::{Federation, Identity, Subject, Vertex};
use crate::types::Secret;

/// The settings of Vertex AI. `None` if its project is not set.
pub(super) fn settings(r: &mut Reader) -> Option<Vertex> {
    let project = r.optional(&s::VERTEX_PROJECT, name);
    let location = r.required(&s::VERTEX_LOCATION, name);
    let base_url = r.optional(&s::VERTEX_BASE_URL, reader::secret_base_url);
    let models = r.required(&s::VERTEX_MODELS, models);
    let account = r.optional(&s::VERTEX_SERVICE_ACCOUNT, service_account);
    let federation = r.optional(&s::VERTEX_FEDERATION, federation);
    let file = r.optional(&s::IDENTITY_TOKEN_FILE, reader::absolute_path);
    let token = r.optional(&s::IDENTITY_TOKEN, reader::header_secret);
    let identity = match (account, federation) {
        (Some(_), Some(_)) => {
            let problem = "is set beside DREAMCORE_VERTEX_SERVICE_ACCOUNT; one of them is enough";
            r.error(s::VERTEX_FEDERATION.name, problem);
            None
        }
        (Some(account), None) => Some(Identity::ServiceAccount(account)),
        (None, Some(federation)) => {
            let subject = match (file, token) {
                (Some(file), _) => Subject::File(file),
                (None, Some(token)) => Subject::Given(token),
                (None, None) => {
                    let problem = "needs an identity token: DREAMCORE_IDENTITY_TOKEN_FILE or MODAL_IDENTITY_TOKEN";
                    r.error(s::VERTEX_FEDERATION.name, problem);
                    Subject::Missing
                }
            };
            Some(Identity::Federation(Federation { subject, ..federation }))
        }
        (None, None) => None,
    };
    match (project, identity) {
        (Some(project), Some(identity)) => {
            Some(Vertex { project, location, base_url, models, identity })
        }
        (Some(_), None) => {
            // If one of them is malformed, that error has been added already.
            if !r.has_errors_of(&[&s::VERTEX_SERVICE_ACCOUNT, &s::VERTEX_FEDERATION]) {
                let problem =
                    "needs DREAMCORE_VERTEX_SERVICE_ACCOUNT or DREAMCORE_VERTEX_FEDERATION";
                r.error(s::VERTEX_PROJECT.name, problem);
            }
            None
        }
        (None, Some(_)) => {
            let problem = "is required where Vertex AI's credentials are set";
            r.error(s::VERTEX_PROJECT.name, problem);
            None
        }
        (None, None) => None,
    }
}

/// Parses the name of a project or a location, which becomes a part of a URL.
fn name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
    if text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("must have lower-case letters, digits and hyphens only".into())
    }
}

fn models(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pair = |pair: &str| {
        let (name, there) = pair.trim().split_once('=')?;
        Some((reader::model_name(name).ok()?, reader::model_name(there).ok()?))
    };
    text.split(',').map(pair).collect::<Option<_>>().ok_or_else(|| {
        "must be pairs such as claude-haiku-4-5=claude-haiku-4-5@20251001".to_owned()
    })
}

/// Parses the key of a service account. Whether it is valid shows only when it signs.
fn service_account(text: &str) -> Result<Secret, String> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let fields = ["client_email", "private_key_id", "private_key", "project_id"];
    if fields.iter().all(|field| value.get(*field).is_some_and(serde_json::Value::is_string)) {
        Ok(Secret::new(text))
    } else {
        Err("must be the JSON key of a service account, with client_email, private_key_id, \
             private_key and project_id"
            .into())
    }
}

fn federation(text: &str) -> Result<Federation, String> {
    let wrong = || {
        "must be the JSON of an external account, with audience, subject_token_type and token_url"
            .to_owned()
    };
    let federation: Federation = serde_json::from_str(text).map_err(|_| wrong())?;
    let urls = [Some(&federation.token_url), federation.service_account_impersonation_url.as_ref()];
    for url in urls.into_iter().flatten() {
        reader::base_url(url).map_err(|problem| format!("an address in it {problem}"))?;
    }
    Ok(federation)
}
