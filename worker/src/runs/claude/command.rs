//! The CLI's command line, environment and place in the sandbox.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use dreamcore_wire::plan::{Access, Grant};

use super::Inside;
use crate::models::broker::Dialect;
use crate::runs::workspace::{Skills, Workspace};
use crate::safe_fs::WriteOptions;
use crate::sandbox::policy::Program;
use crate::types::Secret;

/// The tools that the assistant has. Web tools are missing, because the sandbox reaches no network.
const TOOLS: &str = "Bash,Read,Edit,Write,Glob,Grep,Skill";

/// Writes a file into a new home that saves the CLI the setup of it. Without the file, every start
/// migrates settings that do not exist and writes them to disk, which takes about 20 ms. The number
/// in it belongs to the CLI's version; a newer CLI migrates from there. Blocks.
pub fn prepare_home(workspace: &Workspace) -> io::Result<()> {
    let options = WriteOptions { sync: false, owner: workspace.owner() };
    let home = workspace.home()?;
    home.write_new(".claude.json", options, |file| file.write_all(br#"{"migrationVersion":15}"#))
        .map_err(io::Error::other)
}

/// Where the CLI finds the broker, and how it speaks to it.
#[derive(Debug)]
pub struct Api {
    /// The port on loopback.
    pub port: u16,
    /// The token of the run.
    pub token: Secret,
    /// The form of requests.
    pub dialect: Dialect,
    /// How long the CLI waits for an answer.
    pub timeout_ms: u128,
}

impl Api {
    /// The variables that tell the CLI. For Vertex it gets a project's name that means nothing, and
    /// no credential: the broker puts both in.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let (port, token) = (self.port, self.token.expose());
        let mut variables = vec![("API_TIMEOUT_MS", self.timeout_ms.to_string())];
        match self.dialect {
            Dialect::Anthropic => variables.extend([
                ("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}")),
                ("ANTHROPIC_API_KEY", token.to_owned()),
            ]),
            Dialect::Vertex => variables.extend([
                ("CLAUDE_CODE_USE_VERTEX", "1".to_owned()),
                ("CLAUDE_CODE_SKIP_VERTEX_AUTH", "1".to_owned()),
                ("ANTHROPIC_VERTEX_BASE_URL", format!("http://127.0.0.1:{port}/v1")),
                ("ANTHROPIC_VERTEX_PROJECT_ID", "dreamcore".to_owned()),
                ("CLOUD_ML_REGION", "global".to_owned()),
                ("ANTHROPIC_CUSTOM_HEADERS", format!("x-api-key: {token}")),
            ]),
        }
        variables
    }
}

/// The plan's description of the CLI `claude`, which works in `workspace`, finds its folders `inside`
/// and asks the broker at `api`.
pub fn program(
    claude: &Path,
    workspace: &Workspace,
    inside: &Inside,
    api: &Api,
    model: Option<&str>,
) -> Program {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let home = workspace.home_path();
    let mut args: Vec<String> = [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--dangerously-skip-permissions",
        // Settings, hooks and MCP servers in a project would be code of an attacker.
        "--setting-sources",
        "",
        "--strict-mcp-config",
        "--no-session-persistence",
        // Without the paths of the run, the system prompt is always the same, so the API's
        // cache can be used.
        "--exclude-dynamic-system-prompt-sections",
        "--tools",
        TOOLS,
    ]
    .map(str::to_owned)
    .into();
    let mut grants = vec![
        Grant::new(workspace.game_path(), Access::Write).at(&inside.project),
        Grant::new(workspace.tmp_path(), Access::Write).at(&inside.tmp),
        Grant::new(&home, Access::Write),
    ];
    if let Some(skills) = workspace.skills() {
        // The relay's prompts name the skills as files below the project. Only the skills are shown
        // there, because the CLI would obey settings, hooks and servers beside them.
        grants.push(Grant::new(workspace.claude_path(), Access::Read).at(inside.claude()));
        if let Skills::Mounted(folder) = skills {
            grants.push(Grant::new(folder, Access::Read).at(inside.skills()));
        }
        args.extend(["--plugin-dir".to_owned(), text(&inside.claude())]);
    }
    if let Some(model) = model {
        args.extend(["--model".to_owned(), model.to_owned()]);
    }
    let mut env = BTreeMap::from(
        [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("SHELL", "/bin/bash".to_owned()),
            ("HOME", text(&home)),
            ("TMPDIR", text(&inside.tmp)),
            // The CLI speaks plain HTTP to the broker, so it need not read the system's
            // certificates, which takes 20 ms.
            ("CLAUDE_CODE_CERT_STORE", "bundled".to_owned()),
            // Notes for the next session would only cost tokens, because there is none.
            ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1".to_owned()),
            // The skills that come with the CLI have nothing to do with games, and add 6 KB to each
            // request.
            ("CLAUDE_CODE_DISABLE_BUNDLED_SKILLS", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    env.extend(api.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    Program {
        path: claude.to_owned(),
        args,
        env,
        cwd: inside.project.clone(),
        grants,
        root_dir: workspace.root_path(),
        api_port: Some(api.port),
    }
}
