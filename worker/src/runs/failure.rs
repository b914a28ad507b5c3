//! How a run can fail: one code each, with what the user is told and whether trying again may help.

use serde::{Serialize, Serializer};

use crate::blocking::BrokeOff;
use crate::models::broker::ApiFailure;
use crate::store::projects::ProjectError;

/// The code of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The CLI reported an error or ended with code 1.
    CliGeneralError,
    /// The run took too long, or the CLI fell silent.
    CliTimeout,
    /// The CLI was killed (137).
    CliKilled,
    /// The run was stopped (143).
    CliTerminated,
    /// The CLI ended with another code, or without a result.
    CliUnknownError,
    /// The CLI could not be started.
    CliSpawnError,
    /// The model API could not be reached, broke off or failed.
    NetworkError,
    /// The model API refused the key.
    AuthError,
    /// The model API asked for fewer requests.
    RateLimit,
    /// The model API did not answer in time.
    ApiTimeout,
    /// The sandbox could not be made.
    SandboxError,
    /// Another run works on the project.
    ProjectBusy,
    /// All places for runs are taken.
    WorkerBusy,
    /// The run took more memory, processes or disk than it may; `message` says which.
    ResourceLimit,
    /// A limit of the run or the project is used up.
    QuotaExceeded,
    /// The CLI left or wrote something that is not accepted.
    OutputRejected,
    /// The project could not be read or written.
    StorageError,
    /// The disk is full.
    StorageFull,
    /// A file has a path that no project can have.
    InvalidPath,
    /// A file has content that cannot be read.
    InvalidContent,
    /// A defect of the worker.
    UnknownError,
}

impl Code {
    /// Every code, for the documentation.
    pub const ALL: [Self; 21] = [
        Self::CliGeneralError,
        Self::CliTimeout,
        Self::CliKilled,
        Self::CliTerminated,
        Self::CliUnknownError,
        Self::CliSpawnError,
        Self::NetworkError,
        Self::AuthError,
        Self::RateLimit,
        Self::ApiTimeout,
        Self::SandboxError,
        Self::ProjectBusy,
        Self::WorkerBusy,
        Self::ResourceLimit,
        Self::QuotaExceeded,
        Self::OutputRejected,
        Self::StorageError,
        Self::StorageFull,
        Self::InvalidPath,
        Self::InvalidContent,
        Self::UnknownError,
    ];

    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CliGeneralError => "CLI_GENERAL_ERROR",
            Self::CliTimeout => "CLI_TIMEOUT",
            Self::CliKilled => "CLI_KILLED",
            Self::CliTerminated => "CLI_TERMINATED",
            Self::CliUnknownError => "CLI_UNKNOWN_ERROR",
            Self::CliSpawnError => "CLI_SPAWN_ERROR",
            Self::NetworkError => "NETWORK_ERROR",
            Self::AuthError => "AUTH_ERROR",
            Self::RateLimit => "RATE_LIMIT",
            Self::ApiTimeout => "API_TIMEOUT",
            Self::SandboxError => "SANDBOX_ERROR",
            Self::ProjectBusy => "PROJECT_BUSY",
            Self::WorkerBusy => "WORKER_BUSY",
            Self::ResourceLimit => "RESOURCE_LIMIT",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::OutputRejected => "OUTPUT_REJECTED",
            Self::StorageError => "STORAGE_ERROR",
            Self::StorageFull => "STORAGE_FULL",
            Self::InvalidPath => "INVALID_PATH",
            Self::InvalidContent => "INVALID_CONTENT",
            Self::UnknownError => "UNKNOWN_ERROR",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_recoverable(self) -> bool {
        matches!(
            self,
            Self::CliTimeout
                | Self::CliKilled
                | Self::CliTerminated
                | Self::NetworkError
                | Self::RateLimit
                | Self::ApiTimeout
                | Self::ProjectBusy
                | Self::WorkerBusy
                | Self::StorageError
        )
    }

    /// What the user reads.
    fn user_message(self) -> &'static str {
        match self {
            Self::CliGeneralError => {
                "ゲームの生成中に問題が発生しました。内容を少し変えて、もう一度お試しください。"
            }
            Self::CliTimeout => {
                "時間内に完了しませんでした。もう一度お試しいただくか、内容を小さく分けてお試しください。"
            }
            Self::CliKilled => "処理が途中で停止しました。もう一度お試しください。",
            Self::CliTerminated => "処理が中断されました。もう一度お試しください。",
            Self::CliUnknownError | Self::UnknownError => {
                "予期しない問題が発生しました。しばらくしてからもう一度お試しください。"
            }
            Self::CliSpawnError => {
                "AIを起動できませんでした。しばらくしてからもう一度お試しください。"
            }
            Self::NetworkError => {
                "AIサービスに接続できませんでした。しばらくしてからもう一度お試しください。"
            }
            Self::AuthError => "AIサービスの認証に失敗しました。運営にお問い合わせください。",
            Self::RateLimit => {
                "AIサービスが混み合っています。少し時間をおいてからもう一度お試しください。"
            }
            Self::ApiTimeout => "AIサービスからの応答がありませんでした。もう一度お試しください。",
            Self::SandboxError => {
                "安全な実行環境を用意できませんでした。しばらくしてからもう一度お試しください。"
            }
            Self::ProjectBusy => {
                "このプロジェクトでは別の処理が進行中です。完了してからもう一度お試しください。"
            }
            Self::WorkerBusy => {
                "ただいま混み合っています。少し時間をおいてからもう一度お試しください。"
            }
            Self::ResourceLimit => {
                "メモリやディスクなどの使用量が上限を超えたため、処理を停止しました。内容を小さく分けて、もう一度お試しください。"
            }
            Self::QuotaExceeded => "利用できる上限に達したため、処理を終了しました。",
            Self::OutputRejected => {
                "保存できないファイルや出力が含まれていたため、変更を保存しませんでした。"
            }
            Self::StorageError => {
                "プロジェクトの読み書き中に問題が発生しました。変更は保存されていません。"
            }
            Self::StorageFull => "保存先の空き容量が足りません。変更は保存されていません。",
            Self::InvalidPath => {
                "使用できないファイル名が含まれていたため、変更を保存しませんでした。"
            }
            Self::InvalidContent => {
                "読み取れないファイルが含まれていたため、変更を保存しませんでした。"
            }
        }
    }

    /// The code for an exit code of the CLI other than 0.
    pub fn of_exit(exit_code: i32) -> Self {
        match exit_code {
            1 => Self::CliGeneralError,
            124 => Self::CliTimeout,
            137 => Self::CliKilled,
            143 => Self::CliTerminated,
            _ => Self::CliUnknownError,
        }
    }

    /// The code for a failure of the model API.
    pub fn of_api(failure: ApiFailure) -> Self {
        match failure {
            ApiFailure::Network => Self::NetworkError,
            ApiFailure::Auth => Self::AuthError,
            ApiFailure::RateLimit => Self::RateLimit,
            ApiFailure::Timeout => Self::ApiTimeout,
            ApiFailure::Refused => Self::CliGeneralError,
            ApiFailure::Budget => Self::QuotaExceeded,
        }
    }

    /// The exit code that stands for this code where the CLI gave none.
    fn exit_code(self) -> Option<i32> {
        match self {
            Self::CliTimeout => Some(124),
            Self::CliKilled => Some(137),
            Self::CliTerminated => Some(143),
            _ => None,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A failed run, as the relay is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Which kind.
    pub code: Code,
    /// For the operator; never a prompt, a file's content, a key or a path of the machine.
    pub message: String,
    /// For the user, in Japanese.
    pub user_message: &'static str,
    /// Whether the same request may succeed later.
    pub recoverable: bool,
    /// The CLI's exit code, or the one that stands for the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The version that holds what the run had done; it can be restored like any other.
    #[serde(rename = "partial_version", skip_serializing_if = "Option::is_none")]
    pub partial_version: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            user_message: code.user_message(),
            recoverable: code.is_recoverable(),
            exit_code: code.exit_code(),
            partial_version: None,
        }
    }

    /// The same, with the CLI's own exit code.
    #[must_use]
    pub fn with_exit_code(mut self, exit_code: i32) -> Self {
        self.exit_code = Some(exit_code);
        self
    }

    /// The run was stopped from outside.
    pub fn stopped() -> Self {
        Self::new(Code::CliTerminated, "the run was stopped")
    }
}

impl From<BrokeOff> for Failure {
    fn from(_: BrokeOff) -> Self {
        Self::new(Code::UnknownError, "the worker made a mistake")
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Full => Self::new(Code::StorageFull, "no space left"),
            ProjectError::Unusable(reason) => Self::new(Code::StorageError, reason),
            ProjectError::NotFound => Self::new(Code::StorageError, "a file disappeared"),
            ProjectError::Exists | ProjectError::Ambiguous => {
                Self::new(Code::StorageError, error.to_string())
            }
            ProjectError::Busy => Self::new(Code::ProjectBusy, error.to_string()),
            ProjectError::Quota(reason) => Self::new(Code::QuotaExceeded, reason),
            ProjectError::Io(error) => Self::new(Code::StorageError, error.kind().to_string()),
            ProjectError::Git(error) => {
                tracing::error!(%error, "git failed");
                // libgit2 reports a full disk as an ordinary error with the system's text.
                if error.message().contains("No space left") {
                    return Self::new(Code::StorageFull, "no space left");
                }
                Self::new(Code::StorageError, "the project's history could not be read or written")
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        ProjectError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_and_a_japanese_message() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.user_message().ends_with('。'), "{code:?}");
        }
    }

    #[test]
    fn the_contract_says_which_can_be_tried_again() {
        for (code, recoverable) in [
            (Code::CliGeneralError, false),
            (Code::CliTimeout, true),
            (Code::CliKilled, true),
            (Code::CliTerminated, true),
            (Code::CliUnknownError, false),
            (Code::CliSpawnError, false),
            (Code::NetworkError, true),
            (Code::AuthError, false),
            (Code::RateLimit, true),
            (Code::ApiTimeout, true),
            (Code::SandboxError, false),
            (Code::UnknownError, false),
        ] {
            assert_eq!(code.is_recoverable(), recoverable, "{code:?}");
        }
    }

    #[test]
    fn exit_codes_have_their_own_codes() {
        for (exit, code) in [
            (1, Code::CliGeneralError),
            (124, Code::CliTimeout),
            (137, Code::CliKilled),
            (143, Code::CliTerminated),
            (2, Code::CliUnknownError),
            (139, Code::CliUnknownError),
        ] {
            assert_eq!(Code::of_exit(exit), code);
        }
    }
}
