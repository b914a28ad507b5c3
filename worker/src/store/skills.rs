//! The shared skills, which the CLI reads directly from the global folder.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::safe_fs::Dir;
use crate::types::SkillName;

/// The largest SKILL.md that is sent to clients, in bytes. A model reads these files, so they are
/// short.
const MAX_CONTENT_BYTES: u64 = 256 * 1024;

/// The folder of the skills, if it is there and no link leads to it. Blocking.
pub fn folder(global: &Path) -> Option<PathBuf> {
    open(global).map(|_| global.join(".claude/skills"))
}

/// Splits the wanted skills into those that exist and those that do not. Blocks.
pub fn sort(global: &Path, wanted: &[SkillName]) -> (Vec<SkillName>, Vec<SkillName>) {
    let skills = open(global);
    let exists = |name: &SkillName| {
        let file = format!("{name}/SKILL.md");
        skills.as_ref().is_some_and(|skills| skills.file(&file).is_ok())
    };
    wanted.iter().cloned().partition(exists)
}

/// The texts of these skills by name. A skill that does not exist, is too large or is not text is
/// left out. Blocks.
pub fn contents(global: &Path, names: &[SkillName]) -> BTreeMap<String, String> {
    let Some(skills) = open(global) else {
        return BTreeMap::new();
    };
    let content = |name: &SkillName| {
        let (file, _) = skills.file(&format!("{name}/SKILL.md")).ok()?;
        let mut text = String::new();
        file.take(MAX_CONTENT_BYTES + 1).read_to_string(&mut text).ok()?;
        (text.len() as u64 <= MAX_CONTENT_BYTES).then(|| (name.to_string(), text))
    };
    names.iter().filter_map(content).collect()
}

fn open(global: &Path) -> Option<Dir> {
    Dir::open_root(global).ok()?.folder(".claude").ok()?.folder("skills").ok()
}
