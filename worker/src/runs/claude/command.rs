//! The CLI's command line, environment and place in the sandbox.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dreamcore_wire::plan::{Access, Grant};

use crate::runs::workspace::Workspace;
use crate::safe_fs::WriteOptions;
use crate::sandbox::policy::Program;
use crate::types::Secret;
use crate::types::{Prompt, SkillName};

/// Tools that the assistant has. No web tools: there is no web where it runs.
const TOOLS: &str = "Bash,Read,Edit,Write,Glob,Grep,Skill";

/// What the CLI calls the folder that the skills come from, and so the first half of their names.
const PLUGIN: &str = ".claude";

/// Where things are, and how long the CLI may wait for an answer before it is the broker who gives
/// up first.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The CLI.
    pub claude: PathBuf,
    /// The folder that holds `skills/`, if there is one.
    pub plugin: Option<PathBuf>,
}

/// Puts into a fresh home what keeps the CLI from setting it up: without it, every start migrates
/// settings that do not exist and writes them to disk, about 20 ms. The number belongs to the
/// CLI's version; a newer one migrates from there. Blocking.
pub fn prepare_home(workspace: &Workspace) -> io::Result<()> {
    let options = WriteOptions { sync: false, owner: workspace.owner() };
    let home = workspace.home()?;
    home.write_new(".claude.json", options, |file| file.write_all(br#"{"migrationVersion":15}"#))
        .map_err(io::Error::other)
}

/// The CLI as a program to be confined, working in `workspace` and asking the broker at `port`.
pub fn program(
    paths: &Paths,
    workspace: &Workspace,
    port: u16,
    token: &Secret,
    model: Option<&str>,
    api_timeout_ms: u128,
) -> Program {
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
        // Settings, hooks and servers that a project brings along are code of a stranger.
        "--setting-sources",
        "",
        "--strict-mcp-config",
        "--no-session-persistence",
        // The paths of a run change; without them in the system prompt, the API's cache holds.
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
    let env = BTreeMap::from(
        [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("SHELL", "/bin/bash".to_owned()),
            ("HOME", text(&home)),
            ("TMPDIR", text(&tmp)),
            ("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}")),
            ("ANTHROPIC_API_KEY", token.expose().to_owned()),
            ("API_TIMEOUT_MS", api_timeout_ms.to_string()),
            // It speaks plain HTTP to the broker; reading the system's certificates takes 20 ms.
            ("CLAUDE_CODE_CERT_STORE", "bundled".to_owned()),
            // Notes for the next session, of which there is none: they would only cost tokens.
            ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let mut grants = vec![
        Grant::new(workspace.game_path(), Access::Write),
        Grant::new(&home, Access::Write),
        // Many tools write to /tmp whatever TMPDIR says.
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
        api_port: Some(port),
    }
}

/// The line that gives the CLI its task.
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
