//! Shared skills: read by the CLI from the global folder, without a copy.

use std::path::{Path, PathBuf};

use crate::safe_fs::Dir;
use crate::types::SkillName;

/// The folder that holds `skills/`, if it is there. Blocking.
pub fn plugin_folder(global: &Path) -> Option<PathBuf> {
    let folder = Dir::open_root(global).ok()?.folder(".claude").ok()?;
    folder.folder("skills").ok()?;
    Some(global.join(".claude"))
}

/// Splits the wanted skills into those that exist and those that do not. Blocking.
pub fn sort(global: &Path, wanted: &[SkillName]) -> (Vec<SkillName>, Vec<SkillName>) {
    let skills =
        plugin_folder(global).and_then(|path| Dir::open_root(&path).ok()?.folder("skills").ok());
    let exists = |name: &SkillName| {
        let file = format!("{name}/SKILL.md");
        skills.as_ref().is_some_and(|skills| skills.file(&file).is_ok())
    };
    wanted.iter().cloned().partition(exists)
}
