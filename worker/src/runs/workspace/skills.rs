//! The shared skills beside a run's private copy.
//!
//! Where the sandbox has mounts of its own, the skills themselves are mounted there, read-only.
//! Elsewhere nothing but owner and mode would keep a run from changing them for everybody, and a
//! link to them would hide them from searches. So there the run gets a copy, which ends with it.

use std::io;
use std::path::PathBuf;

use crate::safe_fs::{Dir, FileError, Oddity, WriteOptions, walk};

/// The folder in the private copy that leads to the skills. Hidden, so it is never harvested.
pub(super) const CLAUDE: &str = ".claude";
const SKILLS: &str = "skills";

/// What is copied at most. Skills are texts, and every run would wait for more.
const MAX_COPIED_FILES: usize = 2_000;
const MAX_COPIED_BYTES: u64 = 32 * 1024 * 1024;

/// How a run gets the skills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skills {
    /// This folder is mounted below the private copy.
    Mounted(PathBuf),
    /// They have been copied there.
    Copied,
}

impl Skills {
    /// Makes the place of the skills in `game`, which belongs to the worker, and fills it where
    /// they cannot be mounted. Blocking.
    pub(super) fn offer(game: &Dir, skills: PathBuf, can_be_mounted: bool) -> io::Result<Self> {
        let place = game.make_folder(CLAUDE)?.make_folder(SKILLS)?;
        if can_be_mounted {
            return Ok(Self::Mounted(skills));
        }
        copy(&Dir::open_root(&skills)?, &place, MAX_COPIED_FILES, MAX_COPIED_BYTES)
            .inspect_err(|error| tracing::error!(%error, "the shared skills cannot be copied"))?;
        Ok(Self::Copied)
    }
}

/// Copies regular files. Links stay out: what they lead to does not exist in a sandbox.
fn copy(skills: &Dir, place: &Dir, max_files: usize, max_bytes: u64) -> io::Result<()> {
    let (mut files, mut bytes) = (0, 0);
    walk::<io::Error>(
        skills,
        |found| {
            let path = found.path.as_str();
            let (mut source, stat) = match skills.file(path) {
                Ok(open) => open,
                Err(FileError::NotFound | FileError::NotRegular) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            files += 1;
            bytes += u64::try_from(stat.st_size).unwrap_or_default();
            if files > max_files || bytes > max_bytes {
                let limits = format!("{max_files} files or {max_bytes} bytes");
                return Err(io::Error::other(format!("the shared skills are more than {limits}")));
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut folder = place.try_clone()?;
            for part in parent.split('/').filter(|part| !part.is_empty()) {
                folder = folder.make_folder(part)?;
            }
            folder.write_new(name, WriteOptions::default(), |to| io::copy(&mut source, to))?;
            Ok(())
        },
        |path, oddity: Oddity| {
            tracing::debug!(path, %oddity, "not copied from the shared skills");
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_copy_has_the_regular_files_and_can_be_changed_without_harm() {
        let temp = tempfile::tempdir().unwrap();
        let skills = temp.path().join("shared");
        fs::create_dir_all(skills.join("_base/more")).unwrap();
        fs::write(skills.join("_base/SKILL.md"), "text").unwrap();
        fs::write(skills.join("_base/more/説明.md"), "more").unwrap();
        symlink("/etc/passwd", skills.join("_base/link")).unwrap();
        let game = temp.path().join("game");
        fs::create_dir(&game).unwrap();
        let dir = Dir::open_root(&game).unwrap();
        assert_eq!(Skills::offer(&dir, skills.clone(), false).unwrap(), Skills::Copied);
        let copy = game.join(".claude/skills/_base");
        assert_eq!(fs::read_to_string(copy.join("more/説明.md")).unwrap(), "more");
        assert!(!copy.join("link").exists());
        fs::write(copy.join("SKILL.md"), "changed").unwrap();
        assert_eq!(fs::read_to_string(skills.join("_base/SKILL.md")).unwrap(), "text");
    }

    #[test]
    fn more_than_every_run_could_wait_for_is_not_copied() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["shared/a", "shared/b", "place"] {
            fs::create_dir_all(temp.path().join(name)).unwrap();
        }
        for name in ["a", "b"] {
            fs::write(temp.path().join("shared").join(name).join("SKILL.md"), "12345").unwrap();
        }
        let open = |name: &str| Dir::open_root(&temp.path().join(name)).unwrap();
        for (files, bytes) in [(1, 100), (2, 9)] {
            let error = copy(&open("shared"), &open("place"), files, bytes).unwrap_err();
            assert!(error.to_string().contains("more than"), "{error}");
            fs::remove_dir_all(temp.path().join("place")).unwrap();
            fs::create_dir(temp.path().join("place")).unwrap();
        }
        copy(&open("shared"), &open("place"), 2, 10).unwrap();
    }
}
