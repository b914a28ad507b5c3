//! Where the folders of a run are for the CLI.
//!
//! The relay's prompts name a project by its place on the volume, so the private copy has that place
//! inside the sandbox: what a prompt says can be read and written. Nothing else of the volume exists
//! there. A sandbox without a root of its own has the folders where the machine has them.

use std::path::{Path, PathBuf};

use crate::runs::workspace::Workspace;
use crate::store::projects::ProjectKey;

/// The volume's place inside, whatever the machine calls it: the relay's prompts have it so.
const VOLUME: &str = "/data";
/// Many tools write there whatever TMPDIR says, and paths of sockets below it are short.
const TMP: &str = "/tmp";
/// The folder of the skills below the project, as the relay's prompts name it.
const CLAUDE: &str = ".claude";

/// The folders of one run as the CLI sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The private copy, which is the working directory.
    pub project: PathBuf,
    /// The folder for temporary files.
    pub tmp: PathBuf,
}

impl Inside {
    /// The folders of `workspace`, in a sandbox that has a root of its own or not.
    pub fn new(workspace: &Workspace, key: ProjectKey, own_root: bool) -> Self {
        if own_root {
            Self { project: key.folder_below(Path::new(VOLUME)), tmp: TMP.into() }
        } else {
            Self { project: workspace.game_path(), tmp: workspace.tmp_path() }
        }
    }

    /// The folder below the project that has `skills/` in it and nothing else.
    pub fn claude(&self) -> PathBuf {
        self.project.join(CLAUDE)
    }

    /// The skills in it.
    pub fn skills(&self) -> PathBuf {
        self.claude().join(Path::new("skills"))
    }
}
