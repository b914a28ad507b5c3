//! TRUST BOUNDARY 2: text becomes a type.
//!
//! Everything that a client sends passes through one of these types before any other module sees
//! it. Each has a private field, one way in ([`std::str::FromStr`], and `Deserialize` through it)
//! and no I/O, so a value that exists is a value that was checked.

mod file_name;
mod id;
mod project_path;
mod prompt;
mod secret;
mod skill_name;
mod user_words;
mod version_id;
mod version_message;

pub use file_name::{FileName, FileNameError};
pub use id::{AssetId, IdError, ProjectId, RunId, UserId};
pub use project_path::{
    MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, PathError, ProjectPath, RequestPath,
    STYLE_STATE_FILE,
};
pub use prompt::{MAX_PROMPT_BYTES, Prompt, PromptError};
pub use secret::Secret;
pub use skill_name::{MAX_SKILL_NAME_BYTES, SkillName, SkillNameError};
pub use user_words::user_words;
pub use version_id::{VersionId, VersionIdError};
pub use version_message::{MAX_VERSION_MESSAGE_BYTES, VersionMessage, VersionMessageError};

/// Implements `Deserialize` through `FromStr`, so that JSON cannot bypass the check.
macro_rules! deserialize_through_from_str {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use deserialize_through_from_str;

/// Describes a type that is a text in JSON: the same rules as `FromStr`, as far as a schema can say
/// them.
macro_rules! text_schema {
    ($type:ident, $schema:tt) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
use text_schema;
