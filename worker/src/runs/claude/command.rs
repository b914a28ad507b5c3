//! The CLI's command line, environment and place in the sandbox.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dreamcore_wire::plan::{Access, Grant};

use crate::models::broker::Dialect;
use crate::runs::workspace::Workspace;
use crate::safe_fs::WriteOptions;
use crate::sandbox::policy::Program;
use crate::types::Secret;
use crate::types::{Prompt, SkillName};

/// The tools that the assistant has. Web tools are missing, because the sandbox reaches no network.
const TOOLS: &str = "Bash,Read,Edit,Write,Glob,Grep,Skill";

/// The CLI's name for the folder that the skills come from. It is the first half of the skills'
/// names.
const PLUGIN: &str = ".claude";

/// The paths of the CLI and the skills, and how long the CLI waits for an answer. It waits longer
/// than the broker, so that the broker gives up first.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The path of the CLI.
    pub claude: PathBuf,
    /// The folder that holds `skills/`, if there is one.
    pub plugin: Option<PathBuf>,
}

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

/// The CLI as a program to be confined, working in `workspace` and asking the broker at `api`.
pub fn program(paths: &Paths, workspace: &Workspace, api: &Api, model: Option<&str>) -> Program {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (home, tmp) = (workspace.home_path(), workspace.tmp_path());
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
    if let Some(plugin) = &paths.plugin {
        args.extend(["--plugin-dir".to_owned(), text(plugin)]);
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
            ("TMPDIR", text(&tmp)),
            // It speaks plain HTTP to the broker; reading the system's certificates takes 20 ms.
            ("CLAUDE_CODE_CERT_STORE", "bundled".to_owned()),
            // Notes for the next session would only cost tokens, because there is none.
            ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    env.extend(api.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut grants = vec![
        Grant::new(workspace.game_path(), Access::Write),
        Grant::new(&home, Access::Write),
        // Many tools write to /tmp and ignore TMPDIR.
        Grant::new(&tmp, Access::Write).also_at("/tmp"),
    ];
    grants.extend(paths.plugin.iter().map(|plugin| Grant::new(plugin, Access::Read)));
    Program {
        path: paths.claude.clone(),
        args,
        env,
        cwd: workspace.game_path(),
        grants,
        root_dir: workspace.root_path(),
        api_port: Some(api.port),
    }
}

/// The line of standard input that gives the CLI its task.
pub fn prompt_line(prompt: &Prompt, skills: &[SkillName]) -> Vec<u8> {
    let mut content = prompt.as_str().to_owned();
    if !skills.is_empty() {
        let names: Vec<_> = skills.iter().map(|name| format!("{PLUGIN}:{name}")).collect();
        content.push_str("\n\nBefore you begin, load these skills with the Skill tool: ");
        content.push_str(&names.join(", "));
        content.push('.');
    }
    let message = serde_json::json!({
        "type": "user",
        "message": { "role": "user", "content": content },
    });
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}
