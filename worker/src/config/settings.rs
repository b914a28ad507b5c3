//! The table of settings: names, defaults and help. `--help` and `docs/configuration.md` are made
//! from it, and the defaults are parsed like any value, so they cannot disagree.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The name of the environment variable.
    pub name: &'static str,
    /// Whether a value that is given must not be shown. Such a value is read as a
    /// [`Secret`](crate::types::Secret) and then overwritten in the environment.
    pub is_secret: bool,
    /// The default in the form in which an operator would write it. `None` if there is none.
    pub default: Option<&'static str>,
    /// What the setting does, with its unit.
    pub help: &'static str,
}

macro_rules! is_secret {
    () => {
        false
    };
    (secret) => {
        true
    };
}

macro_rules! settings {
    ($($constant:ident = $($secret:ident)? $name:literal, $default:expr, $help:literal;)*) => {
        $(pub(super) const $constant: Setting = Setting {
            name: $name,
            is_secret: is_secret!($($secret)?),
            default: $default,
            help: $help,
        };)*

        /// Every setting, in the order in which they are explained.
        pub const SETTINGS: &[Setting] = &[$($constant),*];
    };
}

settings! {
    SECRET = secret "MODAL_INTERNAL_SECRET", None,
        "Required. What callers send as X-Modal-Secret; at least 32 characters.";
    SECRET_PREVIOUS = secret "MODAL_INTERNAL_SECRET_PREVIOUS", None,
        "Accepted as well, while callers move to a new secret.";
    LISTEN = "DREAMCORE_LISTEN", Some("0.0.0.0:8000"),
        "Address and port to listen on. Port 0 takes a free one and logs it.";
    ROOT_ENDPOINT = "DREAMCORE_ROOT_ENDPOINT", None,
        "Endpoint that / stands for, for example generate_game. Without it the first label of the host's name decides, as in NAME--dreamcore-get-file.modal.run; if that names no endpoint, / is 404.";
    DATA_DIR = "DREAMCORE_DATA_DIR", Some("/data"),
        "Folder (volume) with all projects: users/{user}/projects/{project}.";
    VOLUME_SOCKET = "DREAMCORE_VOLUME_SOCKET", None,
        "Unix socket of the program that mounted the volume, and commits and reloads it. Without it that is not needed, as on an ordinary disk.";
    VOLUME_COMMIT_TIMEOUT_S = "DREAMCORE_VOLUME_COMMIT_TIMEOUT_S", Some("25"),
        "Longest commit of the volume, in seconds; then the change ends with STORAGE_NOT_COMMITTED.";
    VOLUME_RELOAD_TIMEOUT_S = "DREAMCORE_VOLUME_RELOAD_TIMEOUT_S", Some("10"),
        "Longest reload of the volume, in seconds; then reads get what is there.";
    VOLUME_MAX_AGE_S = "DREAMCORE_VOLUME_MAX_AGE_S", Some("10"),
        "How long ago the last reload of the volume may be when something is read, in seconds. A project that another container says it has changed is reloaded in any case.";
    VOLUME_PEERS = "DREAMCORE_VOLUME_PEERS", None,
        "URLs of the other workers on the same volume, separated by commas. They are told of each change before its client is, and get MODAL_INTERNAL_SECRET with it.";
    GLOBAL_DIR = "DREAMCORE_GLOBAL_DIR", Some("/global"),
        "Folder with the shared skills: .claude/skills/{name}/SKILL.md. Only read.";
    SCRATCH_DIR = "DREAMCORE_SCRATCH_DIR", None,
        "Local disk for the copies that runs work on; emptied at start. Default: /var/lib/dreamcore/scratch as root, ~/.cache/dreamcore/scratch otherwise. Must not be shared by two workers.";
    CLAUDE_BIN = "DREAMCORE_CLAUDE_BIN", Some("/usr/local/bin/claude"),
        "The Claude CLI (one file).";
    CONFINE_BIN = "DREAMCORE_CONFINE_BIN", None,
        "The launcher; dreamcore-probe must lie beside it. Default: dreamcore-confine beside this program.";
    MODEL = "DREAMCORE_MODEL", None,
        "Model that the CLI is told to use. Default: the CLI's own choice.";
    QUICK_MODEL = "DREAMCORE_QUICK_MODEL", Some("claude-haiku-4-5"),
        "Model for short questions that want a quick answer: intent, skills, chat, publishing.";
    CAREFUL_MODEL = "DREAMCORE_CAREFUL_MODEL", Some("claude-sonnet-4-5"),
        "Model for short questions that want a careful answer: chat_sonnet.";
    INTENT_TIMEOUT_S = "DREAMCORE_INTENT_TIMEOUT_S", Some("8"),
        "Longest wait for a model's answer to detect_intent, in seconds; then a table of patterns decides.";
    SKILLS_TIMEOUT_S = "DREAMCORE_SKILLS_TIMEOUT_S", Some("10"),
        "The same for detect_skills, where a table of words decides.";
    CHAT_TIMEOUT_S = "DREAMCORE_CHAT_TIMEOUT_S", Some("30"),
        "Longest wait for a model's answer to chat_haiku and chat_sonnet, in seconds.";
    PUBLISH_TIMEOUT_S = "DREAMCORE_PUBLISH_TIMEOUT_S", Some("30"),
        "Longest wait for a model's answer to generate_publish_info, in seconds.";
    ALLOWED_MODELS = "DREAMCORE_ALLOWED_MODELS", Some("claude-"),
        "Models that the broker lets a run use: beginnings of names, separated by commas.";
    ALLOWED_BETAS = "DREAMCORE_ALLOWED_BETAS", Some("claude-code-20250219,context-management-2025-06-27,effort-2025-11-24,interleaved-thinking-2025-05-14,mid-conversation-tool-changes-2026-07-01,per-turn-control-2026-07-01,thinking-display-updates-2026-08-18,thinking-token-count-2026-05-13,token-counting-2024-11-01"),
        "Betas of the model API (anthropic-beta) that the broker lets a run ask for, separated by commas. Default: those that the tested CLI sends. The CLI does without a beta that is refused, and the log names it.";
    CONFINEMENT = "DREAMCORE_CONFINEMENT", Some("strict"),
        "What the self-test must have denied before anything is run: strict (everything), without-network-isolation (everything but attacks on the network), without-guarantees (nothing; only for machines without anything to protect).";
    RUN_TIMEOUT_S = "DREAMCORE_RUN_TIMEOUT_S", Some("540"),
        "Longest run, in seconds. The relay gives a job 600 s, which begin before the run.";
    IDLE_TIMEOUT_S = "DREAMCORE_IDLE_TIMEOUT_S", Some("180"),
        "Longest silence of the CLI before the run ends, in seconds.";
    MAX_RUNS = "DREAMCORE_MAX_RUNS", Some("1"),
        "Runs at the same time, 1 to 64.";
    QUEUE_TIMEOUT_S = "DREAMCORE_QUEUE_TIMEOUT_S", Some("300"),
        "How long a run waits for a busy project, or for a free run, while nobody in that queue is served, in seconds. A queue that moves is waited for until the run's own time limit, which includes its waiting.";
    RUN_MAX_REQUESTS = "DREAMCORE_RUN_MAX_REQUESTS", Some("300"),
        "Model requests that one run may make.";
    RUN_MAX_TOKENS = "DREAMCORE_RUN_MAX_TOKENS", Some("20000000"),
        "Tokens (input, cached input and output together) that one run may use. A message whose answer breaks off counts as an estimate: a third of its bytes, and its max_tokens.";
    RUN_MEMORY_BYTES = "DREAMCORE_RUN_MEMORY_BYTES", Some("2147483648"),
        "Memory of all processes of one run together, in bytes; at least 268435456. The CLI alone takes about 230 MB.";
    MEMORY_RESERVE_BYTES = "DREAMCORE_MEMORY_RESERVE_BYTES", Some("268435456"),
        "When less than this is left of the memory of the machine, or of the container that the worker is in, in bytes, the run with the most ends. Counted as at most a tenth of it.";
    RUN_MAX_PROCESSES = "DREAMCORE_RUN_MAX_PROCESSES", Some("512"),
        "Processes and threads of one run, at least 64. The CLI has about ten, a build tool a few dozen.";
    RUN_DISK_BYTES = "DREAMCORE_RUN_DISK_BYTES", Some("2147483648"),
        "What one run may have on the scratch disk, in bytes: the copy of the project, the home folder and temporary files; at least 16777216.";
    DISK_RESERVE_BYTES = "DREAMCORE_DISK_RESERVE_BYTES", Some("536870912"),
        "When less than this is left on the scratch disk, in bytes, the run with the most on it ends. Counted as at most a tenth of the disk.";
    MAX_FILE_BYTES = "DREAMCORE_MAX_FILE_BYTES", Some("52428800"),
        "Largest file of a project, in bytes.";
    MAX_PROJECT_BYTES = "DREAMCORE_MAX_PROJECT_BYTES", Some("524288000"),
        "All files of a project together, in bytes.";
    MAX_FILES = "DREAMCORE_MAX_FILES", Some("10000"),
        "Files of a project.";
    MAX_BODY_BYTES = "DREAMCORE_MAX_BODY_BYTES", Some("67108864"),
        "Largest body of a request with files in it (apply_files), in bytes.";
    MAX_ASSET_BYTES = "DREAMCORE_MAX_ASSET_BYTES", Some("52428800"),
        "Largest asset that a user may upload, in bytes.";
    ASSET_QUOTA_BYTES = "DREAMCORE_ASSET_QUOTA_BYTES", Some("1073741824"),
        "All assets of a user together, in bytes. Deleted ones count for 30 days, but only against twice as much.";
    MAX_ASSETS = "DREAMCORE_MAX_ASSETS", Some("1000"),
        "Assets of a user, 1 to 10000. Deleted ones as above.";
    ASSET_BASE_URL = "DREAMCORE_ASSET_BASE_URL", None,
        "What the URLs of assets begin with, for example https://assets.example.com. Without it they are relative: /get_asset?user_id=…&asset_id=….";
    ANTHROPIC_API_KEY = secret "ANTHROPIC_API_KEY", None,
        "Key for the model API. It stays in the worker; the CLI gets a token that is good for one run. Without it and without DREAMCORE_VERTEX_PROJECT every run ends with AUTH_ERROR.";
    ANTHROPIC_BASE_URL = secret "ANTHROPIC_BASE_URL", Some("https://api.anthropic.com"),
        "Where requests to the Anthropic API go. It may have a path, as of a proxy that knows its clients by it: https://host/a/SECRET.";
    VERTEX_PROJECT = "DREAMCORE_VERTEX_PROJECT", None,
        "Google Cloud project whose Vertex AI serves Claude. With it, runs and short questions may go there; it needs DREAMCORE_VERTEX_SERVICE_ACCOUNT or DREAMCORE_VERTEX_FEDERATION.";
    VERTEX_LOCATION = "DREAMCORE_VERTEX_LOCATION", Some("global"),
        "Location of that service: global, or a region such as europe-west1.";
    VERTEX_BASE_URL = secret "DREAMCORE_VERTEX_BASE_URL", None,
        "Where requests to Vertex AI go, version included. Default: https://aiplatform.googleapis.com/v1 for global, else https://LOCATION-aiplatform.googleapis.com/v1.";
    VERTEX_SERVICE_ACCOUNT = secret "DREAMCORE_VERTEX_SERVICE_ACCOUNT", None,
        "Key of a service account, as the JSON that Google hands out.";
    VERTEX_FEDERATION = "DREAMCORE_VERTEX_FEDERATION", None,
        "Workload Identity Federation, so that no key is needed: the JSON that gcloud iam workload-identity-pools create-cred-config writes. The identity token comes from DREAMCORE_IDENTITY_TOKEN_FILE, else from MODAL_IDENTITY_TOKEN.";
    IDENTITY_TOKEN_FILE = "DREAMCORE_IDENTITY_TOKEN_FILE", None,
        "File with an OIDC identity token that somebody keeps fresh; read for every exchange.";
    IDENTITY_TOKEN = secret "MODAL_IDENTITY_TOKEN", None,
        "The identity token that Modal gives a container.";
    VERTEX_MODELS = "DREAMCORE_VERTEX_MODELS", Some("claude-opus-4-5=claude-opus-4-5@20251101,claude-sonnet-4-5=claude-sonnet-4-5@20250929,claude-haiku-4-5=claude-haiku-4-5@20251001"),
        "What models are called on Vertex AI where that is not the same: NAME=NAME_THERE, separated by commas. A date at the end of a name is set off by @ without being listed.";
    FIRST_PROVIDER = "DREAMCORE_FIRST_PROVIDER", Some("anthropic"),
        "Who is asked first where both are set: anthropic or vertex. The other one is asked while it fails.";
    API_FIRST_BYTE_TIMEOUT_S = "DREAMCORE_API_FIRST_BYTE_TIMEOUT_S", Some("50"),
        "Longest wait for a streamed model answer to begin, in seconds.";
    API_STALL_TIMEOUT_S = "DREAMCORE_API_STALL_TIMEOUT_S", Some("50"),
        "Longest silence within a streamed model answer, in seconds.";
    API_GIVE_UP_S = "DREAMCORE_API_GIVE_UP_S", Some("100"),
        "How long a run goes on while the model API only fails, in seconds.";
    GEMINI_API_KEY = secret "GEMINI_API_KEY", None,
        "Key for the Gemini API.";
    GEMINI_BASE_URL = "GEMINI_BASE_URL", Some("https://generativelanguage.googleapis.com"),
        "Where Gemini requests go.";
    MAX_CONNECTIONS = "DREAMCORE_MAX_CONNECTIONS", Some("2048"),
        "HTTP connections at the same time.";
    SHUTDOWN_GRACE_S = "DREAMCORE_SHUTDOWN_GRACE_S", Some("20"),
        "How long running generations may go on after SIGTERM or SIGINT, in seconds.";
    LOG = "DREAMCORE_LOG", Some("info"),
        "What is logged: error, warn, info, debug, or a tracing filter.";
    LOG_FORMAT = "DREAMCORE_LOG_FORMAT", Some("auto"),
        "json, text, or auto (text on a terminal).";
}
