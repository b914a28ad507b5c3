//! The URLs of Vertex AI, and its names of models.

use std::collections::BTreeMap;

use super::Call;
use crate::models::settings;
use crate::types::Secret;

/// The field in a body that replaces the header `anthropic-version`.
pub(crate) const BODY_VERSION: &str = "vertex-2023-10-16";
/// The name in the place of a model in the URL for counting tokens.
const COUNTER: &str = "count-tokens";

/// Claude on Vertex AI in one Google project.
#[derive(Debug)]
pub(super) struct Vertex {
    /// The URL up to the model's name.
    models_url: Secret,
    names: BTreeMap<String, String>,
}

impl Vertex {
    pub(super) fn new(settings: &settings::Vertex) -> Self {
        let location = &settings.location;
        let base = settings.base_url.as_ref().map_or_else(
            || match location.as_str() {
                "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
                _ => format!("https://{location}-aiplatform.googleapis.com/v1"),
            },
            |url| url.expose().to_owned(),
        );
        let project = &settings.project;
        let models_url =
            format!("{base}/projects/{project}/locations/{location}/publishers/anthropic/models");
        Self { models_url: Secret::new(models_url), names: settings.models.clone() }
    }

    pub(super) fn url(&self, model: &str, call: Call) -> String {
        let (model, method) = match call {
            Call::Message { stream: true } => (self.name_of(model), "streamRawPredict"),
            Call::Message { stream: false } => (self.name_of(model), "rawPredict"),
            Call::CountTokens => (COUNTER.to_owned(), "rawPredict"),
        };
        format!("{}/{model}:{method}", self.models_url.expose())
    }

    /// Vertex AI's name of a model, whichever of its names is given. `@` separates the version.
    pub(super) fn name_of(&self, model: &str) -> String {
        if let Some(name) = self.names.get(model) {
            return name.clone();
        }
        match model.rsplit_once('-') {
            Some((name, date)) if is_date(date) => format!("{name}@{date}"),
            _ => model.to_owned(),
        }
    }
}

/// Anthropic's name of a model, from Vertex AI's name.
pub(crate) fn anthropic_name(model: &str) -> String {
    match model.split_once('@') {
        Some((name, date)) if is_date(date) => format!("{name}-{date}"),
        Some((name, _)) => name.to_owned(),
        None => model.to_owned(),
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::settings::Identity;

    fn vertex(location: &str, base_url: Option<&str>) -> Vertex {
        let pair = ("claude-haiku-4-5", "claude-haiku-4-5@20251001");
        Vertex::new(&settings::Vertex {
            project: "p".to_owned(),
            location: location.to_owned(),
            base_url: base_url.map(Secret::new),
            models: BTreeMap::from([(pair.0.to_owned(), pair.1.to_owned())]),
            identity: Identity::ServiceAccount(Secret::default()),
        })
    }

    #[test]
    fn an_address_names_project_location_model_and_method() {
        let call = Call::Message { stream: true };
        assert_eq!(
            vertex("global", None).url("claude-haiku-4-5", call),
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/\
             claude-haiku-4-5@20251001:streamRawPredict"
        );
        let call = Call::Message { stream: false };
        assert!(vertex("europe-west1", None).url("claude-x", call).starts_with(
            "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1/"
        ));
        assert_eq!(
            vertex("global", Some("http://host/a/v1")).url("claude-x", Call::CountTokens),
            "http://host/a/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict"
        );
    }

    #[test]
    fn a_model_has_a_name_at_each() {
        let vertex = vertex("global", None);
        for (model, there, at_anthropic) in [
            ("claude-haiku-4-5", "claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            (
                "claude-sonnet-4-5@20250929",
                "claude-sonnet-4-5@20250929",
                "claude-sonnet-4-5-20250929",
            ),
            (
                "claude-sonnet-4-5-20250929",
                "claude-sonnet-4-5@20250929",
                "claude-sonnet-4-5-20250929",
            ),
            ("claude-opus-5-5", "claude-opus-5-5", "claude-opus-5-5"),
            ("claude-x@default", "claude-x@default", "claude-x"),
        ] {
            assert_eq!(vertex.name_of(model), there);
            assert_eq!(anthropic_name(model), at_anthropic);
        }
    }
}
