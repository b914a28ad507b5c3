//! The failure of a run: its code, the texts for operator and user, and the partial version.

use serde::Serialize;

use crate::api::ErrorCode;
use crate::blocking::BrokeOff;
use crate::models::ApiFailure;
use crate::sandbox::launch::LaunchError;
use crate::store::projects::ProjectError;
use crate::store::volume::NotCommitted;

/// The code for an exit code of the CLI that is not 0.
pub(super) fn code_of_exit(exit_code: i32) -> ErrorCode {
    match exit_code {
        1 => ErrorCode::CliGeneralError,
        124 => ErrorCode::CliTimeout,
        137 => ErrorCode::CliKilled,
        143 => ErrorCode::CliTerminated,
        _ => ErrorCode::CliUnknownError,
    }
}

/// The code for a failure of the model API.
pub(super) fn code_of_api(failure: ApiFailure) -> ErrorCode {
    match failure {
        ApiFailure::Network => ErrorCode::NetworkError,
        ApiFailure::Auth => ErrorCode::AuthError,
        ApiFailure::RateLimit => ErrorCode::RateLimit,
        ApiFailure::Timeout => ErrorCode::ApiTimeout,
        ApiFailure::Refused => ErrorCode::CliGeneralError,
        ApiFailure::Budget => ErrorCode::QuotaExceeded,
    }
}

/// The exit code that stands for a failure in which the CLI gave none.
fn exit_code_of(code: ErrorCode) -> Option<i32> {
    match code {
        ErrorCode::CliTimeout => Some(124),
        ErrorCode::CliKilled => Some(137),
        ErrorCode::CliTerminated => Some(143),
        _ => None,
    }
}

/// The failure of a run, as the last event of its stream reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The code of the failure.
    pub code: ErrorCode,
    /// The text for the operator. It contains no prompt, content of a file, key, or path of the
    /// machine.
    pub message: String,
    /// The text for the user, in Japanese.
    pub user_message: &'static str,
    /// Whether the same request may succeed later.
    pub recoverable: bool,
    /// The CLI's exit code, or one that stands for the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The version with the unfinished work of the run. It can be restored like any other.
    #[serde(rename = "partial_version", skip_serializing_if = "Option::is_none")]
    pub partial_version: Option<String>,
}

impl Failure {
    /// Makes a failure.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            user_message: code.user_message(),
            recoverable: code.is_recoverable(),
            exit_code: exit_code_of(code),
            partial_version: None,
        }
    }

    /// The same failure with the CLI's own exit code.
    #[must_use]
    pub fn with_exit_code(mut self, exit_code: i32) -> Self {
        self.exit_code = Some(exit_code);
        self
    }

    /// The failure of a run that was cancelled.
    pub fn stopped() -> Self {
        Self::new(ErrorCode::CliTerminated, "the run was stopped")
    }
}

impl From<BrokeOff> for Failure {
    fn from(_: BrokeOff) -> Self {
        Self::new(ErrorCode::UnknownError, "the worker made a mistake")
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Full => Self::new(ErrorCode::StorageFull, "no space left"),
            ProjectError::Unusable(reason) => Self::new(ErrorCode::StorageError, reason),
            ProjectError::NotFound => Self::new(ErrorCode::StorageError, "a file disappeared"),
            ProjectError::Exists
            | ProjectError::Ambiguous
            | ProjectError::Foreign(_)
            | ProjectError::Late
            | ProjectError::Arriving => Self::new(ErrorCode::StorageError, error.to_string()),
            ProjectError::Busy => Self::new(ErrorCode::ProjectBusy, error.to_string()),
            ProjectError::Quota(reason) => Self::new(ErrorCode::QuotaExceeded, reason),
            ProjectError::Io(error) => Self::new(ErrorCode::StorageError, error.kind().to_string()),
            ProjectError::Git(error) => {
                tracing::error!(%error, "git failed");
                let message = "the project's history could not be read or written";
                Self::new(ErrorCode::StorageError, message)
            }
        }
    }
}

impl From<NotCommitted> for Failure {
    fn from(error: NotCommitted) -> Self {
        Self::new(ErrorCode::StorageNotCommitted, error.to_string())
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let code = if error.is_program() {
            ErrorCode::CliSpawnError
        } else if error.is_for_want_of_space() {
            ErrorCode::StorageFull
        } else {
            ErrorCode::SandboxError
        };
        tracing::error!(%error, "the CLI was not started");
        Self::new(code, error.summary())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        ProjectError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use dreamcore_wire::control::{Failure as Refused, Step};
    use dreamcore_wire::plan::Mechanism;

    use super::*;

    #[test]
    fn a_sandbox_for_which_there_is_no_space_is_a_full_disk() {
        for (errno, code) in [
            (libc::ENOSPC, ErrorCode::StorageFull),
            (libc::EDQUOT, ErrorCode::StorageFull),
            (libc::EPERM, ErrorCode::SandboxError),
        ] {
            let reason = format!("/root: {}", std::io::Error::from_raw_os_error(errno));
            let step = Step::Mechanism(Mechanism::MinimalRoot);
            let failure = Failure::from(LaunchError::Failed(Refused { step, reason }));
            assert_eq!(failure.code, code, "{errno}");
        }
    }

    #[test]
    fn exit_codes_have_their_own_codes() {
        for (exit, code) in [
            (1, ErrorCode::CliGeneralError),
            (124, ErrorCode::CliTimeout),
            (137, ErrorCode::CliKilled),
            (143, ErrorCode::CliTerminated),
            (2, ErrorCode::CliUnknownError),
            (139, ErrorCode::CliUnknownError),
        ] {
            assert_eq!(code_of_exit(exit), code);
        }
    }
}
