//! The codes of all errors of requests and runs.
//!
//! A row holds everything about one code. The JSON errors, the last event of a stream, the tables
//! in the documents and the tests are made from these rows. No other file contains a code as text.

use serde::{Serialize, Serializer};

/// Declares [`ErrorCode`] and its properties from rows of the form
/// `/// meaning` `Variant = "WIRE_NAME", HTTP status, recoverable or final, "text for the user";`.
macro_rules! error_codes {
    ($($(#[doc = $meaning:literal])+ $code:ident = $name:literal, $status:literal, $again:ident, $user:literal;)+) => {
        /// The code that tells a caller why a request or a run failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ $code,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// The code as answers and events contain it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name),+ }
            }

            /// The status of an answer with this code. In a stream it does not apply, because the
            /// status was sent before the error.
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status),+ }
            }

            /// Whether the same request may succeed later.
            pub const fn is_recoverable(self) -> bool {
                match self { $(Self::$code => error_codes!(@ $again)),+ }
            }

            /// The text for the user, in Japanese.
            pub const fn user_message(self) -> &'static str {
                match self { $(Self::$code => $user),+ }
            }

            /// What the code means, for operators. The documents show it.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$code => concat!($($meaning),+)),+ }.trim()
            }
        }
    };
    (@ recoverable) => { true };
    (@ final) => { false };
}

error_codes! {
    /// The CLI reported an error or ended with code 1.
    CliGeneralError = "CLI_GENERAL_ERROR", 500, final,
        "ゲームの生成中に問題が発生しました。内容を少し変えて、もう一度お試しください。";
    /// The run took too long, or the CLI fell silent.
    CliTimeout = "CLI_TIMEOUT", 504, recoverable,
        "時間内に完了しませんでした。もう一度お試しいただくか、内容を小さく分けてお試しください。";
    /// The CLI was killed by SIGKILL (exit code 137).
    CliKilled = "CLI_KILLED", 500, recoverable,
        "処理が途中で停止しました。もう一度お試しください。";
    /// The run was stopped (exit code 143): its client left, or the worker is about to end.
    CliTerminated = "CLI_TERMINATED", 503, recoverable,
        "処理が中断されました。もう一度お試しください。";
    /// The CLI ended with another exit code, or without a result.
    CliUnknownError = "CLI_UNKNOWN_ERROR", 500, final,
        "予期しない問題が発生しました。しばらくしてからもう一度お試しください。";
    /// The CLI could not be started.
    CliSpawnError = "CLI_SPAWN_ERROR", 500, final,
        "AIを起動できませんでした。しばらくしてからもう一度お試しください。";
    /// The model API could not be reached, closed the connection, or answered with a server error.
    NetworkError = "NETWORK_ERROR", 502, recoverable,
        "AIサービスに接続できませんでした。しばらくしてからもう一度お試しください。";
    /// The model API refused the key.
    AuthError = "AUTH_ERROR", 502, final,
        "AIサービスの認証に失敗しました。運営にお問い合わせください。";
    /// The model API refused a request because there were too many.
    RateLimit = "RATE_LIMIT", 503, recoverable,
        "AIサービスが混み合っています。少し時間をおいてからもう一度お試しください。";
    /// The model API did not answer in time.
    ApiTimeout = "API_TIMEOUT", 504, recoverable,
        "AIサービスからの応答がありませんでした。もう一度お試しください。";
    /// The model refused to answer, or its answer does not have the required form. Only endpoints
    /// that ask a model directly answer with this code.
    ModelAnswer = "MODEL_ANSWER", 502, recoverable,
        "AIから使える答えが返りませんでした。もう一度お試しください。";
    /// The sandbox could not be made, or its self-test failed.
    SandboxError = "SANDBOX_ERROR", 500, final,
        "安全な実行環境を用意できませんでした。しばらくしてからもう一度お試しください。";
    /// The run used more memory, processes or disk than its limits allow; `message` says which.
    ResourceLimit = "RESOURCE_LIMIT", 500, final,
        "メモリやディスクなどの使用量が上限を超えたため、処理を停止しました。内容を小さく分けて、もう一度お試しください。";
    /// The CLI left files that a project cannot hold, or its output exceeded a limit.
    OutputRejected = "OUTPUT_REJECTED", 500, final,
        "保存できないファイルや出力が含まれていたため、変更を保存しませんでした。";
    /// A file in the request has a path that is not allowed.
    InvalidPath = "INVALID_PATH", 400, final,
        "使用できないファイル名が含まれていたため、変更を保存しませんでした。";
    /// A file in the request has content that cannot be decoded.
    InvalidContent = "INVALID_CONTENT", 400, final,
        "読み取れないファイルが含まれていたため、変更を保存しませんでした。";
    /// The worker has a defect; its log says more. Only streams end with this code.
    UnknownError = "UNKNOWN_ERROR", 500, final,
        "予期しない問題が発生しました。しばらくしてからもう一度お試しください。";

    /// Another run of the project is going on, or another save of it takes too long.
    ProjectBusy = "PROJECT_BUSY", 503, recoverable,
        "このプロジェクトでは別の処理が進行中です。完了してからもう一度お試しください。";
    /// All slots for runs are taken, or too many large requests arrive at the same time.
    WorkerBusy = "WORKER_BUSY", 503, recoverable,
        "ただいま混み合っています。少し時間をおいてからもう一度お試しください。";
    /// A limit is exceeded: the run's requests or tokens, the size of a file or of the project, or
    /// the user's assets. `message` or `error` says which.
    QuotaExceeded = "QUOTA_EXCEEDED", 413, final,
        "利用できる上限に達したため、処理を終了しました。";
    /// The project or the asset could not be read or written; the log says more.
    StorageError = "STORAGE_ERROR", 503, recoverable,
        "プロジェクトの読み書き中に問題が発生しました。変更は保存されていません。";
    /// The disk or the volume is full. Nothing was changed.
    StorageFull = "STORAGE_FULL", 507, final,
        "保存先の空き容量が足りません。変更は保存されていません。";
    /// The change is saved, but the volume was not committed, so other containers may not see it yet.
    /// It goes out with the next commit. The same request again makes no second version.
    StorageNotCommitted = "STORAGE_NOT_COMMITTED", 503, recoverable,
        "変更は保存しましたが、反映を確認できませんでした。少し時間をおいてからもう一度お試しください。";

    /// A part of the request is missing or malformed, or a parameter is given twice; `error` says
    /// which.
    InvalidRequest = "INVALID_REQUEST", 400, final,
        "リクエストの内容に誤りがあります。";
    /// The secret is missing or wrong.
    Unauthorized = "UNAUTHORIZED", 401, final,
        "認証に失敗しました。運営にお問い合わせください。";
    /// The endpoint, project, file, version or asset does not exist.
    NotFound = "NOT_FOUND", 404, final,
        "お探しのものが見つかりませんでした。";
    /// The endpoint does not take this method; the header `Allow` names those that it takes.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, final,
        "リクエストの方法に誤りがあります。";
    /// The body did not arrive in time.
    BodyTimeout = "BODY_TIMEOUT", 408, recoverable,
        "データの受信が時間内に終わりませんでした。もう一度お試しください。";
    /// The project that a copy was to make exists already.
    ProjectExists = "PROJECT_EXISTS", 409, final,
        "コピー先のプロジェクトがすでに存在します。";
    /// The file has changed since the version that `If-Match` or `If-Unmodified-Since` names.
    PreconditionFailed = "PRECONDITION_FAILED", 412, final,
        "ファイルはすでに更新されています。";
    /// The body is larger than the endpoint accepts.
    BodyTooLarge = "BODY_TOO_LARGE", 413, final,
        "データが大きすぎます。";
    /// The body is not declared as `application/json`, or the asset is not of an accepted kind.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, final,
        "対応していない形式のデータです。";
    /// No byte of the file is in the range; the header `Content-Range: bytes */SIZE` names its
    /// size.
    RangeNotSatisfiable = "RANGE_NOT_SATISFIABLE", 416, final,
        "指定された範囲のデータはありません。";
    /// The worker has a defect; its log says more.
    InternalError = "INTERNAL_ERROR", 500, final,
        "予期しない問題が発生しました。しばらくしてからもう一度お試しください。";
    /// The worker is about to end and takes no new work. Another worker is starting.
    ShuttingDown = "SHUTTING_DOWN", 503, recoverable,
        "サーバーを再起動しています。少し時間をおいてからもう一度お試しください。";
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl schemars::JsonSchema for ErrorCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ErrorCode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = Self::ALL.iter().map(|code| code.as_str()).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_texts_that_can_be_read() {
        let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let name = code.as_str();
            assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{name}");
            assert!((400..600).contains(&code.status()), "{name}");
            assert!(code.user_message().ends_with('。'), "{name}");
            assert!(code.meaning().ends_with('.'), "{name}: {}", code.meaning());
            // The documents show the meaning in a cell of a table, so it must be one line.
            assert!(!code.meaning().contains("  "), "{name}: {}", code.meaning());
        }
    }

    #[test]
    fn the_relay_knows_which_can_be_tried_again() {
        for (code, recoverable) in [
            (ErrorCode::CliGeneralError, false),
            (ErrorCode::CliTimeout, true),
            (ErrorCode::CliKilled, true),
            (ErrorCode::CliTerminated, true),
            (ErrorCode::CliUnknownError, false),
            (ErrorCode::CliSpawnError, false),
            (ErrorCode::NetworkError, true),
            (ErrorCode::AuthError, false),
            (ErrorCode::RateLimit, true),
            (ErrorCode::ApiTimeout, true),
            (ErrorCode::SandboxError, false),
            (ErrorCode::UnknownError, false),
        ] {
            assert_eq!(code.is_recoverable(), recoverable, "{code:?}");
        }
    }
}
