//! The table of endpoints. The server's routes, `openapi/dreamcore-worker.json` and the tables in
//! the documents are made from it, and the tests send their hostile values to the parameters in it.

use super::endpoint::{Endpoint, Gives, Method, Takes, TypeOf};
use super::{ErrorCode, answer, request};

/// The identity of an endpoint. The server has one handler for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is explained by its row in the table")]
pub enum Id {
    GenerateGame,
    GetFile,
    ListFiles,
    ApplyFiles,
    GetVersions,
    GetVersionDiff,
    RestoreVersion,
    CreateVersionSnapshot,
    CopyProject,
    DetectIntent,
    DetectSkills,
    ChatHaiku,
    ChatSonnet,
    GeneratePublishInfo,
    GetSkillContent,
    PrewarmSandbox,
    UploadAsset,
    GetAsset,
    ListAssets,
    DeleteAsset,
    RestoreAsset,
    VolumeChanged,
    OpenApi,
    HealthLive,
    HealthReady,
    Version,
}

const fn query<T: schemars::JsonSchema>() -> Takes {
    Takes::Query(TypeOf::of::<T>())
}

const fn body<T: schemars::JsonSchema>() -> Takes {
    Takes::Json(TypeOf::of::<T>())
}

const fn json<T: schemars::JsonSchema>() -> Gives {
    Gives::Json(200, TypeOf::of::<T>())
}

use ErrorCode::{
    ApiTimeout, AuthError, ModelAnswer, NetworkError, NotFound, PreconditionFailed, ProjectBusy,
    ProjectExists, QuotaExceeded, RangeNotSatisfiable, RateLimit, ShuttingDown, StorageError,
    StorageFull, StorageNotCommitted, WorkerBusy,
};

/// The codes of endpoints that ask a model directly.
const OF_A_MODEL: &[ErrorCode] =
    &[NetworkError, AuthError, RateLimit, ApiTimeout, ModelAnswer, WorkerBusy];

/// Every endpoint of the worker.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: Id::GenerateGame,
        name: "generate_game",
        method: Method::Post,
        needs_secret: true,
        about: "Lets the assistant work on a project and saves the result as a version.",
        takes: body::<request::GenerateGame>(),
        gives: &[Gives::Events],
        fails: &[],
    },
    Endpoint {
        id: Id::GetFile,
        name: "get_file",
        method: Method::Get,
        needs_secret: true,
        about: "Sends a file of a project, whole or a range.",
        takes: query::<request::GetFile>(),
        gives: &[Gives::File],
        fails: &[NotFound, PreconditionFailed, RangeNotSatisfiable, StorageError],
    },
    Endpoint {
        id: Id::ListFiles,
        name: "list_files",
        method: Method::Get,
        needs_secret: true,
        about: "Lists the files of a project, with sizes, times and hashes if asked for.",
        takes: query::<request::ListFiles>(),
        gives: &[json::<answer::Files>(), Gives::Json(404, TypeOf::of::<answer::NoProject>())],
        fails: &[NotFound, StorageError],
    },
    Endpoint {
        id: Id::ApplyFiles,
        name: "apply_files",
        method: Method::Post,
        needs_secret: true,
        about: "Changes files, all or none, as one version; or does one of the actions on versions.",
        takes: body::<request::ApplyFiles<'static>>(),
        gives: &[
            Gives::Events,
            json::<answer::Versions>(),
            json::<answer::Diff>(),
            json::<answer::Restored>(),
        ],
        fails: &[
            NotFound,
            QuotaExceeded,
            ProjectBusy,
            ShuttingDown,
            StorageError,
            WorkerBusy,
            StorageFull,
            StorageNotCommitted,
        ],
    },
    Endpoint {
        id: Id::GetVersions,
        name: "get_versions",
        method: Method::Get,
        needs_secret: true,
        about: "Lists versions of a project, the newest first.",
        takes: query::<request::GetVersions>(),
        gives: &[json::<answer::Versions>()],
        fails: &[NotFound, QuotaExceeded, ProjectBusy, StorageError, StorageFull],
    },
    Endpoint {
        id: Id::GetVersionDiff,
        name: "get_version_diff",
        method: Method::Get,
        needs_secret: true,
        about: "Shows what a version changed.",
        takes: query::<request::GetVersionDiff>(),
        gives: &[json::<answer::Diff>()],
        fails: &[NotFound, ProjectBusy, StorageError, StorageFull],
    },
    Endpoint {
        id: Id::RestoreVersion,
        name: "restore_version",
        method: Method::Post,
        needs_secret: true,
        about: "Brings the code of a version back, as a version of its own; assets stay as they are.",
        takes: body::<request::RestoreVersion>(),
        gives: &[json::<answer::Restored>()],
        fails: &[
            NotFound,
            QuotaExceeded,
            ProjectBusy,
            StorageError,
            StorageFull,
            StorageNotCommitted,
        ],
    },
    Endpoint {
        id: Id::CreateVersionSnapshot,
        name: "create_version_snapshot",
        method: Method::Post,
        needs_secret: true,
        about: "Makes a version of what another program has changed in a project.",
        takes: body::<request::CreateVersionSnapshot>(),
        gives: &[json::<answer::Snapshot>()],
        fails: &[
            NotFound,
            QuotaExceeded,
            ProjectBusy,
            StorageError,
            StorageFull,
            StorageNotCommitted,
        ],
    },
    Endpoint {
        id: Id::CopyProject,
        name: "copy_project",
        method: Method::Post,
        needs_secret: true,
        about: "Makes a new project from another one.",
        takes: body::<request::CopyProject>(),
        gives: &[json::<answer::Copied>()],
        fails: &[
            NotFound,
            ProjectExists,
            QuotaExceeded,
            ProjectBusy,
            StorageError,
            StorageFull,
            StorageNotCommitted,
        ],
    },
    Endpoint {
        id: Id::DetectIntent,
        name: "detect_intent",
        method: Method::Post,
        needs_secret: true,
        about: "Says what a message wants: an earlier version, an answer in words, or a change.",
        takes: body::<request::DetectIntent>(),
        gives: &[json::<answer::Judged>()],
        fails: &[],
    },
    Endpoint {
        id: Id::DetectSkills,
        name: "detect_skills",
        method: Method::Post,
        needs_secret: true,
        about: "Names the skills that fit a message.",
        takes: body::<request::DetectSkills>(),
        gives: &[json::<answer::Chosen>()],
        fails: &[WorkerBusy],
    },
    Endpoint {
        id: Id::ChatHaiku,
        name: "chat_haiku",
        method: Method::Post,
        needs_secret: true,
        about: "Answers a message in words, quickly.",
        takes: body::<request::AskChat>(),
        gives: &[json::<answer::Reply>()],
        fails: OF_A_MODEL,
    },
    Endpoint {
        id: Id::ChatSonnet,
        name: "chat_sonnet",
        method: Method::Post,
        needs_secret: true,
        about: "Answers a message in words, with more care.",
        takes: body::<request::AskChat>(),
        gives: &[json::<answer::Reply>()],
        fails: OF_A_MODEL,
    },
    Endpoint {
        id: Id::GeneratePublishInfo,
        name: "generate_publish_info",
        method: Method::Post,
        needs_secret: true,
        about: "Writes the introduction with which a game is published.",
        takes: body::<request::GeneratePublishInfo>(),
        gives: &[json::<answer::Introduction>()],
        fails: OF_A_MODEL,
    },
    Endpoint {
        id: Id::GetSkillContent,
        name: "get_skill_content",
        method: Method::Post,
        needs_secret: true,
        about: "Shows the texts of skills.",
        takes: body::<request::GetSkillContent>(),
        gives: &[json::<answer::SkillContents>()],
        fails: &[],
    },
    Endpoint {
        id: Id::PrewarmSandbox,
        name: "prewarm_sandbox",
        method: Method::Post,
        needs_secret: true,
        about: "Says whether a run of this user would start at once.",
        takes: body::<request::PrewarmSandbox>(),
        gives: &[json::<answer::Warmth>()],
        fails: &[],
    },
    Endpoint {
        id: Id::UploadAsset,
        name: "upload_asset",
        method: Method::Post,
        needs_secret: true,
        about: "Keeps a file of a user: an image, a sound or a font.",
        takes: Takes::Upload(TypeOf::of::<request::UploadAsset>()),
        gives: &[json::<answer::Asset>()],
        fails: &[QuotaExceeded, StorageError, StorageFull, StorageNotCommitted],
    },
    Endpoint {
        id: Id::GetAsset,
        name: "get_asset",
        method: Method::Get,
        needs_secret: true,
        about: "Sends an asset, whole or a range.",
        takes: query::<request::OneAsset>(),
        gives: &[Gives::File],
        fails: &[NotFound, PreconditionFailed, RangeNotSatisfiable, StorageError],
    },
    Endpoint {
        id: Id::ListAssets,
        name: "list_assets",
        method: Method::Get,
        needs_secret: true,
        about: "Lists the assets of a user, the newest first.",
        takes: query::<request::ListAssets>(),
        gives: &[json::<answer::Assets>()],
        fails: &[StorageError],
    },
    Endpoint {
        id: Id::DeleteAsset,
        name: "delete_asset",
        method: Method::Post,
        needs_secret: true,
        about: "Deletes an asset; for 30 days it can be restored.",
        takes: body::<request::OneAsset>(),
        gives: &[json::<answer::Success>()],
        fails: &[NotFound, StorageError, StorageFull, StorageNotCommitted],
    },
    Endpoint {
        id: Id::RestoreAsset,
        name: "restore_asset",
        method: Method::Post,
        needs_secret: true,
        about: "Brings a deleted asset back.",
        takes: body::<request::OneAsset>(),
        gives: &[json::<answer::RestoredAsset>()],
        fails: &[NotFound, QuotaExceeded, StorageError, StorageFull, StorageNotCommitted],
    },
    Endpoint {
        id: Id::VolumeChanged,
        name: "volume_changed",
        method: Method::Post,
        needs_secret: true,
        about: "Tells a worker that another one has committed a change of its volume.",
        takes: body::<request::VolumeChanged>(),
        gives: &[json::<answer::Success>()],
        fails: &[],
    },
    Endpoint {
        id: Id::OpenApi,
        name: "openapi.json",
        method: Method::Get,
        needs_secret: true,
        about: "Describes all endpoints in OpenAPI 3.1.",
        takes: Takes::Nothing,
        gives: &[Gives::OpenApi],
        fails: &[],
    },
    Endpoint {
        id: Id::HealthLive,
        name: "health/live",
        method: Method::Get,
        needs_secret: false,
        about: "Answers for as long as the process serves.",
        takes: Takes::Nothing,
        gives: &[json::<answer::Live>()],
        fails: &[],
    },
    Endpoint {
        id: Id::HealthReady,
        name: "health/ready",
        method: Method::Get,
        needs_secret: false,
        about: "Says whether games can be generated, and if not, why.",
        takes: Takes::Nothing,
        gives: &[json::<answer::Ready>(), Gives::Json(503, TypeOf::of::<answer::Ready>())],
        fails: &[],
    },
    Endpoint {
        id: Id::Version,
        name: "version",
        method: Method::Get,
        needs_secret: false,
        about: "Names the program and its version.",
        takes: Takes::Nothing,
        gives: &[json::<answer::Program>()],
        fails: &[],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_endpoint_has_one_row_and_a_name_of_its_own_in_both_spellings() {
        let mut names = BTreeSet::new();
        for endpoint in ENDPOINTS {
            assert!(!endpoint.name.contains('-'), "{}", endpoint.name);
            for name in
                [Some(endpoint.name.to_owned()), endpoint.hyphenated()].into_iter().flatten()
            {
                assert!(names.insert(name), "{}", endpoint.name);
            }
            let rows = ENDPOINTS.iter().filter(|other| other.id == endpoint.id);
            assert_eq!(rows.count(), 1, "{:?}", endpoint.id);
            assert!(endpoint.about.ends_with('.'), "{}", endpoint.name);
        }
    }
}
